"""Alerts follow transitions: one cause, one message, one reminder interval, a recovery; each to those it is for.

What to say, and to which channels, is decided from the log and the policy and recorded first; telling it comes after,
and is made up for until every receiver has it. So nothing is lost in a crash, and nothing that anybody's network does
holds up a pass. Nor is anybody told twice: what goes out is noted before it does (underway.py).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from reconciler import underway
from reconciler.alerting import alertmanager, missed, routing
from reconciler.alerting.cause import Cause
from reconciler.alerting.channels import OverApprise
from reconciler.alerting.receivers import KEPT_AGAIN, Answers, Receivers
from reconciler.causes import causes
from reconciler.commits import policy_in_force
from reconciler.config import Settings
from reconciler.core.policy import AlertPolicy, interval
from reconciler.git.errors import GitError
from reconciler.ports import Clock
from reconciler.underway import Message
from reconciler.world import World
from state import events, views
from state.log import Entry

GONE_FOR_GOOD = timedelta(hours=24)
"""How long an address may be missing from the settings, which another command may have been started with."""

_LOOK_AGAIN = 10.0
"""Seconds after which the announcer looks whether a receiver that failed is due again."""


def channels(settings: Settings, clock: Clock) -> list[OverApprise | alertmanager.Alertmanager]:
    """Every way out that the settings of a home name."""
    addresses = {address.reference: address for address in settings.alert_urls}
    manager = alertmanager.made(settings.alertmanager_url, clock, settings.alertmanager_auth, settings.ca_file)
    return [*map(OverApprise, addresses.values()), *manager]


def receivers(settings: Settings, clock: Clock) -> Receivers:
    """Everybody whom the settings of a home name."""
    return Receivers(channels(settings, clock))


# ── what to say, and saying it ───────────────────────────────────────────────────────────────────


def announce(world: World, receivers: Receivers) -> None:
    """Decide and deliver, at once. A receiver that hangs costs its time limit, and keeps the message for later."""
    decide(world, _policy(world), receivers.for_channels)
    deliver(world, receivers)


def _policy(world: World) -> AlertPolicy:
    """What is in force; where it cannot be read, everybody is told of everything."""
    with contextlib.suppress(GitError):
        if head := world.store.head(world.branch):
            return policy_in_force(world, head).alerts
    return AlertPolicy()


def decide(world: World, policy: AlertPolicy | None = None, audience: missed.Audience = missed.nobody) -> None:
    """Compare what stands with what was announced, and record what is new, due again, or over. Tells nobody yet.

    Of what is over, who was to hear of it and has not is recorded too: they get a summary.
    """
    policy = policy or AlertPolicy()
    standing = {cause.fingerprint: cause for cause in causes(world, policy)}
    announced, now = world.log.view(views.Alerts).open, world.clock.now()
    for cause in standing.values():
        known = announced.get(cause.fingerprint)
        reason = _news(cause, known, now, reminder(policy))
        if reason and cause.part_of not in standing and not cause.is_expected(now):
            _record(world, _raised(cause, reason, policy))
    for fingerprint in sorted(announced.keys() - standing.keys()):
        _record(world, missed.over(fingerprint, announced[fingerprint], audience))


def reminder(policy: AlertPolicy) -> timedelta:
    """After what time what still stands is told again."""
    return interval(policy.remind_after) or timedelta.max


def _news(cause: Cause, known: views.OpenAlert | None, now: datetime, remind_after: timedelta) -> str:
    """Why a cause is to be announced (again), "" where it is not."""
    if known is None or known.raised is None:
        return "new"
    if set(cause.subjects) - set(known.subjects):
        return "it grew"
    # What a clock that ran ahead has raised would not be due before that day comes.
    is_due = not cause.once and abs(now - known.raised) >= remind_after
    return "still so" if is_due and _is_heard(known) else ""


def _is_heard(known: views.OpenAlert) -> bool:
    """Whether anybody took its last message. Until then that one is to be told still, and another is no news."""
    return bool(known.took) or known.last_sent == known.raised


def _raised(cause: Cause, reason: str, policy: AlertPolicy) -> events.AlertRaised:
    return events.AlertRaised(
        fingerprint=cause.fingerprint,
        title=cause.title,
        body=cause.body,
        delivered=False,
        reason=reason,
        subjects=cause.subjects,
        severity=cause.severity,
        instance=cause.instance,
        channels=routing.channels(policy, cause.severity, cause.instance, cause.resources),
        ends=cause.ends,
    )


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
    _forget_who_is_gone(world, receivers.names)
    complete = True
    for message, missing in _messages(world.log.view(views.Alerts), receivers):
        complete = (not missing or _send(world, receivers, message, missing)) and complete
    _keep_standing(world, receivers)
    return complete


def _keep_standing(world: World, receivers: Receivers) -> None:
    """Who forgets what is not told again is told again."""
    for name in receivers.forgetful:
        known = [_message(one, alert) for one, alert in world.log.view(views.Alerts).open.items() if name in alert.took]
        receivers.keep(name, known, world.clock.now())


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


def _forget_who_is_gone(world: World, names: frozenset[str]) -> None:
    """What was missed at an address that is gone for good, nobody can be told any more."""
    for name, known in world.log.view(views.Alerts).missed.items():
        if name not in names and world.clock.now() - known.alerts[-1].until >= GONE_FOR_GOOD:
            told = missed.message(name, known)
            reason = "whoever missed it has no address any more"
            _record(
                world,
                events.AlertResolved(fingerprint=told.fingerprint, title=told.alert, delivered=True, reason=reason),
            )


def _messages(alerts: views.Alerts, receivers: Receivers) -> Iterator[tuple[Message, frozenset[str]]]:
    """Everything that receivers are to know, each with those that do not know it yet."""
    for fingerprint, alert in alerts.open.items():
        yield _message(fingerprint, alert), receivers.for_channels(alert.channels) - alert.took
    for fingerprint, ended in alerts.ended.items():
        said = "This is over; nothing more to do."
        over = Message(fingerprint, ended.title, said, 0, ended.severity, ended.instance)
        yield over, receivers.names & ended.owed
    for name in sorted(alerts.missed.keys() & receivers.names):
        yield missed.message(name, alerts.missed[name]), frozenset({name})


def _message(fingerprint: str, alert: views.OpenAlert) -> Message:
    return Message(fingerprint, alert.title, alert.body, alert.seq, alert.severity, alert.instance, alert.since)


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
        self._policy = AlertPolicy()
        self._due = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="alerts")

    def start(self) -> None:
        self._thread.start()
        self._due.set()  # what an earlier process could not deliver

    def follow(self, policy: AlertPolicy) -> None:
        """Decide by this policy from now on."""
        if policy != self._policy:
            named = {name for route in policy.routes.values() for name in route.to}
            for name in sorted(self._receivers.unknown(named)):
                self._complain(
                    f"waypost.yaml sends alerts to '{name}', which no address in WAYPOST_ALERT_URLS is called"
                )
        self._policy = policy

    def announce(self) -> None:
        """Call after a pass. Reads and writes the log only; does not wait for any receiver."""
        decide(self._world, self._policy, self._receivers.for_channels)
        self._due.set()

    def stop(self) -> None:
        """End soon, whatever a receiver does; what is not delivered stays recorded as such."""
        self._stopped.set()
        self._receivers.stop()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        complete, idle = True, KEPT_AGAIN.total_seconds() if self._receivers.forgetful else None
        while not self._stopped.is_set():
            self._due.wait(idle if complete else _LOOK_AGAIN)
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
