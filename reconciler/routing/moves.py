"""Which claimants get other requests than before, or treat them differently, and from whom requests may have come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

from reconciler.routing.claims import EVERYTHING
from reconciler.routing.connecting import claim, claims, differ
from reconciler.routing.index import Bound
from reconciler.routing.needs import Named
from reconciler.routing.planes import Claimant, Plane
from reconciler.routing.regions import Side, side_of
from reconciler.routing.revising import RevisedTable
from reconciler.routing.treatments import Serving, Treatment

Pair = tuple[Claimant | None, Claimant | None]
"""Who gets requests before and after a change; None: nobody."""
_ByName = dict[tuple[str, ...], Claimant]
_NOBODY: Final = frozenset[str | None]()


class Moves:
    """What differs at one place. `names`: the root routers that may differ, None for all; `altered`: definitions."""

    def __init__(
        self,
        before: Serving,
        after: Serving,
        here: Plane,
        there: Plane,
        names: frozenset[str] | None,
        altered: frozenset[Named],
    ) -> None:
        self.here, self.there = here, there
        self._before, self._after = before, after
        self._place = here.place
        self._names, self._redefined = names, altered

    # ── what differs ─────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _roots(self) -> list[str]:
        """The root routers that may differ, by name."""
        if self._names is None or self._is_entangled:
            return list(dict.fromkeys([*self.here.by_name, *self.there.by_name]))
        users = (plane.users(self._redefined) for plane in (self.here, self.there))
        return sorted(self._names.union(*users))

    @property
    def _is_entangled(self) -> bool:
        """Whether one router decides about another's connections: then nobody knows beforehand who may differ."""
        if isinstance(self._after.table, RevisedTable):
            return False
        planes = self.here, self.there
        return any(
            plane.splitting or any(one.root.router.protocol == "tcp" for one in plane.claimants) for plane in planes
        )

    @cached_property
    def moved(self) -> tuple[_ByName, _ByName]:
        """Those that get other requests than before, or may: as they were, and as they are."""
        gone: _ByName = {}
        come: _ByName = {}
        for name in self._roots:
            old, new = _by_name(self.here.named(name)), _by_name(self.there.named(name))
            for key in dict.fromkeys([*old, *new]):
                if key in old and key in new and old[key].standing == new[key].standing:
                    continue
                if key in old:
                    gone[key] = old[key]
                if key in new:
                    come[key] = new[key]
        return gone, come

    @cached_property
    def treated(self) -> list[tuple[Claimant, Claimant]]:
        """Those that get the same requests as before, which then are treated differently."""
        gone, come = self.moved
        found: list[tuple[Claimant, Claimant]] = []
        shifted = self._shifted()
        for name in self._roots:
            old, new = _by_name(self.here.named(name)), _by_name(self.there.named(name))
            for key in old.keys() & new.keys():
                if key not in gone and (key in shifted or self._static(old[key], new[key])):
                    found.append((old[key], new[key]))
        return sorted(found, key=lambda pair: pair[0].name)

    def _static(self, old: Claimant, new: Claimant) -> bool:
        """Whether two claimants treat what they get differently, ties and TLS options apart."""
        if old is new and not self._redefined:
            return False
        if old.opaque and old.last.below is not None and self._redefined:
            return True
        return self._of(self._before, old) != self._of(self._after, new) or _options(old) != _options(new)

    def _of(self, serving: Serving, one: Claimant | None) -> Treatment:
        return serving.of_claimant(one, self._place)

    def _shifted(self) -> set[tuple[str, ...]]:
        """Claimants that share a host whose TLS options change."""
        return {claimant.name for host in self._reclaimed for claimant in self.here.near(_host_bound(host))}

    @cached_property
    def _reclaimed(self) -> dict[str, bool]:
        """The hosts whose TLS options change; True where they do not exist, before or after."""
        if not any(differ(serving.table, self._place) for serving in (self._before, self._after)):
            return {}
        one, other = (self._claims(serving) for serving in (self._before, self._after))
        sides = {host: (one.get(host, _NOBODY), other.get(host, _NOBODY)) for host in sorted(one.keys() | other.keys())}
        return {host: None in was | now for host, (was, now) in sides.items() if was != now}

    def _claims(self, serving: Serving) -> Mapping[str, frozenset[str | None]]:
        return claims(serving.table, self._place[0]) if self._place[0] in serving.table.entry_points else {}

    # ── regions ──────────────────────────────────────────────────────────────────────────────────

    def pairs(self) -> Iterator[tuple[Claimant | None, Claimant | None]]:
        """Who may have got requests that somebody else gets now: every pair in which one of the two moved."""
        gone, come = self.moved
        for one in come.values():
            yield None, one
            for old in self.here.near(one.bound):
                if self._may_hand_over(old, one):
                    yield old, one
        for one in gone.values():
            yield one, None
            for new in self.there.near(one.bound):
                if new.name not in come and self._may_hand_over(new, one):
                    yield one, new
        yield from self.treated
        if self._absent_on_one_side:
            yield None, None

    def cut_off(self) -> Iterator[tuple[Side, Side]]:
        """Where nobody gets requests, and connections for the host are cut off on one side."""
        for host, is_broken in self._reclaimed.items():
            if is_broken:
                within = () if host == EVERYTHING else (claim(host),)
                one, other = self.sides(None, None)
                yield replace(one, within=within), replace(other, within=within)

    @property
    def _absent_on_one_side(self) -> bool:
        door = self._place[0]
        return (door in self._before.table.entry_points) != (door in self._after.table.entry_points)

    def _may_hand_over(self, other: Claimant, moved: Claimant) -> bool:
        """Not where the two cannot overlap, nor where the other, unmoved, is always asked first."""
        gone, come = self.moved
        if other.name not in gone and other.name not in come and always_first(other, moved):
            return False
        if other.name == moved.name and not self._matters(other, moved):
            return False
        return other.meets(moved)

    def _matters(self, one: Claimant, other: Claimant) -> bool:
        """Whether requests that stay with the same claimant may be treated differently."""
        if self.here.splitting or self.there.splitting or one.opaque or other.opaque:
            return True
        old, new = (one, other) if one.name not in self.moved[0] or self.moved[0][one.name] is one else (other, one)
        if self._static(old, new):
            return True
        ties = self.sides(old, new)
        return any(True for side in ties if side.claimant for _ in side.equals(side.claimant.bound))

    def sides(self, one: Claimant | None, other: Claimant | None) -> tuple[Side, Side]:
        return side_of(self._before, self.here, one), side_of(self._after, self.there, other)


def _by_name(claimants: Iterable[Claimant]) -> _ByName:
    found: _ByName = {}
    for one in claimants:
        name = one.name
        while name in found:  # two of one name are two
            name = (*name, "")
        found[name] = one
    return found


def _options(one: Claimant) -> tuple[Any, ...]:
    return (one.root.options, one.root.router.broken_tls, one.last.router.passthrough)


def always_first(one: Claimant, other: Claimant) -> bool:
    """Whether the one gets every request that both match."""
    for mine, theirs in zip(one.path, other.path, strict=False):
        if mine.router.name != theirs.router.name:
            return mine.key > theirs.key
    return other.childless and len(one.path) > len(other.path)


def _host_bound(host: str) -> Bound:
    name = host.removesuffix(".")
    return Bound(None if host == "*" else frozenset({name[1:] if name.startswith("*.") else name}))


def redefined(before: Serving, after: Serving) -> frozenset[Named]:
    """What is defined differently."""
    one, other = before.definitions, after.definitions
    return frozenset() if one is other else one.differing(other)
