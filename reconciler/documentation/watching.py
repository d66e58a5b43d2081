"""Looks at watched documentation when that is due, and records what is news: words that changed, pages that went.

What stands in the log decides, section by section; the disk only keeps the words, to show what changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from reconciler import desired as desired_state
from reconciler.commits import instances, load
from reconciler.documentation import comparing, watch_file
from reconciler.documentation.comparing import Change, Kept
from reconciler.documentation.concerning import Concern, Wanted, concerns
from reconciler.documentation.ledger import SETTLED, Ledger, Record, Sighting, is_due
from reconciler.documentation.library import Away, Document, Library, Missing
from reconciler.documentation.markup import Unreadable
from reconciler.documentation.page import READER, Page
from reconciler.documentation.watch_file import Watched, WatchList
from reconciler.git.store import Store
from reconciler.world import World
from state import events, views
from state.documentation import KnownPage
from state.log import Entry

STREAM: Final = "documentation"

_LARGEST: Final = 64 * 1024
_LINES: Final = 60
_LINE: Final = 300
_MOST_CONCERNS: Final = 40


@dataclass(frozen=True)
class Watcher:
    """Watches for one home. One at a time looks."""

    world: World
    library: Library
    ledger: Ledger

    def look(self, store: Store, every: str, *, now: bool = False) -> None:
        """Look at what is due by this schedule; `now`: at everything. Raises GitError or LogError.

        `store` is the desired repo, opened by the thread that looks.
        """
        head = store.head(self.world.branch) or ""
        wanted = self._listed(store, head)
        known, moment = self.world.log.view(views.Documentation), self.world.clock.now()
        unreached: dict[str, str] = {}
        looked = [
            one for one in wanted.pages if now or is_due(self.ledger.get(one.address), every, known.asked, moment)
        ]
        for one in looked:
            _Look(self, replace(self.world, store=store), head, one).take(unreached)
        self._tell_unreached([one.address for one in looked], unreached)

    def say(self, event: events.Event) -> None:
        self.world.log.append(Entry(stream=STREAM, event=event))

    def _listed(self, store: Store, head: str) -> WatchList:
        """The pages that main lists; that they are others than before is news."""
        listed = read_list(store, head, self.library)
        known = self.world.log.view(views.Documentation)
        pages = tuple(one.address for one in listed.pages)
        if (pages, listed.problems) != (known.pages, known.problems):
            reason = f"{watch_file.FILE} names {len(pages)} pages" + (" and has faults" if listed.problems else "")
            listing = events.DocumentationListed(commit=head, pages=pages, problems=listed.problems, reason=reason)
            self.say(listing)
            self.ledger.keep_only(pages)
        return listed

    def _tell_unreached(self, looked: Sequence[str], unreached: Mapping[str, str]) -> None:
        """That pages cannot be read is told once, and once that they can be again."""
        known = self.world.log.view(views.Documentation).unreached
        if fresh := {page: reason for page, reason in unreached.items() if page not in known}:
            reason = f"{len(fresh)} watched pages could not be read; nobody knows whether they changed"
            self.say(events.DocumentationUnreachable(pages=fresh, reason=reason))
        if back := tuple(page for page in looked if page in known and page not in unreached):
            self.say(events.DocumentationReached(pages=back, reason="they can be read again"))


def read_list(store: Store, commit: str, library: Library) -> WatchList:
    """The list as a commit has it; an empty one where it has none."""
    entry = store.entry(commit, watch_file.FILE) if commit else None
    if entry is None:
        return WatchList()
    if entry.size > _LARGEST:
        return WatchList(problems=(f"{watch_file.FILE} is larger than {_LARGEST >> 10} KiB",))
    return watch_file.read(store.read(entry.id, _LARGEST), library.sources)


class _Look:
    """One look at one page."""

    def __init__(self, watcher: Watcher, world: World, head: str, watched: Watched) -> None:
        self._watcher = watcher
        self._world = world
        self._head = head
        self._watched = watched
        self._now = world.clock.now()
        self._at_once = any(watched.address.startswith(base) for base in watched.source.settled)
        self._record = watcher.ledger.get(watched.address) or Record(watched.address, self._now)

    def take(self, unreached: dict[str, str]) -> None:
        """Look, record what is news, and keep what was seen. Why it could not be read goes into `unreached`."""
        found = self._watcher.library.look(self._watched.address)
        match found:
            case Away(reason):
                unreached[self._watched.address] = reason
                self._keep(replace(self._record, failed=True))
            case Missing(reason):
                self._lose(reason)
            case Document():
                try:
                    page = found.page
                except Unreadable as fault:
                    unreached[self._watched.address] = f"{found.address}: {fault}"
                    self._keep(replace(self._record, failed=True))
                else:
                    self._compare(found, page)

    def _keep(self, record: Record) -> None:
        self._watcher.ledger.put(replace(record, tried=self._now))

    def _known(self) -> KnownPage | None:
        return self._world.log.view(views.Documentation).known.get(self._watched.address)

    # ── a page that is not there ─────────────────────────────────────────────────────────────────

    def _lose(self, reason: str) -> None:
        told = self._world.log.view(views.Documentation).gone
        before = self._record.seen
        if self._watched.address in told:
            self._keep(replace(self._record, failed=False, seen=None))
        elif self._stood(before is not None and bool(before.gone)):
            self._watcher.say(events.DocumentationGone(page=self._watched.address, moved_to="", reason=reason))
            self._keep(replace(self._record, failed=False, seen=None))
        else:
            self._keep(replace(self._record, failed=False, seen=self._sighted(Sighting(self._now, gone=reason))))

    def _stood(self, seen_before: bool) -> bool:
        """Whether what is seen now may be believed: it was seen long enough ago, or its place changes whole."""
        before = self._record.seen
        return self._at_once or (seen_before and before is not None and self._now - before.at >= SETTLED)

    def _sighted(self, sighting: Sighting) -> Sighting:
        """What was seen just now, as one more look in a row; the same thing seen a moment ago goes on being older."""
        before = self._record.seen
        if before is None:
            return sighting
        same = (before.sections, before.moved_to, before.gone) == (sighting.sections, sighting.moved_to, sighting.gone)
        return replace(sighting, at=before.at if same else self._now, looks=before.looks + 1)

    # ── a page that is ───────────────────────────────────────────────────────────────────────────

    def _compare(self, found: Document, page: Page) -> None:
        after, known = comparing.kept(page), self._known()
        gone = self._watched.address in self._world.log.view(views.Documentation).gone
        if known is None or known.reader != READER:
            reason = "it is watched from now on" if known is None else "this Waypost reads pages in another way"
            return self._see(found.address, page.title, after, reason)
        before = _before(known, self._record.sections)
        changes = comparing.compare(before, after)
        believed = [one for one in changes if self._is_believed(one)]
        doubted = [one for one in changes if one not in believed]
        moved = found.address != known.at
        told_move = moved and self._stood(bool(self._record.seen and self._record.seen.moved_to == found.address))
        if told_move:
            reason = f"it stands at {found.address} now"
            self._watcher.say(
                events.DocumentationGone(page=self._watched.address, moved_to=found.address, reason=reason)
            )
        standing = _settled(before, after, doubted)
        place = found.address if told_move or not moved else known.at
        self._record_changes(place, page.title, standing, believed, gone=gone)
        sighting = None
        if doubted or (moved and not told_move):
            sections = {one.anchor: one.hash for one in after}
            moved_to = found.address if moved else ""
            sighting = self._sighted(Sighting(self._now, sections=sections, moved_to=moved_to))
        self._keep(replace(self._record, read=self._now, failed=False, sections=standing, seen=sighting))
        return None

    def _is_believed(self, change: Change) -> bool:
        seen = self._record.seen
        return self._at_once or (seen is not None and seen.confirms(change, self._now))

    def _see(self, at: str, title: str, sections: tuple[Kept, ...], reason: str) -> None:
        self._say_seen(at, title, sections, reason)
        self._keep(replace(self._record, read=self._now, failed=False, sections=sections, seen=None))

    def _say_seen(self, at: str, title: str, sections: tuple[Kept, ...], reason: str) -> None:
        seen = events.DocumentationSeen(
            page=self._watched.address,
            at=at,
            title=title,
            sections={one.anchor: one.hash for one in sections},
            reader=READER,
            reason=reason,
        )
        self._watcher.say(seen)

    def _record_changes(
        self, at: str, title: str, sections: tuple[Kept, ...], changes: list[Change], *, gone: bool
    ) -> None:
        if told := comparing.news(changes, self._watched.sections):
            self._watcher.say(self._changed(at, title, sections, told))
        elif changes:
            self._say_seen(at, title, sections, "headings have other names, or sections changed that are not watched")
        elif gone:
            self._say_seen(at, title, sections, "it is there again")

    def _changed(
        self, at: str, title: str, sections: tuple[Kept, ...], changes: list[Change]
    ) -> events.DocumentationChanged:
        difference = _difference(changes)
        about = f"{at} {title} {' '.join(one.one.heading for one in changes)}"
        concerned = self._concerned("\n".join([*difference, *(one.one.heading for one in changes)]), about)
        return events.DocumentationChanged(
            page=self._watched.address,
            at=at,
            title=title,
            sections={one.anchor: one.hash for one in sections},
            reader=READER,
            changed=tuple(_told(one) for one in changes),
            difference="\n".join(difference),
            resources=tuple(str(one.address) for one in concerned),
            concerns=tuple(f"{one.address} ({one.file}:{one.line}): {', '.join(one.keys)}" for one in concerned),
            releases=self._watched.source.releases,
            reason=f"{len(changes)} sections say something else"
            if len(changes) > 1
            else "a section says something else",
        )

    def _concerned(self, text: str, page: str) -> list[Concern]:
        """Of what main wants of this system, the resources that the change may be about."""
        policy, _ = desired_state.policy(self._world.store, self._head)
        ours = {one.name for one in instances(policy) if one.kind == self._watched.source.system}
        wanted = [
            Wanted(one.address, one.spec, one.file, one.line)
            for one in load(self._world, self._head).resources.values()
            if one.address.instance in ours
        ]
        return concerns(text, page, wanted)[:_MOST_CONCERNS]


def _before(known: KnownPage, sections: Sequence[Kept]) -> tuple[Kept, ...]:
    """The sections as the log knows them, with their words as far as those are kept."""
    words = {(one.anchor, one.hash): one for one in sections}
    return tuple(words.get((anchor, hash), Kept(anchor, "", str(hash))) for anchor, hash in known.sections.items())


def _settled(before: Sequence[Kept], after: Sequence[Kept], doubted: Sequence[Change]) -> tuple[Kept, ...]:
    """The page as far as it is believed: what is in doubt stands as it did."""
    came = {one.after.anchor: one.before for one in doubted if one.after}
    stayed = tuple(one.before for one in doubted if one.after is None and one.before)
    now = (came.get(one.anchor, one) for one in after)
    return (*(one for one in now if one), *stayed)


def _difference(changes: Sequence[Change]) -> list[str]:
    room, lines = _LINES, list[str]()
    for one in changes:
        if room <= 0:
            return [*lines, "… and more sections"]
        shown = comparing.difference(one, room)
        lines += [f"{one.kind}: {one.one.heading or '(the beginning)'} #{one.one.anchor}", *shown]
        room -= len(shown) + 1
    return [line[:_LINE] for line in lines]


def _told(change: Change) -> dict[str, str]:
    return {
        "kind": change.kind,
        "anchor": change.one.anchor,
        "heading": change.one.heading,
        "before": change.before.hash if change.before else "",
        "after": change.after.hash if change.after else "",
    }
