"""The event log: append-only, one writer, a hash chain over it, and views folded from it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from state import chain, segments, tables
from state.chain import Row
from state.codec import WAYPOST, Redacted
from state.errors import DamagedFile, LogError, MalformedEvent, NewerLogError, WrongVersion
from state.events import PayloadRedacted, ReadsForgotten, SegmentSealed
from state.folding import Folding
from state.model import Address
from state.record import GENESIS, Anchor, Cursor, Entry, Head, Recorded, Verification
from state.segment_file import Segment
from state.storage import Storage
from state.tables import CHUNK, Overtaken, Slice
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

STREAM = "log"
"""Where the log tells of itself."""

_STREAMS_KEPT = 10_000
"""Streams whose version is remembered between appends."""


@dataclass(slots=True)
class _Tail:
    """Where the log ends, as the last append left it: the versions of streams as far as they were asked for too."""

    seq: int
    hash: bytes
    shapes: set[tuple[str, int]]
    versions: dict[str, int] = field(default_factory=dict)


class EventLog:
    """Everything that ever happened, in order. Safe to use from several threads; one process at a time writes.

    Every method raises LogError where the file cannot be read or written.
    """

    def __init__(self, storage: Storage, *, now: Callable[[], datetime], chance: Callable[[int], bytes]) -> None:
        """Use `open`."""
        self._storage = storage
        self._database = storage.database
        self._now = now
        self._chance = chance
        self._folding = Folding(storage)
        self._tail: _Tail | None = None
        self._tidying = threading.Lock()  # sealing, blanking: one at a time

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
        log = cls(Storage(path, create=create, readonly=readonly), now=now, chance=chance)
        try:
            log._require_known_shapes()
            if not readonly:
                log._sweep()
        except BaseException:
            log.close()
            raise
        return log

    @property
    def degraded(self) -> str:
        """Why the log runs in a safer, slower journal mode; "" where it does not."""
        return self._storage.degraded

    def close(self) -> None:
        """Put the views away and let go of the file. Closing twice is fine."""
        with self._storage.lock:
            if not self._storage.unusable:
                self._folding.put_all_away()
                self._storage.index(least=CHUNK)
            self._storage.close()

    # ── appending ────────────────────────────────────────────────────────────────────────────────

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
        return self._commit(batch, expected, partial(tables.move_cursor, self._database, cursor) if cursor else None)

    def _commit(
        self, batch: Sequence[Entry], expected: Mapping[str, int] | None, also: Callable[[], None] | None
    ) -> list[Recorded]:
        """Record a batch, and do something else in the same transaction."""
        # One row is one statement, and that is a transaction already: should another process have written since the
        # last append, the row has no place behind the head, and we look again.
        alone = len(batch) == 1 and also is None
        with self._storage.lock:
            tail, self._tail = self._tail, None  # should this fail, the next one looks where the log ends
            with self._storage.stating if alone else self._storage.writing:
                try:
                    answer, tail = self._record(batch, expected, tail or self._look_for_tail())
                except Overtaken:
                    answer, tail = self._record(batch, expected, self._look_for_tail())
                if also:
                    also()
            self._tail = tail
            return answer

    def _record(
        self, batch: Sequence[Entry], expected: Mapping[str, int] | None, tail: _Tail
    ) -> tuple[list[Recorded], _Tail]:
        """What stands for each entry now, and where the log ends with them."""
        known = {entry.key: found for entry in batch if entry.key and (found := self._storage.by_key(entry.key))}
        if expected and any(entry.key not in known for entry in batch):
            self._require_versions(expected, tail)
        at = self._now().astimezone(UTC)
        answer, rows = [], []
        for entry in batch:
            recorded = known.get(entry.key)
            if recorded is None:
                row = self._sealed(entry, at, tail)
                recorded = tables.recorded(row, at, entry.event)
                rows.append(row)
                if entry.key:
                    known[entry.key] = recorded
            answer.append(recorded)
        if rows:
            tables.insert(self._database, rows)
        return answer, tail

    def _sealed(self, entry: Entry, at: datetime, tail: _Tail) -> Row:
        """The row of a new event, behind which the log ends then."""
        type_name, schema, data = WAYPOST.encode(entry.event)
        if (type_name, schema) not in tail.shapes:
            self._note_shape((type_name, schema), tail)
        version = tail.versions.get(entry.stream)
        if version is None:
            version = self._look_for_version(entry.stream, tail)
        drawn = self._chance(16 if entry.key else 32)
        envelope = (
            tail.seq + 1,
            entry.key or drawn[16:].hex(),
            at.isoformat(timespec="microseconds"),
            entry.stream,
            version + 1,
            type_name,
            schema,
            entry.actor,
            entry.request_id,
        )
        row = chain.seal(envelope, data, drawn[:16], tail.hash)
        tail.seq, tail.versions[entry.stream], tail.hash = row.seq, row.version, row.hash
        return row

    def _look_for_tail(self) -> _Tail:
        seq, hash = tables.head(self._database) or (0, GENESIS)
        return _Tail(seq, hash, tables.shapes(self._database))

    def _look_for_version(self, stream: str, tail: _Tail) -> int:
        if len(tail.versions) >= _STREAMS_KEPT:
            tail.versions.clear()
        return tables.version(self._database, stream)

    def _note_shape(self, shape: tuple[str, int], tail: _Tail) -> None:
        """Before the row: a shape that is noted in vain does no harm."""
        tables.note_shapes(self._database, [shape])
        tail.shapes.add(shape)

    def _require_versions(self, expected: Mapping[str, int], tail: _Tail) -> None:
        for stream, version in expected.items():
            if tail.versions.get(stream) != version:
                found = tail.versions[stream] = tables.version(self._database, stream)
                if found != version:
                    raise WrongVersion(stream, expected=version, found=found)

    def _require_known_shapes(self) -> None:
        """Refuse at once a log that holds events of a shape from the future."""
        with self._storage.reading:
            shapes = tables.shapes(self._database)
        if not all(isinstance(type_name, str) and isinstance(schema, int) for type_name, schema in shapes):
            raise DamagedFile(f"the event log {self._storage.path} names events of no type; the file is damaged")
        for type_name, schema in sorted(shapes):
            WAYPOST.require(type_name, schema)

    # ── tidying ──────────────────────────────────────────────────────────────────────────────────

    def redact(self, seq: int, reason: str, actor: str) -> Recorded:
        """Blank the payload of one event for good; the chain holds, and PayloadRedacted says who and why.

        What the event contributed to the views is gone with it: they are folded anew. Raises LogError where there
        is no such payload.
        """
        self._storage.require_writable()
        with self._tidying:
            found = list(self.read(seq - 1, until=seq))
            if not found or isinstance(found[0].event, Redacted | PayloadRedacted):
                raise LogError(f"event {seq} has no payload to redact")
            entry = Entry(stream=STREAM, event=PayloadRedacted(seq=seq, reason=reason), actor=actor)
            (recorded,) = self._commit([entry], None, self._blanking(found[0]))
            self._folding.forget()
            self._sweep()
            self._storage.start_over()  # the old payload also stands in the write-ahead log
        return recorded

    def _blanking(self, recorded: Recorded) -> Callable[[], None]:
        """What blanks a payload within a transaction; a segment is written anew before."""
        with self._storage.reading:
            segment = segments.after(self._database, recorded.seq - 1)
            edition = self.head().seq + 1
        if segment is None:
            return partial(tables.blank, self._database, recorded)
        copy = segments.write_without(self._storage.path, segment, recorded.seq, edition=edition)
        return partial(segments.replace, self._database, self._storage.path, segment, copy)

    def forget_reads(self, before: datetime, reason: str) -> int:
        """Blank what models had only looked at before that moment; how many calls that were.

        A call that failed, or that anything came of, is kept.
        """
        with self._tidying:
            return self._forget_reads(self.older_than(before), reason)

    def _forget_reads(self, through: int, reason: str) -> int:
        count = 0
        while True:
            with self._storage.reading:
                seqs = tables.reads(self._database, through)
            if not seqs:
                return count
            forgotten = ReadsForgotten(through=seqs[-1], count=len(seqs), reason=reason)
            self._commit([Entry(stream=STREAM, event=forgotten)], None, partial(tables.forget, self._database, seqs))
            count += len(seqs)

    def seal(self, through: int, reason: str) -> Segment:
        """Put the live events up to that one into a sealed segment; what models had only looked at is forgotten.

        The last event stays live, and no call is parted from what came of it. LogError: there is nothing to seal.
        """
        self._storage.require_writable()
        with self._tidying:
            if not self.sealed() < through < self.head().seq:
                raise LogError(f"there is nothing to seal up to event {through}")
            with self._storage.reading:
                through = segments.unparted(self._database, through)
            self._forget_reads(through, "what was only looked at is not kept for ever")
            self._storage.index(least=1)
            segment = segments.write(self._storage.path, through)
            sealed = SegmentSealed(
                first=segment.first, last=segment.last, file=segment.file, hash=segment.hash.hex(), reason=reason
            )
            letting_go = partial(segments.let_go, self._database, self._storage.path, segment)
            self._commit([Entry(stream=STREAM, event=sealed)], None, letting_go)
            self._storage.start_over()
            return segment

    def shrink(self) -> None:
        """Give the disk back what sealed events left free, where that is most of the file."""
        with self._storage.reading:
            if tables.is_mostly_free(self._database):
                self._database.conn.execute("VACUUM")

    def rebuild(self) -> None:
        """Drop everything that is derived from the events, and derive it again."""
        with self._storage.writing:
            known = tables.shapes(self._database)  # those of sealed events too
            tables.derive(self._database)
            tables.note_shapes(self._database, known)
            self._folding.forget()
        self._folding.renew(ALL)

    def _sweep(self) -> None:
        with self._storage.writing:
            segments.sweep(self._database, self._storage.path)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    def read(self, after: int = 0, *, stream: str | None = None, until: int | None = None) -> Iterator[Recorded]:
        """Events with after < seq ≤ until, oldest first; those recorded when the reading starts, none later."""
        last = self.head().seq
        wanted = Slice(after=after, until=last if until is None else min(until, last), stream=stream)
        return tables.walk(self._storage.page, wanted)

    def head(self) -> Head:
        """The last event; seq 0 in an empty log."""
        return self._storage.head()

    def version(self, stream: str) -> int:
        """How many events that stream holds: what `append` takes as expected."""
        with self._storage.reading:
            return tables.version(self._database, stream)

    def older_than(self, moment: datetime) -> int:
        """Seq of the last live event before the first one that is not older; 0 where none is older."""
        with self._storage.reading:
            return tables.older_than(self._database, moment.astimezone(UTC).isoformat(timespec="microseconds"))

    def sealed(self) -> int:
        """Seq of the last event that is sealed, 0 where none is."""
        with self._storage.reading:
            return segments.sealed(self._database)

    def segments(self) -> list[Segment]:
        """The sealed segments, oldest first."""
        with self._storage.reading:
            return segments.every(self._database)

    def touching(self, subject: Address | str, after: int = 0) -> list[int]:
        """Seqs of the events that mention it, oldest first.

        A subject is a resource's address, or `commit:…`, `proposal:…`, `attempt:…`, `request:…`.
        """
        self._storage.index(least=CHUNK)  # now, since somebody asks: appends do not wait for it
        return self._storage.mentioning(str(subject), after)

    def about(self, subject: Address | str, after: int = 0) -> Iterator[Recorded]:
        """The events that mention it, oldest first."""
        for seq in self.touching(subject, after):
            yield from self.read(seq - 1, until=seq)

    def cursor(self, source: str) -> Cursor | None:
        """How far the outbox of that source was read, None where it never was."""
        with self._storage.reading:
            return tables.cursor(self._database, source)

    def export(self) -> Iterator[bytes]:
        """Every event as a line of JSON, hashes included, so that the chain can be checked without the file."""
        return map(chain.line, self._storage.rows())

    def verify(self, anchors: Iterable[Anchor] = ()) -> Verification:
        """Check every event against the chain and the anchors; a damaged file is an answer too, not an error."""
        try:
            last = self.head().seq
        except DamagedFile as damage:
            return chain.unreadable(0, damage)
        return chain.verify(self._storage.rows(), anchors=anchors, last=last)

    def require_own_shape(self) -> None:
        """Raises DamagedFile where the file has other tables or triggers than a log of ours: they would act on us."""
        self._storage.require_own_shape()

    def require_sound(self) -> None:
        """Read all of the live file. Raises DamagedFile where it is no longer what SQLite wrote."""
        self._storage.require_sound()

    # ── views ────────────────────────────────────────────────────────────────────────────────────

    def view(self, view: type[V]) -> V:
        """The state of a view now. It is shared and will not change: read it, do not write into it."""
        return self._folding.view(view)

    def replayed(self, views: Sequence[type[View]] = ALL) -> dict[type[View], View]:
        """Views folded from the first event on, whatever was kept of them."""
        return self._folding.replayed(views)

    def misremembered(self) -> list[type[View]]:
        """Views that were put away otherwise than their events add up to; of all others the state is known now."""
        return self._folding.misremembered(ALL)
