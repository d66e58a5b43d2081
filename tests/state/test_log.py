from __future__ import annotations

import itertools
import resource
import threading
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest

from state.codec import Redacted
from state.errors import DiskFault
from state.events import (
    ApplyProven,
    CommitApproved,
    HomeCreated,
    PayloadRedacted,
    PlanMade,
    ProposalMade,
    TargetFound,
    TargetLost,
)
from state.log import Cursor, Entry, EventLog, Head, LogError, WrongVersion
from state.model import Address
from state.views import Applied, Health

LOST = TargetLost(instance="traefik", reason="connection refused")
FOUND = TargetFound(instance="traefik", reason="it answers")


def lost(stream: str = "target/traefik", key: str = "") -> Entry:
    return Entry(stream=stream, event=LOST, key=key)


def test_an_empty_log_has_a_head_of_zero(log):
    assert log.head() == Head(0, "00" * 32)
    assert list(log.read()) == []


def test_an_event_is_recorded_with_everything_around_it(log):
    entry = Entry(stream="home", event=HomeCreated(waypost="1"), actor="person:ann", request_id="r1", key="k1")
    (recorded,) = log.append(entry)
    assert (recorded.seq, recorded.id, recorded.stream, recorded.version) == (1, "k1", "home", 1)
    assert (recorded.type, recorded.schema, recorded.actor, recorded.request_id) == (
        "HomeCreated",
        1,
        "person:ann",
        "r1",
    )
    assert recorded.at.tzinfo is UTC
    assert list(log.read()) == [recorded]
    assert log.head() == Head(1, recorded.hash)


def test_what_is_recorded_is_there_after_opening_again(log, path):
    recorded = log.append([lost(), lost("home")])
    log.close()
    with_another = EventLog.open(path, now=lambda: datetime.now(UTC))
    assert list(with_another.read()) == recorded
    with_another.close()


def test_a_moment_is_kept_in_utc(path):
    east = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    log = EventLog.open(path, now=lambda: east, create=True)
    log.append(lost())
    (recorded,) = log.read()
    assert recorded.at.isoformat() == "2025-12-31T23:00:00+00:00"
    log.close()


def test_versions_count_within_their_stream(log):
    recorded = log.append([lost("a"), lost("b"), lost("a")]) + log.append(lost("a"))
    assert [(each.stream, each.version) for each in recorded] == [("a", 1), ("b", 1), ("a", 2), ("a", 3)]
    assert (log.version("a"), log.version("b"), log.version("c")) == (3, 1, 0)


def test_reading_is_bounded_from_both_sides(log):
    log.append([lost() for _ in range(5)])
    assert [each.seq for each in log.read(1, until=3)] == [2, 3]
    assert [each.seq for each in log.read(3)] == [4, 5]
    assert list(log.read(5)) == []


def test_one_stream_can_be_read_alone(log):
    log.append([lost("a"), lost("b"), lost("a"), lost("b"), lost("a")])
    assert [each.seq for each in log.read(stream="a")] == [1, 3, 5]
    assert [each.seq for each in log.read(1, stream="a", until=4)] == [3]


def test_reading_goes_over_many_pages(log):
    log.append([lost("a" if number % 3 else "b") for number in range(2_500)])
    assert [each.seq for each in log.read()] == list(range(1, 2_501))
    assert [each.version for each in log.read(stream="b")] == list(range(1, 835))


def test_a_reader_may_append_while_it_reads(log):
    log.append([lost() for _ in range(3)])
    for _ in log.read():
        log.append(lost())
    assert log.head().seq == 6


# ── exactly once ─────────────────────────────────────────────────────────────────────────────────


def test_a_key_that_was_recorded_is_answered_with_its_row(log):
    (first,) = log.append(lost(key="k"))
    (again,) = log.append(Entry(stream="elsewhere", event=FOUND, key="k"))
    assert again == first
    assert log.head().seq == 1


def test_a_key_twice_in_one_batch_is_one_event(log):
    first, other, again = log.append([lost(key="k"), lost(), lost(key="k")])
    assert (first, other.seq) == (again, 2)
    assert log.head().seq == 2


def test_entries_without_a_key_may_repeat(log):
    log.append([lost(), lost()])
    assert log.head().seq == 2


