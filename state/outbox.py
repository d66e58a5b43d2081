"""Outboxes: what the gateway and people have to say, durable at once, until the log takes it in."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from state.codec import WAYPOST
from state.database import Database, explained, immediately, open_database, reserve
from state.errors import DamagedFile, MalformedEvent
from state.events import Event
from state.intake import REFUSALS, Intake, drain, ingest, look, refusal
from state.outbox_file import (
    FORMAT,
    GATEWAY_EVENTS,
    INSERT,
    PEOPLE_EVENTS,
    OutboxRow,
    RawRow,
    believed,
    fetch,
    intact,
)
from state.record import Entry

__all__ = [
    "GATEWAY_EVENTS",
    "PEOPLE_EVENTS",
    "REFUSALS",
    "Intake",
    "Outbox",
    "OutboxRow",
    "drain",
    "ingest",
    "look",
    "refusal",
]

_RESERVED = 1_000
"""Pages of the write-ahead log of who puts often: 4 MiB."""


def _mode(directory: Path) -> int:
    # Whoever reads a SQLite file may leave side files there; where the group may write the directory, the other
    # account's side files must be writable too, or the next writer could not open its own outbox.
    try:
        return 0o660 if directory.stat().st_mode & 0o020 else 0o640
    except OSError:
        return 0o640  # opening says in words what is wrong with the directory


class Outbox:
    """An append-only file of events that wait for the log. Safe to use from several threads and processes.

    Every method raises LogError where the file cannot be read or written.
    """

    def __init__(self, path: Path, database: Database, now: Callable[[], datetime], chance: Callable[[int], bytes]):
        """Use `open`."""
        self._path = path
        self._database = database
        self._now = now
        self._chance = chance
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        path: Path,
        now: Callable[[], datetime],
        *,
        chance: Callable[[int], bytes] = os.urandom,
        create: bool = False,
        readonly: bool = False,
    ) -> Self:
        """Open the outbox at `path`; `readonly` works while another process writes.

        Raises DamagedFile where it is no longer what was written, LogError for all else that hinders.
        """
        # The group may read: the reconciler takes in what another account wrote.
        opened = open_database(path, FORMAT, create=create, readonly=readonly, mode=_mode(path.parent))
        outbox = cls(path, opened.database, now, chance)
        try:
            if not readonly:
                outbox._require_intact()
                outbox._name_once()
        except BaseException:
            outbox.close()
            raise
        return outbox

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def reserve(self) -> None:
        """For who puts often: takes some MiB of disk now, and a third off the time of what is put later."""
        with self._using():
            reserve(self._database, self._path, _RESERVED)

    def put(self, event: Event, *, stream: str, actor: str, request_id: str = "", id: str = "") -> str:
        """Keep one event, durably, and answer with its id. The same id again changes nothing."""
        entry = Entry(stream=stream, event=event, actor=actor, request_id=request_id, key=id)
        return self.put_all([entry])[0]

    def put_all(self, entries: Sequence[Entry]) -> list[str]:
        """Keep all of these, or none, durably; the answer is their ids (an entry's key, where it has one).

        What could not be taken into the log later is refused now, with a LogError.
        """
        rows = [self._row(entry) for entry in entries]
        for row in rows:
            _require_believed(row, "this event cannot be kept")
        with self._using(), immediately(self._database):
            self._database.conn.executemany(INSERT, [row[1:] for row in rows])
        return [row.id for row in rows]

    def _row(self, entry: Entry) -> RawRow:
        type_name, schema, data = WAYPOST.encode(entry.event)
        return RawRow(
            row=0,
            id=entry.key or self._chance(16).hex(),
            at=self._now().astimezone(UTC).isoformat(timespec="microseconds"),
            stream=entry.stream,
            actor=entry.actor,
            request_id=entry.request_id,
            type=type_name,
            schema=schema,
            data=data.decode(),
        )

    def read(self, after_row: int = 0) -> Iterator[OutboxRow]:
        """The rows after that one, oldest first. Raises MalformedEvent where a row holds no event."""
        while found := self._page(after_row):
            for raw in found:
                yield _require_believed(raw, f"outbox {self._path}, row {raw.row}")
            after_row = found[-1].row

    def _page(self, after_row: int) -> list[RawRow]:
        with self._using():
            return fetch(self._database, after_row)

    def count(self) -> int:
        """How many rows there are, taken in or not."""
        with self._using():
            (found,) = self._database.conn.execute("SELECT count(*) FROM outbox").fetchone()
        return int(found)

    def require_sound(self) -> None:
        """Read all of the file. Raises DamagedFile where it is no longer what SQLite wrote."""
        with self._using():
            (found,) = self._database.conn.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise DamagedFile(f"outbox {self._path}: {found}; {FORMAT.mending}")

    def _require_intact(self) -> None:
        with self._using():
            if not intact(self._database):
                raise DamagedFile(f"{self._path} does not have the tables of an outbox; {FORMAT.mending}")

    def _name_once(self) -> None:
        """Give the file an identity of its own, so that another file in its place is noticed."""
        with self._using(), immediately(self._database):
            self._database.conn.execute(
                "INSERT INTO identity SELECT ? WHERE NOT EXISTS (SELECT 1 FROM identity)", [self._chance(16).hex()]
            )

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        with self._lock, explained(FORMAT, self._path):
            yield


def _require_believed(raw: RawRow, place: str) -> OutboxRow:
    try:
        return believed(raw)
    except MalformedEvent as fault:
        raise MalformedEvent(f"{place}: {fault}") from fault
