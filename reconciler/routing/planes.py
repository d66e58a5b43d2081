"""One plane of a table: all that can take a request at one entry point, plain or over TLS, findable by bounds.

A claimant is what can end up with a request: a router, a child with the parents that lead to it, or a parent none of
whose children matches (Traefik answers 404 then, and asks nobody else).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from weakref import WeakKeyDictionary

from reconciler.routing import connecting, doors
from reconciler.routing.choosing import Layer, Ranked
from reconciler.routing.domain import DOMAIN
from reconciler.routing.index import Bound, Index, bound_of, bound_of_all, may_meet
from reconciler.routing.matchers import Header, HostRegexp, Node, Or
from reconciler.routing.request import Seen
from reconciler.routing.revising import RevisedTable
from reconciler.routing.table import Table

__all__ = ["ANYTHING", "DOMAIN", "Claimant", "Place", "Plane", "node_of", "planes"]

Place = tuple[str, bool]
"""An entry point, and whether the connection is one over TLS."""

Key = tuple[int, int]
"""Priority, and how the provider stands: the higher is asked first."""

ANYTHING: Final = HostRegexp(".*")
_FEW: Final = 8
_PLAIN_SCHEMES: Final = Or((Header("X-Forwarded-Proto", "http"), Header("X-Forwarded-Proto", "ws")))
_TLS_SCHEMES: Final = Or((Header("X-Forwarded-Proto", "https"), Header("X-Forwarded-Proto", "wss")))


@dataclass(frozen=True, eq=False)
class Claimant:
    """`path` leads from a root router to whoever serves; `childless`: its last one has children, and none matches."""

    path: tuple[Ranked, ...]
    childless: bool = False

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """What a request must match to get here; of an opaque router, what it keeps to as far as is known."""
        return tuple(map(node_of, self.path))

    @cached_property
    def bound(self) -> Bound:
        return bound_of_all([bound_of(node) for node in self.nodes])

    @property
    def root(self) -> Ranked:
        return self.path[0]

    @property
    def last(self) -> Ranked:
        return self.path[-1]

    @cached_property
    def name(self) -> tuple[str, ...]:
        """The same in two tables for the same claimant."""
        return (*(one.router.name for one in self.path), *(("",) if self.childless else ()))

    @property
    def opaque(self) -> str:
        return next((one.opaque for one in self.path if one.opaque), "")

    @cached_property
    def standing(self) -> tuple[object, ...]:
        """Everything that decides which requests it gets, but for its rivals."""
        hidden = _family(self.last) if self.opaque else None
        return (self.nodes, tuple(one.key for one in self.path), self.opaque, hidden)

    def meets(self, other: Claimant) -> bool:
        """Whether the two may overlap, as far as literal hosts tell; their bounds are known to meet."""
        return all(may_meet(one, two) for one in self.nodes for two in other.nodes)


def node_of(one: Ranked) -> Node:
    """The rule; for an opaque router one that matches whatever it may match, and more."""
    if one.rule is not None:
        return one.rule.node
    if one.hosts is None:
        return ANYTHING
    names = tuple(HostRegexp(connecting.stripped(host)) for host in sorted(one.hosts))
    return names[0] if len(names) == 1 else Or(names)


def _family(one: Ranked) -> tuple[object, ...]:
    """All that an opaque router may do with what it takes."""
    below = tuple(map(_family, one.below.ranked)) if one.below else ()
    router = one.router
    return (router.name, one.key, router.rule, one.opaque, router.service, one.middlewares, below)


def claimants_of(root: Ranked, above: tuple[Ranked, ...] = ()) -> Iterator[Claimant]:
    """Every way for a request to end below a router."""
    path = (*above, root)
    if root.opaque or root.below is None:
        yield Claimant(path)
        return
    for child in root.below.ranked:
        yield from claimants_of(child, path)
    yield Claimant(path, childless=True)


class Plane:
    """All claimants of one place."""

    def __init__(self, place: Place, layer: Layer, splitting: Sequence[Node] = ()) -> None:
        self.place = place
        self.layer = layer
        self.splitting = tuple(splitting)
        """What decides, beside the rules of routers, how a request is treated."""

    @cached_property
    def claimants(self) -> tuple[Claimant, ...]:
        return tuple(one for root in self.layer.ranked for one in claimants_of(root))

    @cached_property
    def by_name(self) -> dict[str, list[Claimant]]:
        """The claimants of each root router."""
        found: dict[str, list[Claimant]] = {}
        for one in self.claimants:
            found.setdefault(one.root.router.name, []).append(one)
        return found

    def named(self, name: str) -> Sequence[Claimant]:
        """The claimants of a root router."""
        return self.by_name.get(name, ())

    @cached_property
    def _by_member(self) -> dict[str, list[Claimant]]:
        found: dict[str, list[Claimant]] = {}
        for one in self.claimants:
            for name in dict.fromkeys(each.router.name for each in one.path):
                found.setdefault(name, []).append(one)
        return found

    def through(self, name: str) -> Sequence[Claimant]:
        """The claimants to which a router leads: its own, and those of its children."""
        return self._by_member.get(name, ())

    @cached_property
    def _index(self) -> Index[Claimant]:
        return Index((one.bound, one) for one in self.claimants)

    def near(self, bound: Bound) -> list[Claimant]:
        """All that could overlap with what keeps to this bound, the first to be asked first."""
        return self._index.near(bound)

    @cached_property
    def _by_key(self) -> dict[Key, list[Ranked]]:
        found: dict[Key, list[Ranked]] = {}
        for one in self.layer.ranked:
            found.setdefault(one.key, []).append(one)
        return found

    @cached_property
    def _equals(self) -> dict[Key, Index[Ranked]]:
        return {}

    def of_key(self, key: Key, bound: Bound) -> list[Ranked]:
        """The root routers of one priority that could overlap with what keeps to this bound."""
        equal = self._by_key.get(key, ())
        if len(equal) < _FEW:
            return list(equal)
        if key not in self._equals:
            self._equals[key] = Index((bound_of(node_of(one)), one) for one in equal)
        return self._equals[key].near(bound)

    def equal_to(self, one: Ranked, bound: Bound) -> list[Ranked]:
        """The other root routers of its priority that could overlap with what keeps to this bound."""
        return [other for other in self.of_key(one.key, bound) if other is not one]

    @cached_property
    def _by_use(self) -> dict[tuple[str, str], set[str]]:
        found: dict[tuple[str, str], set[str]] = {}
        for root in self.layer.ranked:
            for used in _used(root):
                found.setdefault(used, set()).add(root.router.name)
        return found

    def users(self, named: Collection[tuple[str, str]]) -> set[str]:
        """The root routers that use one of these (kind, qualified name), they or their children."""
        return {name for one in named for name in self._by_use.get(one, ())}

    @cached_property
    def opaque(self) -> tuple[Claimant, ...]:
        """Those of whom nobody can tell what they take."""
        return tuple(one for one in self.claimants if one.opaque)

    @cached_property
    def asks_scheme(self) -> bool:
        return any(_asks_scheme(root) for root in self.layer.ranked)

    @property
    def demands(self) -> tuple[Node, ...]:
        """What every request here matches, as far as some rule asks for it."""
        return (_TLS_SCHEMES if self.place[1] else _PLAIN_SCHEMES,) if self.asks_scheme else ()


def _used(one: Ranked) -> Iterator[tuple[str, str]]:
    """Kind and qualified name of the service and the middlewares of a router, and of its children."""
    protocol = one.router.protocol
    yield f"{protocol}.services", one.router.service
    for options in (one.options, "default"):  # where two routers of a host differ, both get the default ones
        if options:
            yield "tls.options", options if "@" in options else f"{options}@file"
    for name in one.middlewares:
        yield f"{protocol}.middlewares", name if "@" in name else f"{name}@file"
    for child in one.below.ranked if one.below else ():
        yield from _used(child)


def _asks_scheme(one: Ranked) -> bool:
    if one.rule is not None and "forwarded-proto" in one.rule.text.lower():
        return True
    return one.below is not None and any(map(_asks_scheme, one.below.ranked))


class _RevisedPlane(Plane):
    """A plane some of whose roots differ from another's: what is the same is found there."""

    def __init__(self, base: Plane, layer: Layer, gone: frozenset[str], come: Sequence[Ranked]) -> None:
        super().__init__(base.place, layer, base.splitting)
        self._base, self._gone = base, gone
        self._come = tuple(one for root in come for one in claimants_of(root))
        self._coming = Index((one.bound, one) for one in self._come)

    def named(self, name: str) -> Sequence[Claimant]:
        found = [one for one in self._through.get(name, ()) if one.root.router.name == name]
        return found if found or name in self._gone else self._base.named(name)

    @cached_property
    def _through(self) -> dict[str, list[Claimant]]:
        """Those that come, by each router on their way."""
        found: dict[str, list[Claimant]] = {}
        for one in self._come:
            for name in dict.fromkeys(each.router.name for each in one.path):
                found.setdefault(name, []).append(one)
        return found

    def through(self, name: str) -> Sequence[Claimant]:
        come = self._through.get(name, ())
        return [*come, *(one for one in self._base.through(name) if one.root.router.name not in self._gone)]

    def near(self, bound: Bound) -> list[Claimant]:
        come = self._coming.near(bound)
        found = [one for one in self._base.near(bound) if one.root.router.name not in self._gone]
        return sorted([*found, *come], key=lambda one: (-one.root.priority, -one.root.precedence)) if come else found

    def users(self, named: Collection[tuple[str, str]]) -> set[str]:
        come = {one.root.router.name for one in self._come if not set(named).isdisjoint(_used(one.root))}
        return come | (self._base.users(named) - self._gone)

    def of_key(self, key: Key, bound: Bound) -> list[Ranked]:
        come = self._roots_coming.get(key)
        stay = [one for one in self._base.of_key(key, bound) if one.router.name not in self._gone]
        return [*stay, *come.near(bound)] if come else stay

    @cached_property
    def _roots_coming(self) -> dict[Key, Index[Ranked]]:
        found: dict[Key, dict[Ranked, None]] = {}
        for one in self._come:
            found.setdefault(one.root.key, {})[one.root] = None
        return {key: Index((bound_of(node_of(one)), one) for one in roots) for key, roots in found.items()}

    @cached_property
    def opaque(self) -> tuple[Claimant, ...]:
        stay = (one for one in self._base.opaque if one.root.router.name not in self._gone)
        return (*stay, *(one for one in self._come if one.opaque))

    @cached_property
    def asks_scheme(self) -> bool:
        return self._base.asks_scheme or any(_asks_scheme(one.root) for one in self._come)


