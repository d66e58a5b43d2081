from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlite_utils import Database

from state import database as database_module
from state.database import degradation, wal_is_safe
from state.errors import LogError, NewerLogError
from state.events import TargetLost
from state.log import Entry, EventLog
from state.views import ALL, Applied
from tests.state.conftest import ticking

HOMES = Path(__file__).parent / "homes"


def opened(path: Path, **options) -> EventLog:
    return EventLog.open(path, now=ticking(), **options)


def lost() -> Entry:
    return Entry(stream="target/traefik", event=TargetLost(instance="traefik", reason="away"))


def pragma(log: EventLog, name: str):
    return database_module.pragma(log._database, name)


# ── durability ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "version, safe",
    [
        ((3, 6, 23), False),
        ((3, 7, 0), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 53, 4), True),
        ((4, 0, 0), True),
    ],
)
def test_a_write_ahead_log_is_only_kept_by_an_sqlite_that_can(version, safe):
    assert wal_is_safe(version) == safe
    assert (degradation(version) == "") == safe


def test_appends_are_flushed_before_they_are_answered(log):
    assert pragma(log, "synchronous") == 3
    assert pragma(log, "journal_mode") == ("delete" if log.degraded else "wal")


def test_a_faulty_sqlite_means_a_rollback_journal_and_a_word(path, monkeypatch):
    monkeypatch.setattr(database_module, "sqlite_version", lambda: (3, 40, 1))
    log = opened(path, create=True)
    assert "3.40.1" in log.degraded
    assert (pragma(log, "journal_mode"), pragma(log, "synchronous")) == ("delete", 3)
    log.append([lost(), lost()])
    reader = opened(path, readonly=True)
    assert (reader.head().seq, reader.verify().ok) == (2, True)
    reader.close()
    log.close()


def test_a_home_moves_between_a_faulty_and_a_sound_sqlite(path, monkeypatch):
    opened(path, create=True).close()
    with monkeypatch.context() as patch:
        patch.setattr(database_module, "sqlite_version", lambda: (3, 40, 1))
        log = opened(path)
        log.append(lost())
        log.close()
    monkeypatch.setattr(database_module, "sqlite_version", lambda: (3, 53, 4))
    log = opened(path)
    log.append(lost())
    assert (pragma(log, "journal_mode"), log.verify().events, log.degraded) == ("wal", 2, "")
    log.close()


def test_a_log_is_its_owners_alone(path):
    mask = os.umask(0)
    try:
        opened(path, create=True).close()
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o600


# ── what is refused, and in which words ──────────────────────────────────────────────────────────


def test_a_missing_log_is_not_made_in_passing(path):
    for readonly in (True, False):
        with pytest.raises(LogError, match=r"there is no event log at .*waypost init"):
            opened(path, readonly=readonly)
    assert not path.exists()


def test_creating_where_nothing_can_be_created_is_told(tmp_path):
    with pytest.raises(LogError, match=r"cannot be created: No such file"):
        opened(tmp_path / "none" / "log.db", create=True)


def test_creating_twice_opens_what_is_there(path):
    first = opened(path, create=True)
    first.append(lost())
    first.close()
    second = opened(path, create=True)
    assert second.head().seq == 1
    second.close()


def test_a_creation_that_was_cut_short_can_be_repeated(path):
    path.touch()
    with pytest.raises(LogError, match="is empty"):
        opened(path)
    opened(path, create=True).close()
    opened(path).close()


def test_a_file_that_is_no_database_is_not_touched(path):
    path.write_bytes(b"a letter to a friend" * 100)
    with pytest.raises(LogError, match="not a database.*damaged.*waypost log verify"):
        opened(path, create=True)
    assert path.read_bytes() == b"a letter to a friend" * 100


def test_a_database_of_something_else_is_not_touched(path):
    other = Database(path)
    other["songs"].insert({"title": "x"})
    other.close()
    with pytest.raises(LogError, match="a database of something else"):
        opened(path, create=True)


