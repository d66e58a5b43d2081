"""Tampering is done on the file with plain SQL, past the triggers, as somebody with a shell would."""

from __future__ import annotations

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from state.events import TargetLost
from state.log import Anchor, Entry, EventLog, LogError
from tests.state.conftest import ticking

EVENTS = 8
COLUMNS = ("id", "at", "stream", "version", "type", "schema", "actor", "request_id", "data", "salt")
HASHES = ("payload_hash", "prev_hash", "hash")


def filled(path: Path) -> list[Anchor]:
    """A log of EVENTS events, closed; an anchor for each."""
    log = EventLog.open(path, now=ticking(), create=True)
    entries = [
        Entry(stream=f"target/{number % 3}", event=TargetLost(instance="traefik", reason=f"because {number}"))
        for number in range(EVENTS)
    ]
    anchors = [Anchor(recorded.seq, recorded.hash) for recorded in log.append(entries)]
    log.close()
    return anchors


def tampered(path: Path, *statements: str) -> None:
    database = Database(path)
    for trigger in database.triggers:
        database.execute(f"DROP TRIGGER {trigger.name}")
    for statement in statements:
        database.execute(statement)
    database.close()


def verified(path: Path, anchors: list[Anchor]):
    log = EventLog.open(path, now=ticking(), readonly=True)
    try:
        return log.verify(anchors)
    finally:
        log.close()


def test_an_untouched_log_is_whole(path):
    anchors = filled(path)
    found = verified(path, anchors)
    assert (found.ok, found.events, found.broken, found.reason, found.lost_tail) == (True, EVENTS, None, "", False)


def test_an_empty_log_is_whole(log):
    assert log.verify().ok


@settings(max_examples=60)
@given(seq=st.integers(1, EVENTS), column=st.sampled_from((*COLUMNS, *HASHES)), bit=st.integers(0, 2**10))
def test_a_flipped_bit_is_found_where_it_is(seq, column, bit):
    with TemporaryDirectory() as directory:
        path = Path(directory) / "log.db"
        anchors = filled(path)
        database = Database(path)
        (before,) = database.execute(f"SELECT {column} FROM events WHERE seq = ?", [seq]).fetchone()
        database.execute("DROP TRIGGER events_are_never_changed")
        database.execute(f"UPDATE events SET {column} = ? WHERE seq = ?", [flipped(before, bit), seq])
        database.close()
        found = verified(path, anchors)
        assert (found.ok, found.broken) == (False, seq)
        assert str(seq) in found.reason


def flipped(value, bit: int):
    if isinstance(value, int):
        return value ^ 16 << bit % 8  # high enough to meet no other version
    if not value:
        return "x"
    raw = bytearray(value.encode() if isinstance(value, str) else value)
    raw[bit % len(raw)] ^= 0x40  # far enough from its neighbours to meet no other name
    return raw.decode() if isinstance(value, str) else bytes(raw)


@pytest.mark.parametrize("column", [*COLUMNS, *HASHES])
@pytest.mark.parametrize("value", ["x'00ff'", "'ten'", "1.5"])
def test_a_value_of_another_kind_is_found_and_read_as_damage(path, column, value):
    anchors = filled(path)
    tampered(path, f"UPDATE events SET {column} = {value} WHERE seq = 5")
    found = verified(path, anchors)
    assert (found.ok, found.broken) == (False, 5)
    assert "event 5" in found.reason
    with contextlib.suppress(LogError):  # never anything else
        log = EventLog.open(path, now=ticking(), readonly=True)
        list(log.read())


@given(st.integers(1, EVENTS - 1))
@settings(max_examples=EVENTS)
def test_a_deleted_event_is_named(seq):
    with TemporaryDirectory() as directory:
        path = Path(directory) / "log.db"
        anchors = filled(path)
        tampered(path, f"DELETE FROM events WHERE seq = {seq}")
        found = verified(path, anchors)
        assert (found.ok, found.broken, found.lost_tail) == (False, seq, False)
        assert f"event {seq} is missing" in found.reason


def test_events_that_were_closed_up_over_a_gap_are_found(path):
    anchors = filled(path)
    tampered(path, "DELETE FROM events WHERE seq = 3", "UPDATE events SET seq = seq - 1 WHERE seq > 3")
    found = verified(path, anchors)
    assert (found.ok, found.broken) == (False, 3)
    assert "does not follow" in found.reason


@pytest.mark.parametrize("first, second", [(1, 2), (3, 5), (7, 8)])
def test_events_in_another_order_are_found(path, first, second):
    anchors = filled(path)
    tampered(
        path,
        f"UPDATE events SET seq = 99 WHERE seq = {first}",
        f"UPDATE events SET seq = {first} WHERE seq = {second}",
        f"UPDATE events SET seq = {second} WHERE seq = 99",
    )
    found = verified(path, anchors)
    assert (found.ok, found.broken) == (False, first)


def test_a_lost_tail_passes_the_chain_and_is_seen_by_the_anchor(path):
    anchors = filled(path)
    tampered(path, f"DELETE FROM events WHERE seq > {EVENTS - 2}")
    assert verified(path, []).ok
    found = verified(path, anchors)
    assert (found.ok, found.broken, found.lost_tail) == (False, None, True)
    assert "at least 2 events" in found.reason


def test_a_log_that_lost_everything_is_seen_by_the_anchor(path):
    anchors = filled(path)
    tampered(path, "DELETE FROM events")
    assert verified(path, anchors[-1:]).lost_tail


def test_a_break_and_a_lost_tail_are_both_told(path):
    anchors = filled(path)
    tampered(path, "DELETE FROM events WHERE seq > 6", "DELETE FROM events WHERE seq = 2")
    found = verified(path, anchors)
    assert (found.broken, found.lost_tail) == (2, True)


def test_a_log_rewritten_with_a_good_chain_differs_from_the_anchor(path, tmp_path):
    anchors = filled(tmp_path / "original.db")
    assert filled(path) != anchors  # the same events again: a chain as good, but another one
    found = verified(path, anchors[4:5])
    assert (found.ok, found.broken, found.lost_tail) == (False, 5, False)
    assert "anchored in Git" in found.reason


def test_a_payload_that_vanished_without_a_redaction_is_named(path):
    anchors = filled(path)
    tampered(path, "UPDATE events SET data = NULL, salt = NULL WHERE seq = 4")
    found = verified(path, anchors)
    assert (found.ok, found.broken) == (False, 4)
    assert "no event says it was redacted" in found.reason


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events WHERE seq = 1",
        "UPDATE events SET actor = 'somebody' WHERE seq = 1",
        "UPDATE events SET data = '{}' WHERE seq = 1",
        "UPDATE events SET data = NULL, salt = NULL, at = 'now' WHERE seq = 1",
        "INSERT OR REPLACE INTO events SELECT * FROM events WHERE seq = 1",
    ],
)
def test_the_file_itself_refuses_to_change_an_event(path, statement):
    anchors = filled(path)
    database = Database(path)
    with pytest.raises(Exception, match="events are never"):
        database.execute(statement)
    database.close()
    assert verified(path, anchors).ok
