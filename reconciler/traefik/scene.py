"""Everything that serves around and with our part of one Traefik: what others own, the entry points, our routers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

from reconciler.core.snapshots import unlike
from reconciler.core.target import Observation
from reconciler.routing import reading
from reconciler.routing.asking import inferred, release_of
from reconciler.routing.choosing import plain_name
from reconciler.routing.definitions import Definitions
from reconciler.routing.request import NEWEST
from reconciler.routing.revising import named, revised
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving
from reconciler.traefik import insides, render
from reconciler.traefik.exposure import Judge
from state.model import Address, Snapshot, Spec

Kinds = Mapping[str, Mapping[str, Any]]
"""Kind -> name -> spec."""

ROUTERS: Final = ("http.routers", "tcp.routers")
_OPTIONS: Final = "tls.options"


@dataclass(frozen=True)
class Scene:
    """Everything around our part: what others own, the entry points, and what Traefik is."""

    instance: str
    observed: Observation
    authentication: tuple[str, ...] = ()
    public: frozenset[str] = frozenset()
    states: tuple[Snapshot, ...] = ()  # ours, of which the entry points are taken where Traefik does not tell them

    @property
    def unseen(self) -> str:
        """Why nobody knows what others serve, "" where that is known."""
        return "Traefik does not answer, and others may serve it" if self.observed.witness else ""

    @property
    def notes(self) -> tuple[str, ...]:
        if self.observed.witness:
            return (f"{self.instance}: what others serve is not known now, so only our own routes were compared",)
        return ()

    @cached_property
    def _items(self) -> Kinds:
        return {kind: {name: item.spec for name, item in held.items()} for kind, held in self.observed.served.items()}

    @cached_property
    def _doors(self) -> list[EntryPoint]:
        return [reading.entry_point(door) for door in self.observed.doors]

    @cached_property
    def _others(self) -> list[Router]:
        routers = reading.from_api(self._items, self._doors, self._mine)
        return [router for router in routers if (f"{router.protocol}.routers", router.name) not in self._mine]

    @cached_property
    def _mine(self) -> frozenset[tuple[str, str]]:
        """Our names that are really ours: what a neighbour's file took over is theirs. The markers are ours too."""
        live, taken = self.observed.live, self.observed.taken_over
        markers = (name for name in self._items.get(render.MARKER_KIND, ()) if name.startswith(render.MARKER_PREFIX))
        ours = (_qualified(one) for one in live if one not in taken)
        return frozenset((*ours, *((render.MARKER_KIND, name) for name in markers)))

    @cached_property
    def _theirs(self) -> Kinds:
        """What others define, by qualified name, as they wrote it: without what the API adds. Routers are apart.

        Of TLS options the API says nothing; those are as the neighbours' files have them.
        """
        found: dict[str, dict[str, Any]] = {
            kind: {name: item.written for name, item in held.items() if (kind, name) not in self._mine}
            for kind, held in self.observed.served.items()
            if kind not in ROUTERS
        }
        for (kind, name), specs in self.observed.beside.items():
            if kind == _OPTIONS and (kind, f"{name}@file") not in self._mine:
                found.setdefault(kind, {})[f"{name}@file"] = specs[0]
        return found

    def is_of(self, observed: Observation, authentication: tuple[str, ...], public: frozenset[str]) -> bool:
        """Whether it is the very scene of that look; entry points that nobody knows depend on more than that."""
        known = (self.authentication, self.public) == (authentication, public)
        return known and self.observed is observed and bool(self._doors)

    @property
    def foreign(self) -> tuple[object, ...]:
        """Everything around our part, in a form that can be compared."""
        observed = self.observed
        return (
            self.instance, self.authentication, self.public, self.unseen, observed.version, observed.precedence,
            dict(observed.taken_over), observed.beside, self._doors or self._inferred, self._others, self._theirs,
            self._elsewhere, self._plugins,
        )  # fmt: skip

    def serving(self, ours: Snapshot) -> Serving:
        """All that serves with this state of ours."""
        ours = self.really(ours)
        definitions = self._defined(ours)
        table = self._table([*self.others_beside(ours), *self.routers(ours)], self.doors_beside(ours))
        return self._judging(ours, table, Definitions(definitions))

    def revision(
        self, base: Serving, others: Sequence[Router], ours: Snapshot, changed: Collection[Address]
    ) -> Serving:
        """The same, made from what served with another state of ours, that had these `others` beside it.

        `changed` are the addresses at which the states differ, and all that mentions these.
        """
        ours = self.really(ours)
        names = {address.name for address in changed if address.kind in ROUTERS}
        specs = _Within(self.instance, self._in_files({}), ours, names)
        read = reading.from_files(specs, others=self._elsewhere, faults=insides.disabling, plugins=self._plugins)
        beside, concerned = self.others_beside(ours), {f"{name}@file" for name in names}
        if beside != others:
            concerned.update(router.name for router in (*others, *beside))
        table = revised(base.table, *_moves(base.table, concerned, [*read, *beside]))
        changes = {_qualified(one): ours.get(one) for one in changed if one not in self.observed.taken_over}
        theirs = {
            named: self._theirs.get(named[0], {}).get(named[1]) for named, spec in changes.items() if spec is None
        }
        return self._judging(ours, table, base.definitions.revised(changes | theirs))

    def really(self, ours: Snapshot) -> Snapshot:
        """What our part comes to: less what a neighbour took over, and with what comes up where ours goes."""
        taken, behind = self.observed.taken_over, self._behind(ours)
        if not taken and not behind:
            return ours
        return {address: spec for address, spec in ours.items() if address not in taken} | behind

    def _behind(self, ours: Snapshot) -> dict[Address, Spec]:
        """What neighbours' files, read after ours, hold under names of ours that this state has no more."""
        live, taken, beside = self.observed.live, self.observed.taken_over, self.observed.beside
        if not beside:
            return {}
        gone = (one for one in unlike(live, ours) if one not in ours and one not in taken)
        return {one: beside[one.kind, one.name][0] for one in gone if (one.kind, one.name) in beside}

    def _defined(self, ours: Snapshot) -> Kinds:
        definitions: dict[str, dict[str, Any]] = {kind: dict(held) for kind, held in self._theirs.items()}
        for address, spec in ours.items():
            definitions.setdefault(address.kind, {})[f"{address.name}@file"] = spec
        return definitions

    def _judging(self, ours: Snapshot, table: Table, definitions: Definitions) -> Serving:
        judge = Judge(ours, self.authentication, self._foreign_middlewares)
        return Serving(
            table,
            definitions,
            asks=partial(judge.asks, self.instance),
            gates=partial(judge.gates, self.instance),
            redirects=partial(judge.redirects, self.instance),
            public=self.public,
            unseen=self.unseen,
        )

    def others_beside(self, ours: Snapshot) -> list[Router]:
        """Others' routers. One that needs something of ours is disabled without it."""
        ours = self.really(ours)
        live, taken = self.observed.live, self.observed.taken_over
        differing = {address for address in unlike(live, ours) if address not in taken}
        gone = {_qualified(address) for address in differing if address not in ours}
        come = {_qualified(address) for address in differing if address not in live}
        definitions: Kinds = self._defined(ours) if gone else {}
        return reading.reconsidered(self._others, definitions, gone=gone, come=come)

    def doors_beside(self, ours: Snapshot) -> list[EntryPoint]:
        """The entry points. One that gives routers a middleware that is not there serves nothing."""
        if not self._doors:
            return self._inferred
        if not any(door.middlewares for door in self._doors):
            return self._doors
        specs, plugins = self._in_files(self.really(ours)), self._plugins
        return reading.judged(self._doors, specs, others=self._elsewhere, faults=insides.disabling, plugins=plugins)

    @cached_property
    def _inferred(self) -> list[EntryPoint]:
        return inferred([router for ours in self.states for router in self.routers(ours)])

    def routers(self, ours: Snapshot) -> list[Router]:
        """Our routers, with what they name of our own and of other files looked up."""
        specs, plugins = self._in_files(ours), self._plugins
        return reading.from_files(specs, others=self._elsewhere, faults=insides.disabling, plugins=plugins)

    @cached_property
    def _plugins(self) -> frozenset[str]:
        return reading.plugins_at_work(self._items)

    def _in_files(self, ours: Snapshot) -> Kinds:
        """All that the file provider has."""
        specs: dict[str, dict[str, Any]] = {}
        for kind, held in self._theirs.items():
            specs[kind] = {plain_name(name): spec for name, spec in held.items() if name.endswith("@file")}
        for address, spec in ours.items():
            specs.setdefault(address.kind, {})[address.name] = spec
        return specs

    @cached_property
    def _elsewhere(self) -> list[tuple[str, str]] | None:
        """All that other providers have; None where nobody knows."""
        listed = [(kind, name) for kind, held in self._items.items() for name in held if not name.endswith("@file")]
        return listed if self._items else None

    def _table(self, routers: Sequence[Router], doors: Sequence[EntryPoint]) -> Table:
        release = release_of(self.observed.version) or NEWEST
        return Table(routers, doors, release=release, precedence=self.observed.precedence)

    @cached_property
    def _foreign_middlewares(self) -> Mapping[str, Any]:
        return self._theirs.get("http.middlewares", {})


