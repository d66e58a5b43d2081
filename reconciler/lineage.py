"""Which commits of main stand since the last revision, what each is about, and what of all that was not written yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from reconciler.commits import load, touches
from reconciler.core.plan import ABSENT, Side, same
from reconciler.world import World
from state import views
from state.model import Address, Snapshot


def touched(world: World, commit: str) -> dict[str, frozenset[Address]]:
    """What each commit since the last revision is about, oldest first; nothing where one of them cannot be read.

    Raises GitError where Git cannot be read.
    """
    latest = world.log.view(views.Revisions).latest
    line = world.store.first_parents(commit, latest.commit) if latest else []
    states = [load(world, latest.commit), *(load(world, one.id) for one in line)] if latest else []
    if any(state.problems for state in states):
        return {}
    return {one.id: touches(now, was) for one, was, now in zip(line, states, states[1:], strict=False)}


def spread(guilty: Collection[Address], groups: Iterable[frozenset[Address]]) -> frozenset[Address]:
    """These, and all of every group that shares one of them, and so on."""
    found, ahead = frozenset(guilty), list(groups)
    while caught := [group for group in ahead if group & found]:
        found = found.union(*caught)
        ahead = [group for group in ahead if group not in caught]
    return found


def outstanding(world: World, wanted: Snapshot, instances: Iterable[str]) -> Iterator[tuple[Address, Side]]:
    """What is wanted of these instances and was not written yet; ABSENT is what should go."""
    applied = world.log.view(views.Applied)
    for instance in instances:
        base = applied.base(instance)
        for address in sorted(base.keys() | {one for one in wanted if one.instance == instance}):
            want = wanted.get(address, ABSENT)
            if not same(base.get(address, ABSENT), want):
                yield address, want


def is_ours(world: World, instance: str) -> bool:
    """Does this home write to it?"""
    return instance in world.targets and world.log.view(views.Handover).is_ours(instance)
