"""Whether a shard can be relied on. Pure counting of what checks and calls came to; the caller brings the time."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import Final, Literal

from state.sparing import dataclass

State = Literal["starting", "up", "down"]
"""`down`: it is not asked any more until checks succeed again. `starting`: nothing is known yet."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a shard is believed in, and how soon again."""

    every: float = 15.0  # seconds between two checks
    within: float = 5.0  # seconds that a check may take
    failures: int = 3  # checks in a row that disable it
    successes: int = 2  # checks in a row that enable it again


@dataclass(frozen=True, kw_only=True)
class Turned:
    """A shard went down or came back, and why."""

    state: Literal["up", "down"]
    reason: str


@dataclass
class Health:
    """What the checks of one shard say. `reason` is the last failure, "" where the last check was good."""

    patience: Patience
    since: datetime
    state: State = "starting"
    reason: str = ""
    _good: int = 0
    _bad: int = 0
    _bad_since: datetime | None = None

    def passed(self, now: datetime) -> Turned | None:
        """A check succeeded. The answer is what that turned, None where nothing."""
        self._good, self._bad, self._bad_since, was = self._good + 1, 0, None, self.reason
        self.reason = ""
        if self.state == "starting":
            self.state, self.since = "up", now
            return Turned(state="up", reason="it answers")
        if self.state == "down" and self._good >= self.patience.successes:
            self.state, self.since = "up", now
            return Turned(state="up", reason=f"it answers again; before that: {was}" if was else "it answers again")
        return None

    def failed(self, reason: str, now: datetime) -> Turned | None:
        """A check failed. The answer is what that turned, None where nothing."""
        self._good, self._bad, self.reason = 0, self._bad + 1, reason
        self._bad_since = self._bad_since or now
        if self.state != "down" and self._is_enough(now):
            self.state, self.since = "down", now
            return Turned(state="down", reason=reason)
        return None

    def _is_enough(self, now: datetime) -> bool:
        """A restart fails many quick tries in a second, and is no news."""
        lasted = now - (self._bad_since or now)
        return self._bad >= self.patience.failures and lasted.total_seconds() >= self.patience.every


@dataclass
class Budget:
    """How many tries again there may be: a tenth of the calls, so that trouble is not multiplied by asking again."""

    most: float = 10.0
    _left: float = 10.0

    def earn(self) -> None:
        self._left = min(self.most, self._left + 0.1)

    def spend(self) -> bool:
        """Whether one more try is within it."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


OPENS_AFTER: Final = 5
"""Calls in a row that failed."""

RESTS: Final = 10.0
"""Seconds after which one call may try again."""


@dataclass
class Breaker:
    """Keeps calls from a shard that fails them. Only a call ends that: checks may go well while every call hangs."""

    opens_after: int = OPENS_AFTER
    rests: float = RESTS
    _failed: int = 0
    _opened: float = field(default=0.0)

    def rest(self, now: float) -> float:
        """Seconds that the shard is still left in peace."""
        return max(0.0, self._opened + self.rests - now) if self.state == "open" else 0.0

    def wait(self, now: float) -> float:
        """Seconds until a call may go through, 0.0 for now. One that goes through while it is open is the trial."""
        left = self.rest(now)
        if not left and self.state == "open":
            self._opened = now  # the others wait for what this one finds
        return left

    def succeeded(self) -> None:
        self._failed = 0

    def given_up(self, now: float) -> None:
        """Nobody waited for what the trial would find: the next call is it."""
        self._opened = now - self.rests

    def failed(self, now: float) -> None:
        self._failed += 1
        if self._failed >= self.opens_after:
            self._opened = now

    @property
    def state(self) -> Literal["closed", "open"]:
        return "open" if self._failed >= self.opens_after else "closed"
