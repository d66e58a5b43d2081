"""A machine that is not there: a clock that only moves when somebody waits, chance from a seed, a disk in memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Literal

from reconciler.ports import Kind
from tests.simulation.fate import Fate

BEGINNING = datetime(2027, 3, 1, 12, tzinfo=UTC)


class VirtualTime:
    """The time of the whole world. `wall` may be set back and forth, `elapsed` never steps backwards."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.wall = BEGINNING
        self.passing: list[Callable[[], None]] = []

    def pass_by(self, seconds: float) -> None:
        self.elapsed += seconds
        self.wall += timedelta(seconds=seconds)
        for notice in self.passing:
            notice()


class SimulatedClock:
    """The clock as one process sees it."""

    def __init__(self, time: VirtualTime, fate: Fate) -> None:
        self._time = time
        self._fate = fate

    def now(self) -> datetime:
        return self._time.wall

    def monotonic(self) -> float:
        return self._time.elapsed

    def sleep(self, seconds: float) -> None:
        self._fate.look()
        self._time.pass_by(seconds)


def seeded(random: Random) -> Callable[[int], bytes]:
    return random.randbytes


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────

Ailment = Literal["", "full", "read-only", "flush fails", "slow", "unreadable"]


class _Folder:
    pass


@dataclass(frozen=True, slots=True)
class _Link:
    to: str


class _Pipe:
    pass


@dataclass(slots=True)
class _File:
    """`kept` is what is surely on the platter; None where nothing of the file ever was flushed."""

    content: bytes
    kept: bytes | None = None


_Node = _Folder | _Link | _Pipe | _File


@dataclass(frozen=True, slots=True)
class _Entry:
    """A name in a folder that was made, moved or taken away, and not flushed with its folder yet."""

    path: str
    node: _Node | None


class SimulatedDisk:
    """What is on the disk, and what would still be there after the power went.

    `watchers` are told of names that changed and folders that were touched, as the kernel tells.
    """

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._now: dict[str, _Node] = {}
        self._flushed: dict[str, _Node] = {}
        self._pending: list[_Entry] = []
        self._listed: dict[str, list[str]] = {}  # while no name comes or goes
        self.ailment: Ailment = ""
        self.flushes_folders = True
        self.flushes_files = True
        self.watchers: list[Callable[[str], None]] = []
        self.on_write: Callable[[str, bytes | None], None] = _nobody
        """Told of every file of which a process changed what stands under its name."""

    # ── what people and other programs do: at once, whole and durable ────────────────────────────

    def put(self, path: str, content: bytes) -> None:
        self._place(path, _File(content, content))
        self._forget(path)
        self._tell(path)

    def link(self, path: str, to: str) -> None:
        self._place(path, _Link(to))
        self._forget(path)
        self._tell(path)

    def folder(self, path: str) -> None:
        self._place(path, _Folder())

    def drop(self, path: str) -> None:
        for name in [name for name in self._now if name == path or name.startswith(f"{path}/")]:
            self._now.pop(name, None)
            self._flushed.pop(name, None)
            self._forget(name)
        self._listed.clear()
        self._tell(path)

    def touch(self, path: str) -> None:
        self._tell(path)

    def content(self, path: str) -> bytes | None:
        node = self._now.get(path)
        return node.content if isinstance(node, _File) else None

    def below(self, folder: str) -> list[str]:
        """Every path below, depth first, names in the order of their bytes."""
        if folder not in self._listed:
            start = f"{folder}/"
            found = [path for path in self._now if path.startswith(start)]
            self._listed[folder] = sorted(found, key=lambda path: [os.fsencode(name) for name in path.split("/")])
        return list(self._listed[folder])

    def is_folder(self, path: str) -> bool:
        return isinstance(self._now.get(path), _Folder)

    # ── the power goes ───────────────────────────────────────────────────────────────────────────

    def lose_power(self, random: Random) -> None:
        """Keep what was flushed. Of the rest anything may be there, but that names change in order."""
        names = dict(self._flushed)
        for entry in self._pending[: random.randint(0, len(self._pending))]:
            if entry.node is None:
                names.pop(entry.path, None)
            else:
                names[entry.path] = entry.node
        for node in names.values():
            if isinstance(node, _File) and node.content != node.kept:
                torn = node.content[: random.randint(0, len(node.content))]
                node.content = random.choice([node.kept or b"", torn, node.content])
                node.kept = node.content
        self._now, self._flushed = names, dict(names)
        self._pending.clear()
        self._listed.clear()

    # ── what a process does, step by step ────────────────────────────────────────────────────────

    def create(self, path: str, *, content: bytes) -> _File:
        node = self._now.get(path)
        if not isinstance(node, _File):
            node = _File(b"")
            self._name(path, node)
        node.content = content
        return node

    def flush(self, node: _File) -> None:
        if self.flushes_files:
            node.kept = node.content

    def rename(self, source: str, destination: str) -> None:
        node = self._now[source]
        self._name(destination, node)
        self._name(source, None)

    def unlink(self, path: str) -> None:
        self._name(path, None)

    def make_folder(self, path: str) -> None:
        self._name(path, _Folder())

    def flush_folder(self, folder: str) -> None:
        if not self.flushes_folders:
            return
        due = [entry for entry in self._pending if _parent(entry.path) == folder]
        for entry in due:
            if entry.node is None:
                self._flushed.pop(entry.path, None)
            else:
                self._flushed[entry.path] = entry.node
        self._pending = [entry for entry in self._pending if entry not in due]

    def node(self, path: str) -> _Node | None:
        return self._now.get(path)

    def require_well(self, path: str, *, writing: bool = True) -> None:
        if self.ailment == "slow":
            self._time.pass_by(1.5)
        if writing and self.ailment == "read-only":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        if not writing and self.ailment == "unreadable":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    def _name(self, path: str, node: _Node | None) -> None:
        if node is None:
            self._now.pop(path, None)
        else:
            self._now[path] = node
        self._listed.clear()
        self._pending.append(_Entry(path, node))
        self._tell(path)

    def _place(self, path: str, node: _Node) -> None:
        self._now[path] = self._flushed[path] = node
        self._listed.clear()

    def _forget(self, path: str) -> None:
        self._pending = [entry for entry in self._pending if entry.path != path]

    def _tell(self, path: str) -> None:
        for watcher in self.watchers:
            watcher(path)


