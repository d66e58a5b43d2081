"""The outside as small ports: clock, file system, chance. Real ones are here too; simulations bring their own."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


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
        """The content, or None where there is no such file."""
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

    def touch_directory(self, path: Path) -> None:
        """Set the times of a directory to now: wakes a watcher of its parent."""
        ...

    def walk(self, directory: Path) -> Iterator[Path]:
        """Every regular file below, links to files included, depth first, names in byte order."""
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
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # the umask had its say in open()
            file.write(content)
            file.flush()
            os.fsync(descriptor)

    def replace(self, source: Path, destination: Path) -> None:
        source.replace(destination)
        for directory in {source.parent, destination.parent}:
            self._flush_directory(directory)

    def remove(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            self._flush_directory(path.parent)

    def make_directory(self, path: Path, mode: int = 0o755) -> None:
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(mode)
            self._flush_directory(path.parent)

    def touch_directory(self, path: Path) -> None:
        os.utime(path)

    def walk(self, directory: Path) -> Iterator[Path]:
        for name in sorted(map(os.fsencode, (path.name for path in directory.iterdir()))):
            path = directory / os.fsdecode(name)
            if path.is_dir() and not path.is_symlink():
                yield from self.walk(path)
            elif path.is_file():
                yield path

    @staticmethod
    def _flush_directory(directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
