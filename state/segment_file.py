"""A sealed segment: a file of old events, compressed, that is written once. Their hashes are worked out, not stored.

A segment knows the hash before its first event; from it, envelopes and payloads follow all others. Each block
of events says to which hash it leads, so that nothing in it can have changed unseen.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from state.chain import Row, event_hash, payload_hash
from state.database import Database, Format, explained, flush, open_database, run_script, written_once
from state.errors import DamagedFile
from state.shape import strange
from state.tables import BLOCK, Slice, Stored

LARGEST = 8 << 20
"""Bytes of payloads that are compressed together, where it is not a single event that has more."""

_MOST = 1 << 26
"""Bytes that a block may unfold to: far more than what goes into one."""

_TABLES = """
CREATE TABLE blocks (
    first     INTEGER PRIMARY KEY,
    last      INTEGER NOT NULL,
    prev_hash BLOB    NOT NULL,
    hash      BLOB    NOT NULL,
    content   BLOB    NOT NULL
);
CREATE TABLE mentions (mark INTEGER PRIMARY KEY, seqs TEXT NOT NULL);
"""

FORMAT = Format(
    name="sealed segment",
    application_id=0x57505347,
    steps=(lambda database: run_script(database, _TABLES),),
    mending="put it back from the newest good backup (`waypost restore`, or out of its archive by hand)",
)


@dataclass(frozen=True, slots=True)
class Segment:
    """Which events a segment holds, the hashes before its first and of its last one, and in which file it is."""

    first: int
    last: int
    file: str
    prev_hash: bytes
    hash: bytes


def name(first: int, last: int, hash: bytes, *, edition: int = 0) -> str:
    """What a segment's file is called: another history never takes the name of this one."""
    again = f"-{edition}" if edition else ""
    return f"{first:012d}-{last:012d}-{hash.hex()[:12]}{again}.db"


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def write(path: Path, blocks: Iterable[list[Row]], mentions: Mapping[str, list[int]]) -> None:
    """Make the file, whole or not at all, durably. Rows come in their order, block by block."""
    beside = path.with_name(f".{path.name}.new")
    with written_once(beside, FORMAT) as database:
        insert = "INSERT INTO blocks (first, last, prev_hash, hash, content) VALUES (?, ?, ?, ?, ?)"
        database.conn.executemany(insert, map(_block, blocks))
        marked = sorted((mark(subject), orjson.dumps(seqs).decode()) for subject, seqs in mentions.items())
        database.conn.executemany("INSERT OR IGNORE INTO mentions (mark, seqs) VALUES (?, ?)", marked)
    with explained(FORMAT, path):
        beside.chmod(0o400)
        beside.replace(path)
        flush(path.parent)


def mark(subject: str) -> int:
    """What stands for a subject in the index: a digest is shorter, and tells nothing once its event is redacted."""
    return int.from_bytes(hashlib.sha256(subject.encode()).digest()[:8]) >> 1


def _block(rows: list[Row]) -> tuple[int, int, bytes, bytes, bytes]:
    # Column by column, since what stands below each other is alike; seq and hashes follow from the rest.
    columns = zip(*(_kept(row) for row in rows), strict=True)
    content = zlib.compress(orjson.dumps(list(columns)), 6)
    return rows[0].seq, rows[-1].seq, rows[0].prev_hash, rows[-1].hash, content


def _kept(row: Row) -> tuple[Any, ...]:
    gone = row.data is None or row.salt is None
    # A payload that is gone left its digest; of one that is here it follows.
    return (*row[1:9], row.data, None if gone else _hex(row.salt), row.payload_hash.hex() if gone else None)


def _hex(salt: bytes | None) -> str:
    return (salt or b"").hex()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def opened(directory: Path, segment: Segment) -> Iterator[SegmentReader]:
    """The segment, for a short while. Raises DamagedFile where it is not what was sealed, LogError if unreadable."""
    path = directory / segment.file
    if not path.exists():
        raise DamagedFile(f"the {FORMAT.name} {path} is missing; {FORMAT.mending}")
    database = open_database(path, FORMAT, create=False, readonly=True).database
    try:
        with explained(FORMAT, path):
            if odd := strange(database, FORMAT):
                raise DamagedFile(f"the {FORMAT.name} {path} does not have the shape of one of ours: {odd}")
            yield SegmentReader(database, path)
    finally:
        database.close()


class SegmentReader:
    """An open segment. What it hands out was checked against the hashes that the blocks lead to."""

    def __init__(self, database: Database, path: Path) -> None:
        self._database = database
        self._path = path

    def rows(self, after: int) -> list[Row]:
        """The events of the first block that holds any after that one; of them, those after it."""
        query = "SELECT first, prev_hash, hash, content FROM blocks WHERE last > ? ORDER BY first LIMIT 1"
        found = self._database.conn.execute(query, [after]).fetchone()
        return [row for row in self._unfolded(*found) if row.seq > after] if found else []

    def page(self, wanted: Slice) -> list[Stored]:
        """The first of these events, as many as a block at least if there are as many: the file is opened each time."""
        found: list[Stored] = []
        after = wanted.after
        while len(found) < BLOCK and after < wanted.until and (rows := self.rows(after)):
            found += [stored(row, brief=wanted.brief) for row in rows if _is_wanted(row, wanted)]
            after = rows[-1].seq
        return found

    def mentioning(self, subject: str) -> list[int]:
        """Seqs of its events that are about that subject, oldest first."""
        found = self._database.conn.execute("SELECT seqs FROM mentions WHERE mark = ?", [mark(subject)]).fetchone()
        try:
            return [int(seq) for seq in orjson.loads(found[0])] if found else []
        except (ValueError, TypeError) as fault:
            raise DamagedFile(f"{self._path}: its index cannot be read ({fault}); {FORMAT.mending}") from fault

    def _unfolded(self, first: int, previous: bytes, end: bytes, content: bytes) -> list[Row]:
        rows: list[Row] = []
        try:
            for seq, kept in enumerate(zip(*orjson.loads(_inflated(content)), strict=True), start=first):
                row = _row(seq, kept, previous)
                previous = row.hash
                rows.append(row)
        except (ValueError, TypeError, zlib.error) as fault:
            raise DamagedFile(f"{self._path}: the block of event {first} cannot be read ({fault})") from fault
        if previous != end:
            raise DamagedFile(f"{self._path}: of the events from {first} on, one is not what was sealed")
        return rows


def stored(row: Row, *, brief: bool = False) -> Stored:
    """The columns of a row as the live log answers them."""
    if brief:
        return (row.seq, row.at, row.type, row.schema, row.actor, row.request_id, row.data)
    return (*row[:10], row.hash)


def _inflated(content: bytes) -> bytes:
    unfolding = zlib.decompressobj()
    data = unfolding.decompress(content, _MOST)
    if not unfolding.eof:
        raise ValueError("it is cut short, or far too large")
    return data


def _row(seq: int, kept: tuple[Any, ...], previous: bytes) -> Row:
    *columns, data, salt, gone = kept
    envelope: Any = (seq, *columns)
    raw = None if salt is None else bytes.fromhex(salt)
    if raw is None:
        digest = bytes.fromhex(gone)
    elif isinstance(data, str):
        digest = payload_hash(raw, data.encode())
    else:
        raise TypeError("a payload is no text")
    return Row._make((*envelope, data, raw, digest, previous, event_hash(envelope, digest, previous)))


def _is_wanted(row: Row, wanted: Slice) -> bool:
    return (
        row.seq <= wanted.until
        and (wanted.stream is None or row.stream == wanted.stream)
        and (not wanted.types or row.type in wanted.types)
    )