def _qualified(address: Address) -> tuple[str, str]:
    return address.kind, f"{address.name}@file"


def _moves(table: Table, names: Iterable[str], wanted: Iterable[Router]) -> tuple[set[str], list[Router]]:
    """The names, of these, of which the table does not have what is wanted, and all that is wanted of those."""
    by_name: dict[str, list[Router]] = {name: [] for name in names}
    for router in wanted:
        if router.name in by_name:
            by_name[router.name].append(router)
    otherwise = {name for name, new in by_name.items() if set(new) != set(named(table, [name]))}
    return otherwise, [router for name in sorted(otherwise) for router in by_name[name]]


@dataclass(frozen=True)
class _Within(Mapping[str, Mapping[str, Any]]):
    """All that files hold, by kind and plain name; of routers only those of these names."""

    instance: str
    theirs: Kinds
    ours: Snapshot
    names: Collection[str]

    def __getitem__(self, kind: str) -> Mapping[str, Any]:
        theirs = self.theirs.get(kind, {})
        if kind not in ROUTERS:
            return _Held(self, kind, theirs)
        places = ((name, Address(self.instance, kind, name)) for name in self.names)
        return {name: self.ours[place] for name, place in places if place in self.ours}

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self.theirs, *(address.kind for address in self.ours)]))

    def __len__(self) -> int:
        return len(list(iter(self)))


@dataclass(frozen=True)
class _Held(Mapping[str, Any]):
    """What there is of one kind, looked up when it is asked for."""

    within: _Within
    kind: str
    theirs: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        place = Address(self.within.instance, self.kind, name)
        return self.within.ours[place] if place in self.within.ours else self.theirs[name]

    def __iter__(self) -> Iterator[str]:
        ours = (address.name for address in self.within.ours if address.kind == self.kind)
        return iter(dict.fromkeys([*self.theirs, *ours]))

    def __len__(self) -> int:
        return len(list(iter(self)))
