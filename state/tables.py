"""The log's tables and the statements over them: the events, and what is derived from them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from state.chain import Row
from state.codec import WAYPOST, Redacted
from state.database import Database, Format, run_script
from state.errors import LogError, MalformedEvent
from state.events import Event, PayloadRedacted
from state.mentions import mentions
from state.record import Cursor, Recorded

PAGE = 1_000
"""Rows read at once: no cursor stays open while the reader works, or it would hold up the writer."""

LAST = 2**63 - 1
"""Later than any event."""

_EVENTS = """
CREATE TABLE events (
    seq          INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    at           TEXT    NOT NULL,
    stream       TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    type         TEXT    NOT NULL,
    schema       INTEGER NOT NULL,
    actor        TEXT    NOT NULL,
    request_id   TEXT    NOT NULL,
    data         TEXT,
    salt         BLOB,
    payload_hash BLOB    NOT NULL,
    prev_hash    BLOB    NOT NULL,
    hash         BLOB    NOT NULL,
    UNIQUE (stream, version)
);
CREATE TABLE cursors (
    source TEXT PRIMARY KEY,
    outbox TEXT    NOT NULL,
    row    INTEGER NOT NULL,
    id     TEXT    NOT NULL
) WITHOUT ROWID;
"""

_APPEND_ONLY = f"""
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
WHEN NEW.data IS NOT NULL OR NEW.salt IS NOT NULL OR {
    " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in Row._fields if name not in ("data", "salt"))
}
BEGIN SELECT RAISE(ABORT, 'events are never changed, a payload can only be blanked'); END;
"""

_DERIVED = """
DROP TABLE IF EXISTS mentions;
DROP TABLE IF EXISTS indexed;
DROP TABLE IF EXISTS shapes;
DROP TABLE IF EXISTS checkpoints;
CREATE TABLE mentions (subject TEXT, seq INTEGER, PRIMARY KEY (subject, seq)) WITHOUT ROWID;
CREATE TABLE indexed (seq INTEGER NOT NULL);
INSERT INTO indexed VALUES (0);
CREATE TABLE shapes (type TEXT, schema INTEGER, PRIMARY KEY (type, schema)) WITHOUT ROWID;
CREATE TABLE checkpoints (
    view    TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    hash    BLOB    NOT NULL,
    state   BLOB    NOT NULL
);
"""

_RECORDED = "seq, id, at, stream, version, type, schema, actor, request_id, data, hash"
_ROW = ", ".join(Row._fields)
_INSERT = f"INSERT INTO events ({_ROW}) VALUES ({', '.join('?' * len(Row._fields))})"


def create(database: Database) -> None:
    """The log alone, empty."""
    run_script(database, _EVENTS + _APPEND_ONLY)


def derive(database: Database) -> None:
    """Make what is derived from the events anew: which event mentions what, and which shapes are in use.

    Views start empty: the next look at one folds it again.
    """
    run_script(database, _DERIVED)
    index_news(database)
    database.conn.execute("INSERT INTO shapes SELECT DISTINCT type, schema FROM events")


def leave(database: Database) -> None:
    """A step whose work a later one does whole."""


LOG = Format(
    name="event log",
    application_id=0x57504C47,
    steps=(create, leave, derive),
    mending="`waypost log verify` says where; if you keep copies of it, put the newest sound one in its place",
)
"""Format 1 is the log alone; 2 added what is derived from it; 3 keeps how far the index of mentions reaches."""


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def insert(database: Database, rows: Iterable[Row]) -> None:
    database.conn.executemany(_INSERT, rows)


def index_news(database: Database) -> None:
    """Let history find the events that came since the last time under everything they are about."""
    for some in pages(lambda wanted: page(database, wanted), Slice(after=indexed(database))):
        found = [(subject, recorded.seq) for recorded in some for subject in subjects(recorded)]
        database.conn.executemany("INSERT OR IGNORE INTO mentions (subject, seq) VALUES (?, ?)", found)
        database.conn.execute("UPDATE indexed SET seq = ?", [some[-1].seq])


def blank(database: Database, recorded: Recorded) -> None:
    """Wipe the payload of one event, and everything that was derived from it."""
    database.conn.execute("UPDATE events SET data = NULL, salt = NULL WHERE seq = ?", [recorded.seq])
    database.conn.executemany(
        "DELETE FROM mentions WHERE subject = ? AND seq = ?",
        [(subject, recorded.seq) for subject in subjects(recorded)],
    )
    database.conn.execute("DELETE FROM checkpoints")


def subjects(recorded: Recorded) -> frozenset[str]:
    """What an event is found under: all it mentions, and the request it came with."""
    found = mentions(recorded.event)
    return found | {f"request:{recorded.request_id}"} if recorded.request_id else found


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def head(database: Database) -> tuple[int, bytes] | None:
    """Seq and hash of the last event, None in an empty log."""
    found: tuple[int, bytes] | None = database.conn.execute(
        "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return found


def version(database: Database, stream: str) -> int:
    """How many events that stream holds."""
    (found,) = database.conn.execute("SELECT max(version) FROM events WHERE stream = ?", [stream]).fetchone()
    return found or 0


def by_id(database: Database, id: str) -> Recorded | None:
    found = database.conn.execute(f"SELECT {_RECORDED} FROM events WHERE id = ?", [id]).fetchone()
    return None if found is None else to_recorded(found)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Which events to read: after < seq ≤ until; of one stream, of some types (all where none is named)."""

    after: int = 0
    until: int = LAST
    stream: str | None = None
    types: tuple[str, ...] = ()
    version: int = 0  # of the last event read, within the stream

    def beyond(self, last: Recorded) -> Slice:
        """What is left after that event."""
        return replace(self, after=last.seq, version=last.version)


