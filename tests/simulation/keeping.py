"""What we keep, as one process reaches it: the real log and the real repository, each deed perhaps the last one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

from pygit2 import Signature

from reconciler.alerting.channels import Undelivered
from reconciler.alerting.receivers import Answers, Receivers, Sending
from reconciler.git.bounds import BRANCHES
from reconciler.git.draft import Draft
from reconciler.git.errors import GitError, RefMoved, plain_words
from reconciler.git.store import Store
from reconciler.underway import Message
from state.errors import DiskFault, LogError
from state.events import Event
from state.log import EventLog
from state.record import Cursor, Entry, Head, Recorded
from state.view import View
from tests.simulation.fate import Fate

V = TypeVar("V", bound=View)

LogAilment = Literal["", "full", "fault"]

_FAULTS: Final = {"full": errno.ENOSPC, "fault": errno.EIO}


class SimulatedLog(EventLog):
    """The event log, on a disk that can be full or fail. What it acknowledges is told to `acknowledged`.

    Events are written and read back through SQLite as always; only views are folded from what this process wrote,
    which saves two thirds of the time. That the log's own views agree is checked at the end of every schedule.
    """

    fate: Fate
    ailment: Callable[[], LogAilment]
    acknowledged: Callable[[list[Recorded]], None]

    def remember(self) -> None:
        """Read what is there. To be called once, after opening."""
        self._events: list[Recorded] = []
        self._events = list(self.read())
        self._states: dict[type[View], Any] = {}
        self._due: dict[type[View], list[Recorded]] = {}  # what is not folded into a state yet
        self._takers: dict[type[Event], list[list[Recorded]]] = {}  # whose turn it is when such an event comes

    @property
    def events(self) -> list[Recorded]:
        return self._events

    def view(self, view: type[V]) -> V:
        if self._storage.unusable:
            self._storage.require_usable()
        if view not in self._states:
            self._states[view] = view.empty().fold_all(self._events)
            due = self._due[view] = []
            for kind in view.handlers:
                self._takers.setdefault(kind, []).append(due)
        elif news := self._due[view]:
            self._states[view] = self._states[view].copy().fold_all(news)
            news.clear()
        return cast(V, self._states[view])

    def head(self) -> Head:
        self._storage.require_usable()
        return Head(self._events[-1].seq, self._events[-1].hash) if self._events else super().head()

    def append(
        self,
        entries: Sequence[Entry] | Entry,
        *,
        expected: Mapping[str, int] | None = None,
        cursor: Cursor | None = None,
    ) -> list[Recorded]:
        batch = [entries] if isinstance(entries, Entry) else list(entries)
        if not batch and cursor is None:
            return []
        self.fate.change(f"append {', '.join(type(entry.event).__name__ for entry in batch)}")
        if self.ailment() == "full":
            raise LogError("the event log: database or disk is full; the disk is full: make room, nothing was lost")
        if self.ailment() == "fault":
            self._storage.unusable = "met a disk error; check the disk, then start again"
            raise DiskFault("the event log: disk I/O error; the disk reports an error: check it, then start again")
        recorded = super().append(batch, expected=expected, cursor=cursor)
        news = list({one.seq: one for one in recorded if one.seq > len(self._events)}.values())
        self._events += news
        for one in news:
            for due in self._takers.get(type(one.event), ()):
                due.append(one)
        self.fate.change("the append is on the disk")  # a death here comes before anybody hears of it
        self.acknowledged(news)
        return recorded

    def drop(self) -> None:
        """The process that had it open is gone: nothing is put away."""
        self._storage.unusable = "belongs to a process that died"
        self._storage.close()

    @property
    def unusable(self) -> str:
        return self._storage.unusable


class SimulatedStore(Store):
    """The desired repo. A death inside of a deed leaves behind what a killed Git leaves: a lock; its disk may fail."""

    fate: Fate
    ailment: Callable[[], LogAilment]

    def move(self, reference: str, to: str, *, was: str | None) -> None:
        self.fate.change(f"move {reference}")
        with plain_words(f"cannot move {reference} in {self.path}"):
            _require_well(self.ailment())
        self._locked(self.path / f"{reference}.lock")
        super().move(reference, to, was=was)

    def remove(self, reference: str) -> bool:
        self.fate.change(f"remove {reference}")
        with plain_words(f"cannot remove {reference} from {self.path}"):
            _require_well(self.ailment())
        return super().remove(reference)

    def anchor(self, commit: str, seq: int, hash: str, revision: int = 0, at: Any = None) -> None:
        self.fate.change("anchor the log's head")
        with plain_words(f"cannot note the log's head beside {commit} in {self.path}"):
            _require_well(self.ailment())
        super().anchor(commit, seq, hash, revision, at)

    def draft(self) -> Draft:
        draft = SimulatedDraft(self.repository)
        draft.fate, draft.ailment = self.fate, self.ailment
        return draft

    def write_commit(
        self, *, tree: str, parents: tuple[str, ...], author: Signature, committer: Signature, text: str
    ) -> str:
        self.fate.change("write a commit")
        with plain_words(f"cannot write a commit to {self.path}"):
            _require_well(self.ailment())
        return super().write_commit(tree=tree, parents=parents, author=author, committer=committer, text=text)

    def _locked(self, lock: Path) -> None:
        """Where a process dies within the deed, its lock stays."""
        if lock.exists():
            return  # somebody who died left it; libgit2 will say so
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
        self.fate.change("lock a reference")
        lock.unlink()


def _require_well(ailment: LogAilment) -> None:
    if ailment:
        raise OSError(_FAULTS[ailment], os.strerror(_FAULTS[ailment]))


class SimulatedDraft(Draft):
    """Objects that appear one after the other. A death in between leaves some of them, and half of the next; so does
    a disk that fails then, but for that half."""

    fate: Fate
    ailment: Callable[[], LogAilment]

    def _put(self, staged: Any, place: Path) -> None:
        half = self._objects / "tmp_obj_half"
        half.write_bytes(b"x\x01")
        self.fate.change("write an object")
        half.unlink()
        _require_well(self.ailment())
        super()._put(staged, place)


class SimulatedRemote:
    """A desired repo elsewhere: its branches, over objects that are here. May be gone, or refuse pushes.

    The same surface as `reconciler.git.remote.Remote`.
    """

    url = "https://git.home/desired"

    def __init__(self, references: dict[str, str], down: Callable[[], bool], fate: Fate) -> None:
        self._references = references
        self._down = down
        self._fate = fate

    def heads(self, store: Store) -> dict[str, str]:
        self._fate.look()
        if self._down():
            raise GitError(f"cannot reach {self.url}: failed to connect; it is tried again", retry=True)
        return dict(self._references)

    def fetch(
        self, store: Store, branch: str = "main", also: Sequence[str] = (), *, proposals: str | None = "*"
    ) -> str:
        heads = self.heads(store)
        tip = heads.get(f"refs/heads/{branch}")
        if tip is None:
            raise GitError(f"{self.url} has no branch '{branch}'; push it there again", retry=True)
        self._bring(store, f"refs/heads/{branch}", tip)
        for name, commit in heads.items():
            if name.startswith(f"refs/heads/{BRANCHES}") and store.head(name.removeprefix("refs/heads/")) is None:
                self._bring(store, name, commit)
        return tip

    def push(self, store: Store, branch: str, commit: str = "") -> None:
        self._fate.change(f"push {branch}")
        name = f"refs/heads/{branch}"
        wanted, there = commit or store.head(branch), self.heads(store).get(name)
        if wanted is None:
            raise GitError(f"there is no branch {branch}")
        if there and not store.is_ancestor(there, wanted):
            raise RefMoved(f"{self.url} has newer commits; fetch and look again")
        self._references[name] = wanted

    def push_own(self, store: Store) -> str:
        try:
            self.heads(store)
        except GitError as fault:
            return str(fault)
        self._fate.change("push revisions and anchors")
        self._references.update(store.references("refs/waypost/revisions/") | store.references("refs/notes/waypost"))
        return ""

    def fetch_own(self, store: Store, revisions: Mapping[int, str]) -> None:
        raise AssertionError("no copy of the repository is ever lost here")

    def _bring(self, store: Store, name: str, commit: str) -> None:
        here = store.references(name).get(name)
        if here != commit:
            self._fate.change(f"fetch {name}")
            Store.move(store, name, commit, was=here)


class _Channel:
    """One person's telephone, as Apprise would reach it."""

    def __init__(self, name: str, refusing: Callable[[], frozenset[str]], fate: Fate) -> None:
        self.name = self.mark = name
        self._refusing = refusing
        self._fate = fate

    def send(self, message: Message) -> None:
        self._fate.change(f"tell {self.name}")
        if self.name in self._refusing():
            raise Undelivered("not now")


class SimulatedReceivers(Receivers):
    """Who is told of alerts: `taken` is what each took, in order. The real ones, but for threads and telephones."""

    def __init__(self, taken: list[tuple[str, Message]], refusing: Callable[[], frozenset[str]], fate: Fate) -> None:
        super().__init__(())
        channels: Any = {name: _Channel(name, refusing, fate) for name in ("ada", "bob")}
        self._channels, self.inherited = channels, set(channels)
        self._everything = taken

    def send(self, message: Message, to: Iterable[str], now: datetime) -> Answers:
        return super().send(message, sorted(to), now)  # a set has another order in every process

    def _start(self, name: str, message: Message) -> Any:
        one = self._sending[name] = Sending(self._channels[name], message, self._moved)
        one.run()
        if one.took:
            self._everything.append((name, message))
        return one
