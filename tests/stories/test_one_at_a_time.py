"""One reconciler at a time, in a home and in a Traefik's directory: the second waits, says for whom, and takes over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler import founding
from reconciler.core.target import TargetError
from reconciler.ports import Disk
from reconciler.targets.owned import OwnedFile

HOLD = "import sys, pathlib; from reconciler.home import open; lock = open(pathlib.Path(sys.argv[1])).lock_reconciler()"
WRITE = (
    "import sys, pathlib; from reconciler.ports import Disk; from reconciler.targets.owned import OwnedFile\n"
    "OwnedFile(pathlib.Path(sys.argv[1]), Disk()).lock()"
)
PATIENCE = 60.0  # seconds: three processes begin here one after the other, perhaps beside many others
STAY = "\nprint('held', flush=True); sys.stdin.read()"


class Process:
    """A real process and the lines that it has written by now."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.said += line

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def code(self) -> int | None:
        return self._process.poll()

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        self._process.send_signal(number)
        self._process.wait(20)
        self._reading.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()


@pytest.fixture
def start(free_port: Callable[[], int]) -> Iterator[Callable[..., Process]]:
    """Start `waypost …` in a home, or a program; all that still runs is killed in the end."""
    running: list[Process] = []

    def begin(*command: str, home: Path | None = None) -> Process:
        ports = {name: f"127.0.0.1:{free_port()}" for name in ("WAYPOST_LISTEN", "WAYPOST_RECONCILER_LISTEN")}
        waypost = ["-m", "reconciler", "--home", str(home)] if home else []
        running.append(Process([sys.executable, *waypost, *command], ports))
        return running[-1]

    yield begin
    for process in running:
        process.end()


@pytest.fixture
def neighbour(house, tmp_path: Path) -> Path:
    """Another home whose Traefik has the same directory."""
    chosen = {
        "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(house.traefik.directory),
        "WAYPOST_TRAEFIK_API_URL": house.traefik.url,
    }
    return founding.create(tmp_path / "neighbour", chosen=chosen, environ={}, now=lambda: datetime.now(UTC)).path


def waiting_for(first: Process, place: Path) -> str:
    return rf"waiting: process {first.pid} holds {place} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"


def test_reconcilers_of_two_homes_in_one_directory_take_turns_however_each_ends(house, neighbour, start):
    first = start("serve-reconciler", home=house.home.path)
    house.until(lambda: "asked at" in first.said, "the first reconciler", PATIENCE)
    second = start("serve-reconciler", home=neighbour)
    house.until(lambda: re.search(waiting_for(first, house.traefik.directory), second.said), "the words", PATIENCE)
    assert "asked at" not in second.said
    first.end(signal.SIGKILL)
    house.until(lambda: "asked at" in second.said, "the second reconciler", PATIENCE)
    single = start("reconcile", "--once", home=house.home.path)
    house.until(
        lambda: re.search(waiting_for(second, house.traefik.directory), single.said), "the words again", PATIENCE
    )
    assert not single.ended
    second.end(signal.SIGTERM)
    house.until(lambda: single.ended, "the single pass", PATIENCE)
    assert "Traceback" not in single.said


def test_a_pass_waits_for_a_command_in_the_same_home_that_takes_no_questions(house, start):
    first = start("-c", HOLD + STAY, str(house.home.path))
    house.until(lambda: "held" in first.said, "the first", PATIENCE)
    second = start("reconcile", "--once", home=house.home.path)
    house.until(lambda: re.search(waiting_for(first, house.home.path), second.said), "the words", PATIENCE)
    assert not second.ended
    first.end()
    house.until(lambda: second.code == 0, "the second", PATIENCE)


def test_a_write_beside_another_writer_of_the_directory_is_refused_and_names_it(house, start):
    first = start("-c", WRITE + STAY, str(house.traefik.directory))
    house.until(lambda: "held" in first.said, "the writer", PATIENCE)
    owned = OwnedFile(house.traefik.directory, Disk())
    with pytest.raises(TargetError, match=rf"another Waypost \(process {first.pid} since 20.*\) is writing to"):
        owned.lock()
    first.end()
    owned.lock()
    owned.release()
