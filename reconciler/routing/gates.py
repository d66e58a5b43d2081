"""What decides who may come in on the way of a request, and whether another way lets in others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_LISTS: Final = {
    "basicauth": "users",
    "digestauth": "users",
    "ipallowlist": "sourceRange",
    "ipwhitelist": "sourceRange",
}
"""Kinds of middlewares that let in whoever is on a list, and where it stands: a shorter one lets in nobody new."""


@dataclass(frozen=True, eq=False)
class Gate:
    """A middleware, or TLS options, that not everybody passes. `spec` is what of it decides.

    `speaks`: it lets nobody in itself, but says to those behind it who somebody is.
    """

    name: str
    kind: str  # "http.middlewares", "tls.options"
    spec: Mapping[str, Any]
    speaks: bool = False


def loosened(before: Sequence[Gate], after: Sequence[Gate]) -> Iterator[tuple[Gate, str]]:
    """The gates by which another way may let in others than this one, and how."""
    by_name = {(one.kind, one.name) for one in after}
    for one in before:
        if not one.speaks and not any(_as_strict(other.spec, one.spec) for other in after if not other.speaks):
            is_other = (one.kind, one.name) in by_name
            yield one, "is not what it was" if is_other else "is no longer on the way"
    for one in after:
        if one.speaks and not any(one.spec == other.spec for other in before if other.speaks):
            yield one, "says who somebody is before anybody asks"


def common(ways: Sequence[Sequence[Gate]]) -> Iterator[Gate]:
    """The gates that stand on each of several ways."""
    for one in ways[0] if ways else ():
        if all(any(_as_strict(other.spec, one.spec) for other in way) for way in ways[1:]):
            yield one


def _as_strict(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether whoever passes the one passes the other too, for certain."""
    return one == other or (one.keys() == other.keys() and all(_shorter(key, one[key], other[key]) for key in one))


def _shorter(key: str, one: Any, other: Any) -> bool:
    if one == other:
        return True
    listed = _LISTS.get(key.lower(), "")
    if not (listed and isinstance(one, Mapping) and isinstance(other, Mapping) and one.get(listed)):
        return False
    few, many = one[listed], other.get(listed)
    rest = ({name: value for name, value in spec.items() if name != listed} for spec in (one, other))
    few, many = (value if isinstance(value, list) else [] for value in (few, many))
    return next(rest) == next(rest) and bool(few) and all(entry in many for entry in few)
