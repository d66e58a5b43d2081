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

    `undoes`: it keeps out nobody itself, but stands before gates and gets round them, in these words.
    """

    name: str
    kind: str  # "http.middlewares", "tcp.middlewares", "tls.options"
    spec: Mapping[str, Any]
    undoes: str = ""


def in_effect(found: Sequence[Gate]) -> tuple[Gate, ...]:
    """Those that count, in the order in which requests pass them: what gets round gates does so before them only."""
    last = max((number for number, one in enumerate(found) if not one.undoes), default=-1)
    return tuple(found[: last + 1])


def loosened(before: Sequence[Gate], after: Sequence[Gate]) -> Iterator[tuple[Gate, str]]:
    """The gates by which another way may let in others than this one, and how.

    Where nobody was kept out, nobody new comes in.
    """
    kept = [one for one in before if not one.undoes]
    by_name = {(one.kind, one.name) for one in after}
    for one in kept:
        if not any(_as_strict(other.spec, one.spec) for other in after if not other.undoes):
            is_other = (one.kind, one.name) in by_name
            yield one, "is not what it was" if is_other else "is no longer on the way"
    for one in after if kept else ():
        if one.undoes and not any((one.undoes, one.spec) == (other.undoes, other.spec) for other in before):
            yield one, one.undoes


def common(ways: Sequence[Sequence[Gate]]) -> Iterator[Gate]:
    """The gates that stand on each of several ways, and whatever gets round one of them on any."""
    yield from (one for way in ways for one in in_effect(way) if one.undoes)
    kept = [[one for one in way if not one.undoes] for way in ways]
    for one in kept[0] if kept else ():
        if all(any(_as_strict(other.spec, one.spec) for other in way) for way in kept[1:]):
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
