from __future__ import annotations

import shutil
import threading
from contextlib import closing
from datetime import UTC

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from state import intake as intake_module
from state.errors import LogError, MalformedEvent, NewerLogError
from state.events import ConsentGiven, ToolCalled
from state.log import Entry, EventLog
from state.outbox import GATEWAY_EVENTS, PEOPLE_EVENTS, REFUSALS, Intake, Outbox, drain, ingest
from state.outbox_file import PAGE
from state.views import ALL
from tests.state.conftest import START, ticking

CALLED = ToolCalled(shard="traefik", tool="get_route", client="m", outcome="ok", arguments_digest="d")

PROPOSED = '{"proposal":"%s","branch":"b","commit":"c","parent":"p","tool":"t","client":"c","title":"t","resources":[]}'


@pytest.fixture
def box_path(tmp_path):
    return tmp_path / "outbox.db"


@pytest.fixture
def box(box_path):
    box = Outbox.open(box_path, ticking(), create=True)
    yield box
    box.close()


def say(box: Outbox, id: str = "") -> str:
    return box.put(CALLED, stream="gateway", actor="claude", request_id="r1", id=id)


def take(log: EventLog, path, allowed=GATEWAY_EVENTS) -> Intake:
    return drain(log, path, source="gateway", allowed=allowed)


def taken(log: EventLog) -> list[str]:
    return [recorded.id for recorded in log.read() if recorded.stream != REFUSALS]


def refused(log: EventLog) -> list[tuple[str, str]]:
    return [(recorded.event.what, recorded.event.reason) for recorded in log.read(stream=REFUSALS)]


def spoil(path, *statements: str) -> None:
    database = Database(path)
    for statement in statements:
        database.execute(statement)
    database.close()


# ── the outbox itself ────────────────────────────────────────────────────────────────────────────


def test_what_was_put_can_be_read(box):
    id = say(box)
    (row,) = box.read()
    assert (row.row, row.id, row.at, row.stream, row.actor, row.request_id, row.event) == (
        1,
        id,
        START,
        "gateway",
        "claude",
        "r1",
        CALLED,
    )
    assert row.at.tzinfo is UTC
    assert list(box.read(1)) == []


def test_the_same_id_is_kept_once(box):
    assert say(box, "same") == say(box, "same") == "same"
    assert [row.id for row in box.read()] == ["same"]


def test_several_events_are_put_together_or_not_at_all(box):
    good = Entry(stream="gateway", event=CALLED, actor="claude", key="a")
    assert box.put_all([good, Entry(stream="gateway", event=CALLED, actor="claude")])[0] == "a"
    with pytest.raises(LogError):
        box.put_all([Entry(stream="gateway", event=CALLED), Entry(stream="target/traefik", event=CALLED)])
    assert len(list(box.read())) == 2


@pytest.mark.parametrize(
    "wrong, word",
    [
        ({"stream": "target/traefik"}, "stream 'target/traefik'"),
        ({"stream": "x" * 201}, "stream"),
        ({"actor": "a\nb"}, "actor"),
        ({"request_id": "\x1b[31m"}, "request_id"),
        ({"id": "i" * 201}, "id"),
        ({"event": ToolCalled(**{**vars(CALLED), "reason": "x" * 2**20})}, "payload"),
        ({"event": ToolCalled(**{**vars(CALLED), "reason": None})}, "reason"),
        ({"event": ToolCalled(**{**vars(CALLED), "reason": 2**70})}, "JSON"),
    ],
)
def test_what_the_log_would_refuse_is_refused_at_the_door(box, wrong, word):
    with pytest.raises(LogError, match=word):
        box.put(**{"event": CALLED, "stream": "gateway", "actor": "claude", **wrong})
    assert list(box.read()) == []


def test_an_outbox_keeps_its_content_and_its_identity(box, box_path, log):
    say(box)
    assert take(log, box_path).taken == 1
    box.close()
    again = Outbox.open(box_path, ticking())
    say(again)
    assert take(log, box_path) == Intake(taken=1)
    again.close()


