"""Routers of equal priority that match the same requests: Traefik picks one at every reload, at random."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from reconciler.routing.choosing import Ranked
from reconciler.routing.connecting import ABOVE_HTTP
from reconciler.routing.decide import Contained, contains
from reconciler.routing.index import Index
from reconciler.routing.matchers import Node
from reconciler.routing.planes import Claimant, Plane, node_of, planes
from reconciler.routing.regions import Reach, Side, reach, side_of
from reconciler.routing.routers import HIGHEST_PRIORITY
from reconciler.routing.treatments import Serving


@dataclass(frozen=True, eq=False)
class Tie:
    """Two routers, and a request that either may get; `reach` says how that was found."""

    one: Claimant
    other: Claimant
    plane: Plane
    reach: Reach

    @property
    def names(self) -> tuple[str, str]:
        first, second = sorted((self.one.last.shown, self.other.last.shown))
        return first, second


class Ties:
    """The ties of one plane. `most`: how many with one and the same router are looked for; `more` counts the rest."""

    def __init__(self, serving: Serving, plane: Plane, most: int) -> None:
        self._serving, self._plane, self._most = serving, plane, most
        self.more = 0

    def all(self, known: Collection[tuple[str, str]] = ()) -> Iterator[Tie]:
        """Every tie but those that are known."""
        by_key: dict[tuple[int, int], dict[int, Ranked]] = {}
        for one in self._plane.layer.ranked:
            by_key.setdefault(one.key, {})[id(one)] = one
        for equal in by_key.values():
            if len(equal) > 1:
                yield from self._among([Claimant((one,)) for one in equal.values()], known)
        for one in self._plane.layer.ranked:
            if one.below is not None:
                yield from self._below((one,), known)

    def _below(self, path: tuple[Ranked, ...], known: Collection[tuple[str, str]]) -> Iterator[Tie]:
        layer = path[-1].below
        for child in layer.ranked if layer else ():
            equal = [one for one in layer.ranked if one.key == child.key] if layer else []
            if equal[0] is child and len(equal) > 1:
                yield from self._among([Claimant((*path, one)) for one in equal], known)
            if child.below is not None:
                yield from self._below((*path, child), known)

    def _among(self, equal: list[Claimant], known: Collection[tuple[str, str]]) -> Iterator[Tie]:
        """The ties among routers of one priority."""
        index = Index((one.bound, (number, one)) for number, one in enumerate(equal))
        for number, one in enumerate(equal):
            others = [other for at, other in index.near(one.bound) if at > number]
            yield from self._of(one, others, known)

    def of(self, root: Ranked) -> Iterator[Tie]:
        """The ties of one root router."""
        one = Claimant((root,))
        equal = [Claimant((other,)) for other in self._plane.equal_to(root, one.bound)]
        yield from self._of(one, equal, ())
        if root.below is not None:
            yield from self._below((root,), ())

    def _of(self, one: Claimant, others: Iterable[Claimant], known: Collection[tuple[str, str]]) -> Iterator[Tie]:
        found = 0
        for other in others:
            tie = Tie(one, other, self._plane, Reach())
            if one.opaque or other.opaque or tie.names in known or _both_internal(one, other) or not one.meets(other):
                continue
            if found >= self._most:
                self.more += 1
                continue
            reached = reach([self._side(one), self._side(other)])
            if reached.request is not None or reached.doubt:
                found += 1
                yield Tie(one, other, self._plane, reached)

    def _side(self, one: Claimant) -> Side:
        return side_of(self._serving, self._plane, one)


def _both_internal(one: Claimant, other: Claimant) -> bool:
    return one.last.router.provider == other.last.router.provider == "internal"


def stood(serving: Serving, tie: Tie) -> bool:
    """Whether two routers tied in another table too."""
    plane = planes(serving.table).get(tie.plane.place)
    if plane is None:
        return False
    one, other = (_as_there(plane, each) for each in (tie.one, tie.other))
    if one is None or other is None or one.last.key != other.last.key:
        return False
    return reach([side_of(serving, plane, each) for each in (one, other)]).request is not None


def _as_there(plane: Plane, one: Claimant) -> Claimant | None:
    """The claimant of the same name in another plane."""
    size, name = len(one.path), one.name
    paths = (each.path[:size] for each in plane.named(one.root.router.name))
    return next((found for path in paths if (found := Claimant(path)).name == name), None)


def resolution(tie: Tie, preferred: Collection[str] = ()) -> str:
    """The priority that makes one of the two win, for certain; the narrower one, else one of `preferred`."""
    narrow, wide, why = _narrower(tie, preferred)
    priority = priority_of(narrow.last) + 1
    taken = {0, *(priority_of(one.last) for one in _siblings(tie, narrow))}  # 0 is none of its own
    while priority in taken:
        priority += 1
    if priority <= HIGHEST_PRIORITY:
        return f"Set {_asked_of(narrow.last, priority)}{why}, and it gets what both match"
    lower = priority_of(wide.last) - 1
    return f"Set {_asked_of(wide.last, lower)}, and `{narrow.last.shown}` gets what both match"


def _asked_of(one: Ranked, priority: int) -> str:
    """A priority for a router, in the words of where it is written: a file, or the labels of a container."""
    if one.router.provider != "docker":
        return f"`priority: {priority}` on `{one.shown}`"
    name = one.router.name.removesuffix("@docker")
    return (
        f"the label `traefik.{one.router.protocol}.routers.{name}.priority: {priority}` on the service of `{one.shown}`"
    )


def priority_of(one: Ranked) -> int:
    """The priority as Traefik knows it: that of a TCP router counts among TCP routers."""
    return one.priority - ABOVE_HTTP if one.router.protocol == "tcp" else one.priority


def _narrower(tie: Tie, preferred: Collection[str]) -> tuple[Claimant, Claimant, str]:
    one, other = _node(tie.one), _node(tie.other)
    inside = isinstance(contains(other, one), Contained), isinstance(contains(one, other), Contained)
    if inside == (True, False):
        return tie.one, tie.other, " (the narrower of the two)"
    if inside == (False, True):
        return tie.other, tie.one, " (the narrower of the two)"
    first = tie.other if tie.other.root.router.name in preferred else tie.one
    return (tie.other, tie.one, "") if first is tie.other else (tie.one, tie.other, "")


def _node(one: Claimant) -> Node:
    return node_of(one.last)


def _siblings(tie: Tie, one: Claimant) -> Iterable[Claimant]:
    if len(one.path) > 1:
        layer = one.path[-2].below
        return [Claimant((*one.path[:-1], each)) for each in layer.ranked] if layer else []
    return [Claimant((each.root,)) for each in tie.plane.near(one.bound)]
