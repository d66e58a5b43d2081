"""Whether what was unpacked is a home: every event, every object, and whether they fit each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from reconciler import config
from reconciler.backups import archive
from reconciler.backups import manifest as manifests
from reconciler.backups.archive import Tell
from reconciler.backups.manifest import BackupError, Manifest, Repository
from reconciler.config import ConfigError
from reconciler.git import packing
from reconciler.git.errors import GitError
from reconciler.git.packing import Counted
from reconciler.git.store import Store
from state import views
from state.errors import LogError, NewerLogError
from state.log import Anchor, EventLog, Head
from state.outbox import Outbox


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a backup holds that was read whole and fits together. `notes` are no faults, and worth a look."""

    manifest: Manifest
    digest: str
    events: int
    segments: int
    views: int
    revisions: int
    repository: Counted | None
    waiting: int  # rows in outboxes
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        git = vars(self.repository) if self.repository else None
        said = {name: value for name, value in vars(self).items() if name not in ("manifest", "repository")}
        return {**said, "made": self.manifest.made, "head": self.manifest.seq, "repository": git}

    def lines(self) -> list[str]:
        """The same for people."""
        git = self.repository
        return [
            f"made {self.manifest.made} by Waypost {self.manifest.waypost}",
            f"log: {self.events:,} events, {self.segments} sealed segments; every hash, the chain and its anchors hold",
            f"views: {self.views} folded anew from the first event, each as it was put away",
            f"repository: {git.references} references, {git.commits:,} commits, {git.directories:,} directories, "
            f"{git.files:,} files, all there; {self.revisions} revisions kept"
            if git
            else "repository: none (it lives elsewhere and was never fetched)",
            f"outboxes: {self.waiting:,} rows",
            *(f"note: {note}" for note in (*self.manifest.left_out, *self.notes)),
        ]


def unpack(path: Path, into: Path, now: Callable[[], datetime], tell: Tell) -> Found:
    """Put a backup into an empty directory as a home, and read all of it. Raises BackupError where it is not sound."""
    with archive.opened(path) as backup:
        backup.unpack(into, tell)
        manifest = backup.manifest
    return _examined(path, into, manifest, now, tell)


def _examined(path: Path, place: Path, manifest: Manifest, now: Callable[[], datetime], tell: Tell) -> Found:
    try:
        tell("reading the log's file")
        _require_a_log(place, now)
        store, counted = _repository(place, manifest.repository, tell)
        with contextlib.closing(EventLog.open(place / manifests.LOG, now=now)) as log:
            events, segments = _log(log, manifest, store, tell), len(log.segments())
            tell("folding every view anew")
            folded = _views(log)
            revisions = _revisions(log, store)
    except NewerLogError as newer:
        raise BackupError(f"{path}: {newer}") from newer
    except (LogError, GitError) as fault:
        raise BackupError(f"{path} is not sound: {fault}") from fault
    return Found(
        manifest=manifest,
        digest=archive.digest(path),
        events=events,
        segments=segments,
        views=folded,
        revisions=revisions,
        repository=counted,
        waiting=_outboxes(place, now),
        notes=tuple(_settings(place)),
    )


def _require_a_log(place: Path, now: Callable[[], datetime]) -> None:
    """Before anything is written into it: a trigger of somebody else's would act on that."""
    with contextlib.closing(EventLog.open(place / manifests.LOG, now=now, readonly=True)) as log:
        log.require_own_shape()
        log.require_sound()


def _repository(place: Path, said: Repository | None, tell: Tell) -> tuple[Store | None, Counted | None]:
    if said is None:
        return None, None
    tell("reading every object of the repository")
    packing.refuse_strange_references(said.references)
    store = packing.unpack(place / said.name, said.branch, said.references, place)
    return store, packing.examine(store, said.references)


def _log(log: EventLog, manifest: Manifest, store: Store | None, tell: Tell) -> int:
    if log.head() != Head(manifest.seq, manifest.hash):
        raise LogError(f"its log ends with event {log.head().seq}, and should end with event {manifest.seq}")
    tell("checking every event's hash")
    anchors = [Anchor(one.seq, one.hash) for one in store.anchors()] if store else []
    verified = log.verify(anchors)
    if not verified.ok:
        raise LogError(verified.reason)
    return verified.events


def _views(log: EventLog) -> int:
    """How many views there are; raises LogError where one was not put away as its events say."""
    for view in log.misremembered():
        raise LogError(f"its view '{view.name}' is not what its events add up to; `waypost log rebuild` mends it")
    return len(views.ALL)


def _revisions(log: EventLog, store: Store | None) -> int:
    """How many revisions Git keeps; raises LogError for one that the log knows and Git does not."""
    if store is None:
        return 0
    kept = store.revisions()
    for number, revision in log.view(views.Revisions).by_number.items():
        if kept.get(number) != revision.commit:
            raise LogError(f"revision {number} (commit {revision.commit[:12]}) is not kept in its repository")
    return len(kept)


def _outboxes(place: Path, now: Callable[[], datetime]) -> int:
    found = 0
    for name in (manifests.PEOPLE, manifests.OUTBOX):
        if (place / name).exists():
            try:
                with contextlib.closing(Outbox.open(place / name, now, readonly=True)) as box:
                    box.require_sound()
                    found += box.count()
            except LogError as fault:
                raise BackupError(f"its {name} is not sound: {fault}") from fault
    return found


def _settings(place: Path) -> Iterable[str]:
    """What this machine makes of the settings: they may name what only the other one has."""
    try:
        config.load({}, place)
    except ConfigError as fault:
        for line in fault.faults:
            yield line.replace(f"{place}/", "")
