"""What a change does once a neighbour's file is gone that has a name of ours and is read first. Pure.

As long as it stands nothing changes for anybody, and so nobody would be asked; the day it goes, nobody is there to ask.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from reconciler.core.effects import LetIn
from reconciler.core.snapshots import unlike
from reconciler.core.target import Observation
from reconciler.routing.changes import Change, diff
from reconciler.routing.treatments import Treatment
from reconciler.routing.wording import few
from reconciler.traefik.admission import is_opened, let_in
from reconciler.traefik.laid_open import LaidOpen
from reconciler.traefik.scene import ROUTERS, Scene
from reconciler.traefik.stakes import Stakes
from state.model import Address, Snapshot


def let_in_later(scene: Scene, before: Snapshot, after: Snapshot) -> Iterator[LetIn]:
    """Who would come in then, through the routers below such files."""
    taken = {one: file for one, file in scene.observed.taken_over.items() if one.kind in ROUTERS}
    if not taken or not any(unlike(before, after)):
        return
    bare = replace(scene, observed=_without(scene.observed))
    was, will_be = bare.serving(before), bare.serving(after)
    concerned = list(_through(diff(was, will_be).classes, {address.name for address in taken}))
    stakes = Stakes(scene.instance, was, will_be, after)
    once = f"once {', '.join(sorted(set(taken.values())))} is gone"
    for loss in (
        *let_in(scene.instance, concerned, was, will_be, stakes),
        *LaidOpen(scene.instance, was, will_be, stakes).among(concerned),
    ):
        yield replace(loss, told=f"{loss.told}, {once}")
    for change in concerned:
        if change.after and change.after.served and is_opened(change, was, will_be):
            router = Address(scene.instance, "http.routers", change.after.chances[0].router)
            told = f"nobody is asked any more who they are for {few(change.hosts)}, {once}"
            yield LetIn(address=str(router), told=told, hosts=tuple(change.hosts), stake=stakes.of_change(change))


def _without(observed: Observation) -> Observation:
    """What would be seen without the files that have names of ours and are read first."""
    taken = {(one.kind, one.name) for one in observed.taken_over}
    left = {named: specs[1:] if named in taken else specs for named, specs in observed.beside.items()}
    return replace(observed, taken_over={}, beside={named: specs for named, specs in left.items() if specs})


def _through(changes: Iterable[Change], names: Collection[str]) -> Iterator[Change]:
    """Changes to requests that one of these routers has, before or after."""
    for change in changes:
        if any(one.router in names for side in (change.before, change.after) for one in _chances(side)):
            yield change


def _chances(side: Treatment | None) -> Iterable[Treatment]:
    return side.chances if side else ()