def test_an_outbox_with_room_taken_ahead_gets_no_longer_and_loses_nothing_to_a_crash(box, box_path, tmp_path):
    say(box, "before")
    box.reserve()
    ahead = box_path.with_name(f"{box_path.name}-wal").stat().st_size
    for number in range(20):
        say(box, f"after-{number}")
    assert box_path.with_name(f"{box_path.name}-wal").stat().st_size == ahead > 4_000_000

    crashed = tmp_path / "as-a-crash-leaves-it.db"
    for end in ("", "-wal"):
        shutil.copy(f"{box_path}{end}", f"{crashed}{end}")
    again = Outbox.open(crashed, ticking())
    assert [row.id for row in again.read()] == ["before", *(f"after-{number}" for number in range(20))]
    again.require_sound()
    again.close()


def test_room_is_taken_ahead_only_while_nobody_else_writes(box, box_path):
    say(box)
    length = box_path.with_name(f"{box_path.name}-wal").stat().st_size
    with closing(Database(sqlite3.connect(box_path))) as other:
        other.conn.execute("BEGIN IMMEDIATE")
        box._database.conn.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(LogError, match="locked"):
            box.reserve()
        assert box_path.with_name(f"{box_path.name}-wal").stat().st_size == length


def test_several_threads_may_put(box):
    threads = [threading.Thread(target=lambda: [say(box) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.row for row in box.read()] == list(range(1, 81))


def test_a_missing_or_newer_outbox_is_told(box, box_path, tmp_path):
    with pytest.raises(LogError, match="there is no outbox"):
        Outbox.open(tmp_path / "none.db", ticking(), readonly=True)
    box.close()
    spoil(box_path, "PRAGMA user_version = 99")
    with pytest.raises(NewerLogError, match="newer Waypost"):
        Outbox.open(box_path, ticking())


def test_a_log_is_not_an_outbox(log, path):
    with pytest.raises(LogError, match="something else"):
        Outbox.open(path, ticking())


# ── into the log, exactly once ───────────────────────────────────────────────────────────────────


def test_what_is_taken_in_carries_its_source(box, box_path, log):
    id = say(box)
    assert ingest(log, box_path, source="gateway", allowed=GATEWAY_EVENTS) == 1
    (recorded,) = log.read()
    assert (recorded.id, recorded.actor, recorded.stream, recorded.request_id, recorded.event) == (
        f"gateway:{id}",
        "gateway:claude",
        "gateway",
        "r1",
        CALLED,
    )


def test_nothing_is_taken_in_twice(box, box_path, log):
    for expected in (3, 0, 3, 0):
        if expected:
            for _ in range(3):
                say(box)
        assert take(log, box_path) == Intake(taken=expected)
    assert log.head().seq == 6


def test_an_outbox_nobody_made_yet_holds_nothing(log, box_path):
    assert take(log, box_path) == Intake()


def test_an_outbox_that_is_just_being_made_holds_nothing_and_is_no_fault(log, box_path):
    box_path.touch()
    assert take(log, box_path) == Intake()
    with closing(Outbox.open(box_path, ticking(), create=True)) as box:
        say(box)
    assert take(log, box_path) == Intake(taken=1)


def test_an_outbox_that_was_read_and_is_empty_now_is_told(box, box_path, log):
    say(box)
    take(log, box_path)
    box.close()
    box_path.write_bytes(b"")
    assert "is empty" in take(log, box_path).problem


def test_two_sources_do_not_mix(box, box_path, log, tmp_path):
    people = Outbox.open(tmp_path / "people.db", ticking(), create=True)
    people.put(ConsentGiven(commit="c", digest="d"), stream="main", actor="ann", id="same")
    say(box, "same")
    assert ingest(log, tmp_path / "people.db", source="person", allowed=PEOPLE_EVENTS) == 1
    assert take(log, box_path).taken == 1
    assert [recorded.id for recorded in log.read()] == ["person:same", "gateway:same"]
    people.close()


def test_a_crash_between_reading_and_recording_repeats_nothing(box, box_path, log):
    say(box)
    take(log, box_path)
    # As if the cursor had not been kept: the ids still know.
    log.append([], cursor=log.cursor("gateway").__class__("gateway", log.cursor("gateway").outbox, 0, ""))
    assert take(log, box_path).taken == 0
    assert log.head().seq == 1


def test_one_drain_has_an_end_and_the_next_goes_on(box, box_path, log, monkeypatch):
    monkeypatch.setattr(intake_module, "MOST", 1_000)
    box.put_all([Entry(stream="gateway", event=CALLED, actor="claude") for _ in range(1_700)])
    assert [take(log, box_path).taken for _ in range(3)] == [1_000, 700, 0]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["put", "drain", "replace", "forget cursor"]), max_size=14))
