"""A plan with all that it was made from, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.plan import Plan
from reconciler.core.target import Observation, TargetError
from reconciler.desired import Desired
from state.model import Address, Snapshot


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan with what it was made from. `after` is, per instance, all that will be live once it is applied.

    `waits` tells of what has to wait for another target for which one it does.
    """

    plan: Plan
    desired: Desired
    observed: Mapping[str, Observation]
    lost: Mapping[str, TargetError] = field(default_factory=dict)
    after: Mapping[str, Snapshot] = field(default_factory=dict)
    waits: Mapping[Address, str] = field(default_factory=dict)

    @property
    def by(self) -> dict[Address, str]:
        """Who made what is live another than was applied, where a target knows."""
        return {address: name for seen in self.observed.values() for address, name in seen.by.items()}
