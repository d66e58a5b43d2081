"""The witness diff: which requests are treated differently after a change, a request of each sort, and how.

It is complete for the requests of DOMAIN: one whose treatment changes is of a sort that is listed, or lies in a region
that is listed as unknown, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from reconciler.routing.choosing import Layer
from reconciler.routing.decide import Found, Nothing, find
from reconciler.routing.index import bounds_meet
from reconciler.routing.marks import Marker
from reconciler.routing.matchers import Node
from reconciler.routing.moves import Moves, always_first, redefined
from reconciler.routing.planes import Claimant, Place, Plane, planes
from reconciler.routing.regions import Doubt, Met, requests_of
from reconciler.routing.request import Request
from reconciler.routing.revising import RevisedTable
from reconciler.routing.sorts import Change, Changes, plainness, sorting
from reconciler.routing.treatments import Serving, Treatment

__all__ = ["Change", "Changes", "diff"]

MOST_REGIONS: Final = 30_000


def diff(before: Serving, after: Serving, changed: Collection[str] | None = None) -> Changes:
    """What changes for requests from one moment to the other.

    `changed` are the routers that may differ (qualified names), where the caller knows; cost follows them. Of
    services and middlewares everything is compared.
    """
    names, altered = _names(before, after, changed), redefined(before, after)
    here, there = planes(before.table), planes(after.table)
    found: list[Change] = []
    for place in sorted({*here, *there, *_doors_that_change(before, after)}):
        one, other = here.get(place), there.get(place)
        if one is not other or one is None or altered:
            nobody = Plane(place, Layer(()))
            moves = Moves(before, after, one or nobody, other or nobody, names, altered)
            found += _PlaceDiff(before, after, moves).changes()
    return Changes(tuple(sorted(map(Marker(before, after).marked, found), key=sorting)))


def _names(before: Serving, after: Serving, changed: Collection[str] | None) -> frozenset[str] | None:
    """The roots that may differ; None: all of them."""
    table = after.table
    if isinstance(table, RevisedTable) and table.base is before.table:
        return table.gone | {one.router.name for come in table.come.values() for one in come}
    if changed is None:
        return None
    names = frozenset(name if "@" in name else f"{name}@file" for name in changed)
    family = any(router.parents for table in (before.table, after.table) for router in table.routers)
    return None if family else names


def _doors_that_change(before: Serving, after: Serving) -> Iterator[Place]:
    one, other = before.table.entry_points, after.table.entry_points
    for name in one.keys() | other.keys():
        if (name in one) != (name in other) or one[name].door != other[name].door:
            yield from ((name, False), (name, True))


class _PlaceDiff:
    """The changes of one place."""

    def __init__(self, before: Serving, after: Serving, moves: Moves) -> None:
        self._before, self._after, self._moves = before, after, moves
        self._place = moves.here.place
        self._found: dict[tuple[Treatment, Treatment], Change] = {}
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
            self._say_what_is_hidden()
        if self._doors_differ:
            self._doubts.append(self._change(unknown="the options of the entry point change how requests are read"))
        return [*self._found.values(), *_without_repeats(self._doubts)]

    def _compare_versions(self) -> None:
        """Two versions of Traefik read rules differently: a request of each router is tried, and no more is said."""
        for serving, plane in ((self._before, self._moves.here), (self._after, self._moves.there)):
            for one in plane.claimants:
                found = find(one.nodes, release=serving.table.release)
                if isinstance(found, Found):
                    request = replace(found.witness, entry_point=self._place[0], tls=self._place[1])
                    met = Met(request, self._before.treatment(request), self._after.treatment(request))
                    self._record(met, one, one)
        self._doubts.append(self._change(unknown="two versions of Traefik may read rules differently"))

    def _explore(self, one: Claimant | None, other: Claimant | None) -> None:
        for found in requests_of(*self._moves.sides(one, other), (self._before, self._after)):
            if isinstance(found, Doubt):
                self._doubt(one, other, found.reason)
            else:
                self._record(found, one, other)

    def _record(self, met: Met, one: Claimant | None, other: Claimant | None) -> None:
        request, before, after = met
        hidden = next((side for side in (before, after) if side.kind == "unknown"), None)
        if hidden is not None:
            self._doubt(one, other, hidden.why, request)
        elif before != after:
            known = self._found.get((before, after))
            if known is None or plainness(request) < plainness(known.witness):
                self._found[before, after] = self._change(before, after, witness=request)

    def _change(self, before: Treatment | None = None, after: Treatment | None = None, **more: Any) -> Change:
        return Change(entry_point=self._place[0], tls=self._place[1], before=before, after=after, **more)

    # ── what nobody can tell ─────────────────────────────────────────────────────────────────────

    def _doubt(self, one: Claimant | None, other: Claimant | None, why: str, witness: Request | None = None) -> None:
        nodes = dict.fromkeys(node for side in (one, other) if side is not None for node in side.nodes)
        was, now = self._supposed(self._before, one), self._supposed(self._after, other)
        self._doubts.append(self._change(was, now, witness=witness, unknown=why, region=tuple(nodes)))

    def _supposed(self, serving: Serving, one: Claimant | None) -> Treatment:
        return serving.of_claimant(one, self._place)

    def _say_what_is_hidden(self) -> None:
        """Where an opaque router stands before one that moved, nobody knows what that one got or gets."""
        gone, come = self._moves.moved
        for one in (*gone.values(), *(pair[0] for pair in self._moves.treated)):
            for by, region in _hidden(one, self._moves.here):
                self._doubts.append(self._change(self._supposed(self._before, one), unknown=by, region=region))
        for one in (*come.values(), *(pair[1] for pair in self._moves.treated)):
            for by, region in _hidden(one, self._moves.there):
                self._doubts.append(self._change(None, self._supposed(self._after, one), unknown=by, region=region))

    @property
    def _doors_differ(self) -> bool:
        doors = [serving.table.entry_points.get(self._place[0]) for serving in (self._before, self._after)]
        return all(doors) and doors[0].door != doors[1].door  # type: ignore[union-attr]


def _hidden(one: Claimant, plane: Plane) -> Iterator[tuple[str, tuple[Node, ...]]]:
    """Why nobody can tell who gets requests that match a claimant, and which those are."""
    for by in plane.opaque:
        if by is not one and not always_first(one, by) and bounds_meet(one.bound, by.bound):
            region = tuple(dict.fromkeys((*one.nodes, *by.nodes)))
            if not isinstance(find(region), Nothing):
                yield f"{by.last.shown} may take these requests: {by.opaque}", region


def _without_repeats(doubts: Iterable[Change]) -> list[Change]:
    found: dict[tuple[object, ...], Change] = {}
    for one in doubts:
        found.setdefault((one.unknown, one.region, one.before, one.after), one)
    return list(found.values())
