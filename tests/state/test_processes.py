"""Several real processes on one file: readers beside a writer, kill -9 in the middle, a disk that gives out."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from state import folding
from state.errors import LogError
from state.log import EventLog
from state.outbox import GATEWAY_EVENTS, Outbox, drain
from state.views import ALL, Applied
from tests.state.conftest import ticking
from tests.state.writer_process import write

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
ROUNDS = 30
NOBODY = 65534
FORKING = multiprocessing.get_context("fork")

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@contextlib.contextmanager
def writing(kind: str, path: Path, *, limit: int = 0) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.state.writer_process", kind, str(path), str(limit)]
    writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield writer
    finally:
        writer.kill()
        writer.wait()
        assert writer.stdout
        writer.stdout.close()


def told(writer: subprocess.Popen[str], lines: int) -> int:
    """Wait for so many durable appends; the number of the last one."""
    assert writer.stdout
    answers = [writer.stdout.readline() for _ in range(lines)]
    return int(answers[-1].removeprefix("done "))


class Fork:
    """A writer as a copy of this process: quick to start, so that many can be killed.

    Only for files that nobody has open here: SQLite's locks do not survive a fork.
    """

    def __init__(self, kind: str, path: Path) -> None:
        self._answers, theirs = multiprocessing.Pipe(duplex=False)
        self._process = FORKING.Process(target=write, args=(kind, path, 0, theirs.send), daemon=True)
        self._process.start()
        theirs.close()

    def told(self, answers: int) -> int:
        """Wait for so many durable appends; the number of the last one."""
        return [int(self._answers.recv().removeprefix("done ")) for _ in range(answers)][-1]

    def killed(self) -> int:
        """Kill -9; the number of the last append it told of, 0 where there was none since it was asked."""
        if self._answers.closed:
            return 0
        self._process.kill()
        self._process.join()
        last = 0
        with contextlib.suppress(EOFError):
            while True:
                last = self.told(1)
        self._answers.close()
        return last


def opened(path: Path, **options) -> EventLog:
    return EventLog.open(path, now=ticking(), **options)


def test_a_reader_works_beside_a_writer_in_another_process(path):
    with writing("log", path) as writer:
        last = told(writer, 3)
        reader = opened(path, readonly=True)
        for _ in range(10):
            assert reader.head().seq >= last
            assert reader.verify().ok
            assert len(reader.view(Applied).base("traefik")) >= last
            last = told(writer, 5)
        reader.close()


def test_a_reader_sees_what_was_written_after_it_opened(path, log):
    reader = opened(path, readonly=True)
    assert reader.view(Applied) == Applied.empty()
    with writing("log", path) as writer:
        last = told(writer, 20)
        assert f"traefik/http.routers/{last}" in map(str, reader.view(Applied).base("traefik"))
    reader.close()


def test_nothing_acknowledged_is_lost_and_nothing_is_half_done_after_kill_9(path):
    acknowledged = 0
    for round in range(ROUNDS):
        writer = Fork("log", path)
        acknowledged = max(acknowledged, writer.told(1 + round % 4), writer.killed())
        log = opened(path)
        found = log.verify()
        assert (found.ok, found.reason) == (True, "")
        assert log.head().seq >= acknowledged
        log.close()


def test_views_are_right_after_kill_9(path, monkeypatch):
    monkeypatch.setattr(folding, "CHECKPOINT_EVERY", 3)
    for round in range(ROUNDS):
        writer = Fork("log", path)
        writer.told(5 + round % 7)
        writer.killed()
        log = opened(path)
        assert {view: log.view(view) for view in ALL} == {view: view.empty().fold_all(log.read()) for view in ALL}
        log.close()


def test_a_killed_outbox_loses_nothing_it_acknowledged_and_repeats_nothing(tmp_path, log):
    acknowledged = 0
    for round in range(ROUNDS):
        writer = Fork("outbox", tmp_path / "box.db")
        acknowledged = max(acknowledged, writer.told(1 + round % 4))
        drain(log, tmp_path / "box.db", source="gateway", allowed=GATEWAY_EVENTS)
        acknowledged = max(acknowledged, writer.killed())
        assert not drain(log, tmp_path / "box.db", source="gateway", allowed=GATEWAY_EVENTS).problem
        assert log.head().seq >= acknowledged
    ids = [recorded.id for recorded in log.read()]
    assert len(set(ids)) == len(ids)


def test_a_disk_that_gives_out_is_told_once_and_the_log_stays_whole(path):
    opened(path, create=True).close()
    with writing("log", path, limit=300_000) as writer:
        output, _ = writer.communicate()
    *good, first, second = output.splitlines()
    assert all(line.startswith("done") for line in good)
    assert "the disk" in first
    assert ("met a disk error" if first.startswith("DiskFault") else "the disk") in second
    log = opened(path)
    assert log.verify().ok
    assert log.head().seq >= len(good)
    log.close()


# ── an account that may read and not write ───────────────────────────────────────────────────────


@pytest.mark.parametrize("then", ["lives", "closed it", "was killed"])
def test_an_outbox_is_read_by_an_account_that_may_not_write_there(tmp_path, then):
    box_path = tmp_path / "gateway" / "outbox.db"
    box_path.parent.mkdir()
    writer = Fork("outbox", box_path)
    acknowledged = writer.told(3)
    if then != "lives":
        writer.killed()
    if then == "closed it":
        Outbox.open(box_path, ticking()).close()
    assert {file.stat().st_mode & 0o777 for file in box_path.parent.iterdir()} == {0o640}
    for file in box_path.parent.iterdir():
        file.chmod(0o444)
    box_path.parent.chmod(0o555)
    found = without_rights(
        tmp_path,
        lambda: drain(opened(tmp_path / "log.db", create=True), box_path, source="gateway", allowed=GATEWAY_EVENTS),
    )
    box_path.parent.chmod(0o755)
    if then == "lives":
        writer.killed()
    assert (found.problem, found.refused) == ("", 0)
    assert found.taken >= acknowledged


def test_a_log_that_may_not_be_read_is_told_in_words(tmp_path, path):
    opened(path, create=True).close()
    path.chmod(0)
    words = without_rights(tmp_path, lambda: words_of(lambda: opened(path, readonly=True)))
    assert "check who owns the file" in words


def words_of(work: Callable[[], object]) -> str:
    with pytest.raises(LogError) as caught:
        work()
    return str(caught.value)


def without_rights(home: Path, work: Callable[[], T]) -> T:
    """What the work answers in an account that file modes bind: this one, unless this is root."""
    if os.geteuid() != 0:
        return work()
    for directory in home.parents:
        if directory.owner() == "root" and directory.name.startswith(("pytest-", "popen-")):
            directory.chmod(0o755)
    os.chown(home, NOBODY, NOBODY)
    ours, theirs = multiprocessing.Pipe(duplex=False)

    def child() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        theirs.send(work())

    process = FORKING.Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
    answer: T = ours.recv()
    return answer
