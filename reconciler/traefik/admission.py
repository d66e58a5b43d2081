"""What lets in others than before, though somebody still asks: another gate, a wider one, false credentials. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from reconciler.core.effects import LetIn
from reconciler.routing.gates import Gate, loosened
from reconciler.routing.regions import is_ordinary
from reconciler.routing.sorts import Change
from reconciler.routing.treatments import Serving
from reconciler.routing.wording import few
from reconciler.traefik.stakes import Stakes
from state.model import Address, digest


@dataclass
class _Found:
    hosts: dict[str, None] = field(default_factory=dict)
    stakes: set[str] = field(default_factory=set)


def let_in(instance: str, changes: Iterable[Change], was: Serving, will_be: Serving, stakes: Stakes) -> Iterator[LetIn]:
    """Each middleware, and each TLS options, that no longer keep out whom they kept out, with the hosts concerned."""
    found: dict[tuple[str, str, str], _Found] = {}
    for change in changes:
        for gate, how in _loosened(change, was, will_be):
            one = found.setdefault((gate.kind, gate.name, how), _Found())
            one.hosts.update(dict.fromkeys(change.hosts))
            one.stakes.add(stakes.of_change(change))
    for (kind, name, how), one in found.items():
        hosts = tuple(one.hosts)
        yield LetIn(
            address=str(Address(instance, kind, name)),
            told=f"who may come in changes for {few(hosts)}: `{name}` {how}",
            hosts=hosts,
            stake=digest(sorted(one.stakes)),
        )


def _loosened(change: Change, was: Serving, will_be: Serving) -> Iterator[tuple[Gate, str]]:
    before, after = change.before, change.after
    if before is None or after is None or not (before.served and after.served):
        return
    if change.witness is not None and not is_ordinary(change.witness):
        return
    if not was.is_open(before) and will_be.is_open(after):
        return  # that nobody asks any more is told as such
    kept = [was.gates_of(one) for one in before.chances]
    for one in after.chances:
        if not will_be.sends_away(one):
            new = will_be.gates_of(one)
            ways = [list(loosened(old, new)) for old in kept]
            yield from min(ways, key=len)
