"""What is wrong with one wanted state after the other: worked out again only where a change can have a part in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from reconciler.core.snapshots import unlike
from reconciler.traefik import validate
from reconciler.traefik.mentions import Mentions
from reconciler.traefik.validate import LiveNames
from state.model import Address, Problem, Snapshot

_ROUTERS = "http.routers"


class Checked:
    """Remembers the last wanted state of an instance, what surrounded it, and what was wrong with each resource."""

    def __init__(self) -> None:
        self._wanted: Snapshot = {}
        self._live = LiveNames()
        self._found: dict[Address, tuple[Problem, ...]] = {}
        self.mentions = Mentions()

    def problems(self, wanted: Snapshot, live: LiveNames) -> list[Problem]:
        """Everything wrong with serving `wanted`, as `validate.check` says it; `mentions` is about it then."""
        changed = unlike(wanted, self._wanted)
        if changed or live != self._live:
            touched = self._touched(changed, wanted, live)
            found = validate.check(wanted, live=live, only=touched & wanted.keys())
            self._found = {address: of for address, of in self._found.items() if address not in touched}
            for problem in found:
                address = Address.parse(problem.address)
                self._found[address] = (*self._found.get(address, ()), problem)
            self._wanted, self._live = wanted, live
        return [problem for address in sorted(self._found) for problem in self._found[address]]

    def _touched(self, changed: Collection[Address], wanted: Snapshot, live: LiveNames) -> set[Address]:
        """Where something else may be found than before.

        In all that mentions what changes or is mentioned by it, before or after; in what had problems already, whose
        words may name others; and in routers of which Traefik's copies may now meet, or meet no longer.
        """
        before = self.mentions.users(changed) | self.mentions.used(changed)
        self.mentions.follow(wanted, changed)
        if live != self._live:
            return set(wanted) | self._found.keys()
        after = self.mentions.users(changed) | self.mentions.used(changed)
        return before | after | self._found.keys() | set(_copies(changed, live.copying))


def _copies(changed: Collection[Address], doors: Collection[str]) -> Iterator[Address]:
    for address in changed if doors else ():
        if address.kind == _ROUTERS:
            for door in doors:
                yield address._replace(name=f"{door}-{address.name}")
                yield address._replace(name=address.name.removeprefix(f"{door}-"))
