"""What a commit wants of this home, and what one commit changes against another: main read by its own words."""

from __future__ import annotations

from dataclasses import replace

from reconciler import desired as desired_state
from reconciler.core.policy import Policy
from reconciler.core.snapshots import unlike
from reconciler.desired import Desired, Instance
from reconciler.world import World
from state import views
from state.model import Address


def load(world: World, commit: str) -> Desired:
    """The desired state of a commit, read with the targets that this very commit declares."""
    policy, problems = desired_state.policy(world.store, commit)
    desired = desired_state.load(world.store, commit, instances(policy))
    return replace(desired, problems=(*desired.problems, *problems)) if problems else desired


def instances(policy: Policy) -> list[Instance]:
    return [Instance(name, part.kind, part.directory) for name, part in policy.targets.items()]


def touches(one: Desired, other: Desired) -> frozenset[Address]:
    """The addresses in which two desired states differ: what a commit is about."""
    candidates = unlike(one.snapshot, other.snapshot)
    return frozenset(a for a in candidates if one.snapshot.get(a) != other.snapshot.get(a))


def policy_in_force(world: World, commit: str) -> Policy:
    """The policy of the last applied revision; before the first one, the commit's own."""
    latest = world.log.view(views.Revisions).latest
    return policy_of(world, latest.commit if latest else commit)


def policy_of(world: World, commit: str) -> Policy:
    """A commit's own policy; the default one where it cannot be read."""
    return desired_state.policy(world.store, commit)[0]
