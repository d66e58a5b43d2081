"""Trials: a harness against the product, or against the product without one of its safeguards. Say what they caught.

Tests want nothing to be caught; mutants.py wants the opposite. `caught` is "" or what went wrong first, `after` how
many schedules, states or kills it took to see that (or how many there were).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.durability import power, strace
from tests.durability.power import Disk, Step
from tests.durability.warm import Server, Work

Judge = Callable[[Path, tuple[str, ...]], None]


@dataclass(frozen=True)
class Finding:
    """What a trial came to."""

    after: int
    caught: str = ""


@dataclass(frozen=True)
class Recorded:
    """What a workload wrote, on top of what was there before it."""

    steps: Sequence[Step]
    start: Path | None


def record(
    server: Server, place: Path, workload: str, *arguments: object, prepare: str = "", mutations: tuple[str, ...] = ()
) -> Recorded:
    """Run a workload (its place, where to tell, more arguments) once, and have all that it wrote."""
    shutil.rmtree(place, ignore_errors=True)
    there, said, start = place / "place", place / "said", place / "start"
    there.mkdir(parents=True)
    if prepare:
        server.do(Work(f"tests.durability.workloads:{prepare}", (str(there),)))
        shutil.copytree(there, start)
    work = Work(f"tests.durability.workloads:{workload}", (str(there), str(said), *arguments), mutations)
    calls, child = strace.traced(server, work, place / "trace", data=True)
    assert child.code == 0, child.said
    return Recorded(power.steps(calls, there, said), start if prepare else None)


def power_losses(recorded: Recorded, judge: Judge, count: int, seed: int, *, late: bool = False) -> Finding:
    """So many losses of power at points of chance, each judged on files in memory; `late`: when all had been said."""
    first = _last_said(recorded.steps) if late else 0
    with in_memory() as memory:
        place = memory / "left"
        for number, loss in enumerate(power.losses(recorded.steps, recorded.start, count, seed, first), start=1):
            shutil.rmtree(place, ignore_errors=True)
            power.put_down(loss.files, place)
            if fault := judged(judge, place, loss.said):
                return Finding(number, f"{fault} (seed {loss.seed})")
    return Finding(count)


def _last_said(steps: Sequence[Step]) -> int:
    return max(number for number, step in enumerate(steps, start=1) if step.what == "said")


def every_state(recorded: Recorded, judge: Callable[[dict[str, bytes | None], Sequence[str]], None]) -> Finding:
    """Every state that a crash, or a loss of power, may leave after each step."""
    disk, said, states = Disk(recorded.start), [], 0
    for step in recorded.steps:
        disk.take(step)
        if step.what == "said":
            said.append(step.path)
        for files in (disk.whole(), *disk.every_loss()):
            states += 1
            try:
                judge(files, said)
            except AssertionError as fault:
                return Finding(states, _first_line(fault))
    return Finding(states)


def judged(judge: Judge, place: Path, said: tuple[str, ...]) -> str:
    """What is wrong, in a line; "" where nothing is. Whatever is raised about files that a crash left is wrong."""
    try:
        judge(place, said)
    except Exception as fault:
        return _first_line(fault)
    return ""


def _first_line(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {str(fault).partition(chr(10))[0][:150]}"


@contextmanager
def in_memory() -> Iterator[Path]:
    """A directory whose files cost no flush, where the machine has such a thing."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as directory:
        yield Path(directory)
