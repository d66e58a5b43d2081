"""A plan with all that it was made from, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.plan import Plan
from reconciler.core.target import Observation, TargetError
from reconciler.desired import Desired
from state.model import Snapshot


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan with what it was made from. `after` is, per instance, all that will be live once it is applied."""

    plan: Plan
    desired: Desired
    observed: Mapping[str, Observation]
    lost: Mapping[str, TargetError] = field(default_factory=dict)
    after: Mapping[str, Snapshot] = field(default_factory=dict)
