"""A process killed at any call of its Git work loses nothing that it said yes to, and wedges nothing."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from tests.durability import strace, surviving
from tests.durability.warm import Server, Work

WORKLOADS = "tests.durability.workloads:"


def test_killed_at_every_call_git_keeps_what_it_acknowledged_and_goes_on(server: Server, memory: Path) -> None:
    start, place, said = memory / "start", memory / "place", memory / "said"
    start.mkdir()
    server.do(Work(f"{WORKLOADS}repository", (str(start),)))
    work = Work(f"{WORKLOADS}git", (str(place), str(said), 1))
    shutil.copytree(start, place)
    points = strace.points(strace.traced(server, work, memory / "trace")[0], place)
    assert len(points) > 50
    died_in_a_pool = 0
    for point in points:
        shutil.rmtree(place)
        shutil.copytree(start, place)
        said.unlink()
        child = strace.killed(server, work, point)
        died_in_a_pool += child.code == -signal.SIGKILL and point.thread > 0
        surviving.git(place, tuple(said.read_text().splitlines()))
    assert died_in_a_pool, "objects are flushed by threads of a pool: a death there was never tried"
