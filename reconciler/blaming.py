"""Which commits of main an apply failed by, and what they brought on every target, so that others need not stay out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from reconciler.commits import load
from reconciler.core.plan import ABSENT, Change, Side, side_hash
from reconciler.git.errors import GitError
from reconciler.lineage import is_ours, outstanding, spread, touched
from reconciler.world import World
from state import views
from state.model import Address


@dataclass(frozen=True)
class Blame:
    """What stays out, with the hash of what was wanted of it.

    `commits` brought it, oldest first; empty where nobody can say, so that all of it does.
    """

    resources: Mapping[Address, str]
    commits: tuple[str, ...] = ()


def blame(world: World, commit: str, changes: Iterable[Change], culprits: Collection[Address]) -> Blame:
    """The commits since the last revision that touch a culprit, and those that share a resource with one of them.

    `changes` is what was written for `commit`, `culprits` are the resources of it that may be at fault. Where Git
    cannot be read it is all that was written since the last revision: this is asked while a refused file is live.
    """
    everything = {change.address: side_hash(change.want) for change in changes}
    everything = {**{address: side_hash(now) for address, now in _written(world)}, **everything}
    try:
        brought, wanted = touched(world, commit), load(world, commit).snapshot
    except GitError:
        return Blame(everything)
    ours = [name for name in world.targets if is_ours(world, name)]
    everything = {**{address: side_hash(want) for address, want in outstanding(world, wanted, ours)}, **everything}
    guilty = spread(culprits, brought.values())
    commits = tuple(id for id, addresses in brought.items() if addresses & guilty)
    if not commits or len(commits) == len(brought):
        return Blame(everything)
    return Blame({address: want for address, want in everything.items() if address in guilty}, commits)


def _written(world: World) -> Iterable[tuple[Address, Side]]:
    """What was written and proven since the last revision, wherever it may be taken back, as it is now."""
    applied = world.log.view(views.Applied)
    for address in applied.before:
        if is_ours(world, address.instance):
            yield address, applied.bases[address.instance].get(address, ABSENT)
