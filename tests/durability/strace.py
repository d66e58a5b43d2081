"""Real processes under `strace`: what they asked the system to change, in order, and death at one of those calls."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.durability.warm import Child, Server, Work

CHANGING = (
    "openat", "write", "writev", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "renameat", "renameat2",
    "unlink", "unlinkat", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat", "rmdir", "utimensat", "chmod",
    "fchmod", "fchmodat", "flock", "fallocate",
)  # fmt: skip
"""System calls that change what is on a disk, or who may change it. (`openat` only where it may create.)"""


@dataclass(frozen=True)
class Call:
    """One system call: its name, the how-manieth of that name it is, its arguments as text, and what came of it."""

    name: str
    number: int
    arguments: str
    result: int


_LINE = re.compile(r"(?:\[pid +\d+\] |\d+ +)?(\w+)\((.*)\) += (-?\d+|\?)")


_BEGUN = re.compile(r"(\d+) +.*?( *<unfinished \.\.\.>)$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")


def require() -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs the `strace` command, to see and to stop a process at an exact point")


def traced(server: Server, work: Work, place: Path, *, data: bool = False) -> tuple[list[Call], Child]:
    """Do the work to its end; every changing call of its main thread. With `data` of all, and with all their bytes."""
    options = ["-f", "-y", "-xx", "-s", "4000000"] if data else ["-y", "-s", "400"]
    wanted = (*CHANGING, "lseek") if data else CHANGING  # where bytes go to
    child = run(server, work, ["-o", str(place), "-e", f"trace={','.join(wanted)}", *options])
    with place.open(encoding="ascii", errors="replace") as lines:
        return list(_calls(lines)), child


def killed(server: Server, work: Work, call: str, number: int) -> Child:
    """Do the work, and be killed at the entry of the so-and-so-many-th call of that name, if it comes to that."""
    options = ["-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
    return run(server, work, options)


def run(server: Server, work: Work, options: Sequence[str]) -> Child:
    """Do the work with strace attached from the start."""
    child = server.fork(work)
    tracer = subprocess.Popen(["strace", *options, "-p", str(child.pid)], stderr=subprocess.PIPE, text=True)
    try:
        _wait_for_tracer(tracer)
    finally:
        child.go()
        child.wait()
        tracer.wait()
        assert tracer.stderr
        tracer.stderr.close()
    return child


def _wait_for_tracer(tracer: subprocess.Popen[str]) -> None:
    """Until it says so, calls may still go unseen, whatever the kernel tells of who traces whom."""
    assert tracer.stderr
    said = tracer.stderr.readline()
    if "attached" not in said:
        pytest.skip(f"strace may not attach to a process here: {said}{tracer.stderr.read()}")


def _calls(lines: Iterator[str]) -> Iterator[Call]:
    count: dict[str, int] = {}
    for line in _whole(lines):
        if found := _LINE.match(line):
            name, arguments, result = found.groups()
            count[name] = count.get(name, 0) + 1
            yield Call(name, count[name], arguments, -1 if result == "?" else int(result))


def _whole(lines: Iterator[str]) -> Iterator[str]:
    """A call of one thread that another's came in between of is told in two parts: whole, when it has returned."""
    begun: dict[str, str] = {}
    for line in lines:
        if found := _BEGUN.match(line):
            begun[found[1]] = found[0].removesuffix(found[2])
        elif found := _RESUMED.match(line):
            yield begun.pop(found[1], "") + found[2]
        else:
            yield line


def points(calls: Sequence[Call], *places: Path) -> list[Call]:
    """The calls that change something below one of these places."""
    names = [str(place) for place in places]
    return [
        call
        for call in calls
        if any(name in call.arguments for name in names)
        and call.result >= 0
        and (call.name != "openat" or "O_CREAT" in call.arguments)
    ]
