"""What a loss hangs on: all of ours that will treat the requests concerned, as it will be, in one digest. Pure.

A sentence about a loss names one request of many. Whoever agrees has seen what causes it, and agrees to just that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from reconciler.routing.choosing import plain_name
from reconciler.routing.definitions import qualified
from reconciler.routing.index import Bound, Index
from reconciler.routing.planes import Place, planes
from reconciler.routing.revising import moved
from reconciler.routing.routers import Router
from reconciler.routing.sorts import Change
from reconciler.routing.treatments import Serving, Treatment
from reconciler.traefik import references
from state.model import Address, Snapshot, digest


class Stakes:
    """Of one plan for one instance: `after` is our part as it would be."""

    def __init__(self, instance: str, was: Serving, will_be: Serving, after: Snapshot) -> None:
        self._instance, self._was, self._will_be, self._after = instance, was, will_be, after

    def of_change(self, change: Change) -> str:
        """Of the routes that have the requests before or after, and of those that change in their neighbourhood."""
        named = {one for side in (change.before, change.after) if side for one in self._treating(side)}
        return self._digest({*named, *self._between(change)})

    def of_routers(self, routers: Iterable[Router], instead: Treatment | None = None) -> str:
        """Of these, and of whoever answers in their place."""
        return self._digest({*map(self._router, routers), *(self._treating(instead) if instead else ())})

    def _digest(self, addresses: Iterable[Address]) -> str:
        concerned = references.needs(addresses, self._after)
        return digest([[str(one), self._after.get(one)] for one in sorted(concerned)])

    def _treating(self, treatment: Treatment) -> Iterator[Address]:
        for one in treatment.chances:
            protocol = "tcp" if one.kind == "tcp" else "http"
            yield Address(self._instance, f"{protocol}.routers", one.router)
            yield Address(self._instance, f"{protocol}.services", one.service)
            yield from (Address(self._instance, f"{protocol}.middlewares", name) for name in one.middlewares)
            yield Address(self._instance, "tls.options", plain_name(one.options) or "default")

    def _router(self, router: Router) -> Address:
        return Address(self._instance, f"{router.protocol}.routers", plain_name(router.name))

    # ── what else decides ────────────────────────────────────────────────────────────────────────

    def _between(self, change: Change) -> frozenset[Address]:
        """Routers that change, and may stand before or behind those that have the requests: they bound the loss."""
        place = change.entry_point, change.tls
        if place not in self._differing:
            return frozenset()
        near = [
            frozenset[Address]().union(*(self._near(place, bound) for bound in bounds))
            for side in (change.before, change.after)
            if side is not None and side.served and (bounds := self._bounds(side, place))
        ]
        return near[0].intersection(*near[1:]) if near else self._near(place, Bound(None))

    def _bounds(self, treatment: Treatment, place: Place) -> set[Bound]:
        """To which hosts its routers keep, before and after."""
        there = [plane for serving in (self._was, self._will_be) if (plane := planes(serving.table).get(place))]
        names = {qualified(one.router) for one in treatment.chances}
        return {claimant.bound for plane in there for name in names for claimant in plane.through(name)}

    def _near(self, place: Place, bound: Bound) -> frozenset[Address]:
        key = place, bound
        if key not in self._found:
            self._found[key] = frozenset(self._differing[place].near(bound))
        return self._found[key]

    @cached_property
    def _found(self) -> dict[tuple[Place, Bound], frozenset[Address]]:
        return {}

    @cached_property
    def _differing(self) -> dict[Place, Index[Address]]:
        """Every router that comes, goes or changes, where it takes requests, by the hosts to which it keeps."""
        found: dict[Place, list[tuple[Bound, Address]]] = {}
        for one, other in ((self._was, self._will_be), (self._will_be, self._was)):
            for router in moved(one.table, other.table):
                for place, plane in planes(one.table).items():
                    pairs = ((claimant.bound, self._router(router)) for claimant in plane.through(router.name))
                    found.setdefault(place, []).extend(pairs)
        return {place: Index(pairs) for place, pairs in found.items() if pairs}
