"""What somebody was never told of, since it was over before they took messages again: one summary, not a flood."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from reconciler.underway import Message
from state import events, views

Audience = Callable[[Iterable[str]], frozenset[str]]
"""The receivers that are meant by these names of channels."""

_WORST_FIRST: Final = ("critical", "warning", "info")


def nobody(channels: Iterable[str]) -> frozenset[str]:
    """The audience of who only writes down what there is to tell."""
    return frozenset()


def over(fingerprint: str, alert: views.OpenAlert, audience: Audience) -> events.AlertResolved:
    """The end of an alert, with those who never had it and are told of it afterwards."""
    missed = tuple(sorted(audience(alert.channels) - alert.told))
    reason = "its cause is gone" if alert.ends else "it needs no end"
    if missed:
        reason += f"; {len(missed)} that it was for took no message meanwhile, and it was not told in time there"
    return events.AlertResolved(
        fingerprint=fingerprint, title=alert.title, delivered=not alert.ends, reason=reason, missed=missed
    )


def message(name: str, missed: views.Missed) -> Message:
    """All that a receiver missed, as one message. It stands for everything up to its newest alert."""
    count = missed.before + len(missed.alerts)
    lines = ["All of this is over; what still stands is told by itself."]
    lines += [f"… and {missed.before} before these"] if missed.before else []
    lines += [f"{_when(one.since, one.until)}: {one.title}" for one in missed.alerts]
    return Message(
        views.missed_by(name),
        f"{count} message{'s' * (count > 1)} could not be told in time",
        "\n".join(lines),
        missed.alerts[-1].seq,
        min((one.severity for one in missed.alerts), key=_WORST_FIRST.index),
        since=missed.alerts[0].since,
    )


def _when(since: datetime, until: datetime) -> str:
    same_day = since.date() == until.date()
    return f"{since:%Y-%m-%d %H:%M} to {f'{until:%H:%M}' if same_day else f'{until:%Y-%m-%d %H:%M}'} UTC"
