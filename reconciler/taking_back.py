"""What was proven of commits that another target refused is put back as it was at the last revision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from reconciler import applying
from reconciler.core.order import position
from reconciler.core.plan import ABSENT, Answers, Side, make_plan, outcome, side_hash
from reconciler.core.redact import cover
from reconciler.core.snapshots import same
from reconciler.core.target import Observation, TargetError
from reconciler.desired import Desired
from reconciler.planned import Planned
from reconciler.planning import last_applied
from reconciler.world import World
from state import events, views
from state.log import Entry
from state.model import Address, Snapshot, Spec


def owed(world: World) -> dict[str, list[Address]]:
    """Instance -> what is to be put back there, in the opposite order of how it was written.

    The log alone says it, so it is owed until it is done.
    """
    held, applied = world.log.view(views.Quarantine).held, world.log.view(views.Applied)
    before, ours = applied.before, world.log.view(views.Handover).is_ours
    found: dict[str, list[Address]] = {}
    for address in sorted(held.keys() & before.keys()):
        if address.instance in world.targets and ours(address.instance):
            found.setdefault(address.instance, []).append(address)

    def written(instance: str) -> int:
        """When it was written: what was removed was so last, and comes back first."""
        kind, now = world.targets[instance].kind, applied.bases.get(instance, {})
        return max(position(kind, now.get(one, ABSENT), _side(before[one].spec)) for one in found[instance])

    return {instance: found[instance] for instance in sorted(found, key=written, reverse=True)}


def _side(spec: Spec | None) -> Side:
    return ABSENT if spec is None else spec


def take_back(world: World) -> None:
    """Put back what is owed, as an apply of its own on each target.

    No guard has a say, for nothing is lost that was there at the last revision. What came of other commits stays.
    """
    if world.read_only:
        return
    for instance, addresses in owed(world).items():
        with contextlib.suppress(TargetError):  # the plan that follows looks again, and records what it does not see
            _take_back(world, instance, addresses)


def _take_back(world: World, instance: str, addresses: list[Address]) -> None:
    planned = _planned(world, instance, addresses, world.targets[instance].observe())
    quarantine = world.log.view(views.Quarantine)
    stuck = quarantine.stuck.get(instance)
    if reason := _hindrance(planned, instance):
        held = events.UndoHeld(instance=instance, resources=tuple(map(str, addresses)), digest="", reason=reason)
        if held != stuck:
            world.log.append(Entry(stream=f"target/{instance}", event=held))
        return
    _record_adopted(world, planned, instance)
    if planned.plan.changes and not (stuck and stuck.digest == applying.holding(planned.after[instance])):
        undoes = dict.fromkeys(quarantine.why[one].attempt for one in addresses)
        applying.apply(world, instance, planned, tuple(undoes))


def _record_adopted(world: World, planned: Planned, instance: str) -> None:
    resources = {str(one.address): None if one.want is ABSENT else one.want for one in planned.plan.adopted}
    if resources:
        reason = "live already is as it was at the last revision"
        adopted = events.ResourcesAdopted(instance=instance, commit="", resources=resources, reason=reason)
        world.log.append(Entry(stream=f"target/{instance}", event=adopted))


def _planned(world: World, instance: str, addresses: list[Address], seen: Observation) -> Planned:
    """The plan of what is owed, and of nothing else."""
    latest, before = world.log.view(views.Revisions).latest, world.log.view(views.Applied).before
    want = {one: spec for one in addresses if (spec := before[one].spec) is not None}
    base, live = (_of(side, addresses) for side in (last_applied(world, {instance: seen}), seen.live))
    answers = Answers(heal=dict(world.log.view(views.Drift).heal))
    commit = latest.commit if latest else ""
    plan = make_plan(commit, base, want, live, answers=answers)
    after = outcome(seen.live, plan.changes)
    if plan.changes:
        plan = replace(plan, problems=world.targets[instance].validate(after, seen).problems)
    nothing = Desired(commit=commit, tree="")
    return Planned(plan=plan, desired=nothing, observed={instance: seen}, after={instance: after})


def _of(snapshot: Snapshot, addresses: list[Address]) -> Mapping[Address, object]:
    return {address: snapshot[address] for address in addresses if address in snapshot}


def _hindrance(planned: Planned, instance: str) -> str:
    """Why it cannot be put back, and what a person can do; "" where it can."""
    plan, seen = planned.plan, planned.observed[instance]
    if seen.own_file in seen.poison:
        return f"{seen.own_file} cannot be read, so what another target refused stays in it"
    if plan.conflicts:
        edited = ", ".join(str(one.address) for one in plan.conflicts)
        return f"another target refused it, and it was changed by hand: {edited}; waypost drift --heal discards that"
    errors = "; ".join(cover(str(problem), planned.after[instance].values()) for problem in plan.errors)
    return f"what another target refused is needed by what came later: {errors}" if errors else ""


def never_put_back(world: World, planned: Planned, freed: Iterable[Address]) -> Iterator[tuple[Address, Side, str]]:
    """What of that still stands as we wrote it, since somebody edited the file before it was put back.

    Nobody else's, then: else a route that is wanted no longer would stay for ever, and one that is wanted otherwise
    would be a conflict with ourselves.
    """
    quarantine, applied = world.log.view(views.Quarantine), world.log.view(views.Applied).bases
    for address in (one for one in freed if one.instance in planned.observed):
        live = planned.observed[address.instance].live.get(address, ABSENT)
        base = applied.get(address.instance, {}).get(address, ABSENT)
        if side_hash(live) == quarantine.held[address] and not same(live, base):
            yield address, live, quarantine.why[address].commit
