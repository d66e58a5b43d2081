"""When to run a pass: intervals or cron from the policy, and whatever moves on disk. Knows when, never what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from watchfiles import watch

from reconciler.core.policy import Schedules, interval
from reconciler.ports import Clock, SystemClock


def trigger(text: str) -> BaseTrigger:
    """`5m` or `*/5 * * * *` as a trigger, in UTC. Raises ValueError for a cron line that cannot be."""
    length = interval(text)
    if length is not None:
        return _Coming(IntervalTrigger(seconds=length.total_seconds(), timezone="UTC"))
    return _Coming(CronTrigger.from_crontab(text, timezone="UTC"))


class _Coming(BaseTrigger):
    """The times of another trigger, without those that were missed: from a clock that starts in 1970 to today's there
    are 29 million minutes, and the scheduler would make a list of them before it runs anything."""

    def __init__(self, times: BaseTrigger) -> None:
        self._times = times

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        following: datetime | None = self._times.get_next_fire_time(previous, now)
        is_missed = following is not None and following < now
        return self._times.get_next_fire_time(None, now) if is_missed else following


def next_time(text: str, after: datetime) -> datetime:
    """When a schedule is due next, counted from that moment."""
    length = interval(text)
    if length is not None:
        return after + length
    due = CronTrigger.from_crontab(text, timezone="UTC").get_next_fire_time(after, after)
    return due if due is not None else datetime.max.replace(tzinfo=UTC)


class Steady:
    """Whether the clock on the wall went on, since the last look, like the one that only counts."""

    def __init__(self, clock: Clock, apart: float) -> None:
        """`apart`: seconds by which the two may run apart from one look to the next."""
        self._clock = clock
        self._apart = apart
        self._last: tuple[datetime, float] | None = None

    def __call__(self) -> bool:
        """False at the first look too."""
        now = (self._clock.now(), self._clock.monotonic())
        last, self._last = self._last, now
        return last is not None and abs((now[0] - last[0]).total_seconds() - (now[1] - last[1])) < self._apart


_LOOK_AGAIN = 20.0
"""Seconds between two looks whether the clock was set, or the machine slept."""

_APART = 10.0
"""Seconds by which both clocks may run apart meanwhile."""


class Schedule:
    """Runs `due` on time; by the default policy's times until told others. It is never without any time.

    Late runs coalesce into one, however late (the machine may have slept); a run that still goes on is not
    doubled. After a jump of the clock a run is due, and all others are counted from there: the scheduler waits for a
    moment on the wall, and would wait for days where the clock was set back by days.
    """

    def __init__(self, due: Callable[[], None], clock: Clock | None = None, *, look_again: float = _LOOK_AGAIN) -> None:
        self._due = due
        self._times: tuple[str, ...] = ()
        self._changing = threading.Lock()
        self._stopped = threading.Event()
        self._scheduler = BackgroundScheduler(timezone="UTC", daemon=True)
        self._scheduler.start()
        # Passes have to be tried again even if the policy could not be read yet.
        default = Schedules()
        self.follow((default.reconcile, default.drift))
        steady = Steady(clock or SystemClock(), _APART)
        steady()
        threading.Thread(target=self._look_at_clock, args=(steady, look_again), name="clock", daemon=True).start()

    def follow(self, times: Iterable[str]) -> None:
        """Run at these times from now on; nothing happens where they are the ones already followed.

        Raises ValueError, and goes on as before, where one of them is no time.
        """
        wanted = tuple(dict.fromkeys(times))
        with self._changing:
            if wanted and wanted != self._times:
                self._follow(wanted)

    def _follow(self, wanted: tuple[str, ...]) -> None:
        triggers = [trigger(text) for text in wanted]
        before = self._scheduler.get_jobs()
        for each in triggers:
            self._scheduler.add_job(self._due, each, coalesce=True, max_instances=1, misfire_grace_time=None)
        for job in before:
            job.remove()
        self._times = wanted

    def upcoming(self) -> list[datetime]:
        """When the next run of each time is due, the soonest first."""
        return sorted(job.next_run_time for job in self._scheduler.get_jobs())

    def stop(self) -> None:
        self._stopped.set()
        with self._changing:
            self._scheduler.shutdown(wait=False)

    def _look_at_clock(self, steady: Steady, pause: float) -> None:
        while not self._stopped.wait(pause):
            if not steady():
                with self._changing:
                    if not self._stopped.is_set():
                        self._follow(self._times)
                self._due()


_NOTICE = 10
"""Milliseconds without another notice after which one is told. The watch wakes as often: 0.3 % of one core."""


class Moves:
    """Tells whether a file really is another than when it was noticed last.

    Opening a SQLite file for reading makes notices too; without this every pass would be the reason for the next.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int] | None] = {}

    def __call__(self, path: Path) -> bool:
        try:
            status = path.stat()
            found = (status.st_mtime_ns, status.st_size)
        except OSError:
            found = None
        moved = path not in self._known or self._known[path] != found
        self._known[path] = found
        return moved


def watched(places: Sequence[Path], interesting: Callable[[Path], bool], due: Callable[[], None]) -> threading.Event:
    """Run `due` soon after something interesting moves below any of the places. Set the returned event to end it.

    A notice may be lost or doubled; the schedule finds what a lost one would have told.
    """
    stop, moved = threading.Event(), Moves()

    def follow() -> None:
        changes = watch(
            *(place for place in places if place.is_dir()),
            watch_filter=lambda _change, path: interesting(Path(path)) and moved(Path(path)),
            debounce=200,
            step=_NOTICE,
            stop_event=stop,
            ignore_permission_denied=True,
            raise_interrupt=False,
        )
        for _ in changes:
            due()

    threading.Thread(target=follow, name="watch", daemon=True).start()
    return stop
