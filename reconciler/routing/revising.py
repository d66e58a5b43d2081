"""A table after some of its routers changed, sharing with the one before what did not: cost follows the change."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from weakref import WeakKeyDictionary

from reconciler.routing.choosing import Layer, Ranked
from reconciler.routing.routers import Router
from reconciler.routing.table import Table
from reconciler.routing.tcp import Connections


def revised(before: Table, removed: Collection[str] = (), added: Iterable[Router] = ()) -> Table:
    """The table without the routers of these qualified names, and with those; a changed router is in both.

    Where a change reaches beyond the routers themselves (parents, TCP, TLS options) it is built from the start.
    """
    new = tuple(added)
    gone = frozenset(removed) | {router.name for router in new}
    roll = _roll(before)
    old = tuple(router for name in gone for router in roll.by_name.get(name, ()))
    if isinstance(before, RevisedTable) or not _alone(before, (*old, *new), gone, roll):
        kept = [router for router in before.routers if router.name not in gone]
        return _built(before, [*kept, *new])
    return RevisedTable(before, gone, old, new)


def _built(before: Table, routers: Iterable[Router]) -> Table:
    return Table(routers, before.entry_points.values(), release=before.release, precedence=before.precedence)


def named(table: Table, names: Iterable[str]) -> list[Router]:
    """The routers of these qualified names, as far as there are any."""
    if isinstance(table, RevisedTable):
        mine = [router for router in table.new if router.name in set(names)]
        return [*mine, *named(table.base, [name for name in names if name not in table.gone])]
    roll = _roll(table)
    return [router for name in dict.fromkeys(names) for router in roll.by_name.get(name, ())]


def moved(before: Table, after: Table) -> list[Router]:
    """Routers, as they were, that are gone or not as they were."""
    names = _touched(before, after)
    old = before.routers if names is None else named(before, sorted(names))
    still = frozenset() if names is not None else frozenset(map(id, after.routers))  # most are the very same
    return [one for one in old if id(one) not in still and one not in named(after, [one.name])]


def _touched(one: Table, other: Table) -> frozenset[str] | None:
    """The names of routers that may differ between two tables; None: of all."""
    bases = [table.base if isinstance(table, RevisedTable) else table for table in (one, other)]
    if bases[0] is not bases[1]:
        return None
    return frozenset().union(*(table.gone for table in (one, other) if isinstance(table, RevisedTable)))


class _Roll:
    """The routers of a table by name, and all that are named as parents."""

    def __init__(self, table: Table) -> None:
        self.by_name: dict[str, list[Router]] = {}
        for router in table.routers:
            self.by_name.setdefault(router.name, []).append(router)
        self.parents = {name for router in table.routers for name in router.parents}


_ROLLS: WeakKeyDictionary[Table, _Roll] = WeakKeyDictionary()


def _roll(table: Table) -> _Roll:
    found = _ROLLS.get(table)
    if found is None:
        found = _ROLLS[table] = _Roll(table)
    return found


def _alone(before: Table, routers: Sequence[Router], gone: Collection[str], roll: _Roll) -> bool:
    """Whether these routers concern nobody but themselves."""
    return (
        all(router.protocol == "http" and not router.parents for router in routers)
        and not any(router.tls_options or router.broken_tls for router in routers)
        and not any(door.tls_options for router in routers for door in before.doors_of(router))
        and not any(connections.matter(tls=tls) for connections in before.connections.values() for tls in (False, True))
        and roll.parents.isdisjoint(gone)
    )


class RevisedTable(Table):
    """`gone`: names of the base that are no longer as they were; `come`: what is there now, by place."""

    def __init__(self, base: Table, gone: frozenset[str], old: Sequence[Router], new: Sequence[Router]) -> None:
        doors = base.entry_points.values()
        super().__init__((), doors, release=base.release, precedence=base.precedence)
        self.base, self.gone, self.new = base, gone, tuple(new)
        self._small = _built(base, new)
        self.come: Mapping[tuple[str, bool], tuple[Ranked, ...]] = {
            place: ranked
            for place, layer in self._small.layers.items()
            if (ranked := tuple(one for one in layer.ranked if one.router.name in gone))
        }
        left = {(door.name, router.tls or door.tls) for router in old for door in base.doors_of(router)}
        self.touched = frozenset(left | self.come.keys())
        del self.routers  # worked out when somebody asks

    @cached_property
    def routers(self) -> tuple[Router, ...]:  # type: ignore[override]
        return (*(router for router in self.base.routers if router.name not in self.gone), *self.new)

    @cached_property
    def layers(self) -> Mapping[tuple[str, bool], Layer]:
        """As in every table; those that nothing touched are the base's own."""
        found = dict(self.base.layers)
        for place in self.touched:
            found[place] = _RevisedLayer(found.get(place) or Layer(()), self.gone, self.come.get(place, ()))
        return {place: layer for place, layer in found.items() if layer.ranked}

    @cached_property
    def connections(self) -> Mapping[str, Connections]:
        """Those of the base: where TCP or TLS options play a part, no table is made this way."""
        return self.base.connections

    @property
    def disabled(self) -> Mapping[str, str]:
        kept = {name: why for name, why in self.base.disabled.items() if name not in self.gone}
        return kept | dict(self._small.disabled)


class _LayerRoll:
    """The routers of a layer by name, and those that are not plain."""

    def __init__(self, layer: Layer) -> None:
        self.by_name: dict[str, list[Ranked]] = {}
        for one in layer.ranked:
            self.by_name.setdefault(one.router.name, []).append(one)
        self.special = tuple(one for one in layer.ranked if one.opaque or one.below)


_LAYER_ROLLS: WeakKeyDictionary[Layer, _LayerRoll] = WeakKeyDictionary()


def _layer_roll(layer: Layer) -> _LayerRoll:
    found = _LAYER_ROLLS.get(layer)
    if found is None:
        found = _LAYER_ROLLS[layer] = _LayerRoll(layer)
    return found


class _RevisedLayer(Layer):
    """A layer some of whose routers differ from another's."""

    def __init__(self, base: Layer, gone: frozenset[str], come: Sequence[Ranked]) -> None:
        roll = _layer_roll(base)
        super().__init__([*roll.special, *come])
        self._base, self._gone, self._come = base, gone, Layer(come)
        ranked = list(base.ranked)
        for one in (one for name in gone for one in roll.by_name.get(name, ())):
            del ranked[bisect_left(ranked, _order(one), key=_order)]
        for one in come:
            ranked.insert(bisect_left(ranked, _order(one), key=_order), one)
        self.ranked = tuple(ranked)

    def _found(self, host: str) -> tuple[Ranked, ...]:
        found, come = self._base.near(host), self._come.near(host)
        stay = [one for one in found if one.router.name not in self._gone]
        return tuple(sorted([*stay, *come], key=_order)) if come else tuple(stay)


def _order(one: Ranked) -> tuple[int, int, str]:
    return -one.priority, -one.precedence, one.router.name
