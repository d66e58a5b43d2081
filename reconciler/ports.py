"""The outside as small ports: clock, file system, chance. Real ones are here too; simulations bring their own."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Protocol

MOST_BYTES: Final = 64 * 1024 * 1024
"""No file that is read whole may be larger: ten thousand routes are about a tenth of it."""

Kind = Literal["file", "folder", "link", "other", ""]
"""What stands at a path; "other" is a pipe, a socket or a device, "" is nothing."""


class Clock(Protocol):
    """Time, as a value that can be simulated."""

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never step backwards; only differences mean something."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let that much time pass."""
        ...


class Chance(Protocol):
    """Where unpredictable bytes come from."""

    def __call__(self, size: int, /) -> bytes: ...


class Files(Protocol):
    """The few file operations the reconciler's writers need. Every failure is an OSError."""

    def read(self, path: Path) -> bytes | None:
        """The content, or None where there is no such file; links are followed.

        Never waits: what is no regular file is refused, and so is one of more than MOST_BYTES.
        """
        ...

    def write(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        """Write the whole file and flush it to the disk, with exactly this mode whatever the umask.

        Not atomic: write beside, then `replace`.
        """
        ...

    def replace(self, source: Path, destination: Path) -> None:
        """Rename over, atomically, and flush the directory (both, where they differ)."""
        ...

    def remove(self, path: Path) -> None:
        """Remove the file if it is there, and flush the directory."""
        ...

    def make_directory(self, path: Path, mode: int = 0o755) -> None:
        """Make it and its parents; fine if it is there."""
        ...

    def flush_directory(self, directory: Path) -> None:
        """Have the disk keep the names in it as they are now."""
        ...

    def touch_directory(self, path: Path) -> None:
        """Set the times of a directory to now: wakes a watcher of its parent."""
        ...

    def kind(self, path: Path) -> Kind:
        """What stands at the path itself: a link is a link, wherever it leads."""
        ...

    def walk(self, directory: Path) -> Iterator[Path]:
        """Every regular file below, links to files included, depth first, names in byte order."""
        ...

    def strays(self, directory: Path) -> Iterator[Path]:
        """What `walk` passes over, in the same order: links that lead to no file, pipes, sockets, devices."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Disk:
    """The machine's file system."""

    def read(self, path: Path) -> bytes | None:
        try:
            # Opening a pipe waits for a writer, unless it is told not to.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            self._refuse_strange(descriptor, path)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(MOST_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(content) > MOST_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {MOST_BYTES >> 20} MiB", str(path))
        return content

    def write(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, mode)
        with os.fdopen(descriptor, "wb") as file:
            self._refuse_strange(descriptor, path)
            os.fchmod(descriptor, mode)  # the umask had its say in open()
            file.write(content)
            file.flush()
            os.fsync(descriptor)

    def replace(self, source: Path, destination: Path) -> None:
        source.replace(destination)
        for directory in {source.parent, destination.parent}:
            self.flush_directory(directory)

    def remove(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            self.flush_directory(path.parent)

    def make_directory(self, path: Path, mode: int = 0o755) -> None:
        missing = [place for place in (path, *path.parents) if not place.is_dir()]
        for place in reversed(missing):
            place.mkdir(exist_ok=True)
            self.flush_directory(place.parent)
        if missing:
            path.chmod(mode)

    def touch_directory(self, path: Path) -> None:
        os.utime(path)

    def kind(self, path: Path) -> Kind:
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return ""
        kinds: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
        return kinds.get(stat.S_IFMT(mode), "other")

    def walk(self, directory: Path) -> Iterator[Path]:
        return (path for path in self._below(directory) if path.is_file())

    def strays(self, directory: Path) -> Iterator[Path]:
        return (path for path in self._below(directory) if self.kind(path) in ("link", "other") and not path.is_file())

    def _below(self, directory: Path) -> Iterator[Path]:
        for name in sorted(map(os.fsencode, (path.name for path in directory.iterdir()))):
            path = directory / os.fsdecode(name)
            if path.is_dir() and not path.is_symlink():
                yield from self._below(path)
            else:
                yield path

    @staticmethod
    def _refuse_strange(descriptor: int, path: Path) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))

    @staticmethod
    def flush_directory(directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