def page(database: Database, wanted: Slice) -> list[Recorded]:
    """The first of these events, oldest first, at most PAGE."""
    condition = "seq > ? AND seq <= ?"
    parameters: list[int | str] = [wanted.after, wanted.until]
    order = "seq"
    if wanted.stream is not None:
        # Led by the stream's own index: a walk along seq would pass every event of all others.
        condition = "stream = ? AND version > ? AND +seq > ? AND +seq <= ?"
        parameters = [wanted.stream, wanted.version, wanted.after, wanted.until]
        order = "version"
    if wanted.types:
        condition += f" AND type IN ({', '.join('?' * len(wanted.types))})"
    query = f"SELECT {_RECORDED} FROM events WHERE {condition} ORDER BY {order} LIMIT {PAGE}"
    return [to_recorded(found) for found in database.conn.execute(query, [*parameters, *wanted.types])]


def indexed(database: Database) -> int:
    """Seq of the last event that is in the index."""
    (seq,) = database.conn.execute("SELECT seq FROM indexed").fetchone()
    return int(seq)


def mentioning(database: Database, subject: str, after: int) -> list[int]:
    """Seqs of the events that are about that subject, oldest first."""
    last = indexed(database)  # asked first: events may come into the index meanwhile, and none leaves it
    query = "SELECT seq FROM mentions WHERE subject = ? AND seq > ? AND seq <= ? ORDER BY seq"
    found = [seq for (seq,) in database.conn.execute(query, [subject, after, last])]
    news = walk(lambda wanted: page(database, wanted), Slice(after=max(after, last)))
    return found + [recorded.seq for recorded in news if subject in subjects(recorded)]


def pages(fetch: Callable[[Slice], list[Recorded]], wanted: Slice) -> Iterator[list[Recorded]]:
    """All of these events, page by page; each is fetched when its turn comes."""
    while found := fetch(wanted):
        yield found
        if len(found) < PAGE:
            return
        wanted = wanted.beyond(found[-1])


