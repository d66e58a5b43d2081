"""The log's tables and the statements over them: the events that are not sealed yet, and what is derived from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from state.chain import Row
from state.codec import WAYPOST, Redacted
from state.database import Conflict, Database, Format, pragma, run_script
from state.errors import LogError, MalformedEvent
from state.events import Event
from state.mentions import mentions
from state.record import Brief, Cursor, Occasion, Recorded

PAGE = 250
"""Rows read at once: no cursor stays open while the reader works, or it would hold up the writer.
So few that they are still in the processor's cache when their turn comes: a thousand at once take a tenth longer."""

BLOCK = 1_000
"""Whole rows read at once: as many are compressed together where they are sealed."""

CHUNK = 250
"""Events that come into the index of mentions at once, as one row of it."""

READS = 10_000
"""Calls that are forgotten in one transaction: others want to append meanwhile."""

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

_NEVER_CHANGED = f"""
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
WHEN NEW.data IS NOT NULL OR NEW.salt IS NOT NULL OR {
    " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in Row._fields if name not in ("data", "salt"))
}
BEGIN SELECT RAISE(ABORT, 'events are never changed, a payload can only be blanked'); END;
"""

_SEALED = """
CREATE TABLE segments (
    first     INTEGER PRIMARY KEY,
    last      INTEGER NOT NULL UNIQUE,
    file      TEXT    NOT NULL,
    prev_hash BLOB    NOT NULL,
    hash      BLOB    NOT NULL
);
CREATE TABLE sealed_streams (stream TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sealed_keys (mark BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE replaced (file TEXT PRIMARY KEY) WITHOUT ROWID;
DROP TRIGGER IF EXISTS events_are_never_deleted;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
WHEN OLD.seq > (SELECT coalesce(max(last), 0) FROM segments)
BEGIN SELECT RAISE(ABORT, 'events are never deleted before they are sealed'); END;
"""

