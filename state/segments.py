"""What the log knows of its sealed segments, and how old events get there: the live log stays small.

Sealing writes the file first and lets go of the rows in one transaction after it, so that a crash leaves either
both or only the rows. A file that was replaced is noted in that transaction and removed later.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import orjson

from state import segment_file, tables
from state.chain import Row
from state.database import Database, explained, flush, open_database
from state.errors import DamagedFile, LogError
from state.segment_file import Segment

_BY_CHANCE = re.compile(r"[0-9a-f]{32}")
"""What the id of an event without a key looks like: nobody will ever ask for it again."""

_COLUMNS = "first, last, file, prev_hash, hash"


_NAME = re.compile(r"[0-9]{12,18}-(?P<last>[0-9]{12,18})-(?P<hash>[0-9a-f]{12})(-[0-9]{1,18})?\.db")

_HASH_AT = "SELECT hash FROM segments WHERE last = ? UNION ALL SELECT hash FROM events WHERE seq = ?"


def directory(log: Path) -> Path:
    """Where the segments of a log are."""
    return log.with_suffix(".segments")


def _named(file: str) -> str:
    """The name of a segment's file, which is never a way to another place."""
    if not _NAME.fullmatch(file):
        raise DamagedFile(f"the event log names a segment that cannot be: {file!r:.80}")
    return file


# ── which there are ──────────────────────────────────────────────────────────────────────────────


def every(database: Database) -> list[Segment]:
    """All segments, oldest first."""
    found = database.conn.execute(f"SELECT {_COLUMNS} FROM segments ORDER BY first").fetchall()
    return [_segment(columns) for columns in found]


def after(database: Database, seq: int) -> Segment | None:
    """The first segment that holds an event after that one."""
    query = f"SELECT {_COLUMNS} FROM segments WHERE last > ? ORDER BY first LIMIT 1"
    found = database.conn.execute(query, [seq]).fetchone()
    return _segment(found) if found else None


def _segment(columns: tuple[int, int, str, bytes, bytes]) -> Segment:
    first, last, file, prev_hash, hash = columns
    return Segment(first, last, _named(file), prev_hash, hash)


def sealed(database: Database) -> int:
    """Seq of the last sealed event, 0 where there is none."""
    (last,) = database.conn.execute("SELECT coalesce(max(last), 0) FROM segments").fetchone()
    return int(last)


def sealed_seq(database: Database, key: str) -> int:
    """Seq of the sealed event that was recorded under this key, 0 where there is none."""
    found = database.conn.execute("SELECT seq FROM sealed_keys WHERE mark = ?", [_mark(key)]).fetchone()
    return int(found[0]) if found else 0


# ── sealing ──────────────────────────────────────────────────────────────────────────────────────


def unparted(database: Database, through: int) -> int:
    """Seq of the last event up to that one behind which no tool call stands apart from what came of it.

    That one itself, where the way back is long: whoever names one request for everything cannot stop all sealing.
    """
    query = """SELECT min(seq) - 1 FROM events WHERE seq <= :last AND request_id IN (
        SELECT request_id FROM events WHERE seq > :last AND type = 'ToolCalled' AND request_id <> ''
    )"""
    found = through
    while (before := database.conn.execute(query, {"last": found}).fetchone()[0]) is not None:
        found = int(before)
    before = sealed(database)
    return found if found - before > (through - before) // 2 else through


def write(log: Path, through: int) -> Segment:
    """Write the live events up to that one into a segment, and read it back; the log does not know of it yet."""
    # A connection of its own: others go on reading and appending meanwhile.
    database = open_database(log, tables.LOG, create=False, readonly=True).database
    try:
        with explained(tables.LOG, log):
            first, last = _row(database, _first(database)), _row(database, through)
            file = segment_file.name(first.seq, through, last.hash)
            segment = Segment(first.seq, through, file, first.prev_hash, last.hash)
            place = directory(log)
            place.mkdir(mode=0o700, exist_ok=True)
            flush(place.parent)  # else a loss of power takes the whole directory along, and the rows are gone by then
            segment_file.write(place / file, _blocks(database, through), _mentions(database, through))
    finally:
        database.close()
    _require_whole(log, segment)
    return segment


def _require_whole(log: Path, segment: Segment) -> None:
    """Raises DamagedFile unless the chain goes through the segment as it should."""
    seq, previous = segment.first - 1, segment.prev_hash
    with segment_file.opened(directory(log), segment) as reader:
        for row in all_rows(reader):
            if (row.seq, row.prev_hash) != (seq + 1, previous):
                break
            seq, previous = row.seq, row.hash
    if (seq, previous) != (segment.last, segment.hash):
        raise DamagedFile(
            f"event {seq + 1} does not follow the one before it: nothing was sealed; {tables.LOG.mending}"
        )


def let_go(database: Database, log: Path, segment: Segment) -> None:
    """Know of the segment, and forget the rows that are in it. Within a transaction."""
    _require_there(log, segment)
    conn = database.conn
    conn.execute(f"INSERT INTO segments ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", _columns(segment))
    conn.execute(
        "INSERT OR REPLACE INTO sealed_streams SELECT stream, max(version) FROM events WHERE seq <= ? GROUP BY stream",
        [segment.last],
    )
    ids = conn.execute("SELECT id, seq FROM events WHERE seq <= ?", [segment.last])
    marks = [(_mark(id), seq) for id, seq in ids if not _BY_CHANCE.fullmatch(id)]
    conn.executemany("INSERT INTO sealed_keys (mark, seq) VALUES (?, ?)", marks)
    _forget_mentions(database, segment.last)
    conn.execute("DELETE FROM events WHERE seq <= ?", [segment.last])


