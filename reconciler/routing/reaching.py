"""Routers that no request reaches, and where the requests go that a disabled router would have had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from reconciler.routing.choosing import Layer, Ranked
from reconciler.routing.decide import Nothing, find_connection
from reconciler.routing.grammar import parse
from reconciler.routing.planes import Claimant, Plane, planes
from reconciler.routing.regions import Doubt, Reach, reach, requests_of, side_of
from reconciler.routing.request import Request
from reconciler.routing.revising import named
from reconciler.routing.routers import Router
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving, Treatment


@dataclass(frozen=True, eq=False)
class Unreached:
    """A router without requests; `never`: nothing at all matches it, else `thieves` get everything. Or a `doubt`.

    `missed`: a request that it matches and one of them gets.
    `claimed`: a TCP router all of whose connections go to HTTP routers with TLS, or to a TCP catch-all before it.
    """

    router: Router
    thieves: tuple[Ranked, ...] = ()
    missed: Request | None = None
    doubt: str = ""
    claimed: bool = False

    @property
    def never(self) -> bool:
        return not self.thieves and not self.doubt and not self.claimed


def unreached(serving: Serving, names: Iterable[str] | None = None) -> Iterator[Unreached]:
    """Of these routers (None: all), those that serve and get no request at any entry point, or may get none."""
    for claimants in _by_router(serving.table, names).values():
        found: list[Reach] = []
        for plane, claimant in claimants:
            if claimant.opaque:
                found.append(Reach(doubt=claimant.opaque))
                break
            found.append(reach([side_of(serving, plane, claimant)]))
            if found[-1].request is not None:
                break
        if not any(one.request is not None or _is_hidden(one, claimants) for one in found):
            thieves = {one.router.name: one for each in found for one in each.thieves}
            doubt = next((one.doubt for one in found if one.doubt), "")
            router = claimants[0][1].last.router
            missed = next((one.missed for one in found if one.missed), None)
            claimed = not doubt and _may_connect(router)
            yield Unreached(router, tuple(thieves.values()), missed, doubt, claimed=claimed)


def _may_connect(router: Router) -> bool:
    """Whether a router is one of TCP, and some connection matches its rule."""
    if router.protocol != "tcp":
        return False
    return not isinstance(find_connection((parse(router.rule, "tcp"),)), Nothing)


def _is_hidden(one: Reach, claimants: Sequence[tuple[Plane, Claimant]]) -> bool:
    """Whether the router itself is opaque: then nothing is said of it."""
    return bool(one.doubt) and any(claimant.opaque == one.doubt for _, claimant in claimants)


def _by_router(table: Table, names: Iterable[str] | None) -> dict[str, list[tuple[Plane, Claimant]]]:
    """Where each router may get requests."""
    found: dict[str, list[tuple[Plane, Claimant]]] = {}
    wanted = None if names is None else frozenset(names)
    for plane in planes(table).values():
        for one in plane.claimants if wanted is None else _through(plane, wanted):
            if not one.childless and one.last.router.provider != "internal":
                found.setdefault(one.last.router.name, []).append((plane, one))
    return found


def _through(plane: Plane, names: Iterable[str]) -> Iterable[Claimant]:
    """All to which these routers lead."""
    return dict.fromkeys(one for name in sorted(names) for one in plane.through(name))


# ── disabled routers ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Fall:
    """What would have gone to a disabled router goes elsewhere: this request, and what becomes of it."""

    router: Router
    why: str
    request: Request
    treatment: Treatment


def falls(serving: Serving, names: Iterable[str] | None = None) -> Iterator[Fall]:
    """Of these disabled HTTP routers (None: all), those whose requests another router gets. One request each."""
    table = serving.table
    disabled: Mapping[str, str] = table.disabled
    wanted = disabled if names is None else [name for name in names if name in disabled]
    for router in named(table, sorted(wanted)):
        if router.protocol == "http" and not router.parents and router.rule:
            fall = _fall(serving, router, disabled[router.name])
            if fall is not None:
                yield fall


_MOST_TRIED: Final = 50


def _fall(serving: Serving, router: Router, why: str) -> Fall | None:
    """The router as if it served, among all the others."""
    table = serving.table
    mended = replace(router, disabled="", broken_tls=False, tls_options="", service="noop@internal")
    alone = Table([mended], table.entry_points.values(), release=table.release, precedence=table.precedence)
    for place, only in planes(alone).items():
        plane = planes(table).get(place)
        for mine in only.named(router.name) if plane else ():
            if plane and (found := _taken_from(serving, plane, mine)):
                return Fall(router, why, found, serving.treatment(found))
    return None


def _taken_from(serving: Serving, plane: Plane, mine: Claimant) -> Request | None:
    """A request that this claimant would get if it stood in the plane, and that others get without it."""
    near = plane.near(mine.bound)
    roots = {id(one.root): one.root for one in near}
    joined = Plane(plane.place, Layer([mine.root, *roots.values()]))
    beneath = [one for one in near if one.root.key < mine.root.key and not one.childless and mine.meets(one)]
    for other in beneath[:_MOST_TRIED]:
        for found in requests_of(side_of(serving, joined, mine), side_of(serving, plane, other), (serving, serving)):
            if not isinstance(found, Doubt):
                return found.request
    return None