def test_a_directory_a_pipe_or_a_link_is_not_a_log(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    opened(tmp_path / "log.db", create=True).close()
    (tmp_path / "link").symlink_to(tmp_path / "log.db")
    for name in (".", "pipe", "link"):
        with pytest.raises(LogError, match="not a regular file"):
            opened(tmp_path / name, readonly=True)


def test_a_damaged_page_is_told_in_words(path):
    log = opened(path, create=True)
    log.append([lost() for _ in range(3_000)])
    log.close()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 40_960] = b"\xff" * 40_960
    path.write_bytes(content)
    damaged = opened(path, readonly=True)
    found = damaged.verify()
    assert (found.ok, found.broken) == (False, found.events + 1)
    assert "the file is damaged" in found.reason
    with pytest.raises(LogError, match="the file is damaged"):
        list(damaged.read())
    damaged.close()


def test_a_busy_log_says_to_try_again(path, monkeypatch):
    monkeypatch.setattr(database_module, "WAIT", 0.0)
    log, other = opened(path, create=True), opened(path)
    with other._storage.writing, pytest.raises(LogError, match="try again") as caught:
        log.append(lost())
    assert caught.value.retry
    log.append(lost())
    log.close()
    other.close()


# ── older and newer homes ────────────────────────────────────────────────────────────────────────


def from_dump(name: str, path: Path) -> None:
    database = Database(path)
    database.conn.executescript((HOMES / name).read_text())
    database.close()


OLD = sorted(file.name for file in HOMES.glob("format-*.sql"))


@pytest.mark.parametrize("name", OLD)
def test_every_old_home_opens_and_becomes_a_present_one(name, path):
    from_dump(name, path)
    log = opened(path)
    assert log.verify().ok
    assert log.head().seq == 3
    assert log.touching("traefik/http.routers/gitea") == [2]
    assert log.view(Applied).base("traefik")
    log.append(lost())
    log.rebuild()
    log.close()
    assert opened(path, readonly=True).verify().events == 4


@pytest.mark.parametrize("name", OLD)
def test_an_old_home_can_be_read_without_changing_it(name, path):
    from_dump(name, path)
    before = path.read_bytes()
    log = opened(path, readonly=True)
    assert log.touching("traefik/http.routers/gitea") == [2]
    assert {view: log.view(view) for view in ALL} == {view: view.empty().fold_all(log.read()) for view in ALL}
    log.close()
    assert path.read_bytes() == before


def test_every_format_has_an_old_home_to_open():
    steps = len(database_module_steps())
    assert [f"format-{number}.sql" for number in range(1, steps + 1)] == OLD


def database_module_steps():
    from state.tables import LOG

    return LOG.steps


@pytest.mark.parametrize("readonly", [True, False])
def test_a_log_of_a_newer_format_is_refused_untouched(path, readonly):
    opened(path, create=True).close()
    database = Database(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(NewerLogError, match=r"written by a newer Waypost \(format 99;.*Install"):
        opened(path, readonly=readonly)
    assert path.read_bytes() == before


@pytest.mark.parametrize("readonly", [True, False])
def test_a_log_with_an_event_from_the_future_is_refused_at_once(path, readonly):
    opened(path, create=True).close()
    database = Database(path)
    database.execute("INSERT INTO shapes VALUES ('TeleportationProven', 1)")
    database.close()
    with pytest.raises(NewerLogError, match="TeleportationProven"):
        opened(path, readonly=readonly)


def test_a_shape_that_was_rolled_back_is_noted_when_it_comes(log, path):
    with pytest.raises(LogError):
        log.append([lost(), Entry(stream="x", event=TargetLost(instance="traefik", reason=object()))])
    log.append(lost())
    database = Database(path)
    assert list(database.query("SELECT * FROM shapes")) == [{"type": "TargetLost", "schema": 1}]
    database.close()
