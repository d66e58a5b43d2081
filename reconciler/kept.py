"""Revisions that the log knows of and our copy of the desired repo lost: kept again, by what is here or elsewhere."""

from __future__ import annotations

from reconciler.world import World
from state import views


def keep_again(world: World) -> None:
    """Keep them again, where a copy was made anew: else no backup is whole, and policy and rollback miss commits.

    Raises GitError where the repository elsewhere cannot be asked.
    """
    revisions = world.log.view(views.Revisions)
    if world.remote is None or revisions.latest is None:
        return
    ends = (next(iter(revisions.by_number.values())), revisions.latest)
    if all(world.store.kept(made.number) == made.commit for made in ends):
        return
    known = {number: made.commit for number, made in revisions.by_number.items()}
    world.remote.fetch_own(world.store, known)
    here = world.store.revisions()
    for number, commit in known.items():
        if number not in here and world.store.has(commit):
            world.store.keep(number, commit)
