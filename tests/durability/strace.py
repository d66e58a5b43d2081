"""Real processes under `strace`: what they asked the system to change, in order, and death at one of those calls."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.durability.warm import Child, Server, Work

CHANGING = (
    "openat", "write", "writev", "pwrite64", "pwritev", "pwritev2", "copy_file_range", "sendfile", "splice", "truncate",
    "ftruncate", "fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat", "link", "linkat",
    "symlink", "symlinkat", "mkdir", "mkdirat", "rmdir", "utimensat", "chmod", "fchmod", "fchmodat", "flock",
    "fallocate",
)  # fmt: skip
"""System calls that change what is on a disk, or who may change it. (`openat` only where it may create.)"""

_STARTING = ("clone", "clone3")
"""System calls that start a thread, and tell its id."""


@dataclass(frozen=True)
class Call:
    """One system call: its name, the how-manieth of that name in its thread it is, its arguments as text, and what
    came of it. `thread` counts those that the process starts; its main thread is 0."""

    name: str
    number: int
    arguments: str
    result: int
    thread: int = 0


_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)")


_BEGUN = re.compile(r"(\d+) +.*?( *<unfinished \.\.\.>)$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")


def require() -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs the `strace` command, to see and to stop a process at an exact point")


def traced(server: Server, work: Work, place: Path, *, data: bool = False) -> tuple[list[Call], Child]:
    """Do the work to its end; every changing call of all its threads. With `data` all their bytes as well."""
    options = ["-xx", "-s", "4000000"] if data else ["-s", "400"]
    wanted = (*CHANGING, *_STARTING, *(["lseek"] if data else []))  # where bytes go to
    child = server.fork(work)
    options += ["-f", "-y", "-o", str(place), "-e", f"trace={','.join(wanted)}"]
    _watched(child, child.pid, options, child.go)
    with place.open(encoding="ascii", errors="replace") as lines:
        return list(_calls(lines, child.pid)), child


def killed(server: Server, work: Work, call: Call) -> Child:
    """Do the work, and be killed at the entry of this call, if it comes to that.

    strace counts the calls of each thread by itself, so only the one that the call is of is watched. One that the
    work starts on its way waits for that.
    """
    options = ["-o", os.devnull, "-e", f"trace={call.name}"]
    options += ["-e", f"inject={call.name}:signal=KILL:when={call.number}"]
    child = server.fork(replace(work, halts=call.thread))
    if not call.thread:
        _watched(child, child.pid, options, child.go)
        return child
    child.go()
    if thread := child.halted():
        _watched(child, thread, options, child.go_on)
    child.wait()
    return child


def _watched(child: Child, thread: int, options: Sequence[str], begin: Callable[[], None]) -> None:
    """Begin with strace attached to a thread, and wait for the end."""
    tracer = subprocess.Popen(["strace", *options, "-p", str(thread)], stderr=subprocess.PIPE, text=True)
    try:
        _wait_for_tracer(tracer)
    finally:
        begin()
        child.wait()
        tracer.wait()
        assert tracer.stderr
        tracer.stderr.close()


def _wait_for_tracer(tracer: subprocess.Popen[str]) -> None:
    """Until it says so, calls may still go unseen, whatever the kernel tells of who traces whom."""
    assert tracer.stderr
    said = tracer.stderr.readline()
    if "attached" not in said:
        pytest.skip(f"strace may not attach to a process here: {said}{tracer.stderr.read()}")


def _calls(lines: Iterator[str], process: int) -> Iterator[Call]:
    count: Counter[tuple[str, str]] = Counter()
    threads = {str(process): 0}
    for line in _whole(lines):
        if found := _LINE.match(line):
            thread, name, arguments, result = found.groups()
            count[thread, name] += 1
            if name not in _STARTING:
                returned = -1 if result == "?" else int(result)
                yield Call(name, count[thread, name], arguments, returned, threads.get(thread, -1))
            elif "CLONE_THREAD" in arguments:
                threads[result] = len(threads)


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
    """The calls that change something below one of these places, of this process and not of one that it started."""
    names = [str(place) for place in places]
    return [
        call
        for call in calls
        if any(name in call.arguments for name in names)
        and call.result >= 0
        and call.thread >= 0
        and (call.name != "openat" or "O_CREAT" in call.arguments)
    ]
