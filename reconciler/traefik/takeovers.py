"""Routes that get no request any more: those of others because of ours, and ours because of others. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from reconciler.core.effects import Taken
from reconciler.routing.hosting import answers
from reconciler.routing.regions import is_ordinary
from reconciler.routing.sorts import Change
from reconciler.routing.treatments import Serving, Treatment
from reconciler.routing.wording import few
from reconciler.traefik.stakes import Stakes
from state.model import Address, digest


@dataclass
class _Found:
    hosts: dict[str, None] = field(default_factory=dict)
    stakes: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Takeovers:
    """Of one plan for one instance. `before` and `after` are the addresses of our part."""

    instance: str
    before: Collection[Address]
    after: Collection[Address]
    will_be: Serving
    stakes: Stakes

    def among(self, changes: Iterable[Change]) -> Iterator[Taken]:
        found: dict[tuple[Address, Address], _Found] = {}
        for change in changes:
            for pair in self._handed_over(change):
                one = found.setdefault(pair, _Found())
                one.hosts.update(dict.fromkeys(change.hosts))
                one.stakes.add(self.stakes.of_change(change))
        for (loser, winner), one in found.items():
            if not answers(self.will_be, loser.name):
                hosts = tuple(one.hosts)
                yield Taken(
                    loser=str(loser),
                    winner=str(winner),
                    by_ours=self._is_ours(winner),
                    told=few(hosts),
                    hosts=hosts,
                    stake=digest(sorted(one.stakes)),
                )

    def _handed_over(self, change: Change) -> Iterator[tuple[Address, Address]]:
        """Who loses requests for certain, and to whom, where one of the two is ours and the other is not.

        Whoever deletes a route of their own means it to go to others.
        """
        before, after = change.before, change.after
        if change.unknown or before is None or after is None or not (before.served and after.served):
            return
        if change.witness is not None and not is_ordinary(change.witness):
            return
        winners = [self._address(one) for one in after.chances]
        for loser in map(self._address, before.chances):
            if loser in winners or (self._is_ours(loser) and loser not in self.after):
                continue
            for winner in winners:
                if self._is_ours(loser) != self._is_ours(winner):
                    yield loser, winner

    def _is_ours(self, router: Address) -> bool:
        return router in self.before or router in self.after

    def _address(self, one: Treatment) -> Address:
        return Address(self.instance, f"{'tcp' if one.kind == 'tcp' else 'http'}.routers", one.router)
