"""The doctor's look at what comes in: the outboxes of gateway and people, proposals that wait, what was refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from reconciler.doctor.finding import Finding, fail, ok, warn
from reconciler.git import ingest
from reconciler.home import Home
from reconciler.ports import Clock
from state import outbox
from state.errors import LogError
from state.events import Event, IntakeRefused
from state.log import EventLog
from state.record import Recorded
from state.views import Proposals

RECENT = timedelta(days=30)
"""Refusals older than this are history."""


def examine(home: Home, clock: Clock) -> Iterator[Finding]:
    """Everything that is taken in. Nothing where the log does not open: another check says why."""
    try:
        log = EventLog.open(home.log_path, now=clock.now, readonly=True)
    except LogError:
        return
    with contextlib.closing(log):
        yield _outbox(log, "gateway", home.gateway_outbox_path, outbox.GATEWAY_EVENTS)
        yield _outbox(log, "people", home.people_path, outbox.PEOPLE_EVENTS)
        yield _proposals(log, home)
        yield _refused(log, clock)


def _outbox(log: EventLog, whose: str, path: Path, allowed: frozenset[type[Event]]) -> Finding:
    """Whether an outbox can be read from where the reconciler stands in it."""
    check, source = f"outbox of the {whose}", "person" if whose == "people" else whose
    remedies = {
        "gateway": "Restart the gateway: it sets the file aside, says so, and begins a new one",
        "people": f"Move {path} away and keep it: the next command that needs one begins a new one",
    }
    try:
        intake = outbox.look(log, path, source=source, allowed=allowed)
    except LogError as fault:
        return fail(check, str(fault), "`waypost log verify` says where the log is damaged")
    if intake.problem:
        return fail(check, intake.problem, "Try again in a moment" if intake.passing else remedies[whose])
    if aside := sorted(path.parent.glob(f"{path.name}.damaged-*[0-9Z]")):
        found = f"{aside[-1]} was set aside because it was damaged"
        return warn(check, found, "What the log had not taken in by then is only there; delete it if that is nothing")
    if intake.refused:
        return warn(check, f"{intake.refused} rows cannot be taken in: {intake.reasons[0]}", "See what wrote them")
    return ok(check, f"{path}, {intake.taken} events wait" if intake.taken else f"{path}, nothing waits")


def _proposals(log: EventLog, home: Home) -> Finding:
    check = "proposals of the gateway"
    items = log.view(Proposals).items.values()
    if trouble := ingest.trouble(home.gateway_clone_path, {item.id for item in items if item.status != "open"}):
        return fail(check, trouble, "`waypost proposals` lists them, `waypost reject ID` settles one")
    return ok(check, f"{sum(item.status == 'open' for item in items)} are open")


def _refused(log: EventLog, clock: Clock) -> Finding:
    check = "refused intake"
    recent = [one for one in log.read(stream=outbox.REFUSALS) if clock.now() - one.at < RECENT]
    if not recent:
        return ok(check, f"nothing in the last {RECENT.days} days")
    found = f"{len(recent)} times in the last {RECENT.days} days, at last {_told(recent[-1])}"
    return warn(check, found, "`waypost history` has them all; what only the gateway can have written deserves a look")


def _told(recorded: Recorded) -> str:
    event = recorded.event
    assert isinstance(event, IntakeRefused)
    return f"on {recorded.at:%Y-%m-%d %H:%M} UTC, {event.source}, {event.what}: {event.reason}"
