"""Which resources may have to do with which: any text that is the name of one counts. Rather one too many. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from state.model import Address, Snapshot, Spec


def users(of: Collection[Address], live: Snapshot) -> set[Address]:
    """These and all that refers to them, directly or not."""
    found: dict[Address, list[Address]] = {}
    names = _by_name({*live, *of})
    for address, spec in live.items():
        for referred in _references(spec, names):
            found.setdefault(referred, []).append(address)
    return _closure(of, lambda address: found.get(address, ()))


def used(starts: Iterable[Address], live: Snapshot) -> set[Address]:
    """These and all that they refer to, directly or not."""
    names = _by_name(live)
    return _closure(starts, lambda address: _references(live.get(address), names))


def _closure(starts: Iterable[Address], following: Callable[[Address], Iterable[Address]]) -> set[Address]:
    found = set(starts)
    ahead = list(found)
    while ahead:
        for address in following(ahead.pop()):
            if address not in found:
                found.add(address)
                ahead.append(address)
    return found


def _by_name(addresses: Iterable[Address]) -> dict[str, list[Address]]:
    names: dict[str, list[Address]] = {}
    for address in addresses:
        names.setdefault(address.name, []).append(address)
    return names


def _references(spec: Spec, names: Mapping[str, list[Address]]) -> Iterator[Address]:
    """Any text that is the name of a known resource counts as a reference: rather one too many."""
    for text in _texts(spec):
        yield from names.get(text.removesuffix("@file"), ())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
