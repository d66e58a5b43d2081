"""What has to wait for other targets: a route for its container, a container for the end of its routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.core.order import position
from reconciler.core.plan import ABSENT, Side
from reconciler.core.target import Observation, TargetError
from reconciler.desired import Desired
from reconciler.git.errors import GitError
from reconciler.lineage import is_ours, outstanding, spread, touched
from reconciler.world import World
from state import views
from state.model import Address


def deferred(
    world: World, desired: Desired, observed: Mapping[str, Observation], lost: Mapping[str, TargetError]
) -> dict[Address, str]:
    """Address -> the instance that it waits for.

    It waits for what the same commits bring to a target that has its turn earlier and cannot take it at the moment.
    What other commits bring goes on: the way to that very target may be among it.
    """
    ours = [name for name in world.targets if is_ours(world, name)]
    if len({world.targets[name].kind for name in ours}) < 2:
        return {}
    troubled = [name for name in ours if name in lost or _is_troubled(world, name, observed[name])]
    stuck = list(outstanding(world, desired.snapshot, troubled))
    if not stuck:
        return {}
    rest = list(outstanding(world, desired.snapshot, ours))
    groups = _groups(world, desired.commit, rest)
    return {
        later: first.instance
        for first, want in stuck
        for later in _behind(world, (first, want), rest, spread({first}, groups))
    }


def _is_troubled(world: World, instance: str, seen: Observation) -> bool:
    """Is there something that it was given and nobody has proven, or would it not take anything now?"""
    failed = world.log.view(views.Health).of(instance).write_failed
    return bool(seen.witness or failed or instance in world.log.view(views.Attempts).open)


def _groups(world: World, commit: str, rest: Iterable[tuple[Address, Side]]) -> list[frozenset[Address]]:
    """What belongs together, by commit; everything where nobody can tell."""
    try:
        groups = list(touched(world, commit).values())
    except GitError:
        groups = []
    return groups or [frozenset(address for address, _ in rest)]


def _behind(
    world: World, first: tuple[Address, Side], rest: Iterable[tuple[Address, Side]], together: frozenset[Address]
) -> Iterable[Address]:
    applied = world.log.view(views.Applied).bases

    def turn(one: tuple[Address, Side]) -> int:
        address, want = one
        before = applied.get(address.instance, {}).get(address, ABSENT)
        return position(world.targets[address.instance].kind, want, before)

    others = (one for one in rest if one[0].instance != first[0].instance)  # its own parts it orders by itself
    return (one[0] for one in others if one[0] in together and turn(one) > turn(first))
