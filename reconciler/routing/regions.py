"""A region of requests: those that one claimant gets before a change, and another after it.

A search names a request that both match. Where somebody else is asked before one of them, the search goes on without
what that one matches, until a request is left that really ends with the two, or it is proven that none is. What may
tie with them, and what decides about TLS, splits the region: each part is searched by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

from reconciler.routing.choosing import Ranked
from reconciler.routing.connecting import stripped
from reconciler.routing.decide import Found, Nothing, Unknown, find
from reconciler.routing.doors import hangs_on
from reconciler.routing.evaluate import Test, http_test
from reconciler.routing.index import Bound, bound_of_all, may_meet
from reconciler.routing.matchers import HostRegexp, Node, PathPrefix
from reconciler.routing.planes import Claimant, Plane, node_of, rivals, takes
from reconciler.routing.request import NEWEST, PLAIN, Door, Refused, Request, Seen, look
from reconciler.routing.table import Answer
from reconciler.routing.treatments import Serving, Treatment
from reconciler.routing.urls import Release

MOST_STEPS: Final = 300
_TOO_MANY: Final = "there are too many others in between to tell them apart"
_DEPENDS: Final = "the rules hang on what an entry point adds to requests"


@dataclass(frozen=True, slots=True)
class Doubt:
    """A part of a region of which nobody can tell whether it holds a request."""

    reason: str


class Met(NamedTuple):
    """A request, and what becomes of it on either side."""

    request: Request
    before: Treatment
    after: Treatment


@dataclass(frozen=True, eq=False)
class Side:
    """Who gets a request (`claimant` None: nobody), among whom, and how requests are seen there.

    `within`: of what nobody gets, only what matches these.
    """

    claimant: Claimant | None
    plane: Plane
    door: Door = PLAIN
    release: Release = NEWEST
    within: tuple[Node, ...] = ()

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.claimant.nodes if self.claimant else self.within

    def at(self, request: Request) -> Request:
        """The request as it arrives here."""
        return replace(request, entry_point=self.plane.place[0], tls=self.plane.place[1])

    def seen(self, request: Request) -> Seen | Refused:
        return look(request, self.door, self.release)

    def hangs_on(self, nodes: Iterable[Node]) -> str:
        """Why a proof about these rules is none at this entry point."""
        return next((why for node in nodes if (why := hangs_on(self.door, node))), "")

    def taken_by(self, seen: Seen, answer: Answer | None = None) -> Node | None:
        """The rule of somebody who is asked before the claimant and takes this request; None: it is the claimant's."""
        if answer is not None and self._has(answer):
            return None
        thief = self.thief(seen)
        return None if thief is None else taking(thief, seen, self.release)

    def _has(self, answer: Answer) -> bool:
        """Whether an answer says at once that the claimant gets the request, with nobody beside it."""
        if self.claimant is None or answer.unknown or answer.tied or answer.taken_by != "http":
            return False
        mine = [one.router.name for one in self.claimant.path]
        return [one.router.name for one in answer.choice.path] == mine and not self.claimant.opaque

    def thief(self, seen: Seen) -> Ranked | None:
        if self.claimant is None:
            return next((one for one in self.plane.layer.near(seen.host) if takes(one, seen)), None)
        layer = self.plane.layer
        for one in self.claimant.path:
            thief, _ = rivals(layer, one, seen)
            if thief is not None:
                return thief
            layer = one.below or layer
        if self.claimant.childless:
            return next((one for one in layer.near(seen.host) if takes(one, seen)), None)
        return None

    def equals(self, bound: Bound) -> Iterator[Node]:
        """The rules of those who may tie with the claimant, and of what is below them."""
        if self.claimant is None:
            return
        for other in self.plane.equal_to(self.claimant.root, bound):
            yield from _nodes_of(other)
        for parent, child in zip(self.claimant.path, self.claimant.path[1:], strict=False):
            siblings = parent.below.ranked if parent.below else ()
            yield from (
                node for one in siblings if one is not child and one.key == child.key for node in _nodes_of(one)
            )


def _nodes_of(one: Ranked) -> Iterator[Node]:
    """The rules of a router and of its children."""
    yield node_of(one)
    for child in one.below.ranked if one.below else ():
        yield from _nodes_of(child)


def side_of(serving: Serving, plane: Plane, claimant: Claimant | None) -> Side:
    """The claimant where it stands."""
    door = serving.table.entry_points.get(plane.place[0])
    return Side(claimant, plane, door.door if door else PLAIN, serving.table.release)


def taking(one: Ranked, seen: Seen, release: Release = NEWEST) -> Node:
    """A rule that matches this request and nothing that the router does not take."""
    node = node_of(one)
    return node if test_of(node, release)(seen) else HostRegexp(stripped(seen.host))


@lru_cache(50_000)
def test_of(node: Node, release: Release = NEWEST) -> Test:
    return http_test(node, release)


class _Branch(NamedTuple):
    all_of: tuple[Node, ...]
    none_of: tuple[Node, ...]


def requests_of(before: Side, after: Side, servings: tuple[Serving, Serving]) -> Iterator[Met | Doubt]:
    """One request of every sort in the region, and every doubt whether there are more."""
    yield from _Search(before, after, servings).run()