def test_a_repeated_append_does_not_stumble_over_the_version_it_made(log):
    log.append(lost("a", key="k"), expected={"a": 0})
    log.append(lost("a", key="k"), expected={"a": 0})
    assert log.version("a") == 1


# ── expected versions ────────────────────────────────────────────────────────────────────────────


def test_an_append_that_expects_the_right_versions_is_recorded(log):
    log.append([lost("a")], expected={"a": 0})
    log.append([lost("a"), lost("b")], expected={"a": 1, "b": 0})
    assert log.head().seq == 3


def test_an_append_that_expects_another_version_records_nothing(log):
    log.append(lost("a"))
    with pytest.raises(WrongVersion, match="'a' is at version 1, not 0") as caught:
        log.append([lost("b"), lost("a")], expected={"a": 0})
    assert (caught.value.retry, caught.value.stream, caught.value.found) == (True, "a", 1)
    assert log.head().seq == 1


def test_of_many_threads_that_expect_the_same_version_one_wins(log):
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            log.append(lost("a"), expected={"a": 0})
            outcomes.append("won")
        except WrongVersion:
            outcomes.append("lost")

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]


def test_many_threads_may_append_read_and_look_at_views(log):
    def work(stream: str) -> None:
        for _ in range(20):
            log.append(lost(stream))
            log.view(Health)
            list(log.read(stream=stream))

    threads = [threading.Thread(target=work, args=(f"s{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.head().seq == 80
    assert log.verify().ok


# ── nothing half done ────────────────────────────────────────────────────────────────────────────


def test_a_batch_with_one_bad_event_records_nothing(log):
    with pytest.raises(LogError, match="HomeCreated"):
        log.append([lost(), Entry(stream="home", event=HomeCreated(waypost=object()))])
    assert log.head().seq == 0
    log.append(lost())
    assert log.verify().ok


def test_an_empty_batch_is_fine(log):
    assert log.append([]) == []


def test_a_cursor_moves_with_the_batch_or_not_at_all(log):
    log.append([lost()], cursor=Cursor("gateway", "box", 1, "a"))
    assert log.cursor("gateway") == Cursor("gateway", "box", 1, "a")
    with pytest.raises(WrongVersion):
        log.append([lost("a")], expected={"a": 9}, cursor=Cursor("gateway", "box", 2, "b"))
    assert log.cursor("gateway") == Cursor("gateway", "box", 1, "a")
    assert log.cursor("people") is None


def test_what_a_log_for_reading_must_not_do_is_refused(log, path):
    reader = EventLog.open(path, now=lambda: datetime.now(UTC), readonly=True)
    for forbidden in (lambda: reader.append(lost()), lambda: reader.redact(1, "", ""), reader.rebuild):
        with pytest.raises(LogError, match="reading only"):
            forbidden()
    reader.close()


def test_a_closed_log_says_so(log):
    log.close()
    log.close()
    with pytest.raises(LogError, match="is closed"):
        log.head()


def test_a_log_that_met_a_fault_of_the_disk_takes_nothing_more_though_the_disk_is_well_again(path):
    log = EventLog.open(path, now=lambda: datetime.now(UTC), create=True)
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, allowed[1]))
    try:
        with pytest.raises(DiskFault):
            for _ in range(1_000):
                log.append([lost()] * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    for asking in (lambda: log.append(lost()), log.head):
        with pytest.raises(LogError, match="met a disk error; check the disk, then start again"):
            asking()
    log.close()
    log = EventLog.open(path, now=lambda: datetime.now(UTC))
    log.append(lost())
    assert log.verify().ok
    log.close()


# ── history ──────────────────────────────────────────────────────────────────────────────────────

ROUTER = "traefik/http.routers/a%2Fb"


def proven(*addresses: str, commit: str = "c1", attempt: str = "a1") -> ApplyProven:
    changes = dict.fromkeys(addresses, {"rule": "Path(`/`)"})
    return ApplyProven(
        instance="traefik", attempt=attempt, commit=commit, changes=changes, file="f", seconds=0.1, evidence="e"
    )


def test_events_are_found_under_what_they_mention(log):
    made = ProposalMade(
        proposal="p1", branch="b", commit="c0", parent="c", tool="t", client="m", title="t", resources=(ROUTER,)
    )
    plan = PlanMade(commit="c1", digest="d", changes=(f"create {ROUTER}",))
    approved = CommitApproved(commit="c1", via="rebase", proposal="p1")
    log.append(Entry(stream="proposal/p1", event=made, request_id="r1"))
    log.append([Entry(stream="main", event=event) for event in (approved, plan, proven(ROUTER), LOST)])
    assert log.touching(ROUTER) == [1, 3, 4]
    assert log.touching(Address.parse(ROUTER), after=1) == [3, 4]
    assert log.touching("commit:c1") == [2, 3, 4]
    assert log.touching("proposal:p1") == [1, 2]
    assert log.touching("attempt:a1") == [4]
    assert log.touching("request:r1") == [1]
    assert [each.type for each in log.about(ROUTER)] == ["ProposalMade", "PlanMade", "ApplyProven"]
    assert log.touching("traefik/http.routers/other") == []


def test_the_index_and_what_is_not_in_it_yet_are_found_as_one(log):
    for number in range(450):
        log.append(Entry(stream="x", event=proven(ROUTER) if number % 3 == 0 else LOST))
    found = list(range(1, 451, 3))
    assert log.touching(ROUTER) == found
    assert log.touching(ROUTER, after=200) == [seq for seq in found if seq > 200]
    assert log.touching(ROUTER, after=420) == [seq for seq in found if seq > 420]
    log.rebuild()
    assert log.touching(ROUTER) == found


# ── redaction ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("indexed", [False, True])
def test_a_redacted_payload_is_gone_and_the_chain_holds(log, path, indexed):
    log.append([lost(), Entry(stream="target/traefik", event=proven(ROUTER, commit="hunter2-c")), lost()])
    if indexed:
        log.rebuild()
    assert log.view(Applied).base("traefik")
    redaction = log.redact(2, "a secret was in it", "person:ann")
    assert redaction.event == PayloadRedacted(seq=2, reason="a secret was in it")
    assert (redaction.stream, redaction.actor) == ("log", "person:ann")
    assert log.verify().ok
    _, second, *_ = log.read()
    assert (second.event, second.type) == (Redacted(type="ApplyProven"), "ApplyProven")
    assert log.touching(ROUTER) == []
    assert log.view(Applied) == Applied.empty()
    log.close()
    assert b"hunter2" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_a_reader_elsewhere_forgets_what_was_redacted(log, path):
    log.append(Entry(stream="target/traefik", event=proven(ROUTER)))
    reader = EventLog.open(path, now=lambda: datetime.now(UTC), readonly=True)
    assert reader.view(Applied).base("traefik")
    log.redact(1, "secret", "person:ann")
    assert reader.view(Applied).base("traefik") == {}
    reader.close()


@pytest.mark.parametrize("seq", [0, 1, 2, 3, 99])
def test_only_a_payload_that_is_there_can_be_redacted(log, seq):
    log.append(lost())
    log.redact(1, "secret", "person:ann")  # event 2
    with pytest.raises(LogError, match=f"event {seq} has no payload to redact"):
        log.redact(seq, "again", "person:ann")


# ── export ───────────────────────────────────────────────────────────────────────────────────────


def test_an_export_is_one_line_of_json_an_event(log):
    log.append([lost(), Entry(stream="home", event=HomeCreated(waypost="ü\n"))])
    log.redact(1, "secret", "person:ann")
    lines = [orjson.loads(line) for line in log.export()]
    assert [line["data"] for line in lines] == [None, {"waypost": "ü\n"}, {"seq": 1, "reason": "secret"}]
    assert [line["prev_hash"] for line in lines] == ["00" * 32, lines[0]["hash"], lines[1]["hash"]]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in log.export())


def test_the_same_chance_and_clock_make_the_same_log(tmp_path):
    heads = []
    for name in ("one", "two"):
        numbers = itertools.count()
        log = EventLog.open(
            tmp_path / name,
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            chance=lambda size, numbers=numbers: next(numbers).to_bytes(size, "big"),
            create=True,
        )
        log.append([lost(), lost()])
        heads.append(log.head())
        log.close()
    assert heads[0] == heads[1]
