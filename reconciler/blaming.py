"""Which commits of main an apply failed by, and what they brought on every target, so that others need not stay out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from reconciler.core.plan import ABSENT, Change, Side, same, side_hash
from reconciler.git.errors import GitError
from reconciler.planning import load, touches
from reconciler.world import World
from state import views
from state.model import Address, Snapshot


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
        touched, wanted = _touched(world, commit), load(world, commit).snapshot
    except GitError:
        return Blame(everything)
    everything = {**{address: side_hash(want) for address, want in _outstanding(world, wanted)}, **everything}
    guilty = _spread(culprits, touched.values())
    commits = tuple(id for id, addresses in touched.items() if addresses & guilty)
    if not commits or len(commits) == len(touched):
        return Blame(everything)
    return Blame({address: want for address, want in everything.items() if address in guilty}, commits)


def _written(world: World) -> Iterable[tuple[Address, Side]]:
    """What was written and proven since the last revision, wherever it may be taken back, as it is now."""
    applied = world.log.view(views.Applied)
    for address in applied.before:
        if _is_ours(world, address.instance):
            yield address, applied.bases[address.instance].get(address, ABSENT)


def _outstanding(world: World, wanted: Snapshot) -> Iterable[tuple[Address, Side]]:
    """What is wanted and was not written yet."""
    applied = world.log.view(views.Applied)
    for instance in filter(lambda name: _is_ours(world, name), world.targets):
        base = applied.base(instance)
        for address in base.keys() | {one for one in wanted if one.instance == instance}:
            want = wanted.get(address, ABSENT)
            if not same(base.get(address, ABSENT), want):
                yield address, want


def _is_ours(world: World, instance: str) -> bool:
    return instance in world.targets and world.log.view(views.Handover).is_ours(instance)


def _touched(world: World, commit: str) -> dict[str, frozenset[Address]]:
    """What each commit since the last revision is about, oldest first; nothing where one of them cannot be read."""
    latest = world.log.view(views.Revisions).latest
    line = world.store.first_parents(commit, latest.commit) if latest else []
    states = [load(world, latest.commit), *(load(world, one.id) for one in line)] if latest else []
    if any(state.problems for state in states):
        return {}
    return {one.id: touches(now, was) for one, was, now in zip(line, states, states[1:], strict=False)}


def _spread(guilty: Collection[Address], groups: Iterable[frozenset[Address]]) -> frozenset[Address]:
    """These, and all of every group that shares one of them, and so on."""
    found, ahead = frozenset(guilty), list(groups)
    while caught := [group for group in ahead if group & found]:
        found = found.union(*caught)
        ahead = [group for group in ahead if group not in caught]
    return found
