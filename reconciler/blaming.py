"""Which commits of main an apply failed by, so that the others need not stay out with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from reconciler.core.plan import Change
from reconciler.planning import load, touches
from reconciler.world import World
from state import views
from state.model import Address


@dataclass(frozen=True)
class Blame:
    """What stays out. `commits` brought it, oldest first; empty where nobody can say, so that all of it does."""

    addresses: frozenset[Address]
    commits: tuple[str, ...] = ()


def blame(world: World, commit: str, changes: Iterable[Change], culprits: Collection[Address]) -> Blame:
    """The commits since the last revision that touch a culprit, and those that share a resource with one of them.

    `changes` is what was written for `commit`, `culprits` are the resources that may be at fault.
    """
    everything = Blame(frozenset(change.address for change in changes))
    touched = _touched(world, commit)
    guilty = _spread(culprits, touched.values())
    commits = tuple(id for id, addresses in touched.items() if addresses & guilty)
    if not commits or len(commits) == len(touched):
        return everything
    return Blame(guilty & everything.addresses, commits)


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