def test_whatever_happens_around_it_each_event_is_taken_in_once(tmp_path_factory, steps):
    directory = tmp_path_factory.mktemp("exactly")
    log = EventLog.open(directory / "log.db", now=ticking(), create=True)
    box = Outbox.open(directory / "box.db", ticking(), create=True)
    said: list[str] = []
    for step in [*steps, "drain"]:
        if step == "put":
            said.append(say(box))
        elif step == "drain":
            take(log, directory / "box.db")
            assert sorted(taken(log)) == sorted(f"gateway:{id}" for id in said)
        elif step == "replace":
            take(log, directory / "box.db")
            box.close()
            for file in directory.glob("box.db*"):
                file.unlink()
            box = Outbox.open(directory / "box.db", ticking(), create=True)
        elif cursor := log.cursor("gateway"):
            log.append([], cursor=type(cursor)("gateway", "another", 99, "x"))
    assert len(taken(log)) == len(said)
    box.close()
    log.close()


# ── a gateway gone bad ───────────────────────────────────────────────────────────────────────────


def forge(path, **columns) -> None:
    row = {
        "id": "forged",
        "at": "2026-01-01T00:00:00+00:00",
        "stream": "gateway",
        "actor": "claude",
        "request_id": "",
        "type": "ToolCalled",
        "schema": 1,
        "data": '{"shard":"s","tool":"t","client":"c","outcome":"ok","arguments_digest":"d","reason":""}',
        **columns,
    }
    database = Database(path)
    database["outbox"].insert(row)
    database.close()


def test_a_forged_row_that_is_well_made_is_only_what_the_gateway_may_say_anyway(box, box_path, log):
    forge(box_path)
    assert take(log, box_path) == Intake(taken=1)


@pytest.mark.parametrize(
    "columns, word",
    [
        ({"type": "ApplyProven"}, "a gateway may not say 'ApplyProven'"),
        ({"type": "ConsentGiven", "data": '{"commit":"c","digest":"d"}'}, "may not say"),
        ({"type": "Nonsense"}, "may not say"),
        ({"type": b"\x00"}, "may not say"),
        ({"stream": "target/traefik"}, "does not belong into stream"),
        ({"stream": "gateway\x1b[2J"}, "stream is not a line of text"),
        ({"stream": 7.5}, "does not belong"),
        ({"actor": "x" * 100_000}, "actor"),
        ({"actor": b"\xff\xfe"}, "actor"),
        ({"id": ""}, "no id"),
        ({"id": "i" * 201}, "id"),
        ({"at": "yesterday"}, "no moment"),
        ({"schema": "one"}, "schema"),
        ({"data": "{"}, "not JSON"),
        ({"data": "[]"}, "not a JSON object"),
        ({"data": "{}"}, "do not fit"),
        ({"data": b"{}"}, "payload"),
        ({"data": " " * (2**20 + 1)}, "payload"),
        ({"type": "ProposalMade", "stream": "proposal/p", "data": PROPOSED % ("p" * 2000)}, "id of a proposal"),
        ({"type": "ProposalMade", "stream": "proposal/p", "data": PROPOSED % "../../main"}, "id of a proposal"),
        ({"data": '{"shard":1,"tool":"t","client":"c","outcome":"ok","arguments_digest":"d"}'}, "shard"),
    ],
)
def test_a_row_that_is_not_what_it_should_be_is_passed_over_and_told(box, box_path, log, columns, word):
    forge(box_path, **columns)
    say(box)
    found = take(log, box_path)
    assert (found.taken, found.refused, found.problem) == (1, 1, "")
    assert word in found.reasons[0]
    assert take(log, box_path) == Intake()


