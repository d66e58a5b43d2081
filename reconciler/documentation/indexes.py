"""What a site says it holds: MkDocs' search index, llms.txt, or a site map, as pages to choose from. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import orjson

from reconciler.documentation.markup import Unreadable
from reconciler.documentation.page import shown

MOST: Final = 20_000
LONGEST: Final = 2_000

_LISTED = re.compile(
    r"^[ \t]{0,20}[-*][ \t]{1,20}\[([^\]\n]{1,300})\]\(\s*<?([^)\s>]{1,1000})>?\s*\)[ \t]*:?[ \t]*(.{0,500})", re.M
)
_LOCATION = re.compile(r"<loc>\s*([^<\s]{1,1000})\s*</loc>")
_MARKUP = re.compile(r"<[^<>]{0,500}>")


@dataclass(frozen=True)
class Listed:
    """A page, or a part of one, as an index lists it."""

    address: str  # without an anchor
    title: str
    text: str = ""


def read(content: bytes, address: str) -> list[Listed]:
    """The pages that the index at this address lists. Raises Unreadable where it is none."""
    found = list(_entries(content, address))[:MOST]
    if not found:
        raise Unreadable("the index lists no page")
    return found


def _entries(content: bytes, address: str) -> Iterator[Listed]:
    if address.endswith(".json"):
        return _searched(content, address)
    text = content.decode("utf-8", "replace")
    return _mapped(text) if address.endswith(".xml") else _recommended(text, address)


def _searched(content: bytes, address: str) -> Iterator[Listed]:
    """MkDocs: places relative to the directory above the index, with title and text of each section."""
    try:
        value = orjson.loads(content)
    except ValueError as fault:
        raise Unreadable("the index is no JSON") from fault
    entries = value.get("docs") if isinstance(value, dict) else None
    home = urljoin(address, "../")
    for entry in entries if isinstance(entries, list) else []:
        place = entry.get("location") if isinstance(entry, dict) else None
        if isinstance(place, str) and len(place) < LONGEST:
            text = _MARKUP.sub(" ", str(entry.get("text", ""))[:LONGEST])
            yield Listed(_joined(home, place), shown(str(entry.get("title", ""))[:300]), shown(text))


def _recommended(text: str, address: str) -> Iterator[Listed]:
    """llms.txt: a list of links, each with a few words about it."""
    for found in _LISTED.finditer(text):
        yield Listed(_joined(address, found[2]), shown(found[1]), shown(found[3]))


def _mapped(text: str) -> Iterator[Listed]:
    """A site map tells addresses only: their own words have to do."""
    for found in _LOCATION.finditer(text):
        address = found[1].partition("#")[0]
        yield Listed(address, re.sub(r"[^A-Za-z0-9]+", " ", address.partition("://")[2].partition("/")[2]))


def _joined(base: str, place: str) -> str:
    try:
        joined = urljoin(base, place)
        urlsplit(joined)
    except ValueError:
        return ""
    return joined.partition("#")[0]