def walk(fetch: Callable[[Slice], list[Recorded]], wanted: Slice) -> Iterator[Recorded]:
    """All of these events, one by one."""
    return chain.from_iterable(pages(fetch, wanted))


def rows(database: Database, after: int) -> list[Row]:
    """The next rows as they are stored, at most PAGE."""
    query = f"SELECT {_ROW} FROM events WHERE seq > ? ORDER BY seq LIMIT {PAGE}"
    return [Row._make(found) for found in database.conn.execute(query, [after])]


def recorded(row: Row, at: datetime, event: Event) -> Recorded:
    """What comes of a row that was just sealed."""
    return Recorded(
        seq=row.seq,
        id=row.id,
        at=at,
        stream=row.stream,
        version=row.version,
        type=row.type,
        schema=row.schema,
        actor=row.actor,
        request_id=row.request_id,
        event=event,
        hash=row.hash.hex(),
    )


def to_recorded(found: tuple[Any, ...]) -> Recorded:
    seq, id, at, stream, version, type, schema, actor, request_id, data, hash = found
    try:
        event = Redacted(type=type) if data is None else WAYPOST.decode(type, schema, data)
        at = datetime.fromisoformat(at)
        return Recorded(seq, id, at, stream, version, type, schema, actor, request_id, event, hash.hex())
    except (MalformedEvent, ValueError, TypeError, AttributeError) as fault:
        raise MalformedEvent(f"event {seq} cannot be read ({fault}); run `waypost log verify`") from fault


def redacted(database: Database) -> frozenset[int]:
    """Seqs of the events whose payload was blanked, as the log itself tells."""
    found = set()
    for (data,) in database.conn.execute("SELECT data FROM events WHERE type = ?", [PayloadRedacted.__name__]):
        with contextlib.suppress(LogError, TypeError):  # whatever is wrong with that event, the chain will tell
            event = WAYPOST.decode(PayloadRedacted.__name__, PayloadRedacted.schema, data)
            found.add(getattr(event, "seq", 0))
    return frozenset(found)


def shapes(database: Database) -> set[tuple[str, int]]:
    """Type and schema of every kind of event that was ever recorded."""
    return set(database.conn.execute("SELECT type, schema FROM shapes"))


def note_shapes(database: Database, new: Iterable[tuple[str, int]]) -> None:
    database.conn.executemany("INSERT OR IGNORE INTO shapes (type, schema) VALUES (?, ?)", new)


# ── checkpoints and cursors ──────────────────────────────────────────────────────────────────────


class Checkpoint(NamedTuple):
    """A view as it was put away: its own version, the event it reaches to, that event's hash, the state."""

    view: str
    version: int
    seq: int
    hash: bytes
    state: bytes


def checkpoint(database: Database, view: str) -> Checkpoint | None:
    """The view as it was put away, None where it never was or where the log no longer holds what it was made of."""
    query = """SELECT view, checkpoints.version, seq, checkpoints.hash, state
        FROM checkpoints JOIN events USING (seq) WHERE view = ? AND checkpoints.hash = events.hash"""
    found = database.conn.execute(query, [view]).fetchone()
    return None if found is None else Checkpoint._make(found)


def put_away(database: Database, view: str, version: int, seq: int, state: bytes) -> None:
    query = "INSERT OR REPLACE INTO checkpoints SELECT ?, ?, seq, hash, ? FROM events WHERE seq = ?"
    database.conn.execute(query, [view, version, state, seq])


def cursor(database: Database, source: str) -> Cursor | None:
    query = "SELECT source, outbox, row, id FROM cursors WHERE source = ?"
    found = database.conn.execute(query, [source]).fetchone()
    return None if found is None else Cursor(*found)


def move_cursor(database: Database, to: Cursor) -> None:
    query = "INSERT OR REPLACE INTO cursors (source, outbox, row, id) VALUES (?, ?, ?, ?)"
    database.conn.execute(query, [to.source, to.outbox, to.row, to.id])
