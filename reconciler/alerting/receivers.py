"""Sending, without waiting for anybody: each channel in a thread of its own, patiently, and nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from reconciler.alerting.channels import Channel, Standing, Undelivered, numbered
from reconciler.alerting.routing import EVERY
from reconciler.underway import Message

LIMIT = 10.0
"""Seconds that a round of sending may take; Apprise itself limits single reads only, not how many there are."""

_FAREWELL = 1.0
"""Seconds that who ends still waits for answers: a message without one may not have arrived."""

_FIRST_RETRY = timedelta(seconds=30)
_LAST_RETRY = timedelta(hours=1)

KEPT_AGAIN = timedelta(minutes=1)
"""How often a channel that forgets is told of all that stands."""


class Answers(NamedTuple):
    """Who took a message, and who said no to it. Of anybody else nothing is known yet."""

    took: frozenset[str]
    refused: frozenset[str] = frozenset()


@dataclass
class _Failing:
    times: int
    since: datetime

    def due(self, now: datetime) -> bool:
        pause = min(_FIRST_RETRY * 2 ** min(self.times - 1, 20), _LAST_RETRY)
        return now >= self.since + pause or now < self.since  # the clock may have been set back


class Sending(threading.Thread):
    """One message on its way to one receiver. A daemon: a receiver that hangs must not keep the process alive."""

    def __init__(self, channel: Channel, message: Message, moved: threading.Condition) -> None:
        super().__init__(name="alert", daemon=True)
        self._channel = channel
        self._moved = moved
        self.message = message
        self.took: bool | None = None  # None while it is on its way
        self.why = ""

    def run(self) -> None:
        took = False
        try:
            self._channel.send(self.message)
            took = True
        except Undelivered as fault:
            self.why = str(fault)
        except Exception as error:  # the top of this thread; its words may quote the address, so they are not told
            self.why = type(error).__name__
        with self._moved:
            self.took = took
            self._moved.notify_all()


class Receivers:
    """The receivers of alerts. Usable by one thread at a time; `stop` may come from another.

    Addresses are secrets: outside of here a receiver is a short mark. After a failure a receiver is left alone
    for a while, longer each time; what it missed is sent then. What one took is not sent again, even where that
    cannot be recorded: a log that is full must not make one message a message with every pass.
    """

    def __init__(self, channels: Iterable[Channel], *, limit: float = LIMIT) -> None:
        self._limit = limit
        self._channels = numbered(channels)
        self._moved = threading.Condition()
        self._sending: dict[str, Sending] = {}
        self._failing: dict[str, _Failing] = {}
        self._taken: dict[Message, frozenset[str]] = {}  # who took what is not recorded yet
        self._kept: dict[str, tuple[datetime, threading.Thread]] = {}
        self._complaints: list[str] = []
        self._stopped = False
        self.inherited = set(self._channels)
        """Receivers to which an earlier process may have left a message on its way; who has looked takes them out."""

    @property
    def names(self) -> frozenset[str]:
        """The marks of all receivers."""
        return frozenset(self._channels)

    @property
    def forgetful(self) -> frozenset[str]:
        """Those that have to be told again and again of what stands."""
        return frozenset(mark for mark, channel in self._channels.items() if isinstance(channel, Standing))

    def for_channels(self, names: Iterable[str]) -> frozenset[str]:
        """The receivers that the policy means by these names; all where it names only such as there are not."""
        wanted = set(names)
        found = frozenset(mark for mark, channel in self._channels.items() if channel.name in wanted)
        return self.names if EVERY in wanted or (wanted and not found) else found

    def unknown(self, names: Iterable[str]) -> set[str]:
        """Of these names, those that no channel has."""
        return set(names) - {EVERY} - {channel.name for channel in self._channels.values()}

    def due(self, to: Iterable[str], now: datetime) -> frozenset[str]:
        """Those of these receivers that something may be sent to now."""
        return frozenset(name for name in to if self._is_due(name, now))

    def send(self, message: Message, to: Iterable[str], now: datetime) -> Answers:
        """Send to all of these at once, and wait for answers, no longer than the limit."""
        started = {name: self._start(name, message) for name in to}
        with self._moved:
            self._moved.wait_for(lambda: self._stopped or _answered(started), self._limit)
            if self._stopped:
                self._moved.wait_for(lambda: _answered(started), _FAREWELL)
            answered = {name: bool(one.took) for name, one in started.items() if one.took is not None}
            for name in answered:
                del self._sending[name]
        took = frozenset(name for name, yes in answered.items() if yes)
        if not self._stopped:  # who was not waited for has not failed
            self._judge(started, took, now)
        self._keep_in_mind(message, took)
        return Answers(took, frozenset(answered) - took)

    def keep(self, name: str, messages: Sequence[Message], now: datetime) -> None:
        """Tell one that forgets of all that stands, if it is time; not waited for, and of no consequence."""
        channel, last = self._channels[name], self._kept.get(name)
        if not isinstance(channel, Standing) or not self._is_due(name, now):
            return
        if last and (last[1].is_alive() or timedelta(0) <= now - last[0] < KEPT_AGAIN):
            return
        thread = threading.Thread(target=_keep, args=(channel, messages), name="alerts that stand", daemon=True)
        self._kept[name] = (now, thread)
        thread.start()

    @property
    def unrecorded(self) -> list[tuple[Message, frozenset[str]]]:
        """Messages and who took them, as long as that is not `recorded`."""
        return list(self._taken.items())

    def recorded(self, message: Message) -> None:
        """Who took this message is written down: nothing of it has to be kept in mind."""
        self._taken.pop(message, None)

    def answers_that_came_late(self) -> Iterator[tuple[Message, Answers]]:
        """Of messages whose answer was given up waiting for; each is told once."""
        for name, one in list(self._sending.items()):
            if one.took is None:
                continue
            del self._sending[name]
            if one.took:
                self._failing.pop(name, None)
                self._keep_in_mind(one.message, frozenset({name}))
                yield one.message, Answers(frozenset({name}))
            else:
                yield one.message, Answers(frozenset(), frozenset({name}))

    def complaints(self) -> Iterator[str]:
        """What went wrong since this was asked last, in sentences without addresses."""
        while self._complaints:
            yield self._complaints.pop(0)

    def stop(self) -> None:
        """Wait for nobody any more, but for a moment."""
        with self._moved:
            self._stopped = True
            self._moved.notify_all()

    def _keep_in_mind(self, message: Message, names: frozenset[str]) -> None:
        if names:
            self._taken[message] = self._taken.get(message, frozenset()) | names

    def _is_due(self, name: str, now: datetime) -> bool:
        if self._stopped or name in self._sending:  # two messages at once would come doubled or in disorder
            return False
        if name in self._kept and self._kept[name][1].is_alive():  # it could tell of something after its end was told
            return False
        return name not in self._failing or self._failing[name].due(now)

    def _start(self, name: str, message: Message) -> Sending:
        one = self._sending[name] = Sending(self._channels[name], message, self._moved)
        one.start()
        return one

    def _judge(self, tried: Mapping[str, Sending], took: frozenset[str], now: datetime) -> None:
        for name, sending in tried.items():
            if name in took:
                self._failing.pop(name, None)
                continue
            times = self._failing[name].times + 1 if name in self._failing else 1
            self._failing[name] = _Failing(times, now)
            if times == 1:
                self._complaints.append(self._complaint(name, sending.why or "it does not answer"))

    def _complaint(self, name: str, why: str) -> str:
        place = list(self._channels).index(name) + 1
        called = self._channels[name].name or f"mark {name}"
        return f"alert address {place} ({called}) takes no messages, and is tried again: {why}"


def _answered(sent: Mapping[str, Sending]) -> bool:
    return all(one.took is not None for one in sent.values())


def _keep(channel: Standing, messages: Sequence[Message]) -> None:
    try:
        channel.keep(messages)
    except Exception:  # the top of this thread; in a minute it is tried again, and messages tell of an outage
        return
