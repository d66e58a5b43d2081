"""A question in few words, answered with sections of official documentation and where each of them stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urljoin

from reconciler.documentation import indexes, ranking, sources
from reconciler.documentation.indexes import Listed
from reconciler.documentation.library import Away, Document, Library
from reconciler.documentation.markup import Unreadable
from reconciler.documentation.page import Section
from reconciler.documentation.ranking import Text
from reconciler.documentation.sources import Source

_PAGES: Final = 3
"""Pages that are read for one answer."""


@dataclass(frozen=True)
class Cited:
    """A section, and what a reader needs to find and to check it."""

    section: Section
    address: str  # with its anchor
    version: str  # "" the newest
    fetched: datetime
    stale: str


@dataclass(frozen=True)
class Answer:
    """The sections that are most about the topic, the best first; `notes` say what is missing or otherwise."""

    version: str
    sections: tuple[Cited, ...]
    more: int
    notes: tuple[str, ...] = ()


def answer(library: Library, source: Source, topic: str, version: str, most: int) -> Answer:
    """What the source says about a topic, of that version where it has a documentation of its own, else of the newest.

    Without any section, `notes` say why.
    """
    notes: list[str] = []
    for home, version_there in source.starts(version):
        listed, where = _listed(library, source, home, notes)
        if listed:
            label = version_there if where.startswith(home) else ""
            if version and not label:
                notes.append(f"there is none of version {version}: this is of the newest")
            return _from(library, source, topic, label, listed, most, tuple(notes))
    return Answer("", (), 0, tuple(dict.fromkeys(notes)) or (f"{source.system} has no index that can be read",))


def _listed(library: Library, source: Source, home: str, notes: list[str]) -> tuple[list[Listed], str]:
    """The pages below one home, by the first of its indexes that can be had, and where they stand."""
    for name in source.indexes:
        address = urljoin(home, name)
        found = library.get(address)
        if isinstance(found, Away):
            notes.append(found.reason)
        if isinstance(found, Document):
            of_all = name.startswith("/")
            try:
                listed = [
                    one
                    for one in indexes.read(found.content, found.address)
                    if source.publishes(one.address) and (not of_all or source.is_of(home, one.address))
                ]
            except Unreadable as fault:
                notes.append(f"{address}: {fault}")
                continue
            if listed:
                return listed, home if of_all else found.address
    return [], ""


def _from(
    library: Library, source: Source, topic: str, label: str, listed: list[Listed], most: int, notes: tuple[str, ...]
) -> Answer:
    found: list[Cited] = []
    trouble: list[str] = []
    for address in _best_pages(topic, listed):
        got = library.get(address)
        if isinstance(got, Document):
            try:
                found += _cited(got, label)
            except Unreadable as fault:
                trouble.append(f"{address}: {fault}")
        else:
            trouble.append(f"{address}: {got.reason}")
    ranked = ranking.rank(topic, [Text(" ".join(one.section.path), one.section.text) for one in found])
    best = [found[one.index] for one in ranked]
    if not ranked:
        trouble.append(f"nothing in the documentation of {source.system} matches these words; try others")
    return Answer(label, tuple(best[:most]), max(0, len(best) - most), (*notes, *trouble))


def _best_pages(topic: str, listed: list[Listed]) -> list[str]:
    """The pages whose best part is most about the topic."""
    ranked = ranking.rank(topic, [Text(f"{one.title} {_path(one.address)}", one.text) for one in listed])
    return list(dict.fromkeys(listed[one.index].address for one in ranked))[:_PAGES]


def _path(address: str) -> str:
    """The last two steps of an address: builders make them of the titles."""
    return " ".join(address.rstrip("/").removesuffix(".md").split("/")[-2:])


def _cited(got: Document, label: str) -> Iterator[Cited]:
    for section in got.page.sections:
        if section.text:
            address = f"{got.address}#{section.anchor}" if section.anchor else got.address
            yield Cited(section, address, label, got.fetched, got.stale)


def source(library: Library, system: str) -> Source | None:
    return sources.named(system, library.sources)