def _nobody(path: str, content: bytes | None) -> None:
    """Nobody is told."""


_path = lru_cache(10_000)(Path)
"""Few paths, asked for again and again; to take one apart costs more than all else that is done with it here."""


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


class SimulatedFiles:
    """The disk as one process sees it, through the same port as the real one. Each step may be its last."""

    def __init__(self, disk: SimulatedDisk, fate: Fate) -> None:
        self._disk = disk
        self._fate = fate

    def read(self, path: Path) -> bytes | None:
        self._alive()
        self._disk.require_well(str(path), writing=False)
        node = self._followed(str(path))
        if node is None:
            return None
        if not isinstance(node, _File):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return node.content

    def write(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        name = str(path)
        self._before(f"create {name}", name)
        if isinstance(self._disk.node(name), _Folder):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        if not isinstance(self._disk.node(_parent(name)), _Folder):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        self._disk.create(name, content=b"")
        self._before(f"fill {name}", name)
        node = self._disk.create(name, content=content[: len(content) // 2])
        if self._disk.ailment == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        self._before(f"fill the rest of {name}", name)
        node.content = content
        self._before(f"flush {name}", name)
        if self._disk.ailment == "flush fails":
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        self._disk.flush(node)
        self._disk.on_write(name, content)

    def replace(self, source: Path, destination: Path) -> None:
        name = str(destination)
        self._before(f"rename to {name}", name)
        if not isinstance(self._disk.node(str(source)), _File):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(source))
        if isinstance(self._disk.node(name), _Folder):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        self._disk.rename(str(source), name)
        self._disk.on_write(name, self._disk.content(name))
        self._flush_folders({_parent(str(source)), _parent(name)})

    def remove(self, path: Path) -> None:
        name = str(path)
        if self._disk.node(name) is None:
            return
        self._before(f"remove {name}", name)
        self._disk.unlink(name)
        self._disk.on_write(name, None)
        self._flush_folders({_parent(name)})

    def make_directory(self, path: Path, mode: int = 0o755) -> None:
        self._alive()
        for each in (*reversed(path.parents), path):
            if not isinstance(self._disk.node(str(each)), _Folder) and str(each) not in ("/", "."):
                self._before(f"make {each}", str(each))
                self._disk.make_folder(str(each))
                self._flush_folders({_parent(str(each))})

    def flush_directory(self, directory: Path) -> None:
        self._flush_folders({str(directory)})

    def touch_directory(self, path: Path) -> None:
        self._before(f"touch {path}", str(path))
        if not isinstance(self._disk.node(str(path)), _Folder):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self._disk.touch(str(path))

    def kind(self, path: Path) -> Kind:
        self._alive()
        kinds: dict[type, Kind] = {_File: "file", _Folder: "folder", _Link: "link", _Pipe: "other"}
        return kinds.get(type(self._disk.node(str(path))), "")

    def walk(self, directory: Path) -> Iterator[Path]:
        return (_path(path) for path in self._listed(directory) if isinstance(self._followed(path), _File))

    def strays(self, directory: Path) -> Iterator[Path]:
        strange = (_Link, _Pipe)
        return (
            _path(path)
            for path in self._listed(directory)
            if isinstance(self._disk.node(path), strange) and not isinstance(self._followed(path), _File)
        )

    def _listed(self, directory: Path) -> list[str]:
        self._alive()
        self._disk.require_well(str(directory), writing=False)
        if not self._disk.is_folder(str(directory)):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))
        return self._disk.below(str(directory))

    def _followed(self, path: str) -> _Node | None:
        node = self._disk.node(path)
        return self._disk.node(node.to) if isinstance(node, _Link) else node

    def _flush_folders(self, folders: set[str]) -> None:
        for folder in sorted(folders):
            self._before(f"flush {folder}", folder)
            if self._disk.ailment == "flush fails":
                raise OSError(errno.EIO, os.strerror(errno.EIO), folder)
            self._disk.flush_folder(folder)

    def _before(self, what: str, path: str) -> None:
        self._fate.change(what)
        self._disk.require_well(path)

    def _alive(self) -> None:
        if self._fate.dead:
            self._fate.die()
