"""Pages as they are, or as they were when they could last be had: fetching, with a memory of what was fetched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from reconciler.documentation import reading, sources
from reconciler.documentation.fetching import Failed, Fetched, Fetcher, Gone, Refused, Unchanged, Validators
from reconciler.documentation.page import Page
from reconciler.documentation.shelf import Copy, Shelf
from reconciler.ports import Clock

FRESH: Final = timedelta(hours=12)
"""How long a copy is as good as the page."""

_PAUSE: Final = 60.0
"""Seconds for which a host that did not answer is not asked again: one question reads several pages."""


@dataclass(frozen=True)
class Document:
    """What stands at an address, when that was seen, and `stale`: why it may be otherwise by now, or ""."""

    address: str
    kind: str
    content: bytes
    fetched: datetime
    stale: str = ""

    @property
    def page(self) -> Page:
        """Its sections. Raises Unreadable."""
        return reading.read(self.content, self.kind, self.address)


@dataclass(frozen=True)
class Missing:
    """The source says that nothing stands there."""

    reason: str


@dataclass(frozen=True)
class Away:
    """Nobody can tell, and nothing is kept from before."""

    reason: str


class Library:
    """Official documentation. Usable by several threads."""

    def __init__(self, shelf: Shelf, fetcher: Fetcher, clock: Clock) -> None:
        self._shelf = shelf
        self._fetcher = fetcher
        self._clock = clock
        self._down: dict[str, tuple[float, str]] = {}

    @property
    def sources(self) -> tuple[sources.Source, ...]:
        return tuple(self._fetcher.sources)

    def get(self, address: str) -> Document | Missing | Away:
        """What stands there, from the copy as long as that is fresh."""
        copy = self._shelf.get(address)
        now = self._clock.now()
        if copy and timedelta(0) <= now - copy.fetched < FRESH:
            return _told(copy, "")
        return self._renewed(address, copy, now)

    def look(self, address: str) -> Document | Missing | Away:
        """What stands there now, however fresh the copy is; never the copy alone."""
        found = self._renewed(address, self._shelf.get(address), self._clock.now())
        return Away(found.stale) if isinstance(found, Document) and found.stale else found

    def _renewed(self, address: str, copy: Copy | None, now: datetime) -> Document | Missing | Away:
        host = sources.host_and_port(address)[0] if not sources.fault(address) else ""
        since, reason = self._down.get(host, (0.0, ""))
        if reason and self._clock.monotonic() - since < _PAUSE:
            return _told(copy, reason) if copy else Away(reason)
        outcome = self._fetcher.fetch(address, copy.validators if copy and copy.content is not None else Validators())
        match outcome:
            case Fetched():
                validators = Validators(outcome.etag, outcome.last_modified)
                return self._kept(address, Copy(outcome.address, outcome.kind, outcome.content, now, validators))
            case Unchanged() if copy:
                return self._kept(address, replace(copy, address=outcome.address, fetched=now))
            case Gone(reason):
                return self._kept(address, Copy(address, reason, None, now))
            case Failed(reason):
                self._down[host] = self._clock.monotonic(), reason
                return _told(copy, reason) if copy else Away(reason)
            case Refused(reason):
                return _told(copy, reason) if copy else Away(reason)
        return Away(f"{address[:200]} answers that nothing changed, but nothing is kept of it")

    def _kept(self, address: str, copy: Copy) -> Document | Missing:
        self._shelf.put(address, copy)
        return _told(copy, "")


def _told(copy: Copy, stale: str) -> Document | Missing:
    if copy.content is None:
        return Missing(copy.kind)
    return Document(copy.address, copy.kind, copy.content, copy.fetched, stale)
