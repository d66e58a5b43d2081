"""A process killed at any call of its Git work loses nothing that it said yes to, and wedges nothing."""

from __future__ import annotations

import shutil
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
    for point in points:
        shutil.rmtree(place)
        shutil.copytree(start, place)
        said.unlink()
        strace.killed(server, work, point.name, point.number)
        surviving.git(place, tuple(said.read_text().splitlines()))
