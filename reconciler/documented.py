"""What a person sees and says of watched documentation: `waypost docs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler import alerts, app, reviewing
from reconciler.documentation.watching import STREAM, read_list
from reconciler.session import CommandError, Session
from state import events, views
from state.documentation import Documentation


@dataclass(frozen=True)
class Documented:
    """The watched pages of a home, for a person at work in it."""

    session: Session

    def look(self) -> Iterator[str]:
        """Look at all pages now: here, or by the reconciler that runs. Tells how."""
        if self.session.running:
            self.session.say(events.DocumentationLookRequested(reason="waypost docs --now"), STREAM)
            yield f"the reconciler (process {self.session.running}) looks within a minute"
            return
        world, home = self.session.world, self.session.home
        app.watcher(home, world).look(world.store, "1d", now=True)
        alerts.announce(world, app.sender(home))

    def mark_read(self, pages: Sequence[str]) -> Iterator[str]:
        """A person read what changed, in these pages or in all."""
        known = self.session.world.log.view(views.Documentation)
        if strange := [page for page in pages if page not in known.pages]:
            raise CommandError(f"{strange[0]} is not watched; see waypost docs")
        read = tuple(page for page in pages or known.pages if page in known.unread or page in known.moved)
        if not read:
            yield "there is nothing unread"
            return
        self.session.say(events.DocumentationRead(pages=read, reason="read by a person"), STREAM)
        if not self.session.running:
            reviewing.take_in(self.session.world)
        yield f"noted: {len(read)} pages read"

    def pages(self, wanted: Sequence[str]) -> list[dict[str, Any]]:
        """How each page stands, JSON-plain; those that are wanted, or all."""
        world = self.session.world
        known, watcher = world.log.view(views.Documentation), app.watcher(self.session.home, world)
        listed = read_list(world.store, self.session.head(), watcher.library)
        if listed.problems:
            self.session.tell("\n".join(listed.problems))
        return [
            _page(one.address, known, watcher.ledger.get(one.address))
            for one in listed.pages
            if not wanted or one.address in wanted
        ]


def _page(page: str, known: Documentation, record: Any) -> dict[str, Any]:
    stands, unread, move = known.known.get(page), known.unread.get(page), known.moved.get(page)
    unreached = known.unreached.get(page)
    return {
        "page": page,
        "title": stands.title if stands else "",
        "read": record.read.isoformat(timespec="seconds") if record and record.read else "",
        "changed": stands.changed.isoformat(timespec="seconds") if stands and stands.changed else "",
        "sections": len(stands.sections) if stands else 0,
        "trouble": unreached.reason if unreached else known.gone.get(page, ""),
        "in_doubt": bool(record and record.seen),
        "news": [
            *([unread.change.reason, *unread.change.concerns, unread.change.releases] if unread else []),
            *([move.reason] if move else []),
        ],
        "difference": unread.change.difference if unread else "",
    }


def lines(found: Iterable[dict[str, Any]]) -> list[str]:
    """The same for a person."""
    return [line for page in found for line in _lines(page)] or ["no page is watched; docs/watch.yaml says how"]


def _lines(page: dict[str, Any]) -> Iterator[str]:
    yield f"{page['page']}  {page['title']}".rstrip()
    changed = f", changed {page['changed']}" if page["changed"] else ""
    yield f"  read {page['read'] or 'never'}{changed}{', something differs, looked at again soon' * page['in_doubt']}"
    if page["trouble"]:
        yield f"  ! {page['trouble']}"
    yield from (f"  * {line}" for line in page["news"])
    yield from (f"    {line}" for line in page["difference"].splitlines())
