"""What the gateway keeps in its own directory: a lock, its clone, its outbox; each made or mended at start."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import mcp_types as protocol
from pydantic import TypeAdapter

from reconciler.git.store import Store
from reconciler.home import Held, Lock, lock
from reconciler.ports import Clock, Disk
from shards.config import GatewaySettings
from state.errors import DamagedFile
from state.outbox import Outbox
from state.sparing import dataclass

_logger = logging.getLogger("waypost.gateway")

_SIDE_FILES = ("-wal", "-shm", "-journal", "")
"""What SQLite keeps beside a file, the file itself last: a new file must never meet what belonged to the old."""


def hold(settings: GatewaySettings) -> Lock | Held:
    """The lock that tells whether another gateway works in this directory."""
    Disk().make_directory(settings.directory, 0o755)
    return lock(settings.directory / "gateway.lock")


def clone(settings: GatewaySettings, *, alone: bool) -> Store:
    """The gateway's clone. Who is `alone` there frees it from what a killed gateway left locked."""
    store = Store.create(settings.clone, settings.branch)
    if alone and (swept := store.sweep_stale_locks()):
        _logger.warning("removed what a killed gateway had left locked: %s", ", ".join(map(str, swept)))
    return store


def outbox(settings: GatewaySettings, clock: Clock, *, alone: bool) -> Outbox:
    """The gateway's outbox. Who is `alone` there sets a damaged one aside and begins a new one."""
    try:
        return _sound(settings.outbox, clock)
    except DamagedFile as damage:
        if not alone:
            raise
        aside = _set_aside(settings.outbox, clock)
        _logger.warning(
            "%s. It is kept as %s, and a new one was begun. All that the reconciler had taken in is safe in its log. "
            "Not taken in, if they were newer than its last pass: records of tool calls, and withdrawals. Proposals "
            "are recorded anew from the clone.",
            str(damage).partition(";")[0],
            aside,
        )
    return _sound(settings.outbox, clock)


def _sound(path: Path, clock: Clock) -> Outbox:
    opened = Outbox.open(path, clock.now, create=True)
    try:
        opened.require_sound()
        opened.reserve()
    except BaseException:
        opened.close()
        raise
    return opened


def _set_aside(path: Path, clock: Clock) -> Path:
    dated = f"{path.name}.damaged-{clock.now():%Y%m%dT%H%M%SZ}"
    names = itertools.chain([dated], (f"{dated}-{number}" for number in itertools.count(2)))
    aside = next(place for name in names if not os.path.lexists(place := path.with_name(name)))
    for suffix in _SIDE_FILES:
        beside = path.with_name(f"{path.name}{suffix}")
        if os.path.lexists(beside):
            Disk().replace(beside, aside.with_name(f"{aside.name}{suffix}"))
    return aside


@dataclass(frozen=True)
class Shelves:
    """What is kept of shards elsewhere, a file each. Losing it costs nothing but a shorter list at a start."""

    directory: Path

    def names(self) -> tuple[str, ...]:
        """The shards that were declared when this was last looked at."""
        return tuple(sorted(path.stem for path in self.directory.glob("*.json")))

    def of(self, name: str) -> Shelf:
        """The shelf of one shard, empty where it is new."""
        shelf = Shelf(self.directory / f"{name}.json")
        if not shelf.path.exists():
            shelf.put([])
        return shelf

    def keep_only(self, names: Iterable[str]) -> None:
        for name in set(self.names()) - set(names):
            with contextlib.suppress(OSError):
                (self.directory / f"{name}.json").unlink(missing_ok=True)


@dataclass(frozen=True)
class Shelf:
    """What one shard offered last."""

    path: Path

    def get(self) -> list[protocol.Tool]:
        """What was put there, nothing where that cannot be read."""
        try:
            content = Disk().read(self.path)
            return _TOOLS.validate_json(content) if content else []
        except (OSError, ValueError) as fault:
            _logger.warning("what a shard offered last cannot be read: %s", fault)
            return []

    def put(self, tools: list[protocol.Tool]) -> None:
        """Keep it instead of what was there."""
        beside = self.path.with_suffix(".new")
        try:
            Disk().make_directory(self.path.parent)
            Disk().write(beside, _TOOLS.dump_json(tools, by_alias=True, exclude_none=True))
            Disk().replace(beside, self.path)
        except OSError as fault:
            _logger.warning("what a shard offers cannot be kept: %s", fault)


_TOOLS = TypeAdapter(list[protocol.Tool])
