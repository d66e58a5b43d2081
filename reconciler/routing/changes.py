"""The witness diff: which requests are treated differently after a change, a request of each sort, and how.

It is complete for the requests of DOMAIN: one whose treatment changes is of a sort that is listed, or lies in a region
that is listed as unknown, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

from reconciler.routing.connecting import differ
from reconciler.routing.decide import Nothing, find
from reconciler.routing.index import bounds_meet
from reconciler.routing.marks import Marker
from reconciler.routing.matchers import Node
from reconciler.routing.moves import Moves, Pair, always_first, redefined
from reconciler.routing.naming import Namer, mentioned
from reconciler.routing.planes import Claimant, Place, plane_of, planes
from reconciler.routing.regions import Doubt, Met, requests_of
from reconciler.routing.request import PLAIN, Door, Request
from reconciler.routing.revising import RevisedTable
from reconciler.routing.sorts import Change, Changes, plainness, sorting
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving, Treatment
from reconciler.routing.trials import trials

__all__ = ["Change", "Changes", "diff"]

MOST_REGIONS: Final = 30_000
MOST_TRIALS: Final = 30_000
"""So many requests of one place are tried where two versions of Traefik are compared."""
A_WHILE: Final = 5_000  # trials from one word about them to the next
_TWO_VERSIONS: Final = "two versions of Traefik may read rules differently"
_MOST_PAIRS: Final = 50  # of claimants whose hosts are told for one sort of requests


def diff(
    before: Serving,
    after: Serving,
    changed: Collection[str] | None = None,
    progress: Callable[[str], None] = lambda words: None,
) -> Changes:
    """What changes for requests from one moment to the other.

    `changed` are the routers that may differ (qualified names), where the caller knows; cost follows them. Of
    services and middlewares everything is compared. `progress` is told now and then how far long work is.
    """
    names, altered = _names(before, after, changed), redefined(before, after)
    here, there = planes(before.table), planes(after.table)
    found: list[Change] = []
    cut_off = (place for serving in (before, after) for place in _where_options_differ(serving.table))
    for place in sorted({*here, *there, *_doors_that_change(before, after), *cut_off}):
        one, other = here.get(place), there.get(place)
        if one is not other or one is None or altered:
            moves = Moves(before, after, plane_of(before.table, place), plane_of(after.table, place), names, altered)
            found += _PlaceDiff(before, after, moves, progress).changes()
    return Changes(tuple(sorted(map(Marker(before, after).marked, found), key=sorting)))


def _names(before: Serving, after: Serving, changed: Collection[str] | None) -> frozenset[str] | None:
    """The roots that may differ; None: all of them."""
    table, old = after.table, before.table
    if isinstance(table, RevisedTable) and table.base is old:
        return _touched(table)
    if isinstance(table, RevisedTable) and isinstance(old, RevisedTable) and table.base is old.base:
        return _touched(table) | _touched(old)
    if changed is None:
        return None
    names = frozenset(name if "@" in name else f"{name}@file" for name in changed)
    family = any(router.parents for table in (before.table, after.table) for router in table.routers)
    return None if family else names


def _touched(table: RevisedTable) -> frozenset[str]:
    """The roots that differ from those of the table that this one was made from."""
    return table.gone | {one.router.name for come in table.come.values() for one in come}


def _doors_that_change(before: Serving, after: Serving) -> Iterator[Place]:
    one, other = before.table.entry_points, after.table.entry_points
    for name in one.keys() | other.keys():
        if (name in one) != (name in other) or one[name].door != other[name].door:
            yield from ((name, False), (name, True))


def _where_options_differ(table: Table) -> Iterator[Place]:
    return ((door, True) for door in table.connections if differ(table, (door, True)))


class _PlaceDiff:
    """The changes of one place."""

    def __init__(self, before: Serving, after: Serving, moves: Moves, progress: Callable[[str], None]) -> None:
        self._before, self._after, self._moves, self._progress = before, after, moves, progress
        self._place, self._namer = moves.here.place, Namer(before, after)
        self._found: dict[tuple[Treatment, Treatment], Change] = {}
        self._pairs: dict[tuple[Treatment, Treatment], list[Pair]] = {}
        self._doubts: list[Change] = []

    def changes(self) -> list[Change]:
        if self._before.table.release != self._after.table.release:
            self._compare_versions()
        else:
            for number, (one, other) in enumerate(self._moves.pairs()):
                if number < MOST_REGIONS:
                    self._explore(one, other)
                else:
                    self._doubt(one, other, "there are more regions than one answer may look at")
            self._say_what_is_cut_off()
            self._say_what_is_hidden()
        if self._doors_differ:
            self._doubts.append(self._change(unknown="the options of the entry point change how requests are read"))
        known = [self._named(change, self._pairs[sort]) for sort, change in self._found.items()]
        return [*known, *_without_repeats(self._doubts)]

    def _compare_versions(self) -> None:
        """Two versions of Traefik read rules differently: requests of every sort are tried, and no more is said."""
        for serving, plane in ((self._before, self._moves.here), (self._after, self._moves.there)):
            for number, (request, one) in enumerate(trials(plane, serving.table.release)):
                if number == MOST_TRIALS:
                    self._doubts.append(self._change(unknown=f"only the first {MOST_TRIALS:,} requests were tried"))
                    break
                if number % A_WHILE == 0:
                    self._tell(number)
                self._record(Met(request, self._before.treatment(request), self._after.treatment(request)), one, one)
        self._doubts.append(self._change(unknown=_TWO_VERSIONS))

    def _tell(self, number: int) -> None:
        if number:
            self._progress(f"{number:,} requests tried at {self._place[0]}{' over TLS' if self._place[1] else ''}")

    def _explore(self, one: Claimant | None, other: Claimant | None) -> None:
        for found in requests_of(*self._moves.sides(one, other), (self._before, self._after)):
            if isinstance(found, Doubt):
                self._doubt(one, other, found.reason)
            else:
                self._record(found, one, other)

    def _say_what_is_cut_off(self) -> None:
        for one, other in self._moves.cut_off():
            for found in requests_of(one, other, (self._before, self._after)):
                if isinstance(found, Doubt):
                    self._doubts.append(self._change(unknown=found.reason, region=one.nodes))
                else:
                    self._record(found, None, None)

    def _record(self, met: Met, one: Claimant | None, other: Claimant | None) -> None:
        request, before, after = met
        hidden = next((side for side in (before, after) if side.kind == "unknown"), None)
        if hidden is not None:
            self._doubt(one, other, hidden.why, request)
        elif before != after:
            known = self._found.get((before, after))
            pairs = self._pairs.setdefault((before, after), [])
            if len(pairs) < _MOST_PAIRS:
                pairs.append((one, other))
            if known is None or plainness(request) < plainness(known.witness):
                self._found[before, after] = self._change(before, after, witness=request)

    def _change(self, before: Treatment | None = None, after: Treatment | None = None, **more: Any) -> Change:
        return Change(entry_point=self._place[0], tls=self._place[1], before=before, after=after, **more)

    def _named(self, change: Change, pairs: Sequence[Pair]) -> Change:
        return self._namer.named(change, pairs, self._hosts_that_move)

    @cached_property
    def _hosts_that_move(self) -> frozenset[str]:
        return frozenset(host for side in self._moves.moved for one in side.values() for host in mentioned(one))

    # ── what nobody can tell ─────────────────────────────────────────────────────────────────────

    def _doubt(self, one: Claimant | None, other: Claimant | None, why: str, witness: Request | None = None) -> None:
        nodes = dict.fromkeys(node for side in (one, other) if side is not None for node in side.nodes)
        was, now = self._supposed(self._before, one), self._supposed(self._after, other)
        doubt = self._change(was, now, witness=witness, unknown=why, region=tuple(nodes))
        self._doubts.append(self._named(doubt, [(one, other)]))

    def _supposed(self, serving: Serving, one: Claimant | None) -> Treatment:
        return serving.of_claimant(one, self._place)

    def _say_what_is_hidden(self) -> None:
        """Where an opaque router stands before one that moved, nobody knows what that one got or gets.

        One that stands there before and after hides the same of whoever stays: of these only the treatment differs.
        """
        gone, come = self._moves.moved
        here, there = self._moves.here.opaque, self._moves.there.opaque
        staying = [one for one in here if one.name not in gone]
        for old, new in self._moves.treated:
            self._hide(old, new, staying)
            self._hide(old, None, [one for one in here if one.name in gone])
            self._hide(None, new, [one for one in there if one.name in come])
        for one in gone.values():
            self._hide(one, None, here)
        for one in come.values():
            self._hide(None, one, there)

    def _hide(self, old: Claimant | None, new: Claimant | None, opaque: Iterable[Claimant]) -> None:
        was = self._supposed(self._before, old) if old else None
        now = self._supposed(self._after, new) if new else None
        hidden = old or new
        for by, region in _hidden(hidden, opaque, self._door) if hidden else ():
            self._doubts.append(self._named(self._change(was, now, unknown=by, region=region), [(old, new)]))

    @property
    def _door(self) -> Door:
        found = self._before.table.entry_points.get(self._place[0])
        return found.door if found else PLAIN

    @property
    def _doors_differ(self) -> bool:
        doors = [serving.table.entry_points.get(self._place[0]) for serving in (self._before, self._after)]
        return all(doors) and doors[0].door != doors[1].door  # type: ignore[union-attr]


def _hidden(one: Claimant, opaque: Iterable[Claimant], door: Door) -> Iterator[tuple[str, tuple[Node, ...]]]:
    """Why nobody can tell who gets requests that match a claimant, and which those are."""
    for by in opaque:
        if by is not one and not always_first(one, by) and bounds_meet(one.bound, by.bound):
            region = tuple(dict.fromkeys((*one.nodes, *by.nodes)))
            if not isinstance(find(region, door=door), Nothing):
                yield f"{by.last.shown} may take these requests: {by.opaque}", region


def _without_repeats(doubts: Iterable[Change]) -> list[Change]:
    found: dict[tuple[object, ...], Change] = {}
    for one in doubts:
        found.setdefault((one.unknown, one.region, one.before, one.after), one)
    return list(found.values())
