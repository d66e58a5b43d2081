"""What has to wait for other targets: a route for its container, a container for the end of its routes; and what
moves to another target, before it goes from where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from reconciler.core.order import position
from reconciler.core.plan import ABSENT, Change, Plan, Side
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
    if len(ours) < 2:
        return {}
    troubled = [name for name in ours if name in lost or _is_troubled(world, name, observed[name])]
    return _all_behind(world, desired, list(outstanding(world, desired.snapshot, troubled)))


def following(world: World, desired: Desired, waiting: Iterable[Address]) -> dict[Address, str]:
    """The same for what has its turn after these, which wait."""
    return _all_behind(world, desired, [(one, desired.snapshot.get(one, ABSENT)) for one in waiting])


def _all_behind(world: World, desired: Desired, stuck: Sequence[tuple[Address, Side]]) -> dict[Address, str]:
    if not stuck:
        return {}
    ours = [name for name in world.targets if is_ours(world, name)]
    rest = list(outstanding(world, desired.snapshot, ours))
    behind = {one[0]: found for one in stuck if (found := _behind(world, one, rest))}
    groups = _groups(world, desired.commit, rest) if behind else []
    return {
        later: first.instance for first, found in behind.items() for later in sorted(found & spread({first}, groups))
    }


Errors = Callable[[str, Sequence[Change]], frozenset[str]]
"""The addresses that a target has something against, were these changes made there; "" stands for all of them."""


def whole(plan: Plan, waits: Mapping[Address, str], errors: Errors) -> tuple[Plan, dict[Address, str]]:
    """The plan in which what is valid only with what waits for another target waits too, and all that waits.

    Else it would hold main whole, and with it what that other target has to be given before anything goes on.
    """
    found = dict(waits)
    for instance in sorted({change.address.instance for change in plan.deferred}):
        later = tuple(change for change in plan.deferred if change.address.instance == instance)
        now = plan.of(instance).changes
        if not now or errors(instance, (*now, *later)):
            continue  # what would be wrong anyway is told, and holds
        alone = {change.address for change in _valid(now, partial(errors, instance))}
        joining = tuple(change for change in now if change.address not in alone)
        found |= dict.fromkeys((change.address for change in joining), found[later[0].address])
        kept = tuple(change for change in plan.changes if change not in joining)
        plan = replace(plan, changes=kept, deferred=(*plan.deferred, *joining))
    return plan, found


def _valid(changes: Sequence[Change], errors: Callable[[Sequence[Change]], frozenset[str]]) -> Sequence[Change]:
    """As many of them as their target has nothing against."""
    while changes and (faulty := errors(changes)):
        fine = [change for change in changes if str(change.address) not in faulty]
        changes = fine if len(fine) < len(changes) else []
    return changes


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


def _behind(world: World, first: tuple[Address, Side], rest: Iterable[tuple[Address, Side]]) -> frozenset[Address]:
    applied = world.log.view(views.Applied).bases

    def turn(one: tuple[Address, Side]) -> int:
        address, want = one
        before = applied.get(address.instance, {}).get(address, ABSENT)
        return position(world.targets[address.instance].kind, want, before)

    others = (one for one in rest if one[0].instance != first[0].instance)  # its own parts it orders by itself
    return frozenset(one[0] for one in others if turn(one) > turn(first) or _moved(one, first))


def _moved(one: tuple[Address, Side], to: tuple[Address, Side]) -> bool:
    """Whether what goes here is to come there: until it has come, people have it only here."""
    (here, want), (there, wanted) = one, to
    return want is ABSENT and wanted is not ABSENT and (here.kind, here.name) == (there.kind, there.name)
