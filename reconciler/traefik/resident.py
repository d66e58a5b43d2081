"""Everything that served when a plan was made, kept so that the next plan costs what differs since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Final, NamedTuple

from reconciler.core.snapshots import unlike
from reconciler.routing.hosting import names
from reconciler.routing.routers import Router
from reconciler.routing.treatments import Serving
from reconciler.traefik.mentions import Mentions
from reconciler.traefik.scene import ROUTERS, Scene
from state.model import Address, Snapshot

_MOST: Final = 100
"""So many addresses may differ from what is kept before it is better to begin anew; or a twentieth of them all."""


@dataclass(frozen=True)
class Routes:
    """The routes of one state of ours: the names by which each is known, and how many are known by each name.

    `families`: some have parents, and what they are known by depends on more than themselves.
    """

    ours: Snapshot
    known: Mapping[Address, frozenset[str]]
    names: Counter[str]
    families: bool = False


NONE: Final = Routes({}, {}, Counter())


@dataclass(frozen=True)
class _Base:
    """What served with one state of ours, and what it was made from."""

    scene: Scene
    ours: Snapshot
    serving: Serving

    @cached_property
    def mentions(self) -> Mentions:
        return Mentions(self.ours)

    @cached_property
    def others(self) -> list[Router]:
        return self.scene.others_beside(self.ours)

    def is_near(self, ours: Snapshot) -> bool:
        return len(unlike(ours, self.ours)) <= max(_MOST, len(self.ours) // 20)

    def with_(self, scene: Scene, ours: Snapshot) -> Serving:
        """What serves with another state of ours, made from what differs."""
        changed = unlike(ours, self.ours)
        if not changed and self.others == scene.others_beside(ours):
            return self.serving
        return scene.revision(self.serving, self.others, ours, self.mentions.users(changed))


class _Side(NamedTuple):
    """One state of what is really ours, the others beside it, and what serves then."""

    ours: Snapshot
    others: list[Router]
    serving: Serving


class Resident:
    """Remembers one instance. May be asked by several at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._base: _Base | None = None
        self._last: _Side | None = None
        self._routes = NONE

    def scene(self, scene: Scene) -> Scene:
        """The same, where one is kept that is of the very same look: it knows already what is around."""
        base = self._base
        return base.scene if base and base.scene.is_of(scene.observed, scene.authentication, scene.public) else scene

    def sides(self, scene: Scene, before: Snapshot, after: Snapshot) -> tuple[Serving, Serving]:
        """What serves with each of two states of ours."""
        with self._lock:
            base = self._base
            if base is None or not _same_around(base.scene, scene) or not base.is_near(before):
                base = self._base = _Base(scene, before, scene.serving(before))
                self._last = None
            was = self._side(base, scene, before)
            if scene.doors_beside(after) != scene.doors_beside(before):
                return was, scene.serving(after)
            return was, self._side(base, scene, after)

    def _side(self, base: _Base, scene: Scene, ours: Snapshot) -> Serving:
        """What serves with one state of ours. The next plan begins where the last one ended, nearly always."""
        really, others, last = scene.really(ours), scene.others_beside(ours), self._last
        if last and not unlike(really, last.ours) and others == last.others:
            return last.serving
        self._last = _Side(really, others, base.with_(scene, ours))
        return self._last.serving

    def routes(self, scene: Scene, before: Snapshot, after: Snapshot) -> tuple[Routes, Routes]:
        """The routes of each of two states of ours."""
        with self._lock:
            self._routes = routes_of(scene, before, self._routes)
            return self._routes, routes_of(scene, after, self._routes)


def routes_of(scene: Scene, ours: Snapshot, last: Routes = NONE) -> Routes:
    """The routes of a state of ours, made from those of another one."""
    differing = [address for address in unlike(ours, last.ours) if address.kind in ROUTERS]
    told = _told(scene, {address: ours[address] for address in differing if address in ours})
    if last.families or told is None:  # what one is known by may be its parents' hosts
        routers = {address: spec for address, spec in ours.items() if address.kind in ROUTERS}
        whole = _told(scene, routers, families=True) or {}
        return Routes(ours, whole, Counter(name for names in whole.values() for name in names), families=True)
    known, names = dict(last.known), last.names.copy()
    for address in differing:
        for name in known.pop(address, ()):
            names[name] -= 1
            if not names[name]:
                del names[name]
    for address, found in told.items():
        known[address] = found
        names.update(found)
    return Routes(ours, known, names)


def _told(scene: Scene, ours: Snapshot, *, families: bool = False) -> dict[Address, frozenset[str]] | None:
    """The names by which each router is known; None where one of them has parents, and these are not wanted."""
    routers = scene.routers(ours)
    if any(router.parents for router in routers) and not families:
        return None
    by_name = {router.name: router for router in routers}

    def among(wanted: Iterable[str]) -> Iterator[Router]:
        return (by_name[name] for name in wanted if name in by_name)

    return {
        Address(scene.instance, f"{router.protocol}.routers", router.name.removesuffix("@file")): frozenset(
            name.told for name in names(router, among)
        )
        for router in routers
    }


def _same_around(one: Scene, other: Scene) -> bool:
    return one is other or one.foreign == other.foreign