_DERIVED = """
DROP TABLE IF EXISTS mentions;
DROP TABLE IF EXISTS indexed;
DROP TABLE IF EXISTS shapes;
DROP TABLE IF EXISTS checkpoints;
CREATE TABLE mentions (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, subjects BLOB NOT NULL);
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
_BRIEF = "seq, at, type, schema, actor, request_id, data"
_ROW = ", ".join(Row._fields)
_INSERT = f"INSERT INTO events ({_ROW}) VALUES ({', '.join('?' * len(Row._fields))})"

_decode, _moment = WAYPOST.decode, datetime.fromisoformat  # looked up once, not for each of millions
_plain = tuple.__new__  # a named tuple's own way to be made, which looks at names, takes twice as long

Stored = tuple[Any, ...]
"""The columns of an event that a reader wants: all but salt, payload_hash and prev_hash; or in brief."""


def create(database: Database) -> None:
    """The log alone, empty."""
    run_script(database, _EVENTS + _NEVER_CHANGED)


def derive(database: Database) -> None:
    """Make what is derived from the events anew: which event mentions what, and which shapes are in use.

    Views start empty: the next look at one folds it again.
    """
    run_script(database, _DERIVED)
    index_news(database)
    note_shapes(database, database.conn.execute("SELECT DISTINCT type, schema FROM events"))


def _make_sealable(database: Database) -> None:
    run_script(database, _SEALED)
    derive(database)


def _leave(database: Database) -> None:
    """A step whose work a later one does whole."""


LOG = Format(
    name="event log",
    application_id=0x57504C47,
    steps=(create, _leave, _leave, _make_sealable),
    mending="`waypost log verify` says where; put the newest good backup in its place (`waypost restore`)",
)
"""Format 1 is the log alone, 2 and 3 added what is derived from it; 4 lets old events leave it, sealed."""


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


class Overtaken(LogError):
    """Somebody else appended since the caller looked at the head; nothing was written."""


def insert(database: Database, rows: Sequence[Row]) -> None:
    """Raises Overtaken where the first of these rows has no place behind the head."""
    try:
        if len(rows) == 1:
            database.conn.execute(_INSERT, rows[0])
        else:
            database.conn.executemany(_INSERT, rows)
    except Conflict as conflict:
        raise Overtaken("another program wrote the event log meanwhile; try again", retry=True) from conflict


def index(database: Database, some: Sequence[Recorded]) -> None:
    """Let history find these events, each of which follows the one before, under everything they are about."""
    found: dict[str, list[int]] = {}
    for recorded in some:
        for subject in subjects(recorded):
            found.setdefault(subject, []).append(recorded.seq)
    row = (some[0].seq, some[-1].seq, orjson.dumps(found))
    database.conn.execute("INSERT INTO mentions (first, last, subjects) VALUES (?, ?, ?)", row)


def index_news(database: Database) -> None:
    """The same for all events that came since the last time."""
    for some in pages(lambda wanted: page(database, wanted), Slice(after=indexed(database))):
        records = [to_recorded(stored) for stored in some]
        for start in range(0, len(records), CHUNK):
            index(database, records[start : start + CHUNK])


def blank(database: Database, recorded: Recorded) -> None:
    """Wipe the payload of one event, and everything that was derived from it."""
    database.conn.execute("UPDATE events SET data = NULL, salt = NULL WHERE seq = ?", [recorded.seq])
    query = "SELECT first, subjects FROM mentions WHERE first <= ? AND last >= ?"
    for first, known in database.conn.execute(query, [recorded.seq, recorded.seq]).fetchall():
        left = {subject: [seq for seq in seqs if seq != recorded.seq] for subject, seqs in orjson.loads(known).items()}
        changed = orjson.dumps({subject: seqs for subject, seqs in left.items() if seqs})
        database.conn.execute("UPDATE mentions SET subjects = ? WHERE first = ?", [changed, first])
    database.conn.execute("DELETE FROM checkpoints")


def reads(database: Database, through: int) -> list[int]:
    """Seqs, oldest first, of the oldest tool calls up to that event of which nothing came; at most READS."""
    query = f"""SELECT seq FROM events
        WHERE seq <= ? AND type = 'ToolCalled' AND data IS NOT NULL AND json_extract(data, '$.outcome') = 'ok'
        AND request_id <> '' AND request_id NOT IN (SELECT request_id FROM events WHERE type <> 'ToolCalled')
        ORDER BY seq LIMIT {READS}"""
    return [seq for (seq,) in database.conn.execute(query, [through])]


def forget(database: Database, seqs: Iterable[int]) -> None:
    """Blank these payloads; nothing was derived from them."""
    blanked = "UPDATE events SET data = NULL, salt = NULL WHERE seq = ?"
    database.conn.executemany(blanked, [(seq,) for seq in seqs])


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
    """How many events that stream holds, the sealed ones included."""
    query = """SELECT coalesce(
        (SELECT max(version) FROM events WHERE stream = ?), (SELECT version FROM sealed_streams WHERE stream = ?), 0
    )"""
    (found,) = database.conn.execute(query, [stream, stream]).fetchone()
    return int(found)


def older_than(database: Database, moment: str) -> int:
    """Seq of the last event before the first one that was recorded at that moment or later."""
    query = "SELECT seq FROM events WHERE at >= ? ORDER BY seq LIMIT 1"
    found = database.conn.execute(query, [moment]).fetchone()
    return int(found[0]) - 1 if found else (head(database) or (0, b""))[0]


def is_mostly_free(database: Database) -> bool:
    """Whether most of the file's pages hold nothing."""
    return bool(pragma(database, "freelist_count") * 2 > pragma(database, "page_count"))


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
    brief: bool = False  # only the columns that folding needs

    def beyond(self, last: Stored) -> Slice:
        """What is left after that event."""
        return replace(self, after=last[0], version=0 if self.brief else last[4])


def page(database: Database, wanted: Slice) -> list[Stored]:
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
    columns = _BRIEF if wanted.brief else _RECORDED
    query = f"SELECT {columns} FROM events WHERE {condition} ORDER BY {order} LIMIT {PAGE}"
    return database.conn.execute(query, [*parameters, *wanted.types]).fetchall()


def indexed(database: Database) -> int:
    """Seq of the last event that is in the index, 0 where there is none."""
    (seq,) = database.conn.execute("SELECT coalesce(max(last), 0) FROM mentions").fetchone()
    return int(seq)


