"""The log's files behind one lock: the live database, and the segments that old events were sealed into."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from state import segment_file, segments, tables
from state.chain import Row
from state.database import WAIT, Database, DatabaseFault, explained, immediately, open_database
from state.errors import DamagedFile, DiskFault, LogError
from state.record import GENESIS, Head, Recorded
from state.segment_file import Segment, SegmentReader
from state.shape import strange
from state.tables import LOG, Slice, Stored

_TRY_FOR = 200
"""Milliseconds in which the write-ahead log starts over, or goes on."""


class Storage:
    """What is stored, whether sealed or not. Safe to use from several threads."""

    def __init__(self, path: Path, *, create: bool, readonly: bool) -> None:
        """Raises NewerLogError where a newer Waypost wrote it, LogError where it is missing or unusable."""
        opened = open_database(path, LOG, create=create, readonly=readonly)
        self.path = path
        self.database: Database = opened.database
        self.degraded = opened.degraded
        self.readonly = readonly
        self.unusable = ""
        self.lock = threading.RLock()
        self.reading = _Reading(self)
        self.stating = _Stating(self)
        self.writing = _Writing(self)

    def close(self) -> None:
        with self.lock:
            self.unusable = self.unusable or "is closed"
            self.database.close()

    def require_usable(self) -> None:
        if self.unusable:
            raise LogError(f"the event log {self.path} {self.unusable}")

    def require_writable(self) -> None:
        if self.unusable:
            self.require_usable()
        if self.readonly:
            raise LogError(f"the event log {self.path} was opened for reading only")

    def require_own_shape(self) -> None:
        """Raises DamagedFile where the file does not have the tables and triggers of a log of ours, and only those."""
        with self.reading:
            if odd := strange(self.database, LOG):
                raise DamagedFile(f"the event log {self.path} does not have the shape of a log of ours: {odd}")

    def require_sound(self) -> None:
        """Read all of the live file. Raises DamagedFile where it is no longer what SQLite wrote."""
        with self.reading:
            (found,) = self.database.conn.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise DamagedFile(f"the event log {self.path}: {found}; {LOG.mending}")

    def start_over(self) -> None:
        """Move what stands in the write-ahead log to the file, and let it begin anew, empty."""
        with self.reading:
            # Not as long as others wait: who replicates the log holds its write-ahead log open at all times.
            self.database.conn.execute(f"PRAGMA busy_timeout = {_TRY_FOR}")
            try:
                self.database.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                self.database.conn.execute(f"PRAGMA busy_timeout = {WAIT * 1000:.0f}")

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    def head(self) -> Head:
        with self.reading:
            seq, hash = tables.head(self.database) or (0, GENESIS)
        if not (isinstance(seq, int) and isinstance(hash, bytes)):
            raise DamagedFile(f"the event log {self.path}: event {seq} has no hash; the file is damaged")
        return Head(seq, hash.hex())

    def hash_at(self, seq: int) -> bytes:
        """The hash of one event, b"" where there is none."""
        found = self.page(Slice(after=seq - 1, until=seq))
        return bytes(found[0][-1]) if found else b""

    def page(self, wanted: Slice) -> list[Stored]:
        """The first of these events, oldest first; some of them at least, if there are any."""
        while wanted.after < wanted.until:
            with self._snapshot():
                segment = segments.after(self.database, wanted.after)
                if segment is None:
                    return tables.page(self.database, wanted)
            with self._opened(segment) as reader:
                if found := reader.page(wanted):
                    return found
            wanted = replace(wanted, after=segment.last)
        return []

    def rows(self) -> Iterator[Row]:
        """Every event as it is stored, oldest first."""
        seq = 0
        while found := self._rows(seq):
            yield from found
            seq = found[-1].seq

    def _rows(self, after: int) -> list[Row]:
        with self._snapshot():
            segment = segments.after(self.database, after)
            if segment is None:
                return tables.rows(self.database, after)
        with self._opened(segment) as reader:
            return reader.rows(after)

    def mentioning(self, subject: str, after: int) -> list[int]:
        """Seqs of the events that are about that subject, oldest first."""
        with self._snapshot():
            sealed = [segment for segment in segments.every(self.database) if segment.last > after]
            live = tables.mentioning(self.database, subject, after)
        old: list[int] = []
        for segment in sealed:
            with self._opened(segment) as reader:
                old += [seq for seq in reader.mentioning(subject) if seq > after]
        return old + live

    def index(self, *, least: int) -> None:
        """Bring the index of what events mention up to date, where that many events are not in it yet."""
        if self.readonly or self.head().seq - self.indexed() < least:
            return
        with suppress(LogError), self.writing:  # what is not in the index is found by reading it
            tables.index_news(self.database)

    def indexed(self) -> int:
        with self.reading:
            return max(tables.indexed(self.database), segments.sealed(self.database))

    def by_key(self, key: str) -> Recorded | None:
        """The event that was recorded under this key, sealed or not. Within `writing`."""
        if found := tables.by_id(self.database, key):
            return found
        seq = segments.sealed_seq(self.database, key)
        found_there = self.page(Slice(after=seq - 1, until=seq)) if seq else []
        return tables.to_recorded(found_there[0]) if found_there else None

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """What is asked within belongs together: another process may seal events at any moment."""
        with self.reading:
            if not self.readonly:  # the only one who seals is asking
                yield
                return
            self.database.conn.execute("BEGIN")
            try:
                yield
            finally:
                self.database.conn.execute("ROLLBACK")

    @contextmanager
    def _opened(self, segment: Segment) -> Iterator[SegmentReader]:
        """The segment, or the file that took its place since it was asked for."""
        if not (segments.directory(self.path) / segment.file).exists():
            with self.reading:
                segment = segments.after(self.database, segment.first - 1) or segment
        with segment_file.opened(segments.directory(self.path), segment) as reader:
            yield reader


class _Reading:
    """While this lasts, the connection is ours; it may be entered again within itself."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = storage.lock
        self._explained = explained(LOG, storage.path)

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self._end(kind, error, trace)
        finally:
            self._lock.release()

    def _begin(self) -> None:
        self._storage.require_usable()

    def _end(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._explained.__exit__(kind, error, trace)


class _Stating(_Reading):
    """The same, to execute statements that write: each is a transaction of its own, whole or not at all."""

    def _begin(self) -> None:
        self._storage.require_writable()

    def _end(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        try:
            super()._end(kind, error, trace)
        except DiskFault:
            # After a failed flush the system forgets what did not reach the disk: a second try would lie.
            self._storage.unusable = "met a disk error; check the disk, then start again"
            raise


class _Writing(_Stating):
    """The same, as one transaction that is committed at the end, or undone by an error."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self._transaction = immediately(storage.database)

    def _begin(self) -> None:
        super()._begin()
        with self._explained:
            self._transaction.__enter__()

    def _end(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self._transaction.__exit__(kind, error, trace)
        except DatabaseFault as fault:
            kind, error = type(fault), fault
        super()._end(kind, error, trace)
