"""Which resources may have to do with which: any text that is the name of one counts. Rather one too many. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from state.model import Address, Snapshot, Spec

_NOBODY: frozenset[Address] = frozenset()


def users(of: Collection[Address], live: Snapshot) -> set[Address]:
    """These and all that refers to them, directly or not."""
    return Mentions(live).users(of)


def used(starts: Iterable[Address], live: Snapshot) -> set[Address]:
    """These and all that they refer to, directly or not."""
    return Mentions(live).used(starts)


class Mentions:
    """Who mentions whom in a snapshot. `follow` goes on to another one, at the cost of what differs."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self._snapshot: Snapshot = {}
        self._named: dict[str, set[Address]] = {}
        self._mentioning: dict[str, set[Address]] = {}
        if snapshot:
            self.follow(snapshot, snapshot)

    def follow(self, snapshot: Snapshot, changed: Iterable[Address]) -> None:
        """Go on to that snapshot, which differs from the last one in no other addresses than these."""
        for address in changed:
            self._forget(address)
            if address in snapshot:
                self._learn(address, snapshot[address])
        self._snapshot = snapshot

    def users(self, of: Iterable[Address]) -> set[Address]:
        """These and all that refers to them, directly or not."""
        return _closure(of, lambda address: self._mentioning.get(address.name, _NOBODY))

    def used(self, starts: Iterable[Address]) -> set[Address]:
        """These and all that they refer to, directly or not."""
        return _closure(starts, self._references)

    def _references(self, address: Address) -> Iterator[Address]:
        for name in _names(self._snapshot.get(address)):
            yield from self._named.get(name, _NOBODY)

    def _learn(self, address: Address, spec: Spec) -> None:
        self._named.setdefault(address.name, set()).add(address)
        for name in _names(spec):
            self._mentioning.setdefault(name, set()).add(address)

    def _forget(self, address: Address) -> None:
        if address in self._snapshot:
            _drop(self._named, address.name, address)
            for name in _names(self._snapshot[address]):
                _drop(self._mentioning, name, address)


def _drop(table: dict[str, set[Address]], name: str, address: Address) -> None:
    table[name].discard(address)
    if not table[name]:
        del table[name]


def _closure(starts: Iterable[Address], following: Callable[[Address], Iterable[Address]]) -> set[Address]:
    found = set(starts)
    ahead = list(found)
    while ahead:
        for address in following(ahead.pop()):
            if address not in found:
                found.add(address)
                ahead.append(address)
    return found


def _names(spec: Spec) -> frozenset[str]:
    """Every text of a spec, as it would name a resource of a file."""
    return frozenset(text.removesuffix("@file") for text in _texts(spec))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
