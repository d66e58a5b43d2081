"""A disk that loses its power: what a recorded write path may leave behind, as far as nothing was flushed.

The real library runs once under `strace`, with every byte it wrote; here the record is played up to some point, and
what was not flushed by then is dropped, torn at sectors of 512 bytes, or kept in another order. (A file system of our
own below SQLite would test a library built for that; this way it is the one that is in use.) The rules are the
strictest that a disk keeping its word about flushes may follow:

- a file's bytes are safe once that file was flushed; before that each sector holds any of its versions;
- a name is safe once its directory was flushed; before that it may be there or not, each by itself;
- a rename happens whole or not at all.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tests.durability.strace import Call

SECTOR = 512


@dataclass(frozen=True)
class Step:
    """One thing that was done: what, to which path (relative to the recorded place), and with what."""

    what: str  # create, write, truncate, flush, flush-directory, rename, unlink, link, mkdir, rmdir, said
    path: str
    other: str = ""
    offset: int = 0
    data: bytes = b""


# ── from a trace to steps ────────────────────────────────────────────────────────────────────────

_HARMLESS = ("flock", "chmod", "fchmod", "fchmodat", "utimensat")
_BUFFER = re.compile(r'iov_base="([^"]*)"')
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})+")
_ARGUMENT = re.compile(r'AT_FDCWD(?:<[^>]*>)?|"(?:[^"])*"|-?\d+(?:<[^>]*>)?|[A-Z_|0-9]+')


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _split(arguments: str) -> list[str]:
    return _ARGUMENT.findall(arguments)


@dataclass
class _Reader:
    """Turns calls into steps. Files that are written at their own position have it followed here."""

    place: PurePosixPath
    said: PurePosixPath
    positions: dict[str, int] = field(default_factory=dict)

    def steps(self, calls: Iterable[Call]) -> Iterator[Step]:
        for call in calls:
            if call.result >= 0:
                yield from getattr(self, f"_{call.name.rstrip('264')}", self._nothing)(call, _split(call.arguments))

    def _nothing(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        """What changes neither bytes nor names; of anything else it must be known what it leaves behind."""
        known = call.name in _HARMLESS or self._below(self._open(arguments[0])) is None
        assert known, f"nobody knows what a loss of power leaves of {call.name}({call.arguments[:300]})"
        return iter(())

    def _at(self, directory: str, name: str) -> str | None:
        """The path below the place, None where it is elsewhere."""
        path = PurePosixPath(_bytes(name.strip('"')).decode())
        if not path.is_absolute():
            path = PurePosixPath(self._open(directory)) / path
        return self._below(str(path))

    def _open(self, descriptor: str) -> str:
        """The path that an open descriptor leads to."""
        found = _HEX.search(descriptor)
        return _bytes(found[0]).decode(errors="replace") if found else ""

    def _below(self, path: str) -> str | None:
        known = PurePosixPath(path)
        return str(known.relative_to(self.place)) if known.is_relative_to(self.place) else None

    def _openat(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        path = self._at(arguments[0], arguments[1])
        if path is None:
            return
        self.positions[path] = 0
        if "O_CREAT" in call.arguments:
            yield Step("create", path)
        if "O_TRUNC" in call.arguments:
            yield Step("truncate", path)

    def _write(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        opened = self._open(arguments[0])
        data = _bytes(arguments[1].strip('"'))[: call.result]
        if PurePosixPath(opened) == self.said:
            yield from (Step("said", line) for line in data.decode().splitlines())
        elif (path := self._below(opened)) is not None:
            yield Step("write", path, offset=self.positions[path], data=data)
            self.positions[path] += len(data)

    def _lseek(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        if (path := self._below(self._open(arguments[0]))) is not None:
            self.positions[path] = call.result
        return iter(())

    def _pwrite(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        if (path := self._below(self._open(arguments[0]))) is not None:
            data = _bytes(arguments[1].strip('"'))[: call.result]
            yield Step("write", path, offset=int(arguments[3]), data=data)

    def _writev(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        whole = "".join(_BUFFER.findall(call.arguments))
        yield from self._write(call, [arguments[0], whole])

    def _ftruncate(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        if (path := self._below(self._open(arguments[0]))) is not None:
            yield Step("truncate", path, offset=int(arguments[1]))

    def _fsync(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        if (path := self._below(self._open(arguments[0]))) is not None:
            yield Step("flush", path)

    _fdatasync = _fsync

    def _rename(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        yield from self._two("rename", ["", arguments[0], "", arguments[1]])

    def _renameat(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        yield from self._two("rename", arguments)

    def _link(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        yield from self._two("link", ["", arguments[0], "", arguments[1]])

    def _linkat(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        yield from self._two("link", arguments)

    def _two(self, what: str, arguments: Sequence[str]) -> Iterator[Step]:
        path, other = self._at(arguments[0], arguments[1]), self._at(arguments[2], arguments[3])
        if path is not None and other is not None:
            yield Step(what, path, other=other)

    def _unlink(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        yield from self._named("unlink", "", arguments[0])

    def _unlinkat(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        yield from self._named("rmdir" if "REMOVEDIR" in call.arguments else "unlink", arguments[0], arguments[1])

    def _mkdir(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        yield from self._named("mkdir", "", arguments[0])

    def _mkdirat(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        yield from self._named("mkdir", arguments[0], arguments[1])

    def _rmdir(self, call: Call, arguments: Sequence[str]) -> Iterator[Step]:
        yield from self._named("rmdir", "", arguments[0])

    def _named(self, what: str, directory: str, name: str) -> Iterator[Step]:
        if (path := self._at(directory, name)) is not None:
            yield Step(what, path)


def steps(calls: Iterable[Call], place: Path, said: Path) -> list[Step]:
    """What was done below `place`, and what was said meanwhile by writing lines to the file `said`."""
    return list(_Reader(PurePosixPath(place), PurePosixPath(said)).steps(calls))


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────


@dataclass
class File:
    """A file: what is safe of it, and what was done since its last flush."""

    safe: bytes = b""
    pending: list[Step] = field(default_factory=list)

    @property
    def whole(self) -> bytes:
        """All of it, as the running system sees it."""
        content = bytearray(self.safe)
        for step in self.pending:
            _carry_out(content, step)
        return bytes(content)

    def flush(self) -> None:
        self.safe, self.pending = self.whole, []

    def ended(self, ends: Mapping[int, int]) -> bytes:
        end = ends.get(id(self), 0)
        return (self.safe, self.whole[: max(len(self.whole) // 2, 1)], self.whole)[end]

    def torn(self, chance: random.Random, mood: Mood) -> bytes:
        """What may be left of it."""
        if not self.pending or mood.bytes == 0.0:
            return self.safe
        content = bytearray(self.safe)
        reached = {}  # sector -> how many of the steps that concern it came to be
        for number, step in enumerate(self.pending):
            for sector in _sectors(step):
                reached.setdefault(sector, []).append(number)
        kept = {sector: set(numbers[: _how_many(len(numbers), chance, mood)]) for sector, numbers in reached.items()}
        lengths = [step for step in self.pending if step.what == "truncate"]
        cut = set(map(id, lengths[: _how_many(len(lengths), chance, mood)]))
        for number, step in enumerate(self.pending):
            if step.what == "truncate":
                if id(step) in cut:
                    _carry_out(content, step)
                continue
            for sector in _sectors(step):
                if number in kept[sector]:
                    _carry_out(content, _part(step, sector))
        return bytes(content)


@dataclass(frozen=True)
class Mood:
    """How likely what was not flushed reached the disk: bytes, and names."""

    bytes: float
    names: float


def _how_many(count: int, chance: random.Random, mood: Mood) -> int:
    kind = chance.random()
    if kind < mood.bytes:
        return count
    return chance.randint(0, count) if kind < (1 + mood.bytes) / 2 else 0


def _sectors(step: Step) -> range:
    if step.what == "truncate":
        return range(0)
    return range(step.offset // SECTOR, (step.offset + len(step.data) + SECTOR - 1) // SECTOR)


def _part(step: Step, sector: int) -> Step:
    start, end = max(step.offset, sector * SECTOR), min(step.offset + len(step.data), (sector + 1) * SECTOR)
    return Step("write", step.path, offset=start, data=step.data[start - step.offset : end - step.offset])


def _carry_out(content: bytearray, step: Step) -> None:
    if step.what == "truncate":
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
    else:
        content.extend(bytes(max(0, step.offset - len(content))))
        content[step.offset : step.offset + len(step.data)] = step.data


@dataclass
class Directory:
    """A directory: names that are safe, and what was done to names since its last flush."""

    safe: dict[str, Any] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)
    pending: list[dict[str, Any]] = field(default_factory=list)  # name -> what it leads to, None: gone

    def set(self, change: dict[str, Any]) -> None:
        self.pending.append(change)
        _rename(self.names, change)

    def flush(self) -> None:
        self.safe, self.pending = dict(self.names), []

    def ended(self, ends: Mapping[int, int]) -> dict[str, Any]:
        names = dict(self.safe)
        for change in self.pending:
            if ends[id(change)]:
                _rename(names, change)
        return names

    def torn(self, chance: random.Random, mood: Mood) -> dict[str, Any]:
        names = dict(self.safe)
        for change in self.pending:
            if chance.random() < mood.names:
                _rename(names, change)
        return names


def _rename(names: dict[str, Any], change: dict[str, Any]) -> None:
    for name, to in change.items():
        if to is None:
            names.pop(name, None)
        else:
            names[name] = to


class Disk:
    """What a place holds after some steps, and what may be left of that when the power goes."""

    def __init__(self, start: Path | None = None) -> None:
        """`start` holds what was there, safe, before the first step."""
        self._root = _read(start) if start else Directory()

    def take(self, step: Step) -> None:
        """One step more."""
        if step.what == "said":
            return
        parent, name = self._parent(step.path)
        match step.what:
            case "create":
                if name not in parent.names:
                    parent.set({name: File()})
            case "mkdir":
                parent.set({name: Directory()})
            case "write" | "truncate":
                parent.names[name].pending.append(step)
            case "flush":
                (self._root if step.path == "." else parent.names[name]).flush()
            case "unlink" | "rmdir":
                parent.set({name: None})
            case "rename" | "link":
                self._lead(step, parent, name)

    def _lead(self, step: Step, parent: Directory, name: str) -> None:
        other, new = self._parent(step.other)
        change = {new: parent.names[name]}
        if step.what == "link":
            other.set(change)
        elif other is parent:
            parent.set({**change, name: None})
        else:  # the new name is never later than the loss of the old one
            other.set(change)
            parent.set({name: None})

    def _parent(self, path: str) -> tuple[Directory, str]:
        directory = self._root
        *above, name = PurePosixPath(path).parts or ("",)
        for part in above:
            directory = directory.names[part]
        return directory, name

    def whole(self) -> dict[str, bytes | None]:
        """Path -> bytes (None: a directory) as the running system sees them; after a mere crash it is that."""
        return dict(_listed(self._root, lambda directory: directory.names, lambda file: file.whole))

    def after_power_loss(self, chance: random.Random) -> dict[str, bytes | None]:
        """Path -> bytes (None: a directory) as they may be found."""
        mood = Mood(bytes=chance.choice((0.0, 0.1, 0.5, 0.9, 1.0)), names=chance.choice((0.0, 0.5, 0.9, 1.0)))
        torn = _listed(self._root, lambda one: one.torn(chance, mood), lambda one: one.torn(chance, mood))
        return dict(torn)

    def every_loss(self) -> Iterator[dict[str, bytes | None]]:
        """All that may be found, where little enough is pending: each name or not, each file old, half or new."""
        open_ends = list(_pending(self._root))
        for ends in itertools.product(*(range(count) for _, count in open_ends)):
            yield self._ended({key: end for (key, _), end in zip(open_ends, ends, strict=True)})

    def _ended(self, ends: Mapping[int, int]) -> dict[str, bytes | None]:
        return dict(_listed(self._root, lambda one: one.ended(ends), lambda one: one.ended(ends)))


def _pending(directory: Directory) -> Iterator[tuple[int, int]]:
    """What is undecided, and how many ends it may take."""
    yield from ((id(change), 2) for change in directory.pending)
    found = {id(each): each for each in (*directory.safe.values(), *directory.names.values())}
    for each in found.values():
        if isinstance(each, Directory):
            yield from _pending(each)
        elif each.pending:
            yield id(each), 3


def _read(place: Path) -> Directory:
    found = {path.name: _read(path) if path.is_dir() else File(path.read_bytes()) for path in place.iterdir()}
    return Directory(dict(found), dict(found))


def _listed(directory: Directory, names: Any, content: Any, at: str = "") -> Iterator[tuple[str, bytes | None]]:
    for name, found in names(directory).items():
        path = f"{at}{name}"
        if isinstance(found, Directory):
            yield path, None
            yield from _listed(found, names, content, f"{path}/")
        else:
            yield path, content(found)


def put_down(content: dict[str, bytes | None], place: Path) -> None:
    """Make these files below an empty place."""
    place.mkdir(parents=True)
    for name, data in content.items():
        if data is None:
            (place / name).mkdir()
        else:
            (place / name).write_bytes(data)


@dataclass(frozen=True)
class Loss:
    """One loss of power: the files that were left, and what had been said by then."""

    seed: int
    files: dict[str, bytes | None]
    said: tuple[str, ...]


def losses(record: Sequence[Step], start: Path | None, count: int, seed: int, first: int = 0) -> Iterator[Loss]:
    """So many losses of power at points of chance, none before that many steps. The same seed is the same losses."""
    chance = random.Random(seed)
    moments = sorted(chance.randrange(first, len(record) + 1) for _ in range(count))
    disk, done, said = Disk(start), 0, []
    for number, moment in enumerate(moments):
        for step in record[done:moment]:
            disk.take(step)
            if step.what == "said":
                said.append(step.path)
        done = max(done, moment)
        yield Loss(seed * 1_000_000 + number, disk.after_power_loss(chance), tuple(said))
