"""What the last plans found, so that the next one costs what changed since. Losing any of it costs time only."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.core.plan import Settled
from reconciler.planned import Planned
from reconciler.traefik.resident import Resident


@dataclass(frozen=True, kw_only=True)
class Quiet:
    """A plan of main that had nothing at all to say; `seq` is where the log stood before it was made."""

    commit: str
    seq: int
    planned: Planned


@dataclass
class Recall:
    """`quiet` holds for as long as main, the log (but for calls of tools) and every target stand as they stood then."""

    quiet: Quiet | None = None
    settled: Settled = field(default_factory=Settled)
    residents: dict[str, Resident] = field(default_factory=dict)

    def of(self, instance: str) -> Resident:
        """What served at that instance when it was planned for last."""
        return self.residents.setdefault(instance, Resident())
