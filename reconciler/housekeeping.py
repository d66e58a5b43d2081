"""What a home does for itself, beside the passes: backups on time, old events sealed, mere looks forgotten."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler import daily, reports
from reconciler.backups import making, restoring
from reconciler.backups.making import Check
from reconciler.backups.manifest import BackupError
from reconciler.core.policy import LogPolicy, Policy, interval
from reconciler.daily import Encryption
from reconciler.documentation.watching import Watcher
from reconciler.git.errors import GitError
from reconciler.git.store import Store
from reconciler.home import Home
from reconciler.ports import SystemClock
from reconciler.schedule import Steady, next_time
from reconciler.tokens import EXPIRES_SOON
from reconciler.world import World
from state import events, views
from state.database import flush
from state.errors import DamagedFile, LogError
from state.log import Entry
from state.tokens import Lasting

STREAM = "backups"

SMALLEST = 1_000
"""Events that are worth a segment of their own."""

LARGEST = 50_000
"""Events in one segment at most: an old home is sealed in several steps."""

AGAIN = timedelta(hours=1)
"""How soon a backup that failed is tried again, where its own time is not sooner."""

_LONGEST_CHECK = timedelta(hours=1)
"""A backup that cannot be read back in that time is not good: a million events take a minute."""

_LOOK_AGAIN = 60.0
"""Seconds between two looks whether something is due."""

_TIDY_AGAIN = 3600.0
"""The same for the log: to find what is old, all that is older has to be passed."""

_UNSTEADY = 300.0
"""Seconds by which a clock may run apart from the one that only counts, from one look to the next."""

_PATIENCE = 5.0
"""Seconds that an end waits for a backup that is being made."""


def check_here(path: Path, scratch: Path) -> None:
    restoring.check(path, scratch=scratch, now=SystemClock().now, tell=lambda line: None)


def check_apart(path: Path, scratch: Path) -> None:
    """The same in a process of its own, which gives back the memory that a million events take."""
    command = [sys.executable, "-m", "reconciler", "restore", "--check", "--scratch", str(scratch), "--json", str(path)]
    patience = _LONGEST_CHECK.total_seconds()
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patience)
    except subprocess.TimeoutExpired:
        raise BackupError(f"{path} could not be read back within an hour") from None
    if done.returncode:
        raise BackupError((done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1])


def tend(home: Home, world: World, policy: Policy, check: Check[None] = check_here) -> None:
    """Do what is due now. Raises LogError where the log cannot be written."""
    tidy(world, policy.log)
    look_after_backups(home, world, policy, check)
    notice_overdue(home, world, policy)
    notice_ending_tokens(world)


# ── the log ──────────────────────────────────────────────────────────────────────────────────────


def tidy(world: World, policy: LogPolicy, *, by_age: bool = True) -> None:
    """Forget what was only looked at, and seal what is old or too much, half of it at once.

    `by_age`: the clock can be believed; where it cannot, only what is too much is sealed.
    """
    log = world.log
    head = log.head().seq
    if head - log.sealed() > policy.live_events:
        _seal(world, head - policy.live_events // 2, f"more than {policy.live_events:,} events were live")
    if by_age:
        _tidy_by_age(world, policy)


def _tidy_by_age(world: World, policy: LogPolicy) -> None:
    now, log, age = world.clock.now(), world.log, _length(policy.live)
    log.forget_reads(_ago(now, _length(policy.reads)), f"what was only looked at is kept for {policy.reads}")
    if log.older_than(_ago(now, age)) > log.sealed():
        _seal(world, log.older_than(_ago(now, age / 2)), f"events older than {policy.live} were live")


def _seal(world: World, through: int, reason: str) -> None:
    through = min(through, world.log.head().seq - 1)
    while through - world.log.sealed() >= SMALLEST:
        world.log.seal(min(through, world.log.sealed() + LARGEST), reason)


def _ago(now: datetime, length: timedelta) -> datetime:
    """That long before now: for who keeps things for thousands of years, before there was anything."""
    try:
        return now - length
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _length(text: str) -> timedelta:
    return interval(text) or timedelta.max


# ── backups ──────────────────────────────────────────────────────────────────────────────────────


def look_after_backups(home: Home, world: World, policy: Policy, check: Check[None]) -> None:
    """Make a backup if one is wanted and due, and keep as many as the policy says."""
    if home.settings.backup_dir and _is_due(world, policy):
        _back_up_now(home, world, policy.backups.keep, home.settings.backup_dir, check)


def notice_overdue(home: Home, world: World, policy: Policy) -> None:
    """Say so, once, where no backup was good for long; also while one is being made and comes to no end."""
    known, now = world.log.view(views.Backups), world.clock.now()
    since = known.last.at if known.last else known.begun
    # A backup from the future tells of a clock that was wrong; how old it is nobody knows.
    if (
        home.settings.backup_dir
        and since
        and not known.overdue
        and abs(now - since) > _length(policy.backups.alert_after)
    ):
        last = f"of {since:%Y-%m-%d %H:%M} UTC" if known.last else "none"
        why = f"; the last try failed: {known.failed}" if known.failed else ""
        _say(world, events.BackupOverdue(reason=f"the last good backup: {last}{why}"))


def _is_due(world: World, policy: Policy) -> bool:
    known, now = world.log.view(views.Backups), world.clock.now()
    before = known.tried or known.begun
    if before is None or before > now:  # the clock was wrong then, or is now: neither may stop all backups
        return True
    due = next_time(policy.backups.every, before)
    return now >= (min(due, before + AGAIN) if known.failed else due)


def _back_up_now(home: Home, world: World, keep: int, directory: Path, check: Check[None]) -> None:
    try:
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
            flush(directory.parent)
        names = _Names(world)
        _sweep(directory, names)
        path = directory / names.at(world.clock.now())
        made = making.make(home, path, now=world.clock.now, tell=lambda line: None, check=check)
    except (BackupError, GitError, LogError, OSError) as fault:
        _say(world, events.BackupFailed(reason=str(fault)))
        return
    seq, hash = made.manifest.seq, made.manifest.hash
    said = events.BackupMade(
        file=path.name, seq=seq, hash=hash, size=made.size, digest=made.digest, reason="it was due"
    )
    _say(world, said)
    with contextlib.suppress(OSError):  # the next time, then
        _thin(world, directory, names, keep)


class _Names:
    """What the scheduled backups of one home are called; a restored home is still the same."""

    def __init__(self, world: World) -> None:
        first = next(world.log.read(until=1), None)
        self._prefix = f"waypost-{first.hash[:8] if first else '0' * 8}-"
        self._ours = re.compile(rf"{self._prefix}([0-9]{{8}}T[0-9]{{6}}Z)\.zip")

    def at(self, moment: datetime) -> str:
        return f"{self._prefix}{_stamp(moment)}.zip"

    def found(self, directory: Path, now: datetime) -> list[Path]:
        """All that are there, oldest first. What a clock that ran ahead made is old: it must outlive nothing."""
        every = [(match[1], path) for path in directory.iterdir() if (match := self._ours.fullmatch(path.name))]
        return [path for stamp, path in sorted(every, key=lambda one: (one[0] <= _stamp(now), one[0]))]

    def unfinished(self, directory: Path) -> list[Path]:
        return list(directory.glob(making.unfinished(Path(f"{self._prefix}*.zip"), "*").name))


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _thin(world: World, directory: Path, names: _Names, keep: int) -> None:
    """Remove the oldest of this home's scheduled backups."""
    for path in names.found(directory, world.clock.now())[:-keep]:
        path.unlink()
        _say(world, events.BackupRemoved(file=path.name, reason=f"{keep} newer ones are kept"))


