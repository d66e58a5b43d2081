"""How much one client may ask for: a rate for each tool, so many calls at once, so many proposals a day.

Kept in memory: a restart forgives, and nothing here protects anything that Git and a person do not protect too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from datetime import UTC, datetime, time, timedelta
from threading import Lock
from typing import Final

from reconciler.ports import Clock
from shards.kit import Refused
from state.sparing import dataclass

MOST_BUCKETS: Final = 10_000
"""Clients and tools remembered; beyond that those are forgotten that have rested longest."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What is allowed. A bucket holds `burst` calls and gains `rate` a second."""

    reads_rate: float = 20.0
    reads_burst: int = 100
    writes_rate: float = 0.5
    writes_burst: int = 20
    at_once: int = 8  # calls of one client that run or wait
    proposals_a_day: int = 200  # of one client; 0: none


@dataclass
class _Bucket:
    level: float
    at: float


@dataclass
class Limits:
    """Counts what clients ask for. Safe from many threads; every method is quick."""

    clock: Clock
    bounds: Bounds = field(default_factory=Bounds)
    _buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)
    _running: Counter[str] = field(default_factory=Counter)
    _made: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def counted(self, client: str, tool: str, *, writes: bool) -> Iterator[None]:
        """One call of that client. Raises Refused, with the time to come back, where it is one too many."""
        with self._lock:
            self._require_room(client)
            if writes:
                self._require_quota(client)
            self._draw(client, tool, writes=writes)
            self._running[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[client] -= 1
                self._running += Counter()  # forgets who has nothing running

    def proposed(self, client: str) -> None:
        """Remember that this client made a proposal."""
        with self._lock:
            self._made[client] = (self._today(), self._proposals(client) + 1)

    def left_today(self, client: str) -> int:
        """How many proposals this client may still make until midnight, UTC."""
        with self._lock:
            return max(0, self.bounds.proposals_a_day - self._proposals(client))

    def _require_room(self, client: str) -> None:
        if self._running[client] >= self.bounds.at_once:
            raise Refused(
                "too-many-at-once",
                f"{self.bounds.at_once} calls of this client are still running; call again when one has answered.",
                retry=True,
                after=1.0,
            )

    def _require_quota(self, client: str) -> None:
        if self._proposals(client) >= self.bounds.proposals_a_day:
            tomorrow = self._today() + timedelta(days=1)
            raise Refused(
                "quota",
                f"This client made {self.bounds.proposals_a_day} proposals today, which is all it may; "
                f"the next one is possible at {tomorrow:%Y-%m-%d %H:%M} UTC.",
                retry=True,
                after=(tomorrow - self.clock.now()).total_seconds(),
            )

    def _draw(self, client: str, tool: str, *, writes: bool) -> None:
        bounds, now = self.bounds, self.clock.monotonic()
        rate, burst = (bounds.writes_rate, bounds.writes_burst) if writes else (bounds.reads_rate, bounds.reads_burst)
        bucket = self._buckets.pop((client, tool), None) or _Bucket(burst, now)
        bucket.level, bucket.at = min(burst, bucket.level + (now - bucket.at) * rate), now
        self._buckets[client, tool] = bucket  # the last one drawn from stands last
        if len(self._buckets) > MOST_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        if bucket.level < 1:
            after = (1 - bucket.level) / rate
            raise Refused(
                "too-fast", f"{tool} is called too often; the next call is possible in {after:.1f} s.",
                retry=True, after=after,
            )  # fmt: skip
        bucket.level -= 1

    def _proposals(self, client: str) -> int:
        day, made = self._made.get(client, (self._today(), 0))
        return made if day == self._today() else 0

    def _today(self) -> datetime:
        return datetime.combine(self.clock.now().astimezone(UTC).date(), time(), UTC)
