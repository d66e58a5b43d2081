"""What stands in a home's own files: events, outboxes that another account wrote, and what a bad disk left of them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from reconciler import telling
from state import codec, views
from state.codec import WAYPOST
from state.errors import LogError
from state.events import Event
from state.log import EventLog
from state.outbox import GATEWAY_EVENTS, PEOPLE_EVENTS, Outbox, drain
from state.record import Entry, Recorded
from tests.fuzz import samples
from tests.fuzz.fuzzing import Edge, Take, simply
from tests.fuzz.mutating import Mutator, written

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def now() -> datetime:
    return AT


def _stored(mutator: Mutator) -> tuple[str, int, bytes]:
    """Type, schema and payload of an event as a row of the log has them."""
    golden = mutator.chance.choice(samples.GOLDEN)
    name, schema = golden["type"], golden["schema"]
    roll = mutator.chance.random()
    if roll < 0.05:
        name = mutator.text([name])
    if roll > 0.95:
        schema = mutator.chance.choice((0, -1, 2, 99, 2**40))
    data = written(mutator.value(golden["data"])) if roll < 0.7 else mutator.content([orjson.dumps(golden["data"])])
    return name, schema, data


def _decoded(given: tuple[str, int, bytes]) -> bool:
    event = codec.decode(*given)
    if WAYPOST.misfit(event):
        return False
    again = codec.encode(event)
    assert codec.encode(codec.decode(*again)) == again
    return True


def _event(mutator: Mutator) -> tuple[str, int, bytes]:
    """The same, strange only in its values: what an outbox might hand in."""
    golden = mutator.chance.choice(samples.GOLDEN)
    data = {
        name: mutator.value(value) if mutator.chance.random() < 0.3 else value for name, value in golden["data"].items()
    }
    return golden["type"], golden["schema"], written(data)


@contextlib.contextmanager
def _folded(_: Path) -> Iterator[Take]:
    """What is believed is folded by every view, put away, taken up again, and told to people."""
    states = {view: view.empty() for view in views.ALL}

    def take(given: tuple[str, int, bytes]) -> bool:
        event = codec.decode(*given)
        if WAYPOST.misfit(event):
            return False
        recorded = _recorded(event, given[0])
        for view in states:
            # One after the other, on a copy: what one event leaves behind, the next one meets.
            states[view] = states[view].copy().fold(recorded)
            encoded = states[view].encode()
            assert view.decode(encoded).encode() == encoded
            if len(encoded) > 100_000:
                states[view] = view.empty()
        written(telling.told(recorded))
        return True

    yield take


def _recorded(event: Event, name: str) -> Recorded:
    stream = {"ProposalMade": "proposal/p1"}.get(name, "target/traefik")
    return Recorded(1, "id", AT, stream, 1, name, event.schema, "person:ann", "r1", event, "0" * 64)


Row = tuple[Any, ...]


def _rows(mutator: Mutator) -> tuple[bool, list[Row]]:
    """Rows that stand in an outbox: whose it is, and everything that SQLite lets somebody write there."""
    of_gateway = mutator.chance.random() < 0.5
    allowed = {event.__name__ for event in (GATEWAY_EVENTS if of_gateway else PEOPLE_EVENTS)}
    golden = [one for one in samples.GOLDEN if one["type"] in allowed]
    return of_gateway, [_row(mutator, mutator.chance.choice(golden), of_gateway) for _ in range(3)]


def _row(mutator: Mutator, golden: dict[str, Any], of_gateway: bool) -> Row:
    _, _, data = _event(mutator)
    row: list[Any] = [
        f"{mutator.chance.getrandbits(64):x}",
        AT.isoformat(),
        mutator.chance.choice(("gateway", "proposal/p1") if of_gateway else ("main", "proposal/p1", "target/traefik")),
        "claude",
        "r1",
        golden["type"],
        golden["schema"],
        (data if mutator.chance.random() < 0.2 else written(mutator.value(golden["data"]))).decode(),
    ]
    if mutator.chance.random() < 0.3:
        row[mutator.chance.randrange(len(row))] = _storable(mutator.strange())
    return tuple(row)


def _storable(value: Any) -> Any:
    """What SQLite can hold of it."""
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, str):
        return (
            value.encode("utf-8", "surrogatepass")[:5000] if "\ud800" <= max(value, default="") <= "\udfff" else value
        )
    return value if isinstance(value, int | float) else written(value)


@contextlib.contextmanager
def _outbox(place: Path) -> Iterator[Take]:
    """Somebody's outbox goes into the log, whatever they wrote into it, and is folded and told there."""
    log = EventLog.open(place / "log.db", now=now, create=True)

    def take(given: tuple[bool, list[Row]]) -> bool:
        of_gateway, rows = given
        path = place / "outbox.db"
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        Outbox.open(path, now, create=True).close()
        with contextlib.closing(sqlite3.connect(path)) as raw, raw:
            raw.executemany(
                "INSERT OR IGNORE INTO outbox (id, at, stream, actor, request_id, type, schema, data) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        allowed = GATEWAY_EVENTS if of_gateway else PEOPLE_EVENTS
        before = log.head().seq
        intake = drain(log, path, source="gateway" if of_gateway else "person", allowed=allowed)
        for view in views.ALL:
            log.view(view)
        for recorded in log.read(before):
            written(telling.told(recorded))
        return intake.taken > 0

    yield take
    log.close()


# ── bad disks ────────────────────────────────────────────────────────────────────────────────────


def _filled_log(path: Path) -> bytes:
    log = EventLog.open(path, now=now, create=True)
    for golden in samples.GOLDEN:
        if golden["type"] != "PayloadRedacted":
            event = codec.decode(golden["type"], golden["schema"], orjson.dumps(golden["data"]))
            log.append(Entry(stream="target/traefik", event=event))
    for view in views.ALL:
        log.view(view)
    log.close()
    return path.read_bytes()


@contextlib.contextmanager
def _damaged_log(place: Path) -> Iterator[Take]:
    whole = _filled_log(place / "whole.db")
    path = place / "log.db"

    def take(damage: list[tuple[float, bytes]]) -> bool:
        """The log with other bytes here and there: it opens and says what is wrong, or refuses to."""
        path.write_bytes(_damaged(whole, damage))
        for rest in ("log.db-wal", "log.db-shm", "log.db-journal"):
            (place / rest).unlink(missing_ok=True)
        log = EventLog.open(path, now=now, readonly=True)
        try:
            found = log.verify()
            list(log.read())
            for view in views.ALL:
                log.view(view)
            log.touching("traefik/http.routers/gitea")
        finally:
            log.close()
        return found.ok

    yield take


@contextlib.contextmanager
def _damaged_outbox(place: Path) -> Iterator[Take]:
    log = EventLog.open(place / "log.db", now=now, create=True)
    path = place / "outbox.db"
    Outbox.open(path, now, create=True).close()
    whole = path.read_bytes()

    def take(damage: list[tuple[float, bytes]]) -> bool:
        path.write_bytes(_damaged(whole, damage))
        for rest in ("outbox.db-wal", "outbox.db-shm", "outbox.db-journal"):
            (place / rest).unlink(missing_ok=True)
        return not drain(log, path, source="gateway", allowed=GATEWAY_EVENTS).problem

    yield take
    log.close()


def _damage(mutator: Mutator) -> list[tuple[float, bytes]]:
    """Where in the file, and which bytes stand there instead; no bytes at all: the file ends there."""
    return [
        (
            mutator.chance.random() ** mutator.chance.choice((1, 8)),  # often near the beginning: it tells the rest
            mutator.chance.choice((b"", b"\0" * 512, mutator.chance.randbytes(1), mutator.chance.randbytes(16))),
        )
        for _ in range(mutator.chance.choice((1, 1, 2, 5)))
    ]


def _damaged(whole: bytes, damage: list[tuple[float, bytes]]) -> bytes:
    for share, instead in damage:
        at = int(share * len(whole))
        whole = whole[:at] + instead + whole[at + len(instead) :] if instead else whole[:at]
    return whole


EDGES = (
    Edge(name="event of the log", share=2000, make=_stored, opened=simply(_decoded), family=(LogError,)),
    Edge(name="views of events", share=500, make=_event, opened=_folded, family=(LogError,)),
    Edge(name="rows of an outbox", share=80, make=_rows, opened=_outbox),
    Edge(name="damaged log", share=80, make=_damage, opened=_damaged_log, family=(LogError,)),
    Edge(name="damaged outbox", share=120, make=_damage, opened=_damaged_outbox),
)
