"""Locks between processes: held until let go of, or until the process is gone, however it goes. Nobody waits here."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True)
class Held:
    """Somebody else holds the lock; `pid` is 0 where it cannot be told who, as for another container's process."""

    pid: int
    since: datetime | None = field(default=None, compare=False)

    @property
    def who(self) -> str:
        return f"process {self.pid or 'unknown'}"

    @property
    def when(self) -> str:
        """Words to put behind: since when, or nothing where it cannot be told."""
        return f" since {self.since.astimezone():%Y-%m-%d %H:%M:%S}" if self.since else ""


class Lock:
    """A lock that is held until `close`, or until this process is gone, however it goes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        """Let go. Fine to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def lock(path: Path, mode: int = 0o600) -> Lock | Held:
    """An exclusive lock on a file that is made where it is missing, or who holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    if not _taken(descriptor):
        words = os.read(descriptor, 80).decode("ascii", "replace").split()
        os.close(descriptor)
        return _said(words)
    with suppress(OSError):  # on a full disk nobody can read who holds it; it is held all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {datetime.now(UTC).isoformat(timespec='seconds')}\n".encode(), 0)
    return Lock(descriptor)


def lock_directory(path: Path) -> Lock | Held:
    """An exclusive lock on a directory itself, with nothing written into it; OSError where that cannot be had."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _taken(descriptor):
            return Lock(descriptor)
        held = _shown(os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return held


Take = Callable[[], Lock | Held]
Say = Callable[[str], None]


@contextmanager
def waited_for(take: Take, place: Path, say: Say, sleep: Callable[[float], None]) -> Iterator[None]:
    """Wait until the lock is ours; until then it is said who has it, once for each who does."""
    told = -1
    while isinstance(found := take(), Held):
        if found.pid != told:
            say(f"waiting: {found.who} holds {place}{found.when}; one reconciler at a time")
            told = found.pid
        sleep(0.2)
    with found:
        yield


@contextmanager
def alone_in(directories: Iterable[Path], say: Say, sleep: Callable[[float], None]) -> Iterator[None]:
    """No other reconciler, of this home or of another, works in these directories meanwhile; waits until that is so."""
    with ExitStack() as stack:
        for directory in directories:
            # Not mounted, or on a file system without such locks: then each single write still has a lock of its own.
            with suppress(OSError):
                stack.enter_context(waited_for(partial(lock_directory, directory), directory, say, sleep))
        yield


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _said(words: list[str]) -> Held:
    """What the holder wrote into the file. It may be just about to."""
    pid = int(words[0]) if words and words[0].isdecimal() else 0
    with suppress(IndexError, ValueError):
        return Held(pid, datetime.fromisoformat(words[1]))
    return Held(pid)


def _shown(status: os.stat_result) -> Held:
    """What the kernel tells of who holds a lock on this; nothing of processes that we cannot see."""
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if "FLOCK" in words and place in words:
                pid = int(words[words.index(place) - 1])
                return Held(pid, _started(pid))
    return Held(0)


def _started(pid: int) -> datetime | None:
    """When a process began: before that it held nothing."""
    with suppress(OSError, ValueError, IndexError):
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return datetime.fromtimestamp(int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK"), UTC)
    return None
