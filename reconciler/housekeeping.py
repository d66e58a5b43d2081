"""What a home does for itself, beside the passes: backups on time, old events sealed, mere looks forgotten."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.backups import making, restoring
from reconciler.backups.manifest import BackupError
from reconciler.core.policy import LogPolicy, Policy, interval
from reconciler.git.errors import GitError
from reconciler.home import Home
from reconciler.ports import SystemClock
from reconciler.schedule import next_time
from reconciler.world import World
from state import events, views
from state.errors import LogError
from state.log import Entry

STREAM = "backups"

SMALLEST = 1_000
"""Events that are worth a segment of their own."""

LARGEST = 50_000
"""Events in one segment at most: an old home is sealed in several steps."""

AGAIN = timedelta(hours=1)
"""How soon a backup that failed is tried again, where its own time is not sooner."""

_LOOK_AGAIN = 60.0
"""Seconds between two looks whether something is due."""

_TIDY_EVERY = timedelta(hours=1)

_PATIENCE = 5.0
"""Seconds that an end waits for a backup that is being made."""


Check = Callable[[Path, Path], None]
"""Reads a backup back, with a directory for scratch. Raises BackupError where it is not good."""


def check_here(path: Path, scratch: Path) -> None:
    restoring.check(path, scratch=scratch, now=SystemClock().now, tell=lambda line: None)


def check_apart(path: Path, scratch: Path) -> None:
    """The same in a process of its own, which gives back the memory that a million events take."""
    command = [sys.executable, "-m", "reconciler", "restore", "--check", "--scratch", str(scratch), "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackupError((done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1])


def tend(home: Home, world: World, policy: Policy, check: Check = check_here) -> None:
    """Do what is due now. Raises LogError where the log cannot be written."""
    tidy(world, policy.log)
    look_after_backups(home, world, policy, check)


def look_after_backups(home: Home, world: World, policy: Policy, check: Check) -> None:
    if home.settings.backup_dir:
        back_up(home, world, policy, home.settings.backup_dir, check)


# ── the log ──────────────────────────────────────────────────────────────────────────────────────


def tidy(world: World, policy: LogPolicy) -> None:
    """Forget what was only looked at, and seal what is old or too much, half of it at once."""
    now, log = world.clock.now(), world.log
    log.forget_reads(now - _length(policy.reads), f"what was only looked at is kept for {policy.reads}")
    head, sealed = log.head().seq, log.sealed()
    age = _length(policy.live)
    if head - sealed > policy.live_events:
        _seal(world, head - policy.live_events // 2, f"more than {policy.live_events:,} events were live")
    elif log.older_than(now - age) > sealed:
        _seal(world, log.older_than(now - age / 2), f"events older than {policy.live} were live")


def _seal(world: World, through: int, reason: str) -> None:
    through = min(through, world.log.head().seq - 1)
    while through - world.log.sealed() >= SMALLEST:
        world.log.seal(min(through, world.log.sealed() + LARGEST), reason)


def _length(text: str) -> timedelta:
    return interval(text) or timedelta.max


# ── backups ──────────────────────────────────────────────────────────────────────────────────────


def back_up(home: Home, world: World, policy: Policy, directory: Path, check: Check) -> None:
    """Make a backup if one is due, keep as many as the policy says, and say so once where none was good for long."""
    if _is_due(world, policy):
        _back_up_now(home, world, policy.backups.keep, directory, check)
    known, now = world.log.view(views.Backups), world.clock.now()
    since = known.last.at if known.last else known.begun
    if since and not known.overdue and now - since > _length(policy.backups.alert_after):
        last = f"of {since:%Y-%m-%d %H:%M} UTC" if known.last else "none"
        why = f"; the last try failed: {known.failed}" if known.failed else ""
        _say(world, events.BackupOverdue(reason=f"the last good backup: {last}{why}"))


def _is_due(world: World, policy: Policy) -> bool:
    known, now = world.log.view(views.Backups), world.clock.now()
    before = known.tried or known.begun
    if before is None:
        return True
    due = next_time(policy.backups.every, before)
    return now >= (min(due, before + AGAIN) if known.failed else due)


def _back_up_now(home: Home, world: World, keep: int, directory: Path, check: Check) -> None:
    path = directory / f"waypost-{_identity(world)}-{world.clock.now().astimezone(UTC):%Y%m%dT%H%M%SZ}.zip"
    try:
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        _sweep(directory)
        made = making.make(home, path, now=world.clock.now, tell=lambda line: None)
        with making.scratch(home) as scratch:
            check(path, scratch)
    except (BackupError, GitError, LogError, OSError) as fault:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # what was not found good is none
        _say(world, events.BackupFailed(reason=str(fault)))
        return
    manifest = made.manifest
    said = events.BackupMade(
        file=path.name, seq=manifest.seq, hash=manifest.hash, size=made.size, digest=made.digest, reason="it was due"
    )
    _say(world, said)
    _thin(world, directory, keep)


def _thin(world: World, directory: Path, keep: int) -> None:
    """Remove the oldest of this home's scheduled backups. Their names sort as they were made."""
    ours = re.compile(rf"waypost-{_identity(world)}-[0-9]{{8}}T[0-9]{{6}}Z\.zip")
    found = sorted(path for path in directory.iterdir() if ours.fullmatch(path.name))
    for path in found[:-keep]:
        with contextlib.suppress(OSError):  # the next time, then
            path.unlink()
            _say(world, events.BackupRemoved(file=path.name, reason=f"{keep} newer ones are kept"))


