"""What stands in an outbox file: its tables, its rows, and which rows are believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from state.codec import WAYPOST
from state.database import Database, Format, run_script
from state.errors import MalformedEvent
from state.events import (
    BackupMade,
    ConsentGiven,
    DocumentationLookRequested,
    DocumentationRead,
    DriftAccepted,
    DriftHealRequested,
    Event,
    PlanShown,
    ProposalMade,
    ProposalRejected,
    ProposalWithdrawn,
    QuarantineLifted,
    ShardFound,
    ShardLost,
    ShardsDeclared,
    TargetAdopted,
    TokenMade,
    TokenRevoked,
    ToolCalled,
    ToolsGranted,
)
from state.model import PROPOSAL_ID

GATEWAY_EVENTS: frozenset[type[Event]] = frozenset(
    {ToolCalled, ProposalMade, ProposalWithdrawn, ShardsDeclared, ShardLost, ShardFound}
)
"""All that a gateway may say."""

PEOPLE_EVENTS: frozenset[type[Event]] = frozenset(
    {
        PlanShown,
        ConsentGiven,
        ProposalMade,
        ProposalRejected,
        DriftHealRequested,
        DriftAccepted,
        QuarantineLifted,
        TargetAdopted,
        TokenMade,
        ToolsGranted,
        TokenRevoked,
        BackupMade,
        DocumentationRead,
        DocumentationLookRequested,
    }
)
"""All that a person may say."""

_STREAMS: Mapping[type[Event], frozenset[str]] = {
    **dict.fromkeys(PEOPLE_EVENTS, frozenset({"proposal", "main", "target", "tokens", "backups", "documentation"})),
    **dict.fromkeys(GATEWAY_EVENTS, frozenset({"gateway", "proposal"})),
}
"""Event -> the streams it may stand in, by their first part."""

PAGE = 500
"""Rows read, and recorded in one transaction, at once."""

LARGEST = 1 << 20
"""Bytes of a payload; a larger one is refused unread."""

LONGEST_NAME = 200
"""Characters of an id, actor, stream or request id; a longer one is refused."""

ROWS = """CREATE TABLE outbox (
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    at         TEXT    NOT NULL,
    stream     TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    type       TEXT    NOT NULL,
    schema     INTEGER NOT NULL,
    data       TEXT    NOT NULL
)"""
IDENTITY = "CREATE TABLE identity (id TEXT NOT NULL)"
INSERT = """INSERT OR IGNORE INTO outbox (id, at, stream, actor, request_id, type, schema, data)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""


def _create(database: Database) -> None:
    run_script(database, f"{ROWS};\n{IDENTITY};\n")


FORMAT = Format(
    name="outbox",
    application_id=0x57504F42,
    steps=(_create,),
    mending="move it away and keep it, a new one is made in its place (the gateway does so when it starts)",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxRow:
    """One event as its writer put it: `at` is the writer's clock, `actor` the writer's word."""

    row: int
    id: str
    at: datetime
    stream: str
    actor: str
    request_id: str
    event: Event


class RawRow(NamedTuple):
    """One row as it stands in the file: any value may be of any type."""

    row: int
    id: Any
    at: Any
    stream: Any
    actor: Any
    request_id: Any
    type: Any
    schema: Any
    data: Any


def intact(database: Database) -> bool:
    """Whether the tables are ours: a view or a virtual table in their place would run whatever its maker likes."""
    tables = dict(database.conn.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    return tables.get("outbox") == ROWS and tables.get("identity") == IDENTITY


def fetch(database: Database, after_row: int) -> list[RawRow]:
    names = ", ".join(f"substr({name}, 1, {LONGEST_NAME + 1})" for name in RawRow._fields[1:7])
    data = f"CASE WHEN length(CAST(data AS BLOB)) <= {LARGEST} THEN data END"
    query = f"SELECT row, {names}, schema, {data} FROM outbox WHERE row > ? ORDER BY row LIMIT {PAGE}"
    return [RawRow._make(found) for found in database.conn.execute(query, [after_row])]


def believed(raw: RawRow) -> OutboxRow:
    """The row as a value. Raises MalformedEvent unless every part of it is what it should be."""
    for name, value in zip(raw._fields[1:7], raw[1:7], strict=True):
        if not isinstance(value, str) or len(value) > LONGEST_NAME or not value.isprintable():
            raise MalformedEvent(f"its {name} is not a line of text of at most {LONGEST_NAME} characters")
    if not raw.id or not isinstance(raw.schema, int):
        raise MalformedEvent("it has no id, or its schema is not a number")
    if not isinstance(raw.data, str) or len(raw.data.encode()) > LARGEST:
        raise MalformedEvent(f"it has no payload of at most {LARGEST} bytes of text")
    event = WAYPOST.decode(raw.type, raw.schema, raw.data)
    if fault := WAYPOST.misfit(event) or _misplaced(raw.stream, event) or _misnamed(event):
        raise MalformedEvent(fault)
    return OutboxRow(
        row=raw.row,
        id=raw.id,
        at=_moment(raw.at),
        stream=raw.stream,
        actor=raw.actor,
        request_id=raw.request_id,
        event=event,
    )


def _misplaced(stream: str, event: Event) -> str:
    """An outbox must not write into streams whose versions the reconciler relies on."""
    heads = _STREAMS.get(type(event))
    if heads is None or stream.partition("/")[0] in heads:
        return ""
    return f"a {type(event).__name__} does not belong into stream '{stream}', only into {', '.join(sorted(heads))}"


def _misnamed(event: Event) -> str:
    """A proposal's name is looked for in Git at each pass, which must not end there."""
    if isinstance(event, ProposalMade) and not PROPOSAL_ID.fullmatch(event.proposal):
        return f"{event.proposal!r:.60} cannot be the id of a proposal"
    return ""


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedEvent(f"'{text}' is no moment") from None
    return at.replace(tzinfo=at.tzinfo or UTC)
