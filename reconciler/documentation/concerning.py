"""Which of our resources a change of documentation is about: the names of settings and kinds it speaks of. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from state.model import Address, Spec

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,60}")
_DISTINCT: Final = re.compile(r"[a-z0-9][A-Z]|_")
"""Names of more than one word: nothing else is called `trustForwardHeader`."""

_NAMED_BY_PEOPLE: Final = frozenset({"customrequestheaders", "customresponseheaders", "labels", "services", "plugin"})
"""Maps whose keys somebody here chose: they are no settings."""


@dataclass(frozen=True)
class Wanted:
    """A desired resource, and where it stands."""

    address: Address
    spec: Spec
    file: str
    line: int


@dataclass(frozen=True)
class Concern:
    """A resource that a change may be about, and its settings that the change names."""

    address: Address
    file: str
    line: int
    keys: tuple[str, ...]


def concerns(text: str, page: str, wanted: Iterable[Wanted]) -> list[Concern]:
    """The resources that use a setting which `text` (what changed) names, in the order of their addresses.

    A setting of one plain word (`address`) counts only where the page itself, by its address and headings, is about
    the sort of thing that the resource is.
    """
    spoken = {word.lower() for word in _WORD.findall(text)}
    about = re.sub(r"[^a-z0-9]", "", page.lower())
    found = []
    for one in sorted(wanted, key=lambda one: one.address):
        at_home = any(sort in about for sort in _sorts(one))
        keys = dict.fromkeys(
            path for path, key in _keys(one.spec) if key.lower() in spoken and (at_home or _DISTINCT.search(key))
        )
        if keys:
            found.append(Concern(one.address, one.file, one.line, tuple(keys)))
    return found


def _sorts(one: Wanted) -> Iterator[str]:
    """What it is, in words that pages have in their addresses: routers, services, and a middleware's type."""
    kind = one.address.kind.rpartition(".")[2].lower()
    if kind != "middlewares":
        yield kind
    elif isinstance(one.spec, Mapping):
        yield from (str(key).lower() for key in one.spec)


def _keys(value: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Every setting of a spec: its dotted path, and its own name."""
    for item in value if isinstance(value, list) else ():
        yield from _keys(item, above)
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        path = f"{above}.{key}" if above else str(key)
        yield path, str(key)
        if str(key).lower() not in _NAMED_BY_PEOPLE:
            yield from _keys(inner, path)
