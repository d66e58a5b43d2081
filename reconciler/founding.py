"""Making a home: settings file, directories, starter desired repo, event log. Safe to cut short and repeat."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

from reconciler import config, loss
from reconciler.config import ENVIRON
from reconciler.git.starter import plant
from reconciler.git.store import Store
from reconciler.home import Held, Home, HomeError, Lock, refuse_network_file_system
from reconciler.home import open as open_home
from reconciler.ports import Chance, Disk
from state.events import HomeCreated
from state.log import Entry, EventLog


def create(
    directory: Path,
    *,
    chosen: Mapping[str, str] | None = None,
    environ: Mapping[str, str] = ENVIRON,
    now: Callable[[], datetime],
    chance: Chance = os.urandom,
    new_log: bool = False,
) -> Home:
    """Make a home, or finish one whose making was cut short; a finished one is left as it is.

    `chosen` (setting -> text) goes into waypost.env. A home that lost its log gets a new one only with `new_log`.
    Raises HomeError, or ConfigError for wrong settings.
    """
    path = directory.absolute()
    _refuse_foreign(path)
    refuse_network_file_system(path)
    # Checked before anything is made: a wrong choice must not leave a home that refuses to open.
    config.load(environ, path, chosen)
    _make_directory(path)
    _write_settings(path, dict(chosen or {}))
    home = open_home(path, environ)
    with _lock_or_refuse(home):
        loss.refuse_without_desired_state(home, now)
        _make_directory(home.gateway_path)
        _make_desired_store(home, now())
        _make_log(home, now, chance, new_log=new_log)
    return home


def _refuse_foreign(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise HomeError(f"{path} is a link to nowhere: remove it or choose another directory")
    if path.exists() and not path.is_dir():
        raise HomeError(f"{path} is a file: choose a directory that is empty or not there yet")
    try:
        names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    except PermissionError as fault:
        raise HomeError(f"{path} cannot be read by this account: choose another directory") from fault
    # A mounted volume may bring the gateway's directory and lost+found with it.
    strange = names - {"gateway", "lost+found", f".{config.SETTINGS_FILE}.new"}
    if config.SETTINGS_FILE not in names and strange:
        raise HomeError(
            f"{path} holds other things ({', '.join(sorted(strange)[:3])}): choose a directory that is empty "
            "or not there yet"
        )


def _make_directory(path: Path) -> None:
    # Others have no business here; the group is how two accounts share one home.
    try:
        Disk().make_directory(path, 0o750)
    except OSError as fault:
        raise HomeError(
            f"{path} cannot be made ({fault.strerror}): choose a directory this account may write"
        ) from fault


def _write_settings(path: Path, chosen: dict[str, str]) -> None:
    file = path / config.SETTINGS_FILE
    if file.exists():
        return _refuse_other_choice(path, chosen)
    staged = path / f".{config.SETTINGS_FILE}.new"
    try:
        Disk().write(staged, config.explained(chosen).encode(), 0o640)
        Disk().replace(staged, file)
    except OSError as fault:
        raise HomeError(f"{file} cannot be written: {fault.strerror}") from fault
    return None


def _refuse_other_choice(path: Path, chosen: Mapping[str, str]) -> None:
    standing = config.load({}, path)
    wanted = config.load(chosen, path)
    differing = [name for name in chosen if config.value(standing, name) != config.value(wanted, name)]
    if differing:
        raise HomeError(
            f"{path} is a home already, and its {config.SETTINGS_FILE} says otherwise about {', '.join(differing)}: "
            "change it there"
        )


def _lock_or_refuse(home: Home) -> Lock:
    held = home.lock_reconciler()
    if isinstance(held, Held):
        raise HomeError(f"{home.path} is in use by process {held.pid}: there is nothing to make")
    return held


def _make_desired_store(home: Home, at: datetime) -> None:
    branch = home.settings.desired_branch
    store = Store.create(home.desired_store_path, branch)
    store.sweep_stale_locks()  # of a making that was cut short
    if home.embedded and store.head(branch) is None:
        plant(store, starter_files(), branch=branch, subject="Start with what Waypost brings along", at=at)


def _make_log(home: Home, now: Callable[[], datetime], chance: Chance, *, new_log: bool) -> None:
    store = Store.open(home.desired_store_path)
    lost = loss.of_history(home, store, now)
    if lost and not new_log:
        raise HomeError(loss.told(home, lost))
    with contextlib.closing(EventLog.open(home.log_path, now=now, chance=chance, create=True)) as log:
        home.log_path.chmod(0o600)
        made = HomeCreated(waypost=metadata.version("waypost"))
        entries = [Entry(stream="home", event=made, key="home")]
        log.append([*entries, Entry(stream="home", event=lost, key="history-lost")] if lost else entries)
        if new_log:
            loss.settle(log, store, home)


def starter_files() -> dict[str, bytes]:
    """The starter desired repo: path -> content."""
    return dict(_files(resources.files("desired"), ""))


def _files(directory: Traversable, under: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in directory.iterdir():
        path = f"{under}{entry.name}"
        if entry.is_dir() and entry.name != "__pycache__":
            found += _files(entry, f"{path}/")
        elif entry.is_file() and not entry.name.endswith((".py", ".pyc")):
            found.append((path, entry.read_bytes()))
    return found
