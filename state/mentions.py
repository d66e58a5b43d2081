"""What an event is about: the subjects under which history finds it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import lru_cache
from typing import Any

from state.events import EVENTS, Event
from state.model import Address

Find = Callable[[Any], Iterator[str]]


@lru_cache(maxsize=1 << 14)
def address_or_none(text: str) -> Address | None:
    """The address, or None where somebody wrote something else: a view must be able to fold any log."""
    # Kept, since the same few resources come again and again, in several views each time.
    try:
        return Address.parse(text)
    except ValueError:
        return None


def mentions(event: Event) -> frozenset[str]:
    """Everything this event is about.

    Resources by their address as it is, others with their kind before: `commit:…`, `proposal:…`, `attempt:…`.
    """
    found: set[str] = set()
    for name, find in _SUBJECTS.get(type(event), ()):
        found.update(find(getattr(event, name)))
    return frozenset(found)


def _named(kind: str) -> Find:
    def find(value: Any) -> Iterator[str]:
        if value:
            yield f"{kind}:{value}"

    return find


def _addresses(values: Any) -> Iterator[str]:
    """Of a list of addresses, or of a mapping by address."""
    return (text for text in map(str, values) if address_or_none(text))


def _changes(values: Any) -> Iterator[str]:
    """Of a mapping by address, or of lines such as "create traefik/http.routers/gitea"."""
    return _addresses(text.partition(" ")[2] or text for text in values)


def _refusals(values: Any) -> Iterator[str]:
    return _addresses(each.get("address", "") for each in values if isinstance(each, dict))


_commit = _named("commit")
_proposal = _named("proposal")

_FINDERS: dict[str, Find] = {
    "address": lambda value: _addresses([value]),
    "addresses": _addresses,
    "resources": _addresses,
    "quarantined": _addresses,
    "conflicts": _addresses,
    "faults": _addresses,
    "changes": _changes,
    "refusals": _refusals,
    "losses": _refusals,
    "commit": _commit,
    "was": _commit,
    "now": _commit,
    "proposal": _proposal,
    "attempt": _named("attempt"),
}
"""Field -> how subjects are found in it. A field means the same in every event that has it."""

_SUBJECTS: dict[type[Event], tuple[tuple[str, Find], ...]] = {
    event: tuple((each.name, _FINDERS[each.name]) for each in fields(event) if each.name in _FINDERS)
    for event in EVENTS.values()
}
