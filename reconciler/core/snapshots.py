"""Snapshots that know what they were made from, so that comparing two of them costs what differs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from state.model import Address, Snapshot, Spec, canonical

_NOTHING: Final = object()


class Kept(dict[Address, Spec]):
    """A snapshot that nobody changes once it is made.

    `mark` is its own. One that was made from another bears that one's mark as `origin`, and names in `changed` every
    address at which the two may differ. Marks hold nothing, so nothing is kept alive by them.
    """

    def __init__(self, content: Snapshot, origin: object = None, changed: frozenset[Address] = frozenset()) -> None:
        super().__init__(content)
        self.mark = object()
        self.origin = origin
        self.changed = changed


def kept(snapshot: Snapshot) -> Kept:
    """The same, as a snapshot from which others can be made."""
    return snapshot if isinstance(snapshot, Kept) else Kept(snapshot)


def changed(origin: Snapshot, put: Mapping[Address, Spec], taken: frozenset[Address] = frozenset()) -> Kept:
    """That snapshot with these resources put in their places, and those taken out."""
    mark = origin.mark if isinstance(origin, Kept) else None
    made = Kept(origin, mark, frozenset(put) | taken)
    made.update(put)
    for address in taken:
        made.pop(address, None)
    return made


def unlike(one: Snapshot, other: Snapshot) -> frozenset[Address]:
    """The addresses at which two snapshots do not hold the same: all of these, and hardly any other."""
    if one is other:
        return frozenset()
    if isinstance(one, Kept) and isinstance(other, Kept):
        if one.origin is other.mark:
            return one.changed
        if other.origin is one.mark:
            return other.changed
        if one.origin is other.origin is not None:
            return one.changed | other.changed
    return _compared(one, other)


def _compared(one: Snapshot, other: Snapshot) -> frozenset[Address]:
    there = other.get
    moved = [address for address, spec in one.items() if there(address, _NOTHING) is not spec]  # most are the very same
    found = {address for address in moved if address not in other or not same(one[address], other[address])}
    return frozenset(found | (other.keys() - one.keys()))


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: Python alone would let true equal 1, and 1 equal 1.0."""
    if one is other:
        return True
    return one == other and canonical(one) == canonical(other)
