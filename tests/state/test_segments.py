"""Old events leave the live log for sealed files: everything that could be asked before is answered as before."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from state import segment_file, segments
from state.codec import Redacted
from state.errors import DamagedFile, LogError
from state.events import (
    ApplyProven,
    PayloadRedacted,
    ProposalMade,
    ReadsForgotten,
    SegmentSealed,
    TargetLost,
    ToolCalled,
)
from state.log import Anchor, Entry, EventLog
from state.views import ALL, Applied
from tests.state.conftest import START, ticking
from tests.state.events_of_chance import ADDRESSES, STREAMS, some_entry

ROUTER = "traefik/http.routers/a"


def lost(stream: str = "target/traefik", key: str = "") -> Entry:
    return Entry(stream=stream, event=TargetLost(instance="traefik", reason="away"), key=key)


def proven(address: str = ROUTER, secret: str = "") -> Entry:
    event = ApplyProven(
        instance="traefik", attempt="a1", commit="c1", changes={address: {"rule": "x", "note": secret}}, file="f",
        seconds=0.1, evidence="e",
    )  # fmt: skip
    return Entry(stream="target/traefik", event=event)


def called(request: str, outcome: str = "ok") -> Entry:
    event = ToolCalled(shard="s", tool="t", client="c", outcome=outcome, arguments_digest="d")
    return Entry(stream="gateway", event=event, actor="gateway:c", request_id=request, key=f"gateway:{request}")


def proposed(request: str) -> Entry:
    event = ProposalMade(
        proposal="p1", branch="b", commit="c", parent="p", tool="t", client="c", title="t", resources=(ROUTER,)
    )
    return Entry(stream="proposal/p1", event=event, request_id=request)


def opened(path: Path, **options) -> EventLog:
    return EventLog.open(path, now=ticking(), **options)


def answers(log: EventLog, until: int) -> dict[str, object]:
    """Whatever can be asked about the events up to that one."""
    subjects = [*ADDRESSES, ROUTER, "request:r1", "commit:c1", "proposal:p1", "attempt:a1"]
    return {
        "read": list(log.read(until=until)),
        "by stream": {stream: list(log.read(stream=stream, until=until)) for stream in STREAMS},
        "from the middle": list(log.read(until // 2, until=until)),
        "touching": {subject: [seq for seq in log.touching(subject) if seq <= until] for subject in subjects},
        "export": list(itertools.islice(log.export(), until)),
        "versions": {stream: log.version(stream) for stream in STREAMS},
        "views": {view: log.view(view).encode() for view in ALL},
        "replayed": {view: state.encode() for view, state in log.replayed(ALL).items()},
    }


@settings(max_examples=25)
@given(
    batches=st.lists(st.lists(some_entry, min_size=1, max_size=8), min_size=1, max_size=6),
    cuts=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=3),
)
def test_whatever_is_asked_of_sealed_events_is_answered_as_before(batches, cuts, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "log.db"
    log = opened(path, create=True)
    for batch in batches:
        log.append([entry for entry in batch if not isinstance(entry.event, ToolCalled)])
    log.append(lost())
    end = log.head().seq
    before = answers(log, end)
    for cut in sorted(cuts):
        if log.sealed() < (through := int(end * cut)) < log.head().seq:
            log.seal(through, "to see what happens")
    assert answers(log, end) == before
    assert log.verify().ok
    log.close()
    again = opened(path, readonly=True)
    assert answers(again, end) == before
    again.close()


def test_the_chain_goes_on_behind_a_segment(log):
    recorded = log.append([lost() for _ in range(10)])
    segment = log.seal(6, "enough")
    (sealed,) = [one for one in log.read() if isinstance(one.event, SegmentSealed)]
    assert (sealed.event.first, sealed.event.last, sealed.event.hash) == (1, 6, recorded[5].hash)
    assert (segment.first, segment.last, log.sealed()) == (1, 6, 6)
    second = log.seal(9, "enough again")
    assert second.prev_hash == segment.hash
    found = log.verify([Anchor(one.seq, one.hash) for one in recorded])
    assert (found.ok, found.events) == (True, 12)


def test_the_live_log_gets_smaller(log, path):
    log.append([proven(f"traefik/http.routers/{number}") for number in range(3_000)])
    log.close()
    log, size = opened(path), path.stat().st_size
    segment = log.seal(2_900, "it was full")
    log.shrink()
    log.close()
    file = segments.directory(path) / segment.file
    assert path.stat().st_size < size / 4
    assert file.stat().st_size < size / 4
    assert file.stat().st_mode & 0o777 == 0o400


def test_a_key_is_known_after_its_event_was_sealed(log):
    (first,) = log.append(lost(key="k"))
    log.append([lost(), lost()])
    log.seal(2, "enough")
    assert log.append(lost(key="k")) == [first]
    assert log.append([lost(key="k"), lost()])[0] == first
    assert log.head().seq == 5


def test_versions_go_on_after_a_stream_was_sealed(log):
    log.append([lost("a"), lost("a"), lost("b")])
    log.seal(2, "enough")
    assert log.version("a") == 2
    (recorded,) = log.append(lost("a"), expected={"a": 2})
    assert recorded.version == 3


@pytest.mark.parametrize("through", [0, 3, 4, 99])
def test_the_last_event_stays_and_nothing_is_sealed_twice(log, through):
    log.append([lost() for _ in range(2)])
    log.seal(1, "enough")
    with pytest.raises(LogError, match="nothing to seal"):
        log.seal(through if through != 4 else 1, "again")


def test_a_checkpoint_that_lies_within_a_segment_still_counts(path):
    log = opened(path, create=True)
    log.append([proven(), lost()])
    log.view(Applied)
    log.close()
    log = opened(path)
    log.append([lost() for _ in range(8)])
    log.seal(8, "enough")
    assert log.view(Applied).base("traefik")
    log.close()


def test_a_reader_elsewhere_goes_on_while_events_are_sealed(log, path):
    log.append([lost() for _ in range(2_500)])
    reader = opened(path, readonly=True)
    reading = reader.read()
    first = [next(reading).seq for _ in range(10)]
    log.seal(2_400, "meanwhile")
    assert first + [one.seq for one in reading] == list(range(1, 2_501))
    assert reader.verify().ok
    reader.close()


# ── damage ───────────────────────────────────────────────────────────────────────────────────────


def sealed_file(log: EventLog, path: Path) -> Path:
    log.append([lost() for _ in range(20)])
    return segments.directory(path) / log.seal(15, "enough").file


def test_a_segment_that_was_changed_is_found(log, path):
    file = sealed_file(log, path)
    file.chmod(0o600)
    content = segment_file._inflated(Database(file).execute("SELECT content FROM blocks").fetchone()[0])
    forged = segment_file.zlib.compress(content.replace(b"away", b"fine", 1))
    database = Database(file)
    database.execute("UPDATE blocks SET content = ?", [forged])
    database.conn.commit()
    database.close()
    found = log.verify()
    assert (found.ok, found.broken) == (False, 1)
    assert "not what was sealed" in found.reason
    with pytest.raises(DamagedFile, match="not what was sealed"):
        list(log.read())


def test_a_segment_that_is_missing_is_told_and_the_log_still_takes_events(log, path):
    file = sealed_file(log, path)
    file.unlink()
    log.append(lost())
    found = log.verify()
    assert (found.ok, found.broken) == (False, 1)
    assert f"{file} is missing; put it back" in found.reason


def test_a_broken_log_is_not_sealed(path):
    opened(path, create=True).close()
    log = opened(path)
    log.append([lost() for _ in range(10)])
    database = Database(path)
    database.execute("DROP TRIGGER events_are_never_changed")
    database.execute("UPDATE events SET actor = 'somebody' WHERE seq = 4")
    database.conn.commit()
    database.close()
    with pytest.raises(DamagedFile):
        log.seal(8, "enough")
    assert (log.sealed(), log.head().seq) == (0, 10)
    log.close()


def test_events_that_are_not_sealed_cannot_be_deleted(log, path):
    sealed_file(log, path)
    with pytest.raises(Exception, match="before they are sealed"):
        Database(path).execute("DELETE FROM events WHERE seq = 16")


def test_what_a_crash_left_half_written_is_swept(log, path):
    file = sealed_file(log, path)
    log.close()
    beside = file.with_name(".half.new")
    beside.write_bytes(b"half")
    again = opened(path)
    assert not beside.exists()
    assert again.verify().ok
    again.close()


def test_a_segment_that_a_crash_left_unknown_is_swept(log, path):
    log.append([proven(secret="hunter2"), lost(), lost()])
    unknown = segments.directory(path) / segments.write(path, 2).file
    log.redact(1, "a secret was in it", "person:ann")
    log.close()
    again = opened(path)
    assert not unknown.exists(), "what was blanked in the log must not stay there"
    assert again.verify().ok
    again.close()


def test_a_segment_of_another_log_is_left_alone(log, path, tmp_path):
    sealed_file(log, path)
    other = opened(tmp_path / "other.db", create=True)
    other.append([lost("main"), lost("main"), lost("main")])
    theirs = sealed_file(other, tmp_path / "other.db")
    beside = segments.directory(path) / theirs.name
    beside.write_bytes(theirs.read_bytes())
    other.close()
    log.close()
    opened(path).close()
    assert beside.exists()


def test_nothing_is_sealed_where_the_file_is_gone_again(log, path, monkeypatch):
    log.append([lost(), lost(), lost()])
    write = segments.write

    def swept(place, through):
        """Another process opens the log between the file and the transaction, and sweeps what nobody knows of."""
        segment = write(place, through)
        opened(path).close()
        return segment

    monkeypatch.setattr(segments, "write", swept)
    with pytest.raises(LogError, match="gone again"):
        log.seal(2, "enough")
    assert [one.seq for one in log.read()] == [1, 2, 3]
    assert log.verify().ok


def test_a_thousand_events_are_compressed_together(log, path):
    log.append([lost()] * 2_501)
    log.seal(2_500, "enough")
    file = segments.directory(path) / log.segments()[0].file
    blocks = Database(file).execute("SELECT first, last FROM blocks ORDER BY first").fetchall()
    assert blocks == [(1, 1_000), (1_001, 2_000), (2_001, 2_500)]


def test_a_block_holds_no_more_than_whoever_reads_it_has_room_for(log, path, monkeypatch):
    monkeypatch.setattr(segment_file, "LARGEST", 2_000)
    log.append([*(proven(secret="x" * 400) for _ in range(6)), proven(secret="x" * 5_000), lost(), lost()])
    log.seal(8, "enough")
    file = segments.directory(path) / log.segments()[0].file
    blocks = Database(file).execute("SELECT first, last FROM blocks ORDER BY first").fetchall()
    assert [first for first, _ in blocks] == [1, *(last + 1 for _, last in blocks[:-1])]
    assert 4 <= len(blocks) < 8
    assert (7, 7) in blocks
    assert log.verify().ok


def test_a_segment_that_computes_what_it_holds_is_refused(log, path):
    file = sealed_file(log, path)
    file.chmod(0o600)
    database = Database(file)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS first, i AS last FROM n"
    database.execute("ALTER TABLE blocks RENAME TO blocks_before")
    database.execute(f"CREATE VIEW blocks AS {endless}")
    database.close()
    with pytest.raises(DamagedFile, match="something that computes them"):
        list(log.read(until=1))


def test_a_replicator_that_holds_the_write_ahead_log_open_holds_nothing_up(log, path):
    """As Litestream does: two tables of its own, and a transaction that reads for ever."""
    other = Database(path)
    other.execute("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
    other.execute("CREATE TABLE _litestream_lock (id INTEGER)")
    other.conn.commit()
    other.conn.execute("BEGIN")
    other.conn.execute("SELECT count(1) FROM _litestream_seq").fetchone()
    log.append([lost(), lost(), lost()])
    log.seal(2, "enough")
    log.append(lost())
    assert log.verify().ok
    log.require_own_shape()
    other.close()


# ── blanking ─────────────────────────────────────────────────────────────────────────────────────


def test_a_sealed_payload_can_be_redacted(log, path):
    log.append([lost(), proven(secret="hunter2"), lost(), lost(), lost()])
    before = segments.directory(path) / log.seal(4, "enough").file
    log.redact(2, "a secret was in it", "person:ann")
    assert list(log.read())[1].event == Redacted(type="ApplyProven")
    assert log.touching(ROUTER) == []
    assert log.view(Applied) == Applied.empty()
    assert log.verify().ok
    assert not before.exists()
    (after,) = log.segments()
    blocks = Database(segments.directory(path) / after.file).execute("SELECT content FROM blocks").fetchall()
    assert not any(b"hunter2" in segment_file._inflated(content) for (content,) in blocks)


def test_reads_are_forgotten_and_what_anything_came_of_is_kept(path):
    moments = itertools.count()
    log = EventLog.open(path, now=lambda: START + timedelta(days=next(moments)), create=True)
    for entry in (called("r1"), called("r2"), proposed("r2"), called("r3", outcome="refused"), called("r4")):
        log.append(entry)
    assert log.forget_reads(START + timedelta(days=4), "older than 4 days") == 1
    kept = {one.request_id for one in log.read() if isinstance(one.event, ToolCalled)}
    assert kept == {"r2", "r3", "r4"}
    (forgotten,) = [one.event for one in log.read() if isinstance(one.event, ReadsForgotten)]
    assert (forgotten.through, forgotten.count) == (1, 1)
    assert log.verify().ok
    assert log.forget_reads(START + timedelta(days=4), "again") == 0
    log.close()


def test_a_segment_keeps_no_reads(log):
    log.append([called(f"r{number}") for number in range(5)])
    log.append([lost(), lost()])
    log.seal(6, "enough")
    assert [one.type for one in log.read(until=5) if isinstance(one.event, Redacted)] == ["ToolCalled"] * 5
    assert log.verify().ok
    assert log.append(called("r3"))[0].seq == 4


@pytest.mark.parametrize("between", [1, 3])
def test_a_call_is_not_sealed_apart_from_what_came_of_it(log, between):
    log.append([lost() for _ in range(10)])
    log.append([proposed("r1"), *(lost() for _ in range(between)), called("r1"), lost(), lost()])
    assert log.seal(11, "enough").last == 10
    assert log.forget_reads(datetime(2100, 1, 1, tzinfo=UTC), "all of them") == 0


def test_a_request_that_everything_is_said_to_come_of_stops_no_sealing(log):
    log.append([proposed("r1"), *(lost() for _ in range(10)), called("r1"), lost()])
    assert log.seal(8, "enough").last == 8


def test_a_read_that_vanished_without_a_word_is_named(log, path):
    log.append([called(f"r{number}") for number in range(5)])
    log.append(lost())
    log.forget_reads(datetime(2100, 1, 1, tzinfo=UTC), "all of them")
    log.append(called("r9"))
    database = Database(path)
    database.execute("UPDATE events SET data = NULL, salt = NULL WHERE request_id = 'r9'")
    database.conn.commit()
    database.close()
    found = log.verify()
    assert (found.ok, found.broken) == (False, 8)
    assert "no event says it was redacted" in found.reason


def test_a_redaction_is_no_read_that_was_forgotten(log):
    log.append([called("r1"), lost(), lost()])
    log.redact(1, "a secret", "person:ann")
    assert log.forget_reads(datetime(2100, 1, 1, tzinfo=UTC), "all") == 0
    assert isinstance(list(log.read())[3].event, PayloadRedacted)
    assert log.verify().ok


def test_a_segments_export_lines_are_those_of_the_live_log(log):
    log.append([lost(), proven(), lost()])
    before = list(log.export())
    log.seal(2, "enough")
    assert list(log.export())[:3] == before
    assert orjson.loads(before[1])["data"]["attempt"] == "a1"
