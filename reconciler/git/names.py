"""Names that no loss of power may take: libgit2 flushes a file and its directory, not the name of a new directory."""

from __future__ import annotations

import os
from pathlib import Path


class Names:
    """The directories of one repository whose own names are known to be on the disk."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._safe: set[Path] = set()
        self._objects: set[str] = set()  # of these directories for objects the names are safe

    def settle(self, reference: str) -> None:
        """Before a reference is pointed to something: make sure of the way to it, and to every object."""
        self._settle_objects()
        self._settle_way((self._repository / reference).parent)

    def forget(self) -> None:
        """References were removed, and libgit2 removes directories that become empty."""
        self._safe.clear()
        self._objects.clear()

    def _settle_objects(self) -> None:
        place = self._repository / "objects"
        listed = {name for name in os.listdir(place) if len(name) == 2}  # noqa: PTH208 - names, no look at each
        if listed - self._objects:
            flush(place)
            self._objects = listed

    def _settle_way(self, directory: Path) -> None:
        if directory in self._safe or directory == self._repository:
            return
        self._settle_way(directory.parent)
        directory.mkdir(exist_ok=True)
        flush(directory.parent)
        self._safe.add(directory)


def flush(path: Path) -> None:
    """Have the disk keep a file, or what a directory lists."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_whole(directory: Path) -> None:
    """Have the disk keep a directory with all that is in it."""
    for path in directory.rglob("*"):
        flush(path)
    flush(directory)