_KNOWN: WeakKeyDictionary[Table, dict[Place, Plane]] = WeakKeyDictionary()


def planes(table: Table) -> dict[Place, Plane]:
    """Every place of a table where anything is served."""
    found = _KNOWN.get(table)
    if found is None:
        found = _KNOWN[table] = dict(_planes(table))
    return found


def plane_of(table: Table, place: Place) -> Plane:
    """One place. Where no router serves anything, connections for some hosts may be cut off all the same."""
    found = planes(table).get(place)
    if found is not None:
        return found
    return Plane(place, Layer(()), _splitting(table, place) if place[0] in table.entry_points else ())


def _planes(table: Table) -> Iterator[tuple[Place, Plane]]:
    if isinstance(table, RevisedTable):
        yield from _revised(table)
        return
    for place in _places(table):
        layer = connecting.layer(table, place)
        if layer.ranked:
            yield place, Plane(place, layer, _splitting(table, place))


def _revised(table: RevisedTable) -> Iterator[tuple[Place, Plane]]:
    base = planes(table.base)
    for place in dict.fromkeys([*base, *table.layers]):
        layer = table.layers.get(place)
        if place not in table.touched:
            yield place, base[place]
        elif layer is not None and layer.ranked:
            below = base.get(place) or Plane(place, Layer(()), _splitting(table, place))
            yield place, _RevisedPlane(below, layer, table.gone, table.come.get(place, ()))


def _places(table: Table) -> Iterable[Place]:
    listening = [(door, tls) for door in table.entry_points for tls in connecting.by_tcp(table, door)]
    return dict.fromkeys([*table.layers, *listening])


def _splitting(table: Table, place: Place) -> list[Node]:
    return [*connecting.options(table, place), *doors.barred(table.entry_points[place[0]].door)]


# ── who gets a request ───────────────────────────────────────────────────────────────────────────


def rivals(layer: Layer, one: Ranked, seen: Seen) -> tuple[Ranked | None, list[Ranked]]:
    """Of those in one layer that match a request, who is asked before this router; else who ties with it."""
    tied: list[Ranked] = []
    for other in layer.near(seen.host):
        if other.key < one.key:
            break
        if other is one or not takes(other, seen):
            continue
        if other.key > one.key or (other.opaque and not one.opaque):
            return other, []
        tied.append(other)
    return None, tied


def takes(one: Ranked, seen: Seen) -> bool:
    """Whether a router that is near a request takes it; one without a rule that can be read may, so it does."""
    return one.rule is None or one.rule.matches(seen)
