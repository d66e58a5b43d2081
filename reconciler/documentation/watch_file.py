"""docs/watch.yaml as values: which pages of documentation a home watches. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reconciler import document
from reconciler.documentation import sources
from reconciler.documentation.sources import Source

FILE: Final = "docs/watch.yaml"
MOST: Final = 100
"""Pages that one home watches."""

_KEYS: Final = ("url", "sections")


@dataclass(frozen=True)
class Watched:
    """A page to watch; of its sections those with these anchors, all where none is named."""

    address: str
    source: Source
    sections: tuple[str, ...] = ()


@dataclass(frozen=True)
class WatchList:
    pages: tuple[Watched, ...] = ()
    problems: tuple[str, ...] = ()


class _Wrong(Exception):
    """An entry that cannot be watched; the message completes the place where it stands."""


def read(content: bytes, officials: Sequence[Source]) -> WatchList:
    """The list in a docs/watch.yaml, and what is wrong with it, by line. What is right is watched all the same."""
    found = document.read(FILE, content)
    if found.problems:
        return WatchList(problems=tuple(map(str, found.problems)))
    value = found.value or {"pages": None}  # a file of comments says nothing
    if not isinstance(value, dict) or value.keys() != {"pages"} or not isinstance(value["pages"] or [], list):
        return WatchList(problems=(f"{FILE}: it must hold one list, `pages`, and nothing else",))
    pages: dict[str, Watched] = {}
    problems = []
    for index, entry in enumerate(value["pages"] or []):
        try:
            one = _watched(entry, officials, pages)
            pages[one.address] = one
        except _Wrong as wrong:
            problems.append(str(found.problem(("pages", index), str(wrong))))
    return WatchList(tuple(pages.values()), tuple(problems))


def _watched(entry: Any, officials: Sequence[Source], before: dict[str, Watched]) -> Watched:
    given = {"url": entry} if isinstance(entry, str) else entry
    if not isinstance(given, dict) or not isinstance(given.get("url"), str):
        raise _Wrong("a page needs its `url`")
    if strange := sorted(map(str, given.keys() - set(_KEYS))):
        raise _Wrong(f"unknown key '{strange[0]}'; there are {' and '.join(_KEYS)}")
    address = given["url"]
    source = sources.source_of(address, officials)
    if source is None:
        raise _Wrong(sources.fault(address) or f"{address[:200]} is no official source; there are: {_known(officials)}")
    if address in before:
        raise _Wrong(f"{address} is listed already")
    if len(before) >= MOST:
        raise _Wrong(f"more than {MOST} pages are watched")
    return Watched(address, source, tuple(_anchors(given.get("sections") or [])))


def _anchors(value: Any) -> Iterator[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _Wrong("`sections` must be a list of anchors, as they stand behind the # of an address")
    yield from (one.removeprefix("#") for one in value)


def _known(officials: Sequence[Source]) -> str:
    return ", ".join(base for one in officials for base in one.bases)
