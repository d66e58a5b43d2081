"""Making a backup while everything runs: each part as it is at one moment, the parts in an order that fits.

The log is copied between two looks at the repository. What the log knows of (commits, revisions) is in Git before
it is in the log, so the branches are taken after it. What Git knows of the log (its anchors) is noted after the event,
so the notes are taken before it. The outboxes come after the log: what it took from them is still there. What is known
of a deploy beside the log comes before it: a deploy that the log does not know of would be taken for done.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Generic, TypeVar

from reconciler.backups import archive
from reconciler.backups import manifest as manifests
from reconciler.backups.archive import Tell
from reconciler.backups.manifest import BackupError, Manifest, Member, Repository
from reconciler.git import packing
from reconciler.git.errors import GitError
from reconciler.git.store import NOTES, Store
from reconciler.home import Home
from state import database, outbox_file, segments, tables, views
from state.errors import LogError
from state.log import EventLog, Head

Found = TypeVar("Found")

Check = Callable[[Path, Path], Found]
"""Reads a backup back, with a directory for scratch. Raises BackupError where it is not good."""


@dataclass(frozen=True, kw_only=True)
class Made(Generic[Found]):
    """A backup that was written, and what was found when it was read back."""

    path: Path
    manifest: Manifest
    size: int  # bytes
    digest: str
    found: Found


def make(
    home: Home,
    path: Path,
    *,
    now: Callable[[], datetime],
    tell: Tell,
    check: Check[Found],
    overwrite: bool = False,
) -> Made[Found]:
    """Write a backup of the home into one file; it gets that name once it was read back and found good.

    Raises BackupError, GitError or LogError, and leaves what was there before.
    """
    path = path.absolute()
    if path.exists() and not overwrite:
        raise BackupError(f"{path} is there already: choose another name, or say --overwrite")
    beside = unfinished(path)
    try:
        with scratch(home) as place:
            manifest = _Making(home, place, now, tell).write(beside)
        with scratch(home) as place:
            found = check(beside, place)
        made = Made(
            path=path, manifest=manifest, size=beside.stat().st_size, digest=archive.digest(beside), found=found
        )
        beside.replace(path)
        database.flush(path.parent)
    except BackupError as fault:
        raise BackupError(str(fault).replace(str(beside), str(path))) from fault
    except OSError as fault:
        raise BackupError(f"the backup {path} cannot be written: {fault.strerror or fault}") from fault
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return made


def unfinished(path: Path, process: int | str = "") -> Path:
    """What a backup is called until it is good: another process that makes one of the same name has its own."""
    return path.with_name(f".{path.name}.{process or os.getpid()}.new")


@contextlib.contextmanager
def scratch(home: Home) -> Iterator[Path]:
    """A directory on the home's own disk, for a while; should we be killed, the next start sweeps it."""
    place = home.work_path / str(os.getpid()) / "backup"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _Making:
    """One backup on its way: parts are put beside it first, since each must stand still to be read twice."""

    def __init__(self, home: Home, scratch: Path, now: Callable[[], datetime], tell: Tell) -> None:
        self._home = home
        self._scratch = scratch
        self._now = now
        self._tell = tell
        self._left_out: list[str] = []

    def write(self, path: Path) -> Manifest:
        self._require_room()
        store = Store.open(self._home.desired_store_path) if self._home.desired_store_path.exists() else None
        anchors = store.references(NOTES) if store else {}
        records = dict(self._read_records())
        head, files = self._log()
        files |= self._records(records) | self._outboxes() | self._settings()
        repository = None
        if store:
            repository = self._repository(store, anchors)
            files |= {name: self._scratch / name for name in (packing.PACK, packing.INDEX)}
        there = {name: place for name, place in files.items() if place.exists()}
        self._tell("putting it together")
        return archive.write(path, there, partial(self._manifest, head, repository))

    def _read_records(self) -> Iterator[tuple[str, bytes]]:
        """What is known of deploys, as it is before the log is copied. What cannot be read stops nothing."""
        for one in sorted((self._home.path / manifests.RECORDS).glob("*.json")):
            try:
                yield one.stem, one.read_bytes()
            except OSError as error:
                self._left_out.append(f"{manifests.RECORDS}{one.name}: {error.strerror or error}")

    def _require_room(self) -> None:
        """Raises BackupError where copies of log and outboxes would leave the log itself too little of the disk."""
        databases = (self._home.log_path, self._home.people_path, self._home.gateway_outbox_path)
        size = sum(path.stat().st_size for path in databases if path.exists())
        if shutil.disk_usage(self._scratch).free < size + archive.SPARE:
            raise BackupError(
                f"a backup takes {size >> 20} MiB beside the home while it is made, and there is no room for that at "
                f"{self._scratch}"
            )

    def _manifest(self, head: Head, repository: Repository | None, members: Mapping[str, Member]) -> Manifest:
        return Manifest(
            waypost=metadata.version("waypost"),
            made=self._now().astimezone(UTC).isoformat(timespec="seconds"),
            seq=head.seq,
            hash=head.hash,
            repository=repository,
            members=members,
            left_out=tuple(self._left_out),
        )

    def _log(self) -> tuple[Head, dict[str, Path]]:
        """The log at one moment, and the sealed segments that it knew of then."""
        copied = self._scratch / manifests.LOG
        database.copy(
            self._home.log_path, tables.LOG, copied, lambda share: self._tell(f"copying the log, {share:.0%}")
        )
        with contextlib.closing(EventLog.open(copied, now=self._now, readonly=True)) as log:
            head, sealed = log.head(), log.segments()
        files = {manifests.LOG: copied}
        place = segments.directory(self._home.log_path)
        for segment in sealed:
            if not (place / segment.file).exists():
                raise BackupError(
                    f"{place / segment.file} is missing, so this home is not whole: `waypost log verify` says more"
                )
            files[f"{manifests.SEGMENTS}{segment.file}"] = place / segment.file
        return head, files

    def _records(self, found: Mapping[str, bytes]) -> dict[str, Path]:
        """What is known of each target beside the log, fitting the log. What cannot be read stops nothing."""
        files = dict[str, Path]()
        if not found:
            return files
        from reconciler.targets.komodo_record import as_logged  # only a home with a Komodo needs it

        # What is open now was so when the log was copied: it had begun before that.
        with contextlib.closing(EventLog.open(self._home.log_path, now=self._now, readonly=True)) as log:
            attempts = log.view(views.Attempts).open
        for instance, content in found.items():
            name = f"{manifests.RECORDS}{instance}.json"
            copied = self._scratch / name.replace("/", "-")
            try:
                under_way = attempts[instance].started.attempt if instance in attempts else ""
                copied.write_bytes(as_logged(content, under_way))
            except ValueError as fault:
                self._left_out.append(" ".join(f"{name}: {fault}".split()))
            else:
                files[name] = copied
        return files

    def _outboxes(self) -> dict[str, Path]:
        """What waits for the log. Another account writes one of them: whatever is wrong with it stops nothing."""
        files = {}
        for name, place in (
            (manifests.PEOPLE, self._home.people_path),
            (manifests.OUTBOX, self._home.gateway_outbox_path),
        ):
            copied = self._scratch / name.replace("/", "-")
            try:
                if place.exists():
                    database.copy(place, outbox_file.FORMAT, copied)
                    files[name] = copied
            except LogError as fault:
                copied.unlink(missing_ok=True)
                self._left_out.append(" ".join(f"{name}: {fault}".split()))
        return files

    def _settings(self) -> dict[str, Path]:
        """Settings hold references to secrets; of tokens, only hashes are kept."""
        return {
            manifests.SETTINGS: self._home.settings_path,
            manifests.TARGETS: self._home.path / manifests.TARGETS,
            manifests.TOKENS: self._home.tokens_path,
        }

    def _nameable(self, references: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Those that a manifest can name. Git takes any bytes for a name, and one branch must not stop all backups."""
        for name, target in references.items():
            try:
                name.encode()
            except UnicodeEncodeError:
                self._left_out.append(f"{name!r} at {target}: its name is no UTF-8")
            else:
                yield name, target

    def _repository(self, store: Store, anchors: Mapping[str, str]) -> Repository:
        self._tell("packing the repository")
        later = {name: id for name, id in store.references("refs/").items() if not name.startswith(NOTES)}
        references = dict(self._nameable({**later, **anchors}))
        try:
            packing.pack(store, references, self._scratch)
        except GitError as fault:
            raise BackupError(f"the repository cannot be taken along: {fault}") from fault
        return Repository(
            name=self._home.desired_store_path.name,
            branch=self._home.settings.desired_branch,
            references=references,
        )
