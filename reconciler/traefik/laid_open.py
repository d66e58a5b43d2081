"""Servers that only those reached who were let in, and that get a way by which others reach them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from reconciler.core.effects import LetIn
from reconciler.routing.definitions import qualified
from reconciler.routing.needs import Named
from reconciler.routing.planes import planes
from reconciler.routing.sorts import Change
from reconciler.routing.treatments import Serving, Strictness, Treatment
from reconciler.routing.wording import few
from reconciler.traefik.admission import is_odd, is_opened
from reconciler.traefik.stakes import Stakes
from state.model import Address, digest

_TO: Final = {
    Strictness.WHO_SAYS_WHO_THEY_ARE: "were served only to those who were asked who they are",
    Strictness.CERTAIN_ADDRESSES: "were served only to certain addresses",
}

_Server = tuple[str, str]
"""The kind of service that leads to it, and where it is."""


def _kind(one: Treatment) -> str:
    return "tcp" if one.kind == "tcp" else "http"


@dataclass
class _Found:
    hosts: dict[str, None] = field(default_factory=dict)
    stakes: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class LaidOpen:
    """Of one plan for one instance. That a route asks nobody any more is told elsewhere; this is about other routes."""

    instance: str
    was: Serving
    will_be: Serving
    stakes: Stakes

    def among(self, changes: Iterable[Change]) -> Iterator[LetIn]:
        found: dict[tuple[Address, str, str], _Found] = {}
        for change in changes:
            for key in self._laid_open(change):
                one = found.setdefault(key, _Found())
                one.hosts.update(dict.fromkeys(change.hosts))
                one.stakes.add(self.stakes.of_change(change))
        for (router, before, after), one in found.items():
            hosts = tuple(one.hosts)
            told = f"{before}; this route {after} serve them for {few(hosts)} without that"
            yield LetIn(address=str(router), told=told, hosts=hosts, stake=digest(sorted(one.stakes)))

    def _laid_open(self, change: Change) -> Iterator[tuple[Address, str, str]]:
        """By which router, and what is said before and after "this route"."""
        after = change.after
        if after is None or not after.served or is_odd(change) or is_opened(change, self.was, self.will_be):
            return
        reached = self._reached(change.before) if change.before else frozenset()
        for one in after.chances:
            taken = self.will_be.strictness(one)
            kind = _kind(one)
            for service in self._answering(one) if taken < Strictness.WHO_SAYS_WHO_THEY_ARE else ():
                servers = self.will_be.definitions.servers_of(f"{kind}.services", service) - reached
                kept = max((self._strictness(f"{kind}.services", each) for each in servers), default=taken)
                if taken < kept:
                    before = f"the servers of `{service.removesuffix('@file')}` {_TO[kept]}"
                    router = Address(self.instance, f"{kind}.routers", one.router)
                    yield router, before, "may" if change.unknown else "would"

    def _answering(self, one: Treatment) -> list[str]:
        definitions = self.will_be.definitions
        return list(dict.fromkeys([qualified(one.service), *definitions.answering_errors(one.middlewares)]))

    # ── how it was ───────────────────────────────────────────────────────────────────────────────

    def _reached(self, before: Treatment) -> frozenset[str]:
        """The servers that these very requests got to: what it takes is told of the way itself."""
        definitions = self.was.definitions
        return frozenset[str]().union(
            *(definitions.servers_of(f"{_kind(one)}.services", one.service) for one in before.chances)
        )

    def _strictness(self, kind: str, server: str) -> Strictness:
        key = kind, server
        if key not in self._known:
            self._known[key] = min(self._ways(kind, server), default=Strictness.ANYBODY)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[_Server, Strictness]:
        return {}

    def _ways(self, kind: str, server: str) -> Iterator[Strictness]:
        """What every way to a server took."""
        services = self.was.definitions.leading_to(kind, server)
        for treatment in self._by([(kind, one) for one in services]):
            if qualified(treatment.service) in services:
                yield self.was.strictness(treatment)
        answering = [middleware for one in services for middleware in self.was.definitions.answering_for(one)]
        if any(True for _ in self._by(answering)):
            yield Strictness.ANYBODY  # whoever meets an error gets to it

    def _by(self, named: Collection[Named]) -> Iterator[Treatment]:
        """What became of requests by the routers that use one of these."""
        for place, plane in planes(self.was.table).items() if named else ():
            for root in plane.users(named):
                found = (self.was.of_claimant(claimant, place) for claimant in plane.named(root))
                yield from (treatment for treatment in found if treatment.served)
