"""A home from a backup: put together beside its place, read whole, and moved there at the end, settings last.

Until the settings are there the directory is no home, so a restore that was cut short is begun again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from reconciler.backups import checking
from reconciler.backups import manifest as manifests
from reconciler.backups.archive import Tell
from reconciler.backups.checking import Found
from reconciler.backups.manifest import BackupError
from reconciler.home import refuse_network_file_system
from state.database import flush
from state.events import HomeRestored
from state.log import Entry, EventLog

_STAGE = ".restoring"
_DIRECTORIES = ("desired.git", "mirror.git", "log.segments", "targets")
_PLACES = (
    *_DIRECTORIES,
    manifests.LOG,
    manifests.PEOPLE,
    manifests.OUTBOX,
    manifests.TOKENS,
    manifests.TARGETS,
    manifests.SETTINGS,
)
"""What a restored home may consist of, in the order in which it is moved into place."""

_MOUNTED = ("gateway", "lost+found")
"""What may stand in an otherwise empty directory: a volume for the gateway, and what a file system brings along."""


def check(path: Path, *, scratch: Path | None = None, now: Callable[[], datetime], tell: Tell) -> Found:
    """Whether a backup is good, by unpacking all of it in `scratch`, or beside itself. Raises BackupError if not."""
    try:
        with tempfile.TemporaryDirectory(prefix=".check-", dir=scratch or path.absolute().parent) as place:
            return checking.unpack(path, Path(place), now, tell)
    except OSError as fault:
        raise BackupError(f"{path} cannot be checked: {fault.strerror or fault}") from fault


def restore(path: Path, directory: Path, *, person: str, now: Callable[[], datetime], tell: Tell) -> Found:
    """Make a home of a backup, in a directory that is empty or not there yet. Raises BackupError, HomeError."""
    directory = directory.absolute()
    refuse_network_file_system(directory)
    try:
        _refuse_what_is_no_directory(directory)
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        with _alone_in(directory):
            _clear_what_was_cut_short(directory)
            _refuse_what_is_there(directory)
            found = _put_together(path, directory, person, now, tell)
        flush(directory.parent)
    except OSError as fault:
        raise BackupError(f"{directory} cannot be restored to: {fault.strerror or fault}") from fault
    return found


def _put_together(path: Path, directory: Path, person: str, now: Callable[[], datetime], tell: Tell) -> Found:
    stage = directory / _STAGE
    stage.mkdir(mode=0o700)
    try:
        found = checking.unpack(path, stage, now, tell)
        _record(stage, found, person, now)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    tell("moving it into place")
    _settle(stage, directory)
    return found


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Another restore into the same place would take ours for one that was cut short, and clear it away."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BackupError(f"{directory} is being restored to by another process") from None
    finally:
        os.close(descriptor)


def _clear_what_was_cut_short(directory: Path) -> None:
    """An earlier restore that was killed: nothing of it is a home, and nothing else can be there.

    Settings move last. Where they left the stage it was a home since, which may have lost them; where they did not
    come into it yet, nothing had moved.
    """
    if not (directory / _STAGE).is_dir() or (directory / manifests.SETTINGS).exists():
        return
    for name in _PLACES if (directory / _STAGE / manifests.SETTINGS).exists() else ():
        place = directory / name
        if name in _DIRECTORIES:
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
    shutil.rmtree(directory / _STAGE)


def _refuse_what_is_no_directory(directory: Path) -> None:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise BackupError(f"{directory} is no directory: choose one that is empty or not there yet")


def _refuse_what_is_there(directory: Path) -> None:
    for entry in sorted(directory.iterdir()):
        if entry.name not in _MOUNTED or (entry.name == "gateway" and any(entry.iterdir())):
            raise BackupError(
                f"{directory} is not empty (there is {entry.name}): a backup is only ever restored into an empty "
                "directory; move what is there away, or name another directory"
            )


def _record(stage: Path, found: Found, person: str, now: Callable[[], datetime]) -> None:
    manifest = found.manifest
    restored = HomeRestored(
        made=manifest.made,
        seq=manifest.seq,
        hash=manifest.hash,
        digest=found.digest,
        waypost=manifest.waypost,
        reason="a person put this home together from a backup",
    )
    with contextlib.closing(EventLog.open(stage / manifests.LOG, now=now)) as log:
        log.append(Entry(stream="home", event=restored, actor=f"person:{person}"))


def _settle(stage: Path, directory: Path) -> None:
    _give_rights(stage, directory)
    for path in (*stage.rglob("*"), stage):
        flush(path)
    for name in _PLACES:
        if (stage / name).exists():
            (directory / name).parent.mkdir(mode=0o750, exist_ok=True)
            _move(stage / name, directory / name)
    flush(directory)
    shutil.rmtree(stage)


def _give_rights(stage: Path, directory: Path) -> None:
    """The gateway's account shares the home through its group: it reads settings and repository, never the log."""
    place = directory / Path(manifests.OUTBOX).parent
    shared = place.exists() and bool(place.stat().st_mode & stat.S_IWGRP)
    modes = {
        manifests.SETTINGS: 0o640,
        manifests.TARGETS: 0o640,
        manifests.TOKENS: 0o640,
        manifests.PEOPLE: 0o640,
        manifests.OUTBOX: 0o660 if shared else 0o640,
    }
    for name, mode in modes.items():
        if (stage / name).exists():
            (stage / name).chmod(mode)
    for path in (*stage.glob("*.git/objects/pack/*"), *stage.glob("*.git/packed-refs")):
        path.chmod(0o644)
    for path in stage.glob("log.segments/*"):
        path.chmod(0o400)


def _move(source: Path, to: Path) -> None:
    try:
        source.replace(to)
    except OSError as fault:
        if fault.errno != errno.EXDEV:  # the gateway's directory may be a volume of its own
            raise
        beside = to.with_name(f".{to.name}.new")
        shutil.copy2(source, beside)
        flush(beside)
        beside.replace(to)
    flush(to.parent)
