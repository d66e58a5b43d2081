"""The view of watched documentation: how each page stands, and what a person has not read yet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from state.events import (
    DocumentationChanged,
    DocumentationGone,
    DocumentationListed,
    DocumentationLookRequested,
    DocumentationReached,
    DocumentationRead,
    DocumentationSeen,
    DocumentationUnreachable,
    Json,
)
from state.record import Occasion
from state.view import View, on


@dataclass(frozen=True, slots=True)
class KnownPage:
    """How a page stood when it was recorded last. `sections`: anchor -> hash; `changed` is when they last were news."""

    at: str
    title: str
    sections: Json
    reader: int
    changed: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnreadChange:
    change: DocumentationChanged
    at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class UnreadMove:
    """A page that is gone, or that stands elsewhere."""

    moved_to: str
    reason: str
    seq: int


@dataclass(frozen=True, slots=True)
class Unreached:
    since: datetime
    reason: str


@dataclass
class Documentation(View):
    """All by the address of the page, as docs/watch.yaml has it. What is watched no more is forgotten."""

    pages: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    known: dict[str, KnownPage] = field(default_factory=dict)
    unread: dict[str, UnreadChange] = field(default_factory=dict)
    moved: dict[str, UnreadMove] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    unreached: dict[str, Unreached] = field(default_factory=dict)
    asked: datetime | None = None

    @on(DocumentationListed)
    def _list(self, event: DocumentationListed, at: Occasion) -> None:
        self.pages, self.problems = event.pages, event.problems
        for held in (self.known, self.unread, self.moved, self.gone, self.unreached):
            for page in [page for page in held if page not in event.pages]:
                del held[page]

    @on(DocumentationSeen)
    def _see(self, event: DocumentationSeen, at: Occasion) -> None:
        before = self.known.get(event.page)
        changed = before.changed if before else None
        self.known[event.page] = KnownPage(event.at, event.title, event.sections, event.reader, changed)
        self._is_there(event.page)

    @on(DocumentationChanged)
    def _change(self, event: DocumentationChanged, at: Occasion) -> None:
        self.known[event.page] = KnownPage(event.at, event.title, event.sections, event.reader, at.at)
        self.unread[event.page] = UnreadChange(event, at.at, at.seq)
        self._is_there(event.page)

    def _is_there(self, page: str) -> None:
        if self.gone.pop(page, None) is not None:
            self.moved.pop(page, None)

    @on(DocumentationGone)
    def _lose(self, event: DocumentationGone, at: Occasion) -> None:
        self.moved[event.page] = UnreadMove(event.moved_to, event.reason, at.seq)
        if not event.moved_to:
            self.gone[event.page] = event.reason
        elif event.page in self.known:
            self.known[event.page] = replace(self.known[event.page], at=event.moved_to)

    @on(DocumentationUnreachable)
    def _miss(self, event: DocumentationUnreachable, at: Occasion) -> None:
        for page, reason in event.pages.items():
            self.unreached[page] = Unreached(at.at, str(reason))

    @on(DocumentationReached)
    def _reach(self, event: DocumentationReached, at: Occasion) -> None:
        for page in event.pages:
            self.unreached.pop(page, None)

    @on(DocumentationRead)
    def _read(self, event: DocumentationRead, at: Occasion) -> None:
        for page in event.pages:
            self.unread.pop(page, None)
            self.moved.pop(page, None)

    @on(DocumentationLookRequested)
    def _ask(self, event: DocumentationLookRequested, at: Occasion) -> None:
        self.asked = at.at
