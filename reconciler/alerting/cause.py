"""What an alert is about: one thing that stands and deserves a person's attention."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reconciler.core.policy import Severity

_MOST: Final = 40
"""Lines of one message."""


@dataclass(frozen=True)
class Cause:
    """Something a person should know, for as long as it stands.

    `subjects` is what it is about: something new among them makes it news again. `part_of` is the fingerprint
    of the cause that explains it, if there is one: while that one stands, this one is not announced by itself.
    One that is told `once` is not reminded of, and the end of one is told only where it `ends`. `instance` and
    `resources` are what the policy's routes go by; until `expected_until` it is no surprise, and not announced.
    """

    fingerprint: str
    title: str
    body: str
    subjects: tuple[str, ...] = ()
    part_of: str = ""
    once: bool = False
    severity: Severity = "warning"
    instance: str = ""
    resources: tuple[str, ...] = ()
    ends: bool = True
    expected_until: datetime | None = None

    def is_expected(self, now: datetime) -> bool:
        """Whether it is one of those things that happen, for now."""
        return self.expected_until is not None and now < self.expected_until


def as_text(lines: Iterable[str]) -> str:
    """Lines as the body of a message, no more than a person reads."""
    every = list(lines)
    more = [f"… and {len(every) - _MOST} more"] if len(every) > _MOST else []
    return "\n".join([*every[:_MOST], *more])
