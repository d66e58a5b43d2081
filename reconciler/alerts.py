"""Alerts follow transitions: one cause, one message, one reminder interval, a recovery. Apprise carries them.

What to say is decided from the log alone and recorded first; telling it comes after, and is made up for until
every receiver has it. So nothing is lost in a crash, and nothing that anybody's network does holds up a pass.
Nor is anybody told twice: what goes out is noted before it does (underway.py).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from reconciler import underway
from reconciler.causes import Cause, causes
from reconciler.underway import Message
from reconciler.world import World
from state import events, views
from state.log import Entry
from state.model import digest_bytes

if TYPE_CHECKING:
    import apprise

REMINDER = timedelta(hours=24)
GONE_FOR_GOOD = timedelta(hours=24)
"""How long an address may be missing from the settings, which another command may have been started with."""

_LOOK_AGAIN = 10.0
"""Seconds after which the announcer looks whether a receiver that failed is due again."""


# ── receivers ────────────────────────────────────────────────────────────────────────────────────

LIMIT = 10.0
"""Seconds that a round of sending may take; Apprise itself limits single reads only, not how many there are."""

_FAREWELL = 1.0
"""Seconds that who ends still waits for answers: a message without one may not have arrived."""

_FIRST_RETRY = timedelta(seconds=30)
_LAST_RETRY = timedelta(hours=1)


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


class _Sending(threading.Thread):
    """One message on its way to one receiver. A daemon: a receiver that hangs must not keep the process alive."""

    def __init__(self, channel: apprise.Apprise, message: Message, moved: threading.Condition) -> None:
        super().__init__(name="alert", daemon=True)
        self._channel = channel
        self._moved = moved
        self.message = message
        self.took: bool | None = None  # None while it is on its way

    def run(self) -> None:
        took = False
        try:
            took = bool(self._channel.notify(title=self.message.title, body=self.message.body))
        except Exception:  # the top of this thread; its error may quote the address, so it is not told
            took = False
        with self._moved:
            self.took = took
            self._moved.notify_all()


class Receivers:
    """The receivers of alerts. Usable by one thread at a time; `stop` may come from another.

    Addresses are secrets: outside of here a receiver is a short mark. After a failure a receiver is left alone
    for a while, longer each time; what it missed is sent then. What one took is not sent again, even where that
    cannot be recorded: a log that is full must not make one message a message with every pass.
    """

    def __init__(self, addresses: Iterable[str], *, limit: float = LIMIT) -> None:
        self._limit = limit
        self._channels = dict(_marked(addresses))
        self._moved = threading.Condition()
        self._sending: dict[str, _Sending] = {}
        self._failing: dict[str, _Failing] = {}
        self._taken: dict[Message, frozenset[str]] = {}  # who took what is not recorded yet
        self._complaints: list[str] = []
        self._stopped = False
        self.inherited = set(self._channels)
        """Receivers to which an earlier process may have left a message on its way; who has looked takes them out."""

    @property
    def names(self) -> frozenset[str]:
        """The marks of all receivers."""
        return frozenset(self._channels)

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
            self._judge(started.keys(), took, now)
        self._keep_in_mind(message, took)
        return Answers(took, frozenset(answered) - took)

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
        return name not in self._failing or self._failing[name].due(now)

    def _start(self, name: str, message: Message) -> _Sending:
        one = self._sending[name] = _Sending(self._channels[name], message, self._moved)
        one.start()
        return one

    def _judge(self, tried: Iterable[str], took: frozenset[str], now: datetime) -> None:
        for name in tried:
            if name in took:
                self._failing.pop(name, None)
                continue
            times = self._failing[name].times + 1 if name in self._failing else 1
            self._failing[name] = _Failing(times, now)
            if times == 1:
                place = list(self._channels).index(name) + 1
                self._complaints.append(f"alert address {place} (mark {name}) takes no messages; it is tried again")


def _answered(sent: Mapping[str, _Sending]) -> bool:
    return all(one.took is not None for one in sent.values())


def _marked(addresses: Iterable[str]) -> Iterator[tuple[str, apprise.Apprise]]:
    if not (wanted := dict.fromkeys(addresses)):
        return
    import apprise  # a tenth of all that a reconciler has in memory, and most homes name no receiver

    taken: set[str] = set()
    for address in wanted:
        channel = apprise.Apprise()
        # One that Apprise cannot read stays a receiver: it never takes a message, which is seen and complained of.
        with contextlib.suppress(TypeError):
            channel.add(address)
        mark = _mark(address, taken)
        taken.add(mark)
        yield mark, channel


def _mark(address: str, taken: set[str]) -> str:
    # So short that many guesses of a weak password in an address would fit it equally well.
    mark = digest_bytes(address.encode())[:4]
    return mark if mark not in taken else f"{mark}-{len(taken)}"


# ── what to say, and saying it ───────────────────────────────────────────────────────────────────


def announce(world: World, receivers: Receivers) -> None:
    """Decide and deliver, at once. A receiver that hangs costs its time limit, and keeps the message for later."""
    decide(world)
    deliver(world, receivers)


def decide(world: World) -> None:
    """Compare what stands with what was announced, and record what is new, due again, or over. Tells nobody yet."""
    standing = {cause.fingerprint: cause for cause in causes(world)}
    announced, now = world.log.view(views.Alerts).open, world.clock.now()
    for cause in standing.values():
        known = announced.get(cause.fingerprint)
        if cause.part_of not in standing and (reason := _news(cause, known, now)):
            raised = events.AlertRaised(
                fingerprint=cause.fingerprint,
                title=cause.title,
                body=cause.body,
                delivered=False,
                reason=reason,
                subjects=cause.subjects,
            )
            _record(world, raised)
    for fingerprint in announced.keys() - standing.keys():
        title = announced[fingerprint].title
        over = events.AlertResolved(fingerprint=fingerprint, title=title, delivered=False, reason="its cause is gone")
        _record(world, over)


def _news(cause: Cause, known: views.OpenAlert | None, now: datetime) -> str:
    """Why a cause is to be announced (again), "" where it is not."""
    if known is None or known.raised is None:
        return "new"
    if set(cause.subjects) - set(known.subjects):
        return "it grew"
    return "still so" if not cause.once and now - known.raised >= REMINDER else ""


def deliver(world: World, receivers: Receivers) -> bool:
    """Tell each receiver what it was not told yet, as far as it is due. Says whether everybody knows everything."""
    for name in sorted(receivers.inherited):
        underway.doubt(world, name)
        receivers.inherited.discard(name)
    for message, took in receivers.unrecorded:  # the log failed just then
        _record_taken(world, receivers, message, took)
    for message, answers in receivers.answers_that_came_late():
        _record_answers(world, receivers, message, answers)
    _forget_ends(world, receivers.names)
    complete = True
    for message, told in _messages(world.log.view(views.Alerts), receivers.names):
        missing = receivers.names - told
        complete = (not missing or _send(world, receivers, message, missing)) and complete
    return complete


def _send(world: World, receivers: Receivers, message: Message, missing: frozenset[str]) -> bool:
    """Send a message to those that are due, and write down what came of it; whether nobody misses it any more."""
    now = world.clock.now()
    due = receivers.due(missing, now)
    for name in sorted(due):
        underway.note(world, name, message)
    answers = receivers.send(message, due, now)
    _record_answers(world, receivers, message, answers)
    return answers.took == missing


def _record_answers(world: World, receivers: Receivers, message: Message, answers: Answers) -> None:
    _record_taken(world, receivers, message, answers.took)
    for name in sorted(answers.refused):
        underway.forget(world, name)


def _forget_ends(world: World, names: frozenset[str]) -> None:
    """Of an end that only addresses are owed which are gone for good, nobody has to be told any more."""
    for fingerprint, ended in world.log.view(views.Alerts).ended.items():
        if not ended.owed & names and world.clock.now() - ended.at >= GONE_FOR_GOOD:
            reason = "whoever was told of it and not of its end has no address any more"
            _record(
                world, events.AlertResolved(fingerprint=fingerprint, title=ended.title, delivered=True, reason=reason)
            )


def _messages(alerts: views.Alerts, names: frozenset[str]) -> Iterator[tuple[Message, frozenset[str]]]:
    """Everything that receivers are to know, each with those that know it."""
    for fingerprint, alert in alerts.open.items():
        yield Message(fingerprint, alert.title, alert.body, alert.seq), alert.took
    for fingerprint, ended in alerts.ended.items():
        yield Message(fingerprint, ended.title, "This is over; nothing more to do.", 0), names - ended.owed


def _record_taken(world: World, receivers: Receivers, message: Message, took: frozenset[str]) -> None:
    if took:
        taken = events.AlertDelivered(
            fingerprint=message.fingerprint,
            title=message.alert,
            receivers=tuple(sorted(took)),
            raised=message.raised,
            recovery=not message.raised,
            reason="the receiver took the message",
        )
        _record(world, taken)
        receivers.recorded(message)


def _record(world: World, event: events.Event) -> None:
    world.log.append(Entry(stream="alerts", event=event))


# ── beside the passes ────────────────────────────────────────────────────────────────────────────


class Announcer:
    """Decides in the caller's thread, delivers in its own, and goes on until every receiver has every message."""

    def __init__(self, world: World, receivers: Receivers, complain: Callable[[str], None]) -> None:
        """`complain` takes diagnostic sentences; no address is in them."""
        self._world = world
        self._receivers = receivers
        self._complain = complain
        self._due = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="alerts")

    def start(self) -> None:
        self._thread.start()
        self._due.set()  # what an earlier process could not deliver

    def announce(self) -> None:
        """Call after a pass. Reads and writes the log only; does not wait for any receiver."""
        decide(self._world)
        self._due.set()

    def stop(self) -> None:
        """End soon, whatever a receiver does; what is not delivered stays recorded as such."""
        self._stopped.set()
        self._receivers.stop()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        complete = True
        while not self._stopped.is_set():
            self._due.wait(None if complete else _LOOK_AGAIN)
            self._due.clear()
            if not self._stopped.is_set():
                complete = self._deliver()

    def _deliver(self) -> bool:
        try:
            complete = deliver(self._world, self._receivers)
        except Exception as error:  # the top of this thread: a fault of ours must not end all alerts
            self._complain(f"alerts wait: {type(error).__name__}: {error}")
            return False
        for complaint in self._receivers.complaints():
            self._complain(complaint)
        return complete