def _sweep(directory: Path, names: _Names) -> None:
    """Remove what a killed process of this home left half done; others' work stays."""
    for path in names.unfinished(directory):
        path.unlink(missing_ok=True)


def _say(world: World, event: events.Event) -> None:
    world.log.append(Entry(stream=STREAM, event=event))


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────


def notice_ending_tokens(world: World) -> None:
    """Say of each token, once, that it ends: a week before, or in the last quarter of a shorter life."""
    now = world.clock.now()
    for id, token in _lasting(world).items():
        ahead = min(EXPIRES_SOON, (token.expires - token.made) / 4)
        if not token.warned and token.expires - ahead <= now < token.expires + EXPIRES_SOON:
            reason = f"it ends on {token.expires:%Y-%m-%d %H:%M} UTC"
            said = events.TokenEndsSoon(token=id, name=token.name, expires=token.expires.isoformat(), reason=reason)
            world.log.append(Entry(stream=f"token/{id}", event=said))


def _lasting(world: World) -> Mapping[str, Lasting]:
    try:
        return world.log.view(views.Tokens).lasting
    except DamagedFile:
        return {}  # some of the log is gone, and the backup that cannot be made says so


# ── beside the passes ────────────────────────────────────────────────────────────────────────────


class Housekeeper:
    """Looks now and then whether something is due, beside the passes: none of them waits for a backup.

    Each chore has a thread of its own, so that a backup on a disk that does not answer keeps nobody from being told.
    """

    def __init__(
        self, home: Home, world: World, watcher: Watcher, encryption: Encryption, complain: Callable[[str], None]
    ) -> None:
        self._home = home
        self._watcher = watcher
        self._encryption = encryption
        self._world = world
        self._complain = complain
        self._policy: Policy | None = None
        self._stopped = threading.Event()
        # What is decided by age is not decided right after a start, nor right after a jump of the clock: one that is
        # set wrong is most often set right soon after.
        self._for_backups, self._for_log, self._for_endings = (Steady(world.clock, _UNSTEADY) for _ in range(3))
        chores = (
            ("backups", _LOOK_AGAIN, self._back_up),
            ("overdue", _LOOK_AGAIN, self._notice),
            ("log", _TIDY_AGAIN, self._tidy),
            ("documentation", _LOOK_AGAIN, self._watch),
            ("reports", _LOOK_AGAIN, self._report),
            ("endings", _LOOK_AGAIN, self._look_at_endings),
        )
        self._news = {chore: threading.Event() for chore, _, _ in chores}
        # Daemons: what is half done when the process must end is swept by the next one.
        self._threads = [threading.Thread(target=self._work, name=one[0], args=one, daemon=True) for one in chores]

    def follow(self, policy: Policy) -> None:
        """Do as this policy says from now on; before the first one nothing is done."""
        before, self._policy = self._policy, policy
        if before not in (None, policy):  # what is due by the new one is not left for a minute, or an hour
            self._wake()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End soon, whatever is being done."""
        self._stopped.set()
        self._wake()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_PATIENCE)

    def _wake(self) -> None:
        for news in self._news.values():
            news.set()

    def _back_up(self, policy: Policy) -> None:
        look_after_backups(self._home, self._world, policy, check_apart)

    def _notice(self, policy: Policy) -> None:
        if self._for_backups():
            notice_overdue(self._home, self._world, policy)
            notice_ending_tokens(self._world)

    def _watch(self, policy: Policy) -> None:
        self._watcher.look(Store.open(self._home.desired_store_path), policy.schedules.documentation)

    def _report(self, policy: Policy) -> None:
        reports.tend(self._world, policy.schedules.drift_report)

    def _look_at_endings(self, policy: Policy) -> None:
        if self._for_endings():
            daily.look(self._home, self._world, self._encryption)

    def _tidy(self, policy: Policy) -> None:
        tidy(self._world, policy.log, by_age=self._for_log())

    def _work(self, chore: str, pause: float, do: Callable[[Policy], None]) -> None:
        complained, wait, news = "", 1.0, self._news[chore]
        while True:
            news.wait(wait)
            news.clear()
            if self._stopped.is_set():
                return
            if self._policy:
                complained, wait = self._do(chore, do, self._policy, complained), pause

    def _do(self, chore: str, do: Callable[[Policy], None], policy: Policy, complained: str) -> str:
        try:
            do(policy)
        except Exception as error:  # the top of this thread: a fault of ours must not end all housekeeping
            complaint = f"housekeeping ({chore}) failed, and is tried again: {type(error).__name__}: {error}"
            if complaint != complained:
                self._complain(complaint)
            self._stopped.wait(_TIDY_AGAIN)
            return complaint
        return ""
