"""What lets in others than before, though somebody still asks: another gate, a wider one, false credentials. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from reconciler.core.effects import LetIn
from reconciler.routing.decide import Found, find
from reconciler.routing.gates import Gate, loosened
from reconciler.routing.regions import is_ordinary
from reconciler.routing.request import Request
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
    """Each middleware, and each TLS options, that no longer keep out whom they kept out, with the hosts concerned.

    So does each route of which nobody can tell any more who gets past what keeps people out of it.
    """
    found: dict[tuple[Address, str, str], _Found] = {}
    for change in changes:
        for address, before, after in _told(instance, change, was, will_be):
            one = found.setdefault((address, before, after), _Found())
            one.hosts.update(dict.fromkeys(change.hosts))
            one.stakes.add(stakes.of_change(change))
    for (address, before, after), one in found.items():
        hosts = tuple(one.hosts)
        told = f"{before} for {few(hosts)}: {after}"
        yield LetIn(address=str(address), told=told, hosts=hosts, stake=digest(sorted(one.stakes)))


def _told(instance: str, change: Change, was: Serving, will_be: Serving) -> Iterator[tuple[Address, str, str]]:
    """What it is about, and what is said before and after the hosts."""
    if change.before is None or not change.before.served or is_odd(change):
        return
    if is_opened(change, was, will_be):
        return  # that nobody asks any more is told as such
    gates = list(_loosened(change, was, will_be))
    for gate, how in gates:
        yield Address(instance, gate.kind, gate.name), "who may come in changes", f"`{gate.name}` {how}"
    if not gates and _is_clouded(change, was):
        first = change.before.chances[0]
        kind = "tcp.routers" if first.kind == "tcp" else "http.routers"
        yield Address(instance, kind, first.router), "nobody can tell any more who may come in", change.unknown


def is_odd(change: Change) -> bool:
    """Whether hardly any client sends such requests."""
    return change.witness is not None and not is_ordinary(change.witness)


def is_opened(change: Change, was: Serving, will_be: Serving) -> bool:
    """Whether somebody asked who is there, and perhaps nobody will."""
    before, after = change.before, change.after
    if before is None or not before.served or was.is_open(before):
        return False
    return after is None or after.kind == "unknown" or will_be.is_open(after)


def _loosened(change: Change, was: Serving, will_be: Serving) -> Iterator[tuple[Gate, str]]:
    before, after = change.before, change.after
    if before is None or after is None or not (before.served and after.served):
        return
    kept = [was.gates_of(one) for one in before.chances]
    for one in after.chances:
        if not will_be.sends_away(one):
            new = will_be.gates_of(one)
            ways = [list(loosened(old, new)) for old in kept]
            yield from min(ways, key=len)


# ── what nobody can tell any more ────────────────────────────────────────────────────────────────


def _is_clouded(change: Change, was: Serving) -> bool:
    """Whether somebody was kept out, for certain, of what nobody can tell the treatment of now."""
    request = _example(change) if change.unknown else None
    if request is None:
        return False
    before = was.treatment(request)
    return before.served and all(was.gates_of(one) for one in before.chances)


def _example(change: Change) -> Request | None:
    if change.witness is not None:
        return change.witness
    found = find(change.region) if change.region else None
    if not isinstance(found, Found):
        return None
    return replace(found.witness, entry_point=change.entry_point, tls=change.tls)