def _require_there(log: Path, segment: Segment) -> None:
    """Another process that opened the log meanwhile swept what the log did not know of yet."""
    if not (directory(log) / segment.file).exists():
        raise LogError(f"the segment {segment.file} is gone again; nothing was sealed, try again", retry=True)


def _first(database: Database) -> int:
    return sealed(database) + 1


def _row(database: Database, seq: int) -> Row:
    found = tables.rows(database, seq - 1)
    if not found or found[0].seq != seq:
        raise LogError(f"event {seq} is not in the live log, so nothing can be sealed up to it")
    return found[0]


def _blocks(database: Database, through: int) -> Iterator[list[Row]]:
    seq = 0
    while rows := [row for row in tables.rows(database, seq) if row.seq <= through]:
        yield from _no_larger(rows)
        seq = rows[-1].seq


def _no_larger(rows: list[Row]) -> Iterator[list[Row]]:
    """These rows as blocks that whoever reads them has room for."""
    block, size = list[Row](), 0
    for row in rows:
        length = len(row.data or "")
        if block and size + length > segment_file.LARGEST:
            yield block
            block, size = [], 0
        block.append(row)
        size += length
    yield block


def _mentions(database: Database, through: int) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    chunks = database.conn.execute("SELECT subjects FROM mentions WHERE first <= ? ORDER BY first", [through])
    for (chunk,) in chunks:
        for subject, seqs in orjson.loads(chunk).items():
            found.setdefault(subject, []).extend(seq for seq in seqs if seq <= through)
    return {subject: seqs for subject, seqs in found.items() if seqs}


def _forget_mentions(database: Database, through: int) -> None:
    query = "SELECT first, subjects FROM mentions WHERE first <= ? AND last > ?"
    for first, chunk in database.conn.execute(query, [through, through]).fetchall():
        left = {name: [seq for seq in seqs if seq > through] for name, seqs in orjson.loads(chunk).items()}
        kept = orjson.dumps({subject: seqs for subject, seqs in left.items() if seqs})
        database.conn.execute("UPDATE mentions SET first = ?, subjects = ? WHERE first = ?", [through + 1, kept, first])
    database.conn.execute("DELETE FROM mentions WHERE last <= ?", [through])


def _mark(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()[:16]


def _columns(segment: Segment) -> list[int | str | bytes]:
    return [segment.first, segment.last, segment.file, segment.prev_hash, segment.hash]


# ── blanking what is sealed ──────────────────────────────────────────────────────────────────────


def write_without(log: Path, segment: Segment, seq: int, *, edition: int) -> Segment:
    """A copy of a segment in which one payload is blanked, and what was found by it is not found any more."""
    place = directory(log)
    copy = Segment(
        segment.first,
        segment.last,
        segment_file.name(segment.first, segment.last, segment.hash, edition=edition),
        segment.prev_hash,
        segment.hash,
    )
    with segment_file.opened(place, segment) as old:
        mentions: dict[str, list[int]] = {}
        for row in all_rows(old):
            if row.seq != seq and row.data is not None:
                for subject in tables.subjects(tables.to_recorded(segment_file.stored(row))):
                    mentions.setdefault(subject, []).append(row.seq)
        segment_file.write(place / copy.file, _blanked(old, seq), mentions)
    return copy


def replace(database: Database, log: Path, old: Segment, new: Segment) -> None:
    """Know the new file in the place of the old one, which is to be removed. Within a transaction."""
    _require_there(log, new)
    database.conn.execute("UPDATE segments SET file = ? WHERE first = ?", [new.file, old.first])
    database.conn.execute("INSERT INTO replaced (file) VALUES (?)", [old.file])
    database.conn.execute("DELETE FROM checkpoints")


def sweep(database: Database, log: Path) -> None:
    """Remove the files that others took the place of, and what a crash left: half written, or never known."""
    place = directory(log)
    if not place.is_dir():
        return
    for beside in place.glob(".*.new"):
        beside.unlink(missing_ok=True)
    files = [_named(file) for (file,) in database.conn.execute("SELECT file FROM replaced")]
    for file in (*files, *_in_vain(database, place)):
        (place / file).unlink(missing_ok=True)
    if files:
        database.conn.execute("DELETE FROM replaced")


def _in_vain(database: Database, place: Path) -> Iterator[str]:
    """Files of which the log took no notice, all of whose events it has: a payload blanked here must not stay there.

    What it does not have stays, whosever it is.
    """
    known = {segment.file for segment in every(database)}
    for path in place.iterdir():
        named = _NAME.fullmatch(path.name)
        if named and path.name not in known:
            found = database.conn.execute(_HASH_AT, [int(named["last"])] * 2).fetchone()
            if found and bytes(found[0]).hex().startswith(named["hash"]):
                yield path.name


def all_rows(reader: segment_file.SegmentReader) -> Iterator[Row]:
    """Every event of a segment."""
    seq = 0
    while rows := reader.rows(seq):
        yield from rows
        seq = rows[-1].seq


def _blanked(reader: segment_file.SegmentReader, seq: int) -> Iterator[list[Row]]:
    at = 0
    while rows := reader.rows(at):
        yield [row._replace(data=None, salt=None) if row.seq == seq else row for row in rows]
        at = rows[-1].seq
