"""A clock on which whatever waits for a while has waited long enough by the next input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Leaping:
    """It goes on between inputs only, and then by more than a day."""

    def __init__(self) -> None:
        self._passed = 0.0

    def leap(self) -> None:
        self._passed += 100_000

    def now(self) -> datetime:
        return AT + timedelta(microseconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        self._passed += seconds