def _identity(world: World) -> str:
    """What tells this home's backups from another's in one directory; a restored home is still the same."""
    first = next(world.log.read(until=1), None)
    return first.hash[:8] if first else "0" * 8


def _sweep(directory: Path) -> None:
    """Remove what a killed process left half done."""
    for path in directory.glob(".waypost-*.zip.new"):
        path.unlink(missing_ok=True)
    for path in directory.glob(".check-*"):
        shutil.rmtree(path, ignore_errors=True)


def _say(world: World, event: events.Event) -> None:
    world.log.append(Entry(stream=STREAM, event=event))


# ── beside the passes ────────────────────────────────────────────────────────────────────────────


class Housekeeper:
    """Looks every minute whether something is due, in a thread of its own: no pass waits for a backup."""

    def __init__(self, home: Home, world: World, complain: Callable[[str], None]) -> None:
        self._home = home
        self._world = world
        self._complain = complain
        self._policy: Policy | None = None
        self._complained = ""
        self._tidied: datetime | None = None
        self._stopped = threading.Event()
        # A daemon: what is half done when the process must end is swept by the next one.
        self._thread = threading.Thread(target=self._work, name="housekeeping", daemon=True)

    def follow(self, policy: Policy) -> None:
        """Do as this policy says from now on; before the first one nothing is done."""
        self._policy = policy

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End soon, whatever is being done."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)

    def _work(self) -> None:
        while not self._stopped.wait(_LOOK_AGAIN if self._policy else 1.0):
            if self._policy:
                self._tend_once(self._policy)

    def _tidy_now_and_then(self, policy: Policy) -> None:
        """Not every minute: to find what is old, all that is older has to be passed."""
        now = self._world.clock.now()
        if self._tidied is None or abs(now - self._tidied) >= _TIDY_EVERY:
            tidy(self._world, policy.log)
            self._tidied = now

    def _tend_once(self, policy: Policy) -> None:
        complaint = ""
        try:
            self._tidy_now_and_then(policy)
            look_after_backups(self._home, self._world, policy, check_apart)
        except Exception as error:  # the top of this thread: a fault of ours must not end all housekeeping
            complaint = f"housekeeping failed, and is tried again: {type(error).__name__}: {error}"
        if complaint and complaint != self._complained:
            self._complain(complaint)
        self._complained = complaint