class _Search:
    def __init__(self, before: Side, after: Side, servings: tuple[Serving, Serving]) -> None:
        self._before, self._after, self._release = before, after, before.release
        self._servings = servings
        self._demands = tuple(dict.fromkeys((*before.plane.demands, *after.plane.demands)))
        self._wanted = tuple(dict.fromkeys((*before.nodes, *after.nodes, *self._demands)))
        self._pending = [_Branch(self._wanted, ())]
        self._splits: tuple[Node, ...] | None = None

    def run(self) -> Iterator[Met | Doubt]:
        for _ in range(MOST_STEPS):
            if not self._pending:
                return
            yield from self._step(self._pending.pop())
        if self._pending:
            yield Doubt(_TOO_MANY)

    def _step(self, branch: _Branch) -> Iterator[Met | Doubt]:
        found = find(*branch, release=self._release, door=self._before.door)
        if isinstance(found, Found):
            yield from self._found(_ordinary(found.witness, branch, self._before), branch)
        elif why := self._why_not(found, branch):
            yield Doubt(why)

    def _why_not(self, found: Nothing | Unknown, branch: _Branch) -> str:
        """Why it is not proven that a branch is empty."""
        return found.reason if isinstance(found, Unknown) else self._leaning(branch)

    def _leaning(self, branch: _Branch) -> str:
        """On which option of the entry point its rules lean."""
        rules = [node for node in (*branch.all_of, *branch.none_of) if node not in self._demands]
        return self._before.hangs_on(rules) or self._after.hangs_on(rules)

    def _found(self, witness: Request, branch: _Branch) -> Iterator[Met | Doubt]:
        request = self._before.at(witness)
        (here, was), (there, now) = (serving.judged(request) for serving in self._servings)
        seen, also = _seen(self._before, request, here), _seen(self._after, request, there)
        if seen is None or also is None or not _fits(seen, branch, self._release):
            yield Doubt(self._leaning(branch) or _DEPENDS)
            return
        thief = self._before.taken_by(seen, here) or self._after.taken_by(also, there)
        if thief is not None:
            self._pending.append(_Branch(branch.all_of, (*branch.none_of, thief)))
            return
        yield Met(request, was, now)
        if self._splits is None:
            self._splits = self._splitting()
        self._pending += _flipped(seen, branch, self._splits, self._release)

    def _splitting(self) -> tuple[Node, ...]:
        """Everything that makes requests of one region be treated differently."""
        sides = self._before, self._after
        bound = bound_of_all([side.claimant.bound for side in sides if side.claimant is not None])
        found = dict.fromkeys(node for side in sides for node in (*side.equals(bound), *side.plane.splitting))
        wanted = self._wanted
        return tuple(node for node in found if node not in wanted and all(may_meet(node, one) for one in wanted))


def _seen(side: Side, request: Request, answer: Answer | None) -> Seen | None:
    if answer is not None and answer.seen is not None:
        return answer.seen
    found = side.seen(request)
    return None if isinstance(found, Refused) else found


_ROOTED: Final = PathPrefix("/")


def _ordinary(request: Request, branch: _Branch, side: Side) -> Request:
    """One with a path instead, where this is one for `*`, which hardly any client sends."""
    if is_ordinary(request):
        return request
    found = find((*branch.all_of, _ROOTED), branch.none_of, release=side.release, door=side.door)
    return found.witness if isinstance(found, Found) else request


def is_ordinary(request: Request) -> bool:
    """Whether the target of a request is a path."""
    return request.target.startswith("/")


def _fits(seen: Seen, branch: _Branch, release: Release) -> bool:
    inside = all(test_of(node, release)(seen) for node in branch.all_of)
    return inside and not any(test_of(node, release)(seen) for node in branch.none_of)


def _flipped(seen: Seen, branch: _Branch, splits: Sequence[Node], release: Release) -> Iterator[_Branch]:
    """The rest of a part, cut up by what splits it: each cut agrees with the request up to one point."""
    all_of, none_of = branch
    for node in splits:
        if node in all_of or node in none_of:
            continue
        if test_of(node, release)(seen):
            yield _Branch(all_of, (*none_of, node))
            all_of = (*all_of, node)
        else:
            yield _Branch((*all_of, node), none_of)
            none_of = (*none_of, node)


# ── one side alone ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Reach:
    """Whether some request ends with all of some claimants: this one, or none as `thieves` are always asked before.

    `missed` is the first that all of them match and a thief takes. `doubt` says why nobody can tell.
    """

    request: Request | None = None
    missed: Request | None = None
    thieves: tuple[Ranked, ...] = ()
    doubt: str = ""


def reach(sides: Sequence[Side]) -> Reach:
    """A request that claimants of one plane may end up with: one that reaches one, several that they tie for."""
    first = sides[0]
    all_of = tuple(dict.fromkeys([*(node for side in sides for node in side.nodes), *first.plane.demands]))
    none_of: tuple[Node, ...] = ()
    thieves: dict[int, Ranked] = {}
    missed: Request | None = None
    for _ in range(MOST_STEPS):
        branch = _Branch(all_of, none_of)
        found = find(all_of, none_of, release=first.release, door=first.door)
        if not isinstance(found, Found):
            doubt = _unproven(found, branch, first, thieves.values())
            return Reach(missed=missed, thieves=tuple(thieves.values()), doubt=doubt)
        request = first.at(_ordinary(found.witness, branch, first))
        seen = first.seen(request)
        if isinstance(seen, Refused) or not _fits(seen, branch, first.release):
            return Reach(doubt=_DEPENDS)
        thief = next((thief for side in sides if (thief := side.thief(seen)) is not None), None)
        if thief is None:
            return Reach(request=request)
        missed = missed or request
        thieves[id(thief)] = thief
        none_of = (*none_of, taking(thief, seen, first.release))
    return Reach(thieves=tuple(thieves.values()), doubt=_TOO_MANY)


def _unproven(found: Nothing | Unknown, branch: _Branch, side: Side, thieves: Iterable[Ranked]) -> str:
    if isinstance(found, Unknown):
        return found.reason
    hidden = next((one.opaque for one in thieves if one.opaque), "")
    rules = [node for node in (*branch.all_of, *branch.none_of) if node not in side.plane.demands]
    return hidden or side.hangs_on(rules)
