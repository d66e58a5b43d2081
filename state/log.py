"""The event log: append-only, one writer, a hash chain over it, and views folded from it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import orjson

from state import chain, tables
from state.chain import Row
from state.codec import WAYPOST, Redacted
from state.database import Opened, explained, immediately, open_database
from state.errors import DamagedFile, DiskFault, LogError, MalformedEvent, NewerLogError, WrongVersion
from state.events import PayloadRedacted
from state.model import Address
from state.record import GENESIS, Anchor, Cursor, Entry, Head, Recorded, Verification
from state.tables import LOG, Slice
from state.view import View
from state.views import ALL

__all__ = [
    "Anchor",
    "Cursor",
    "Entry",
    "EventLog",
    "Head",
    "LogError",
    "MalformedEvent",
    "NewerLogError",
    "Recorded",
    "Verification",
    "WrongVersion",
]

V = TypeVar("V", bound=View)

CHECKPOINT_EVERY = 500
"""Events between two times that a view is put away."""

INDEX_EVERY = 200
"""Events between two times that they come into the index of what they mention."""


@dataclass
class _Folded(Generic[V]):
    """A view's state after the event `seq`, and the event up to which it was put away."""

    state: V
    seq: int = 0
    saved: int = 0


class EventLog:
    """Everything that ever happened, in order. Safe to use from several threads; one process at a time writes.

    Every method raises LogError where the file cannot be read or written.
    """

    def __init__(
        self,
        path: Path,
        opened: Opened,
        *,
        now: Callable[[], datetime],
        chance: Callable[[int], bytes],
        readonly: bool,
    ) -> None:
        """Use `open`."""
        self._path = path
        self._database = opened.database
        self._degraded = opened.degraded
        self._now = now
        self._chance = chance
        self._readonly = readonly
        self._unusable = ""
        self._lock = threading.RLock()
        self._folded: dict[type[View], _Folded[Any]] = {}
        self._shapes: set[tuple[str, int]] = set()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        now: Callable[[], datetime],
        chance: Callable[[int], bytes] = os.urandom,
        create: bool = False,
        readonly: bool = False,
    ) -> Self:
        """Open the log at `path`; `readonly` works while another process writes.

        Raises NewerLogError where a newer Waypost wrote it, LogError where it is missing or unusable.
        """
        opened = open_database(path, LOG, create=create, readonly=readonly)
        log = cls(path, opened, now=now, chance=chance, readonly=readonly)
        try:
            log._learn_shapes()
        except BaseException:
            log.close()
            raise
        return log

    @property
    def degraded(self) -> str:
        """Why the log runs in a safer, slower journal mode; "" where it does not."""
        return self._degraded

    def close(self) -> None:
        """Put the views away and let go of the file. Closing twice is fine."""
        with self._lock:
            if not self._unusable:
                for view in self._folded:
                    self._put_away(view, least=1)
                self._unusable = "is closed"
            self._database.close()

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    def append(
        self,
        entries: Sequence[Entry] | Entry,
        *,
        expected: Mapping[str, int] | None = None,
        cursor: Cursor | None = None,
    ) -> list[Recorded]:
        """Record all of these, or none, durably; one row per entry comes back, in their order.

        An entry whose key was recorded before is answered with that row and changes nothing. `expected` names,
        by stream, how many events the caller knows of: WrongVersion where there are others (nothing is checked
        where nothing is new). `cursor` moves in the same transaction.
        """
        batch = [entries] if isinstance(entries, Entry) else list(entries)
        with self._writing():
            known = self._known(batch)
            if expected and any(entry.key not in known for entry in batch):
                self._require_versions(expected)
            answer = self._insert_new(batch, known)
            if cursor:
                tables.move_cursor(self._database, cursor)
        self._shapes.update((recorded.type, recorded.schema) for recorded in answer)
        self._index(answer)
        return answer

    def redact(self, seq: int, reason: str, actor: str) -> Recorded:
        """Blank the payload of one event for good; the chain holds, and PayloadRedacted says who and why.

        What the event contributed to the views is gone with it: they are folded anew. Raises LogError where there
        is no such payload.
        """
        with self._writing():
            found = tables.page(self._database, Slice(after=seq - 1, until=seq))
            if not found or isinstance(found[0].event, Redacted | PayloadRedacted):
                raise LogError(f"event {seq} has no payload to redact")
            tables.blank(self._database, found[0])
            entry = Entry(stream="log", event=PayloadRedacted(seq=seq, reason=reason), actor=actor)
            (recorded,) = self._insert_new([entry], {})
            self._folded.clear()
        with self._reading():
            # The old payload also stands in the write-ahead log, until that starts over.
            self._database.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return recorded

    def rebuild(self) -> None:
        """Drop everything that is derived from the events, and derive it again."""
        with self._writing():
            tables.derive(self._database)
            self._folded.clear()
        for view in ALL:
            self.view(view)
            with self._lock:
                self._put_away(view, least=1)

    def _insert_new(self, batch: Sequence[Entry], known: dict[str, Recorded]) -> list[Recorded]:
        at = self._now().astimezone(UTC)
        seq, previous = tables.head(self._database) or (0, GENESIS)
        versions: dict[str, int] = {}
        answer, rows = [], []
        for entry in batch:
            recorded = known.get(entry.key)
            if recorded is None:
                seq += 1
                row = self._sealed(entry, seq, self._next(entry.stream, versions), at, previous)
                recorded = tables.recorded(row, at, entry.event)
                previous = row.hash
                rows.append(row)
                if entry.key:
                    known[entry.key] = recorded
            answer.append(recorded)
        tables.insert(self._database, rows)
        if new := {(row.type, row.schema) for row in rows} - self._shapes:
            tables.note_shapes(self._database, new)
        return answer

    def _index(self, recorded: Sequence[Recorded]) -> None:
        """Index from time to time: for each append by itself it would cost as much again as the append."""
        if recorded and recorded[-1].seq % INDEX_EVERY < len(recorded):
            with contextlib.suppress(LogError), self._writing():  # what is not in the index is found by reading it
                tables.index_news(self._database)

    def _sealed(self, entry: Entry, seq: int, version: int, at: datetime, previous: bytes) -> Row:
        type_name, schema, data = WAYPOST.encode(entry.event)
        id = entry.key or self._chance(16).hex()
        moment = at.isoformat(timespec="microseconds")
        envelope = (seq, id, moment, entry.stream, version, type_name, schema, entry.actor, entry.request_id)
        return chain.seal(envelope, data, self._chance(16), previous)

    def _next(self, stream: str, versions: dict[str, int]) -> int:
        if stream not in versions:
            versions[stream] = tables.version(self._database, stream)
        versions[stream] += 1
        return versions[stream]

    def _known(self, batch: Sequence[Entry]) -> dict[str, Recorded]:
        keys = [entry.key for entry in batch if entry.key]
        return {key: found for key in keys if (found := tables.by_id(self._database, key))}

    def _require_versions(self, expected: Mapping[str, int]) -> None:
        for stream, version in expected.items():
            found = tables.version(self._database, stream)
            if found != version:
                raise WrongVersion(stream, expected=version, found=found)

    def _learn_shapes(self) -> None:
        """Know which shapes of events the log holds; refuse it at once where one of them is from the future."""
        with self._reading():
            self._shapes = tables.shapes(self._database)
        for type_name, schema in sorted(self._shapes):
            WAYPOST.require(type_name, schema)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    def read(self, after: int = 0, *, stream: str | None = None, until: int | None = None) -> Iterator[Recorded]:
        """Events with after < seq ≤ until, oldest first; those recorded when the reading starts, none later."""
        last = self.head().seq
        wanted = Slice(after=after, until=last if until is None else min(until, last), stream=stream)
        return tables.walk(self._page, wanted)

    def head(self) -> Head:
        """The last event; seq 0 in an empty log."""
        with self._reading():
            seq, hash = tables.head(self._database) or (0, GENESIS)
        return Head(seq, hash.hex())

    def version(self, stream: str) -> int:
        """How many events that stream holds: what `append` takes as expected."""
        with self._reading():
            return tables.version(self._database, stream)

    def touching(self, subject: Address | str, after: int = 0) -> list[int]:
        """Seqs of the events that mention it, oldest first.

        A subject is a resource's address, or `commit:…`, `proposal:…`, `attempt:…`, `request:…`.
        """
        with self._reading():
            return tables.mentioning(self._database, str(subject), after)

    def about(self, subject: Address | str, after: int = 0) -> Iterator[Recorded]:
        """The events that mention it, oldest first."""
        for seq in self.touching(subject, after):
            yield from self._page(Slice(after=seq - 1, until=seq))

    def cursor(self, source: str) -> Cursor | None:
        """How far the outbox of that source was read, None where it never was."""
        with self._reading():
            return tables.cursor(self._database, source)

    def export(self) -> Iterator[bytes]:
        """Every event as a line of JSON, hashes included, so that the chain can be checked without the file."""
        return map(_line, self._rows())

    def verify(self, anchors: Iterable[Anchor] = ()) -> Verification:
        """Check every event against the chain and the anchors; a damaged file is an answer too, not an error."""
        try:
            with self._reading():
                redacted = tables.redacted(self._database)
            last = self.head().seq
        except DamagedFile as damage:
            return chain.unreadable(0, damage)
        return chain.verify(self._rows(), anchors=anchors, redacted=redacted, last=last)

    def _page(self, wanted: Slice) -> list[Recorded]:
        with self._reading():
            return tables.page(self._database, wanted)

    def _rows(self) -> Iterator[Row]:
        seq = 0
        while True:
            with self._reading():
                found = tables.rows(self._database, seq)
            yield from found
            if len(found) < tables.PAGE:
                return
            seq = found[-1].seq

    # ── views ────────────────────────────────────────────────────────────────────────────────────

    def view(self, view: type[V]) -> V:
        """The state of a view now. It is shared and will not change: read it, do not write into it."""
        with self._lock:
            folded: _Folded[V] = self._folded.get(view) or self._taken_up(view)
            last = self.head().seq
            if folded.seq != last:
                folded = self._advanced(view, folded, last)
            self._folded[view] = folded
            self._put_away(view, least=CHECKPOINT_EVERY)
            return folded.state

    def _advanced(self, view: type[V], folded: _Folded[V], last: int) -> _Folded[V]:
        if folded.seq and self._redacted_since(folded.seq):
            folded = _Folded(view.empty())
        types = tuple(event.__name__ for event in view.handlers)
        news = tables.walk(self._page, Slice(after=folded.seq, until=last, types=types))
        return _Folded(folded.state.copy().fold_all(news), last, folded.saved)

    def _redacted_since(self, seq: int) -> bool:
        return bool(self._page(Slice(after=seq, types=(PayloadRedacted.__name__,))))

    def _taken_up(self, view: type[V]) -> _Folded[V]:
        with self._reading():
            found = tables.checkpoint(self._database, view.name)
        if found and found.version == view.version:
            # What cannot be read is folded again: a checkpoint only saves time.
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                return _Folded(view.decode(found.state), found.seq, found.seq)
        return _Folded(view.empty())

    def _put_away(self, view: type[View], *, least: int) -> None:
        folded = self._folded[view]
        if self._readonly or folded.seq - folded.saved < least:
            return
        with contextlib.suppress(LogError), self._writing():  # a checkpoint only saves time
            tables.put_away(self._database, view.name, view.version, folded.seq, folded.state.encode())
            folded.saved = folded.seq

    # ── the connection ───────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, explained(LOG, self._path):
            self._require_usable()
            yield

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._reading():
                if self._readonly:
                    raise LogError(f"the event log {self._path} was opened for reading only")
                with immediately(self._database):
                    yield
        except DiskFault:
            # After a failed flush the system forgets what did not reach the disk: a second try would lie.
            self._unusable = "met a disk error; check the disk, then start again"
            raise

    def _require_usable(self) -> None:
        if self._unusable:
            raise LogError(f"the event log {self._path} {self._unusable}")


def _line(row: Row) -> bytes:
    plain = row._asdict()
    plain["data"] = None if row.data is None else orjson.Fragment(row.data)
    for name in ("salt", "payload_hash", "prev_hash", "hash"):
        plain[name] = None if plain[name] is None else plain[name].hex()
    return orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE)
