"""Throw inputs at a place where bytes come in, and see that each is taken or refused: never a surprise.

An input that costs more than a second of processor time, or that waits for ever, is a hang. Where not even a signal is
heard (a library that does not return) the system ends the process, and the input that it was at stands in its diary.
"""

from __future__ import annotations

import contextlib
import mmap
import resource
import signal
import struct
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutating import Mutator

LONGEST = 1.0
"""Seconds of processor time that one input may cost."""

LONGEST_WAIT = 10.0
"""Seconds of the clock that one input may take: generous, for a busy machine makes everybody wait."""

DEAF = 2
"""Seconds of processor time after which a process that hears no signal is ended."""

MEMORY = 256 << 20
"""Bytes that one input may take beyond what the program itself takes …"""

TIMES = 12
"""… and so many times its own size: what is read, parsed, checked and written again is there a few times over."""

TOGETHER = 2 << 30
"""Bytes that a batch may take beyond what the program itself takes: a few of the largest inputs there are."""

MOST_FINDINGS = 5
"""Findings of one edge that are told in full."""

Take = Callable[[Any], bool]
"""Hands one input to the edge: was it accepted? Raises what the edge's family is, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One place where bytes from outside come in.

    `make` makes an input, led by chance; `opened` prepares the place (in a directory of its own) and gives what takes
    an input. `family` is what it may raise to refuse. `share` is its part of 20,000 inputs, `wait` in seconds what one
    of them may take by the clock.
    """

    name: str
    share: int
    make: Callable[[Mutator], Any]
    opened: Callable[[Path], AbstractContextManager[Take]]
    family: tuple[type[BaseException], ...] = ()
    wait: float = LONGEST_WAIT


def simply(take: Take) -> Callable[[Path], AbstractContextManager[Take]]:
    """For an edge that needs no preparation."""

    @contextlib.contextmanager
    def opened(_: Path) -> Iterator[Take]:
        yield take

    return opened


@dataclass(kw_only=True)
class Row:
    """What came of one edge."""

    edge: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    findings: list[str] = field(default_factory=list)
    failed: int = 0


class Hang(BaseException):
    """This input takes too long. No exception of the ordinary kind, so that nobody handles it on the way."""


class Diary:
    """Which input the process is at, in a file that outlives it."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 8)

    def at(self, edge: int, number: int) -> None:
        self._page[:] = struct.pack("<II", edge, number)

    @staticmethod
    def read(path: Path) -> tuple[int, int]:
        edge, number = struct.unpack("<II", path.read_bytes())
        return edge, number


def input_of(edge: Edge, seed: int, number: int) -> Any:
    """The input of that number: the same for ever."""
    return edge.make(Mutator(Random(f"{seed} {edge.name} {number}")))


def fuzz(edge: Edge, numbers: Sequence[int], seed: int, place: Path, note: Callable[[int], None]) -> Row:
    """Throw these inputs at one edge."""
    row, began = Row(edge=edge.name), time.process_time()
    with edge.opened(place) as take:
        for number in numbers:
            note(number)
            given = input_of(edge, seed, number)
            row.inputs += 1
            before = time.process_time()
            try:
                with _watched(edge.wait), _bounded(given):
                    accepted = handed(edge, take, given)
            except BaseException as surprise:
                if isinstance(surprise, KeyboardInterrupt):
                    raise
                row.failed += 1
                if len(row.findings) < MOST_FINDINGS:
                    row.findings.append(_told(edge, seed, number, given, surprise))
            else:
                row.accepted += accepted
                row.refused += not accepted
            row.slowest = max(row.slowest, time.process_time() - before)
    row.seconds = time.process_time() - began
    return row


def handed(edge: Edge, take: Take, given: Any) -> bool:
    try:
        return bool(take(given))
    except edge.family:
        return False


@contextlib.contextmanager
def _watched(wait: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, wait)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    signal.setitimer(signal.ITIMER_VIRTUAL, DEAF)  # nobody handles it: it ends the process
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _too_long(*_: object) -> None:
    raise Hang(f"more than {LONGEST:g} s of processor time")


def _waits(*_: object) -> None:
    raise Hang("it waits, and nothing comes of it")


def _told(edge: Edge, seed: int, number: int, given: Any, surprise: BaseException) -> str:
    lines = traceback.format_exception(surprise, limit=-8)
    again = f"python -m tests.fuzz.campaign --edge '{edge.name}' --seed {seed} --only {number}"
    return f"{again}\ninput: {repr(given)[:1000]}\n{''.join(lines)[-4000:]}"


def _bound_memory() -> None:
    limit = _taken() + TOGETHER
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextlib.contextmanager
def _bounded(given: Any) -> Iterator[None]:
    """Memory for this input, and no more."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = _taken() + MEMORY + TIMES * _size(given)
    resource.setrlimit(resource.RLIMIT_AS, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _taken() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _size(given: Any, depth: int = 4) -> int:
    """Bytes of all text in an input, down to a few levels: below that none is large."""
    if isinstance(given, bytes | str):
        return len(given)
    if not depth or not isinstance(given, dict | list | tuple):
        return 0
    return sum(_size(one, depth - 1) for one in (given.values() if isinstance(given, dict) else given))


def batch(edges: Sequence[Edge], share: Callable[[Edge], Sequence[int]], seed: int, place: Path) -> Iterator[Row]:
    _bound_memory()
    signal.signal(signal.SIGPROF, _too_long)
    signal.signal(signal.SIGALRM, _waits)
    diary = Diary(place / "diary")
    for index, edge in enumerate(edges):
        home = place / f"{index}"
        home.mkdir()
        yield fuzz(edge, share(edge), seed, home, lambda number, index=index: diary.at(index, number))  # type: ignore[misc]


def peak() -> int:
    """Megabytes of memory that this process ever took."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
