"""The file a backup is: a ZIP with a manifest. Written whole or not at all; read as if an enemy had made it."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from reconciler.backups import manifest as manifests
from reconciler.backups.manifest import BackupError, Manifest, Member
from state.database import flush

Tell = Callable[[str], None]
"""Hears, in a few words, what is being done."""

_CHUNK = 1 << 20
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the same files make the same archive
_PACKED = (manifests.PACK, manifests.SEGMENTS)
"""What is compressed already."""


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def write(path: Path, files: Mapping[str, Path], complete: Callable[[Mapping[str, Member]], Manifest]) -> Manifest:
    """Make the archive of these files (name -> where it is), for its owner alone, and flush it to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
            members = {name: _put(archive, name, source) for name, source in files.items()}
            manifest = complete(members)
            archive.writestr(_info(manifests.NAME), manifests.encode(manifest))
        file.flush()
        os.fsync(descriptor)
    return manifest


def _put(archive: zipfile.ZipFile, name: str, source: Path) -> Member:
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reading, archive.open(_info(name), "w", force_zip64=True) as writing:
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            writing.write(chunk)
    return Member(size=size, digest=digest.hexdigest())


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _MOMENT)
    info.external_attr = (stat.S_IFREG | 0o600) << 16
    info.compress_type = zipfile.ZIP_STORED if name.startswith(_PACKED) else zipfile.ZIP_DEFLATED
    info._compresslevel = 1  # type: ignore[attr-defined]  # its constructor does not take it
    return info


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────

_LISTING = 4 << 20
"""Bytes of an archive's own list of files: tens of thousands of segments. A longer one is a trick."""

_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How a file may be packed. What others unpack to has no bound that could be asked for."""

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError, OverflowError)
"""What reading an archive raises that is damaged, cut short, encrypted, or packed in another way."""


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """An archive for reading. Raises BackupError where it is none, or not whole."""
    try:
        with _Sober(path) as file, zipfile.ZipFile(file) as archive:
            yield Archive(archive)
    except _BROKEN as fault:
        raise BackupError(f"{path} is damaged, cut short, or no backup at all ({fault})") from fault
    except BackupError as fault:
        raise BackupError(f"{path}: {fault}") from fault
    except OSError as fault:
        raise BackupError(f"{path}: {fault.strerror or fault}") from fault


class _Sober(io.BufferedReader):
    """A file of which nobody takes much at once: the library would take a list of files whole, however long."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LISTING:
            raise BackupError("its list of files is too long for a backup")
        return super().read(size)  # it asks for all the rest only within the last few kilobytes


class Archive:
    """An archive whose list of files is what its manifest says, and nothing else."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        entries = {info.filename: info for info in archive.infolist()}
        if len(entries) != len(archive.infolist()):
            raise BackupError("it holds two files of one name")
        if manifests.NAME not in entries:
            raise BackupError(f"it holds no {manifests.NAME}, so it is no backup")
        if odd := sorted(name for name, info in entries.items() if info.compress_type not in _WAYS):
            raise BackupError(f"{odd[0]!r:.80} is packed in a way that Waypost does not use")
        self.manifest = manifests.decode(_manifest(archive))
        self._entries = {name: info for name, info in entries.items() if name != manifests.NAME}
        self._refuse_strange()

    def _refuse_strange(self) -> None:
        members = self.manifest.members
        if odd := sorted(self._entries.keys() ^ members.keys()):
            raise BackupError(f"it does not hold what it says it holds: {odd[0]!r:.80}")
        for name, info in self._entries.items():
            if not stat.S_ISREG(info.external_attr >> 16) or info.file_size != members[name].size:
                raise BackupError(f"{name} is not the file that was put there")

    @property
    def size(self) -> int:
        """Bytes that all of it takes once it is unpacked."""
        return sum(member.size for member in self.manifest.members.values())

    def unpack(self, into: Path, tell: Tell) -> None:
        """Put every file below a directory, each checked against its digest, and flushed to the disk."""
        if shutil.disk_usage(into).free < self.size + SPARE:
            raise BackupError(f"it takes {self.size >> 20} MiB unpacked, and there is no room for that at {into}")
        for name, member in self.manifest.members.items():
            tell(f"unpacking {name}, {member.size:,} bytes")
            place = into / name
            place.parent.mkdir(mode=0o700, exist_ok=True)
            with self._archive.open(name) as reading:
                _take(name, member, reading, place)


SPARE = 64 << 20
"""Bytes of disk that are left alone: the log of a running home has to go on."""


def _manifest(archive: zipfile.ZipFile) -> bytes:
    with archive.open(manifests.NAME) as reading:
        content = b"".join(_pieces(reading, manifests.LARGEST))
    if len(content) > manifests.LARGEST:
        raise BackupError(f"its {manifests.NAME} is too large")
    return content


def _take(name: str, member: Member, reading: IO[bytes], place: Path) -> None:
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as writing:
        for piece in _pieces(reading, member.size):
            digest.update(piece)
            size += len(piece)
            writing.write(piece)
    if size != member.size or digest.hexdigest() != member.digest:
        raise BackupError(f"{name} is not the file that was put there")
    flush(place)


def _pieces(reading: IO[bytes], most: int) -> Iterator[bytes]:
    """A packed file piece by piece, ended one byte after that many: whatever size it tells of, it may hold more."""
    left = most + 1
    while left and (piece := reading.read(min(_CHUNK, left))):
        left -= len(piece)
        yield piece
