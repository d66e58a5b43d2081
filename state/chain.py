"""The hash chain: what an event's hash covers, and how a log is checked against it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from types import NoneType
from typing import NamedTuple

import orjson

from state.codec import WAYPOST
from state.errors import DamagedFile, LogError
from state.events import PayloadRedacted, ReadsForgotten, ToolCalled
from state.record import GENESIS, Anchor, Verification

Envelope = tuple[int, str, str, str, int, str, int, str, str]
"""The columns of a row from seq to request_id."""


class Row(NamedTuple):
    """One event as it is stored, column by column. `data` and `salt` are None once redacted."""

    seq: int
    id: str
    at: str
    stream: str
    version: int
    type: str
    schema: int
    actor: str
    request_id: str
    data: str | None
    salt: bytes | None
    payload_hash: bytes
    prev_hash: bytes
    hash: bytes


_plain = tuple.__new__  # a named tuple's own way to be made counts the values first


def payload_hash(salt: bytes, data: bytes) -> bytes:
    """Digest of a payload. The salt keeps a redacted payload from being guessed from its digest."""
    return hashlib.sha256(salt + data).digest()


def seal(envelope: Envelope, data: bytes, salt: bytes, previous: bytes) -> Row:
    """The row of an event that follows the one with the hash `previous`."""
    payload = payload_hash(salt, data)
    hash = event_hash(envelope, payload, previous)
    return _plain(Row, (*envelope, data.decode(), salt, payload, previous, hash))


def event_hash(envelope: Envelope, payload: bytes, previous: bytes) -> bytes:
    """The hash of one event: its envelope (seq to request_id), the payload's digest, the hash before it."""
    return hashlib.sha256(orjson.dumps([*envelope, payload.hex(), previous.hex()])).digest()


def line(row: Row) -> bytes:
    """An event as a line of JSON with all that its hash covers, so that the chain can be checked without the file."""
    plain = row._asdict()
    plain["data"] = None if row.data is None else orjson.Fragment(row.data)
    for name in ("salt", "payload_hash", "prev_hash", "hash"):
        plain[name] = None if plain[name] is None else plain[name].hex()
    return orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE)


def verify(rows: Iterable[Row], *, anchors: Iterable[Anchor], last: int) -> Verification:
    """Check every row, in order, against the chain, the anchors and the recorded redactions.

    `last` is the seq of the last row.
    """
    anchored: dict[int, set[str]] = {}
    for anchor in anchors:
        anchored.setdefault(anchor.seq, set()).add(anchor.hash)
    check = _Check(anchored)
    lost = max(anchored, default=0) > last
    try:
        for row in rows:
            if reason := check.fault(row):
                broken = check.suspect(row)
                return Verification(ok=False, events=check.seq, broken=broken, reason=reason, lost_tail=lost)
            check.accept(row)
    except DamagedFile as damage:
        return unreadable(check.seq, damage)
    if (gone := check.gone.first()) is not None:
        reason = f"the payload of event {gone} is gone, and no event says it was redacted"
        return Verification(ok=False, events=gone - 1, broken=gone, reason=reason, lost_tail=lost)
    return Verification(ok=not lost, events=check.seq, reason=check.loss() if lost else "", lost_tail=lost)


_ENVELOPE = (int, str, str, str, int, str, int, str, str)
_KINDS = {(*_ENVELOPE, str, bytes, bytes, bytes, bytes), (*_ENVELOPE, NoneType, NoneType, bytes, bytes, bytes)}
"""What the columns of a row hold: with a payload, and without one."""


def _wrong_kind(row: Row) -> str:
    """SQLite keeps whatever it is given: a column may hold a value of any kind."""
    known = tuple(map(type, row)) in _KINDS
    return "" if known else f"event {row.seq} was changed after it was recorded: it holds a value of another kind"


def unreadable(good: int, damage: DamagedFile) -> Verification:
    """The answer for a file that cannot be read beyond that many good events."""
    return Verification(ok=False, events=good, broken=good + 1, reason=f"event {good + 1} cannot be read: {damage}")


@dataclass
class _Gone:
    """Payloads that are not there: each has to be accounted for by an event, which comes later than its own."""

    reads: list[int] = field(default_factory=list)
    others: set[int] = field(default_factory=set)

    def note(self, row: Row) -> None:
        """A row without a payload."""
        if row.type == ToolCalled.__name__:
            self.reads.append(row.seq)
        else:
            self.others.add(row.seq)

    def account(self, row: Row) -> None:
        """A row with a payload: it may say what became of others."""
        if row.type not in _ACCOUNTS or row.data is None:
            return
        with suppress(LogError):
            said = WAYPOST.decode(row.type, row.schema, row.data)
            if isinstance(said, ReadsForgotten):
                self.reads = [seq for seq in self.reads if seq > said.through]
            elif isinstance(said, PayloadRedacted):
                self.others.discard(said.seq)
                self.reads = [seq for seq in self.reads if seq != said.seq]

    def first(self) -> int | None:
        """The first one that nothing accounts for."""
        return min([*self.reads, *self.others], default=None)


_ACCOUNTS = {PayloadRedacted.__name__, ReadsForgotten.__name__}


@dataclass
class _Check:
    """Where the check stands: the last good event, each stream's version there, and which payloads are missing."""

    anchored: Mapping[int, AbstractSet[str]]
    seq: int = 0
    hash: bytes = GENESIS
    versions: dict[str, int] = field(default_factory=dict)
    gone: _Gone = field(default_factory=_Gone)

    def accept(self, row: Row) -> None:
        self.seq, self.hash = row.seq, row.hash
        self.versions[row.stream] = row.version
        if row.data is None:
            self.gone.note(row)
        else:
            self.gone.account(row)

    def suspect(self, row: Row) -> int:
        """The seq of the event that is wrong: the missing one where there is a gap."""
        return min(row.seq, self.seq + 1)

    def fault(self, row: Row) -> str:
        """What is wrong with this row, "" where it is as it was written."""
        return _wrong_kind(row) or self._wrong_place(row) or self._wrong_payload(row) or self._wrong_hash(row)

    def _wrong_place(self, row: Row) -> str:
        if row.seq != self.seq + 1:
            return f"event {self.seq + 1} is missing: the log goes on with event {row.seq}"
        if row.prev_hash != self.hash:
            return f"event {row.seq} does not follow the event before it: the hash it names is another one"
        if row.version != self.versions.get(row.stream, 0) + 1:
            return f"event {row.seq} has version {row.version} in stream '{row.stream}', which is out of order"
        return ""

    def _wrong_payload(self, row: Row) -> str:
        if row.data is None or row.salt is None:  # both, then
            return ""
        if payload_hash(row.salt, row.data.encode()) != row.payload_hash:
            return f"the payload of event {row.seq} ({row.type}) was changed after it was recorded"
        return ""

    def _wrong_hash(self, row: Row) -> str:
        if event_hash(row[:9], row.payload_hash, row.prev_hash) != row.hash:
            return f"event {row.seq} ({row.type}) was changed after it was recorded: its hash covers something else"
        anchors = self.anchored.get(row.seq)
        if anchors is not None and anchors != {row.hash.hex()}:
            return f"event {row.seq} is not the one that was anchored in Git: the log was rewritten up to here"
        return ""

    def loss(self) -> str:
        last = max(self.anchored)
        return (
            f"the log ends with event {self.seq}, but event {last} was anchored in Git: "
            f"at least {last - self.seq} events at its end are lost"
        )