def test_what_only_a_person_may_say_no_gateway_gets_into_the_log(box, box_path, log):
    """Well made, and in the stream where it belongs: that the gateway may not say it is all that keeps it out."""
    forge(box_path, type="ConsentGiven", stream="main", data='{"commit":"c","digest":"d"}')
    assert take(log, box_path).reasons == ("row 1: a gateway may not say 'ConsentGiven'",)
    assert not any(isinstance(one.event, ConsentGiven) for one in log.read())


def test_text_that_is_no_utf8_spoils_one_row_only(box, box_path, log):
    forge(box_path)
    spoil(box_path, "UPDATE outbox SET data = CAST(x'7bff7d' AS TEXT)")
    say(box)
    found = take(log, box_path)
    assert (found.taken, found.refused) == (1, 1)


def test_only_the_first_refusals_are_told_in_words(box, box_path, log):
    for number in range(30):
        forge(box_path, id=str(number), type="ApplyProven")
    found = take(log, box_path)
    assert (found.refused, len(found.reasons)) == (30, 20)
    assert [what for what, _ in refused(log)] == ["row 1", "further rows"]


class DiesSoon:
    """A log whose process ends right after its first transaction."""

    def __init__(self, log: EventLog) -> None:
        self._log, self._transactions = log, 0

    def __getattr__(self, name):
        return getattr(self._log, name)

    def append(self, *arguments, **more):
        if self._transactions:
            raise KeyboardInterrupt
        self._transactions += 1
        return self._log.append(*arguments, **more)


def test_what_is_refused_is_recorded_with_how_far_was_read_so_that_no_crash_comes_between(box, box_path, log):
    for number in range(PAGE):
        forge(box_path, id=str(number), type="ApplyProven")
    forge(box_path, id="on the next page")
    with pytest.raises(KeyboardInterrupt):
        take(DiesSoon(log), box_path)
    assert log.cursor("gateway").row == PAGE
    told = refused(log)
    assert told == [("row 1", "a gateway may not say 'ApplyProven'"), ("further rows", "they are refused like these")]
    assert take(log, box_path) == Intake(taken=1)
    assert refused(log) == told


def test_another_outbox_is_told_in_the_same_breath_empty_as_it_may_be(box, box_path, log):
    say(box)
    take(log, box_path)
    for file in box_path.parent.glob("outbox.db*"):
        file.unlink()
    Outbox.open(box_path, ticking(), create=True).close()
    assert take(log, box_path) == Intake(restarted=True)
    assert [what for what, _ in refused(log)] == ["outbox"]
    assert take(log, box_path) == Intake()


def test_an_id_that_was_recorded_cannot_be_given_another_meaning(box, box_path, log):
    say(box, "first")
    take(log, box_path)
    (before,) = log.read()
    spoil(box_path, "DELETE FROM outbox", "DELETE FROM sqlite_sequence")
    forge(box_path, id="first", actor="somebody else")
    assert take(log, box_path).taken == 0
    assert list(log.read(until=1)) == [before]
    assert len(taken(log)) == 1


def test_an_outbox_cut_short_is_read_again_and_loses_nothing(box, box_path, log):
    for _ in range(3):
        say(box)
    take(log, box_path)
    spoil(box_path, "DELETE FROM outbox WHERE row > 1", "UPDATE sqlite_sequence SET seq = 1")
    say(box)
    assert take(log, box_path) == Intake(taken=1, restarted=True)
    assert take(log, box_path) == Intake()


