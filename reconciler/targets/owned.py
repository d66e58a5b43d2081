"""The one file that is ours in a Traefik's directory: read, staged, renamed, kept for undo, locked."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from reconciler.core.target import TargetError
from reconciler.locks import Held, Lock, lock
from reconciler.ports import Files, Kind
from state.model import digest_bytes

FOLDER: Final = "mcp-managed"
NAME: Final = f"{FOLDER}/waypost.yml"
"""Our file, relative to the directory that Traefik watches."""

_STRANGE: Final[Mapping[Kind, str]] = {
    "folder": "a folder stands in the place of our file; move it away",
    "other": "a pipe, a socket or a device stands in the place of our file",
}


class WriteLock(Protocol):
    """Keeps writers of one directory single, across processes. Taking it twice is taking it once."""

    def take(self) -> None:
        """Raises TargetError where another process holds it."""
        ...

    def release(self) -> None: ...


class DirectoryLock:
    """An flock on a file beside ours; the kernel lets go of it when we die."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: Lock | None = None

    def take(self) -> None:
        if self._lock is not None:
            return
        found = lock(self._path, 0o644)
        if isinstance(found, Held):
            raise TargetError(
                f"another Waypost ({found.who}{found.when}) is writing to {self._path.parent}",
                remedy="Let only one reconciler manage this directory.",
            )
        self._lock = found

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


class OwnedFile:
    """Our file below `directory`. Every failure is a TargetError that says what to do."""

    def __init__(self, directory: Path, files: Files, lock: WriteLock | None = None) -> None:
        folder = directory / FOLDER
        self.directory = directory
        self.path = directory / NAME
        self._folder = folder
        # Traefik loads every *.yml, *.yaml and *.toml, hidden or not: these two must never end like that.
        self._stage = folder / ".waypost.next"
        self._previous = folder / "waypost.previous"
        self._files = files
        self._lock = lock or DirectoryLock(folder / ".waypost.lock")
        self._placed = ""  # digest of what was made the content last, durably, by this process

    def read(self) -> bytes | None:
        """The bytes on disk, None where there is no file."""
        return self.look()[0]

    def look(self) -> tuple[bytes | None, str]:
        """The bytes on disk, and what stands in their place where it is no file that could be ours."""
        try:
            if strange := _STRANGE.get(self._files.kind(self.path)):
                return None, strange
            return self._files.read(self.path), ""
        except OSError as error:
            if error.errno in (errno.EFBIG, errno.EINVAL):
                return None, f"it cannot be ours: {error.strerror}"
            raise _plainly("read", self.path, error) from None

    def digest(self) -> str:
        content = self.read()
        return "" if content is None else digest_bytes(content)

    def lock(self) -> None:
        """Make our folder where it is missing, and keep other writers out until `release`."""
        try:
            if self._files.kind(self._folder) == "link":
                raise TargetError(
                    f"{self._folder} is a link, and Traefik follows no link to a folder",
                    remedy="Put a folder in its place, or remove it: Waypost makes one.",
                )
            next(self._files.walk(self.directory), None)  # never make the watched directory itself: not mounted?
            self._files.make_directory(self._folder, 0o755)
            self._lock.take()
        except OSError as error:
            raise _plainly("write to", self._folder, error) from None

    def release(self) -> None:
        self._lock.release()

    def place(self, content: bytes) -> str:
        """Make this the content, whole, and wake Traefik. Returns its digest; `settle` before anybody relies on it."""
        self._placed, digest = "", digest_bytes(content)
        try:
            self._write_stage(content)
            self._files.replace(self._stage, self.path)
            self._placed = digest
        except OSError as error:
            # Where only the flush of the folder failed, the file stands there and Traefik will load it, now or later.
            if not self._stands(content):
                raise _plainly("write", self.path, error) from None
        with contextlib.suppress(TargetError):  # it stands there; whether Traefik noticed, its proof tells
            self.wake()
        return digest

    def _write_stage(self, content: bytes) -> None:
        """Where power went between the two halves of a rename, the staged name may still lead to the file in place."""
        self._files.remove(self._stage)
        self._files.write(self._stage, content, 0o644)

    def _stands(self, content: bytes) -> bool:
        with contextlib.suppress(TargetError):
            return self.read() == content
        return False

    def settle(self, digest: str) -> None:
        """Have the disk keep content that stands in its place, renamed by somebody who could not or did not flush it.

        Else it could be proven, and be gone after a loss of power. The content itself was flushed before it got its
        name; a file system that fails to keep a name goes on failing, so a second try does not lie as it may for
        what is in a file.
        """
        if digest != self._placed:
            try:
                self._files.flush_directory(self._folder)
            except OSError as error:
                raise _plainly("flush", self._folder, error) from None
            self._placed = digest

    def rehearse(self, content: bytes) -> None:
        """All of a write but the write, with as many bytes: raises TargetError where `keep` or `place` would."""
        self.lock()
        try:
            before, strange = self.look()
            if strange:
                raise TargetError(f"cannot write {self.path}: {strange}")
            self._write_stage(self._bulk(content, before or b""))
        except OSError as error:
            raise _plainly("write", self.path, error) from None
        finally:
            with contextlib.suppress(OSError):
                self._files.remove(self._stage)
            self.release()

    def _bulk(self, content: bytes, before: bytes) -> bytes:
        """The most that a write has on disk beside what is there already: what stands there is kept first."""
        kept = len(self._files.read(self._previous) or b"")
        return (content + before)[: max(len(before), len(content) + len(before) - kept)]

    def wake(self) -> None:
        """Traefik loads our folder but watches only the one above it, where a change of our times shows."""
        try:
            self._files.touch_directory(self._folder)
        except OSError as error:
            raise _plainly("touch", self._folder, error) from None

    def remove(self) -> None:
        try:
            self._files.remove(self.path)
        except OSError as error:
            raise _plainly("remove", self.path, error) from None
        self.wake()

    def keep(self, content: bytes | None) -> None:
        """Remember what stood there, for undo: durable before the write that it is for."""
        try:
            if content is None:
                self._files.remove(self._previous)
                return
            self._write_stage(content)
            self._files.replace(self._stage, self._previous)
        except OSError as error:
            raise _plainly("write", self._previous, error) from None

    def kept(self, digest: str) -> bytes | None:
        """What `keep` remembered, if it is the content of that digest."""
        try:
            content = self._files.read(self._previous)
        except OSError:
            return None
        return content if content is not None and digest_bytes(content) == digest else None


def _plainly(verb: str, path: Path, error: OSError) -> TargetError:
    remedy = "Run `waypost doctor`: it tests what this account may do there."
    if isinstance(error, IsADirectoryError):
        remedy = f"A folder stands at {path}: move it away."
    elif isinstance(error, FileNotFoundError):
        remedy = "See that the directory exists (mounted?) and that WAYPOST_TRAEFIK_DYNAMIC_DIR names it."
    return TargetError(f"cannot {verb} {path}: {error.strerror or error}", remedy=remedy)