def mentioning(database: Database, subject: str, after: int) -> list[int]:
    """Seqs of the events that are about that subject, oldest first."""
    last = indexed(database)  # asked first: events may come into the index meanwhile, and none leaves it
    found: list[int] = []
    query = "SELECT subjects FROM mentions WHERE last > ? AND first <= ? AND instr(subjects, ?) ORDER BY first"
    for (known,) in database.conn.execute(query, [after, last, orjson.dumps(subject) + b":"]).fetchall():
        found += [seq for seq in orjson.loads(known).get(subject, ()) if seq > after]
    news = walk(lambda wanted: page(database, wanted), Slice(after=max(after, last)))
    return found + [recorded.seq for recorded in news if subject in subjects(recorded)]


def pages(fetch: Callable[[Slice], list[Stored]], wanted: Slice) -> Iterator[list[Stored]]:
    """All of these events, page by page; each is fetched when its turn comes."""
    while found := fetch(wanted):
        yield found
        wanted = wanted.beyond(found[-1])


def walk(fetch: Callable[[Slice], list[Stored]], wanted: Slice) -> Iterator[Recorded]:
    """All of these events, one by one."""
    for found in pages(fetch, wanted):
        for stored in found:
            yield to_recorded(stored)


def happened(fetch: Callable[[Slice], list[Stored]], wanted: Slice) -> Iterator[tuple[Event, Occasion]]:
    """The same in brief, to be folded. What is redacted says nothing any more."""
    for found in pages(fetch, replace(wanted, brief=True)):
        for seq, at, type, schema, actor, request_id, data in found:
            if data is not None:
                try:
                    yield _decode(type, schema, data), _plain(Brief, (seq, _moment(at), actor, request_id))
                except (MalformedEvent, ValueError, TypeError) as fault:
                    raise _unreadable(seq, fault) from fault


def rows(database: Database, after: int) -> list[Row]:
    """The next rows as they are stored, at most BLOCK."""
    query = f"SELECT {_ROW} FROM events WHERE seq > ? ORDER BY seq LIMIT {BLOCK}"
    return [Row._make(found) for found in database.conn.execute(query, [after])]


def recorded(row: Row, at: datetime, event: Event) -> Recorded:
    """What comes of a row that was just sealed."""
    seq, id, _, stream, version, type, schema, actor, request_id, *_, hash = row
    return _plain(Recorded, (seq, id, at, stream, version, type, schema, actor, request_id, event, hash.hex()))


def to_recorded(stored: Stored) -> Recorded:
    seq, id, at, stream, version, type, schema, actor, request_id, data, hash = stored
    try:
        event = Redacted(type=type) if data is None else _decode(type, schema, data)
        at = _moment(at)
        return Recorded(seq, id, at, stream, version, type, schema, actor, request_id, event, hash.hex())
    except (MalformedEvent, ValueError, TypeError, AttributeError) as fault:
        raise _unreadable(seq, fault) from fault


def _unreadable(seq: int, fault: Exception) -> MalformedEvent:
    return MalformedEvent(f"event {seq} cannot be read ({fault}); run `waypost log verify`")


def shapes(database: Database) -> set[tuple[str, int]]:
    """Type and schema of every kind of event that was ever recorded."""
    return set(database.conn.execute("SELECT type, schema FROM shapes"))


def note_shapes(database: Database, new: Iterable[tuple[str, int]]) -> None:
    database.conn.executemany("INSERT OR IGNORE INTO shapes (type, schema) VALUES (?, ?)", list(new))


# ── checkpoints and cursors ──────────────────────────────────────────────────────────────────────


class Checkpoint(NamedTuple):
    """A view as it was put away: its own version, the event it reaches to, that event's hash, the state."""

    view: str
    version: int
    seq: int
    hash: bytes
    state: bytes


def checkpoint(database: Database, view: str) -> Checkpoint | None:
    """The view as it was put away, None where it never was; whether its event still has that hash is not asked."""
    query = "SELECT view, version, seq, hash, state FROM checkpoints WHERE view = ?"
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
