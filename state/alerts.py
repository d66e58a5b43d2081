"""The view of alerts: what stands and was told to whom, whose end is owed to whom, and what somebody missed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from state.events import AlertDelivered, AlertDoubted, AlertRaised, AlertResolved
from state.record import Occasion
from state.view import View, on


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert whose cause stands.

    `raised` and `seq` are of the event that raised it last, `last_sent` is when a receiver last took a message
    (None while none did). `took` are the receivers that have the last message, `told` all that ever had one; those
    among them where that is in doubt. `channels` are those it is for, by name; with `ends` its end is told too.
    """

    title: str
    since: datetime
    last_sent: datetime | None
    body: str = ""
    raised: datetime | None = None
    seq: int = 0
    subjects: tuple[str, ...] = ()
    took: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    severity: str = "warning"
    instance: str = ""
    channels: tuple[str, ...] = ("*",)
    ends: bool = True


@dataclass(frozen=True, slots=True)
class EndedAlert:
    """An alert that is over since `at`, and the receivers that were told of it but not yet of its end."""

    title: str
    owed: frozenset[str]
    at: datetime
    severity: str = "warning"
    instance: str = ""


@dataclass(frozen=True, slots=True)
class MissedAlert:
    """An alert that was over before a receiver had taken it. `raised` and `seq` are of the events that raised it last
    and ended it."""

    title: str
    since: datetime
    until: datetime
    raised: int
    seq: int
    severity: str = "warning"


@dataclass(frozen=True, slots=True)
class Missed:
    """What one receiver was never told of: the last alerts, oldest first, and how many there were before those."""

    alerts: tuple[MissedAlert, ...] = ()
    before: int = 0

    def also(self, alert: MissedAlert) -> Missed:
        kept = (*self.alerts, alert)[-_MOST_MISSED:]
        return Missed(kept, self.before + len(self.alerts) + 1 - len(kept))

    def without(self, raised: int) -> Missed:
        """Without the one that this event raised."""
        return replace(self, alerts=tuple(one for one in self.alerts if one.raised != raised))

    def after(self, seq: int) -> Missed:
        """What was over after this event."""
        return Missed(tuple(one for one in self.alerts if one.seq > seq))


_MOST_MISSED = 40
"""Alerts that a summary names: more than a person reads."""


def missed_by(receiver: str) -> str:
    """The fingerprint of the message that tells a receiver what it missed."""
    return f"missed/{receiver}"


@dataclass
class Alerts(View):
    """Alerts that stand and alerts whose end is still to be told, by fingerprint; by receiver what it missed, and when
    it last took a message."""

    version = 5

    open: dict[str, OpenAlert] = field(default_factory=dict)
    ended: dict[str, EndedAlert] = field(default_factory=dict)
    missed: dict[str, Missed] = field(default_factory=dict)
    heard: dict[str, datetime] = field(default_factory=dict)

    @on(AlertRaised)
    def _raise(self, event: AlertRaised, at: Occasion) -> None:
        before, ended = self.open.get(event.fingerprint), self.ended.pop(event.fingerprint, None)
        told = before.told if before else ended.owed if ended else frozenset()
        last_sent = before.last_sent if before else None
        self.open[event.fingerprint] = OpenAlert(
            title=event.title,
            since=before.since if before else at.at,
            last_sent=at.at if event.delivered else last_sent,
            body=event.body,
            raised=at.at,
            seq=at.seq,
            subjects=event.subjects,
            told=told,
            severity=event.severity,
            instance=event.instance,
            channels=event.channels,
            ends=event.ends,
        )

    @on(AlertDelivered)
    def _deliver(self, event: AlertDelivered, at: Occasion) -> None:
        self._is_with(event, at)
        self.heard.update(dict.fromkeys(event.receivers, at.at))
        if not event.recovery and (before := self.open.get(event.fingerprint)):
            self.open[event.fingerprint] = replace(before, last_sent=at.at)

    @on(AlertDoubted)
    def _doubt(self, event: AlertDoubted, at: Occasion) -> None:
        self._is_with(event, at)  # or is not: whoever is told once more would perhaps be told twice

    def _is_with(self, event: AlertDelivered | AlertDoubted, at: Occasion) -> None:
        if event.fingerprint in map(missed_by, event.receivers):
            self._catch_up(event.receivers, lambda missed: missed.after(event.raised))
            return
        if event.recovery:
            self._tell_the_end(event.fingerprint, event.receivers)
            return
        self._catch_up(event.receivers, lambda missed: missed.without(event.raised))
        if before := self.open.get(event.fingerprint):
            took = before.took.union(event.receivers) if event.raised == before.seq else before.took
            told = before.told.union(event.receivers)
            self.open[event.fingerprint] = replace(before, took=took, told=told)
        else:  # it ended while the message was on its way
            ended = self.ended.get(event.fingerprint, EndedAlert(event.title, frozenset(), at.at))
            self._owe(event.fingerprint, replace(ended, owed=ended.owed.union(event.receivers)))

    def _catch_up(self, receivers: Iterable[str], left: Callable[[Missed], Missed]) -> None:
        for name in receivers:
            if (missed := self.missed.pop(name, None)) and (now := left(missed)).alerts:
                self.missed[name] = now

    def _tell_the_end(self, fingerprint: str, receivers: Iterable[str]) -> None:
        if ended := self.ended.pop(fingerprint, None):
            self._owe(fingerprint, replace(ended, owed=ended.owed.difference(receivers)))

    @on(AlertResolved)
    def _resolve(self, event: AlertResolved, at: Occasion) -> None:
        before = self.open.pop(event.fingerprint, None)
        self.ended.pop(event.fingerprint, None)
        if before and not event.delivered:
            ended = EndedAlert(before.title, before.told, at.at, before.severity, before.instance)
            self._owe(event.fingerprint, ended)
        for name in [name for name in self.missed if missed_by(name) == event.fingerprint]:
            del self.missed[name]  # nobody is there any more who could be told
        if before:
            alert = MissedAlert(before.title, before.since, at.at, before.seq, at.seq, before.severity)
            self.missed.update({name: self.missed.get(name, Missed()).also(alert) for name in event.missed})

    def _owe(self, fingerprint: str, ended: EndedAlert) -> None:
        if ended.owed:
            self.ended[fingerprint] = ended