def test_an_event_of_a_newer_gateway_waits_for_a_newer_reconciler(box, box_path, log):
    say(box)
    forge(box_path, schema=2)
    say(box, "behind")
    found = take(log, box_path)
    assert (found.taken, found.refused) == (1, 0)
    assert "newer Waypost" in found.problem
    spoil(box_path, "UPDATE outbox SET schema = 1")
    assert take(log, box_path).taken == 2


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP TABLE outbox"],
        ["DROP TABLE identity"],
        ["ALTER TABLE outbox RENAME TO o", "CREATE VIEW outbox AS SELECT * FROM o"],
        [
            "DROP TABLE outbox",
            "CREATE VIEW outbox AS WITH RECURSIVE n(row) AS (SELECT 1 UNION ALL SELECT row + 1 FROM n)"
            " SELECT row, 'i' id, '' at, '' stream, '' actor, '' request_id, '' type, 1 schema, '' data FROM n",
        ],
        ["ALTER TABLE outbox ADD COLUMN more AS (zeroblob(1000000000))"],
    ],
)
def test_tables_that_are_not_ours_are_not_read(box, box_path, log, statements):
    box.close()
    spoil(box_path, *statements)
    found = take(log, box_path)
    assert "does not have the tables of" in found.problem
    assert log.head().seq == 0


def test_a_file_that_is_no_outbox_is_a_problem_and_no_crash(log, path, tmp_path):
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("noise", "link", "dangling", "log.db", "."):
        found = take(log, tmp_path / name)
        assert found.problem
        assert (found.taken, log.head().seq) == (0, 0)


def test_a_fault_of_the_log_is_not_blamed_on_the_outbox(box, box_path, log):
    say(box)
    log.close()
    with pytest.raises(LogError, match="event log .* is closed"):
        take(log, box_path)


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.none() | st.integers() | st.binary(max_size=20) | st.text(max_size=20) | st.floats()
            for name in ("id", "at", "stream", "actor", "request_id", "type", "schema", "data")
        },
    )
)
def test_no_row_whatsoever_crashes_the_intake(tmp_path_factory, columns):
    directory = tmp_path_factory.mktemp("fuzz")
    log = EventLog.open(directory / "log.db", now=ticking(), create=True)
    box = Outbox.open(directory / "box.db", ticking(), create=True)
    try:
        forge(directory / "box.db", **columns)
    except Exception:
        return  # SQLite itself refused the row (too large a number, NULL)
    say(box)
    found = take(log, directory / "box.db")
    assert found.taken >= 1 or "newer Waypost" in found.problem
    assert log.verify().ok
    list(log.read())
    box.close()
    log.close()


@pytest.mark.parametrize(("levels", "word"), [(128, ""), (129, "nests deeper than 128 levels"), (900, "nests deeper")])
def test_an_event_nests_as_deep_as_views_can_fold_and_keep_it(box, box_path, log, levels, word):
    around = 3  # the event, its list of losses, a loss
    loss = '{"a":' + "[" * (levels - around) + "]" * (levels - around) + "}"
    data = '{"commit":"c","digest":"d","losses":[' + loss + "]}"
    forge(box_path, type="ConsentGiven", stream="main", data=data)
    found = take(log, box_path, PEOPLE_EVENTS)
    assert (found.taken, found.refused) == ((0, 1) if word else (1, 0))
    assert word in "".join(found.reasons)
    for view in ALL:
        assert log.view(view).encode()


def test_reading_a_spoilt_outbox_directly_says_so(box, box_path):
    forge(box_path, data="{")
    with pytest.raises(MalformedEvent, match="row 1"):
        list(box.read())


def test_a_gateway_can_neither_consent_nor_tell_what_happened():
    assert {event.__name__ for event in GATEWAY_EVENTS} == {
        "ToolCalled", "ProposalMade", "ProposalWithdrawn", "ShardsDeclared", "ShardLost", "ShardFound"
    }  # fmt: skip
