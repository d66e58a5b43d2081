"""The part of a plan that one step writes, on the ground as it is when its turn comes."""

from __future__ import annotations

from dataclasses import replace

from reconciler.core.order import Step
from reconciler.core.plan import ABSENT, outcome, same
from reconciler.core.target import TargetError
from reconciler.planned import Planned
from reconciler.world import World


def part_of(world: World, planned: Planned, step: Step, *, again: bool) -> Planned | None:
    """The plan of this step alone. None where what it was made from has moved: then it is planned again.

    `again`: the instance was written to since it was observed, so it is looked at anew.
    """
    instance = step.instance
    if step.changes == planned.plan.of(instance).changes:
        return planned
    try:
        seen = world.targets[instance].observe() if again else planned.observed[instance]
    except TargetError:
        return None
    if any(not same(change.live, seen.live.get(change.address, ABSENT)) for change in step.changes):
        return None
    return replace(
        planned,
        plan=replace(planned.plan, changes=step.changes),
        observed={**planned.observed, instance: seen},
        after={**planned.after, instance: outcome(seen.live, step.changes)},
    )
