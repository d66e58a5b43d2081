"""Taking an outbox into the log: exactly once, and trusting nothing that its writer may have done to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from state.database import explained, open_database
from state.errors import EmptyFile, LogError, MalformedEvent, NewerLogError
from state.events import Event, IntakeRefused
from state.model import digest
from state.outbox_file import FORMAT, LONGEST_NAME, PAGE, RawRow, believed, fetch, intact
from state.record import Cursor, Entry, Head, Recorded

MOST = 10_000
"""Rows looked at in one `drain`: whoever fills an outbox cannot keep the reconciler from its work."""

MOST_REASONS = 20
"""Refusals that are told in words; the others are only counted."""


REFUSALS = "intake"
"""The stream where it is recorded what was not taken in."""


class Log(Protocol):
    """What taking an outbox in needs of the log. (A gateway knows outboxes and must not know the log.)"""

    def append(self, entries: Sequence[Entry], *, cursor: Cursor | None = None) -> list[Recorded]: ...

    def cursor(self, source: str) -> Cursor | None: ...

    def head(self) -> Head: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Intake:
    """What came of taking an outbox in.

    `taken`: events that are in the log now and were not before. `refused`: rows passed over, `reasons` the first
    few in words. `problem`: why reading stopped early, "" where it did not; the rows behind it are not lost.
    `passing`: that problem may be gone the next time, by itself. `restarted`: the outbox is not the one that was
    read before, so it was read from its beginning.
    """

    taken: int = 0
    refused: int = 0
    reasons: tuple[str, ...] = ()
    problem: str = ""
    passing: bool = False
    restarted: bool = False


def ingest(log: Log, outbox_path: Path, *, source: str, allowed: frozenset[type[Event]]) -> int:
    """Take what is new in an outbox into the log, exactly once; the answer is how many events that were."""
    return drain(log, outbox_path, source=source, allowed=allowed).taken


def drain(log: Log, outbox_path: Path, *, source: str, allowed: frozenset[type[Event]]) -> Intake:
    """Like `ingest`, and tells what was refused. Whatever its writer did to it, an outbox never raises.

    What is refused is recorded in the transaction that reads past it: it will not be seen again. Actors and ids
    are prefixed with `source`. Raises LogError only where the log itself cannot be written.
    """
    return _read(outbox_path, log.cursor(source), source, allowed, partial(_record, log))


def look(log: Log, outbox_path: Path, *, source: str, allowed: frozenset[type[Event]]) -> Intake:
    """What `drain` would come to, with nothing recorded: `taken` counts what waits."""
    return _read(outbox_path, log.cursor(source), source, allowed, lambda _, sifted: len(sifted.entries))


def refusal(source: str, what: str, reason: str, part: str) -> Entry:
    """What was not taken in, for the log. The same reason is news once for each part (an outbox, a proposal)."""
    event = IntakeRefused(source=source, what=what, reason=reason)
    return Entry(stream=REFUSALS, event=event, key=f"refused:{source}:{part}:{digest(reason)[:16]}")


def _read(
    outbox_path: Path,
    known: Cursor | None,
    source: str,
    allowed: frozenset[type[Event]],
    record: Callable[[Intake, _Sifted], int],
) -> Intake:
    if not _is_there(outbox_path):
        return Intake()  # nothing was ever said
    try:
        reader = _Reader(outbox_path)
    except LogError as problem:
        if isinstance(problem, EmptyFile) and known is None:
            return Intake()  # its writer is just making it: nothing was said yet
        return Intake(problem=str(problem), passing=problem.retry)
    try:
        return _take(reader, known or Cursor(source, "", 0, ""), allowed, record)
    finally:
        reader.close()


def _is_there(path: Path) -> bool:
    """False only where there surely is nothing: what may not be looked at is a problem, and told as one."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _take(
    reader: _Reader, known: Cursor, allowed: frozenset[type[Event]], record: Callable[[Intake, _Sifted], int]
) -> Intake:
    intake = Intake()
    try:
        cursor = reader.resume(known)
        intake = Intake(restarted=known.row > 0 and cursor != known)
        for page in range(MOST // PAGE):
            found = reader.page(cursor.row)
            is_news = found or (intake.restarted and page == 0)  # another outbox is, empty as it may be
            if intake.problem or not is_news:
                break
            sifted = _sift(found, cursor, allowed)
            intake = _sum(intake, sifted, record(intake, sifted))
            cursor = sifted.cursor
    except _OutboxFault as fault:
        return replace(intake, problem=str(fault), passing=fault.retry)
    return intake


@dataclass(frozen=True, slots=True)
class _Sifted:
    """A page of an outbox: what may be recorded, what may not, and how far the page was read."""

    entries: list[Entry]
    refusals: list[tuple[str, str]]  # which row, and why
    cursor: Cursor
    problem: str


def _sift(found: Sequence[RawRow], cursor: Cursor, allowed: frozenset[type[Event]]) -> _Sifted:
    entries: list[Entry] = []
    refusals: list[tuple[str, str]] = []
    for raw in found:
        try:
            entries.append(_entry(raw, cursor.source, allowed))
        except NewerLogError as newer:
            return _Sifted(entries, refusals, cursor, str(newer))
        except MalformedEvent as fault:
            refusals.append((f"row {raw.row}", str(fault)))
        cursor = replace(cursor, row=raw.row, id=str(raw.id))
    return _Sifted(entries, refusals, cursor, "")


def _entry(raw: RawRow, source: str, allowed: frozenset[type[Event]]) -> Entry:
    if raw.type not in {event.__name__ for event in allowed}:
        raise MalformedEvent(f"a {source} may not say {raw.type!r:.60}")
    said = believed(raw)
    return Entry(
        stream=said.stream,
        event=said.event,
        actor=f"{source}:{said.actor}",
        request_id=said.request_id,
        key=f"{source}:{said.id}",
    )


def _record(log: Log, before: Intake, sifted: _Sifted) -> int:
    """Record a page, what is refused of it, and how far it was read, all at once: how many events that were."""
    head, refused = log.head().seq, list(_refused(before, sifted))
    recorded = log.append([*sifted.entries, *refused], cursor=sifted.cursor)
    return sum(one.seq > head for one in recorded[: len(sifted.entries)])


def _refused(before: Intake, sifted: _Sifted) -> Iterator[Entry]:
    """What to tell of this page, after what was told already."""
    say = partial(refusal, sifted.cursor.source, part=sifted.cursor.outbox)
    if before.restarted:
        yield say("outbox", "this is not the file that was read before; what only that one held is not here")
    room = MOST_REASONS - len(before.reasons)
    for row, reason in sifted.refusals[:room]:
        yield say(row, reason)
    if len(sifted.refusals) > room:
        yield say("further rows", "they are refused like these")


def _sum(intake: Intake, sifted: _Sifted, taken: int) -> Intake:
    return replace(
        intake,
        taken=intake.taken + taken,
        refused=intake.refused + len(sifted.refusals),
        reasons=(*intake.reasons, *(f"{row}: {reason}" for row, reason in sifted.refusals))[:MOST_REASONS],
        problem=sifted.problem,
    )


class _OutboxFault(LogError):
    """The outbox could not be read; the log is not at fault."""


class _Reader:
    """An outbox in the hands of a reader who trusts nothing in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = open_database(path, FORMAT, create=False, readonly=True).database
        # Text that is no UTF-8 is one bad row, not a page that can never be read.
        self._database.conn.text_factory = lambda text: text.decode(errors="replace")

    def close(self) -> None:
        self._database.close()

    def page(self, after_row: int) -> list[RawRow]:
        with self._outbox_at_fault():
            return fetch(self._database, after_row)

    def resume(self, cursor: Cursor) -> Cursor:
        """Where to go on: at the beginning, where this is not the outbox that was read before.

        Reading again what was recorded is harmless: its ids are known.
        """
        with self._outbox_at_fault():
            identity = self._identity()
            if cursor.outbox == identity and self._id_at(cursor.row) == cursor.id:
                return cursor
        return Cursor(cursor.source, identity, 0, "")

    def _identity(self) -> str:
        if not intact(self._database):
            raise _OutboxFault(f"{self._path} does not have the tables of an outbox")
        found = self._database.conn.execute("SELECT id FROM identity LIMIT 1").fetchone()
        return str(found[0])[:LONGEST_NAME] if found else ""

    def _id_at(self, row: int) -> str:
        query = f"SELECT substr(id, 1, {LONGEST_NAME + 1}) FROM outbox WHERE row = ?"
        found = self._database.conn.execute(query, [row]).fetchone()
        return str(found[0]) if found else ""

    @contextlib.contextmanager
    def _outbox_at_fault(self) -> Iterator[None]:
        try:
            with explained(FORMAT, self._path):
                yield
        except LogError as fault:
            raise _OutboxFault(str(fault), retry=fault.retry) from fault
