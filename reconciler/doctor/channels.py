"""The doctor's look at who is told of alerts: each channel can be used, and has what it was to be told.

Looking tells nobody anything. What a service behind Apprise says to a message is only known by one, so that is sent
where somebody asked for it; an Alertmanager can be asked.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from reconciler import alerts
from reconciler.alerting.channels import Channel, Undelivered, numbered
from reconciler.alerting.receivers import LIMIT, Receivers, Sending
from reconciler.doctor.finding import Finding, fail, ok, warn
from reconciler.home import Home
from reconciler.ports import Clock
from reconciler.underway import Message
from state import views
from state.errors import LogError
from state.log import EventLog

_PATIENCE: Final = timedelta(minutes=2)
"""How long a message may wait before that is worth a word: it may be on its way."""

_TRY: Final = "`waypost doctor --alert` sends it a message"
_MEND: Final = "Correct WAYPOST_ALERT_URLS or WAYPOST_ALERTMANAGER_URL, or what is there; README lists what there is"
_TEST: Final = Message(
    "test",
    "this channel works",
    "Somebody asked for this message with `waypost doctor --alert`. There is nothing to do.",
    1,
    severity="info",
)


def examine(home: Home, clock: Clock, *, tell: bool) -> Iterator[Finding]:
    """One finding for each channel. With `tell` each gets a message, and is waited for so long as with every one."""
    ways = numbered(alerts.channels(home.settings, clock))
    told, receivers = _told(home, clock), Receivers(ways.values())
    for mark, channel in ways.items():
        check = f"alerts: {channel.name or f'mark {mark}'}"
        yield _tried(check, channel) if tell else _looked_at(check, channel, _Told(told, receivers, mark), clock.now())


def _told(home: Home, clock: Clock) -> views.Alerts:
    """What the log knows of alerts; nothing where it does not open, of which another check says why."""
    try:
        with contextlib.closing(EventLog.open(home.log_path, now=clock.now, readonly=True)) as log:
            return log.view(views.Alerts)
    except LogError:
        return views.Alerts()


class _Told:
    """What one receiver was told, and what waits for it."""

    def __init__(self, known: views.Alerts, receivers: Receivers, mark: str) -> None:
        self.last = known.heard.get(mark)
        standing = [one for one in known.open.values() if mark in receivers.for_channels(one.channels)]
        waiting = [one.raised or one.since for one in standing if mark not in one.took]
        waiting += [one.at for one in known.ended.values() if mark in one.owed]
        waiting += [one.until for one in known.missed[mark].alerts] if mark in known.missed else []
        self.waiting = sorted(waiting)

    def in_words(self) -> str:
        return f"it took its last message on {_moment(self.last)}" if self.last else "it has not taken any message yet"


def _looked_at(check: str, channel: Channel, told: _Told, now: datetime) -> Finding:
    try:
        seen = channel.look()
    except Undelivered as fault:
        return fail(check, str(fault), _MEND)
    if told.waiting and now - told.waiting[0] > _PATIENCE:
        waits = f"{len(told.waiting)} messages wait for it, the first since {_moment(told.waiting[0])}"
        return warn(check, f"{seen}, {told.in_words()}, and {waits}", f"See that the reconciler runs; {_TRY}")
    if told.last is None:
        return warn(check, f"{seen}, and {told.in_words()}: whether it would is not known", _TRY)
    return ok(check, f"{seen}, and {told.in_words()}")


def _tried(check: str, channel: Channel) -> Finding:
    sending = Sending(channel, _TEST, threading.Condition())
    sending.start()
    sending.join(LIMIT)
    if sending.took:
        return ok(check, "it took a message just now; see that it arrived")
    return fail(check, f"it takes no message: {sending.why or f'no answer within {LIMIT:.0f} seconds'}", _MEND)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
