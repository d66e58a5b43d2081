"""What a change to our part does to requests, judged among everything that the live Traefik serves. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Final

from reconciler.core.effects import Answering, Effect, Effects, Gone, Reached
from reconciler.core.target import Observation
from reconciler.routing import reading
from reconciler.routing.asking import Asked, inferred, release_of
from reconciler.routing.certificates import Asked as CertificateAsked
from reconciler.routing.certificates import Certificates
from reconciler.routing.changes import Change, Changes, diff
from reconciler.routing.choosing import plain_name
from reconciler.routing.conflicts import check_change
from reconciler.routing.explain import as_json as answer_json
from reconciler.routing.explain import lines as answer_lines
from reconciler.routing.findings import Finding, Findings
from reconciler.routing.hosting import Name, names, places, stand_in
from reconciler.routing.regions import is_ordinary
from reconciler.routing.request import NEWEST
from reconciler.routing.revising import revised
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Table
from reconciler.routing.treatments import Definitions, Serving, Treatment
from reconciler.routing.wording import as_json, told
from reconciler.traefik import insides
from reconciler.traefik.exposure import Judge
from state.model import Address, Problem, Snapshot, Spec

Kinds = dict[str, dict[str, Any]]
"""Kind -> name -> spec."""

_ROUTERS: Final = ("http.routers", "tcp.routers")
_ADDED: Final = frozenset({"status", "error", "usedBy", "using", "serverStatus", "type", "name", "provider"})


@dataclass(frozen=True)
class Before:
    """What a change starts from: our part as it is, and as it was before the steps at which nobody looked."""

    ours: Snapshot
    earlier: Snapshot


def consequences(
    instance: str,
    before: Before,
    after: Snapshot,
    observed: Observation,
    authentication: Iterable[str],
    public: Collection[str] = (),
) -> Effects:
    """All that going from one state of ours to another does to requests.

    `authentication` are patterns of names of middlewares that ask who is there, for those into which nobody can see.
    `public` are the entry points that the internet reaches.
    """
    scene = _Scene(instance, observed, tuple(authentication))
    was = scene.serving(before.ours)
    will_be = scene.serving(after, was.table)
    sorts = diff(was, will_be)
    changes = sorts.classes
    moved = dict.fromkeys((*_moved(was.table, will_be.table), *_cut_off(changes, was)))
    known, earlier = _known(scene, before.ours), _known(scene, before.earlier)
    lately = earlier - known - _known(scene, after)
    return Effects(
        all=tuple(_effect(instance, change, was, will_be) for change in changes),
        gone=tuple(_gone(instance, was, will_be, moved)),
        reached=tuple(_reached(instance, was, will_be, public)) if public else (),
        lately=tuple(sorted(lately)),
        hosts=len(known),
        routes=len({a for a in (*before.ours, *before.earlier) if a.kind in _ROUTERS}),
        left=sum(address.kind in _ROUTERS for address in after),
        problems=tuple(_problems(instance, scene.findings(was, will_be, sorts, after))),
        notes=scene.notes,
    )


def explained(instance: str, observed: Observation, asked: Asked) -> dict[str, Any]:
    """Which router of a running Traefik serves a request, and why: as data, with `words` for people.

    Raises UnknownEntryPoint.
    """
    table = _Scene(instance, observed, ()).serving(observed.live).table
    answer = table.answer(asked.request, asked.server_name)
    return {**answer_json(answer), "words": list(answer_lines(answer, table, asked.request))}


@dataclass(frozen=True)
class _Scene:
    """Everything around our part: what others own, the entry points, and what Traefik is."""

    instance: str
    observed: Observation
    authentication: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        if self.observed.witness:
            return (f"{self.instance}: what others serve is not known now, so only our own routes were compared",)
        return ()

    @cached_property
    def _items(self) -> Kinds:
        return {kind: {name: item.spec for name, item in held.items()} for kind, held in self.observed.served.items()}

    @cached_property
    def _defined(self) -> Kinds:
        """The same as its owners wrote it, without what the API adds."""
        return {
            kind: {name: {key: part for key, part in spec.items() if key not in _ADDED} for name, spec in held.items()}
            for kind, held in self._items.items()
        }

    @cached_property
    def _doors(self) -> list[EntryPoint]:
        return [reading.entry_point(door) for door in self.observed.doors]

    @cached_property
    def _others(self) -> list[Router]:
        mine = {(address.kind, f"{address.name}@file") for address in self._mine}
        routers = reading.from_api(self._items, self._doors)
        return [router for router in routers if (f"{router.protocol}.routers", router.name) not in mine]

    @cached_property
    def _mine(self) -> frozenset[Address]:
        """Our names that are really ours: what a neighbour's file took over is theirs."""
        return frozenset(self.observed.live.keys() - self.observed.taken_over.keys())

    @cached_property
    def _theirs(self) -> Kinds:
        """What others define, by qualified name; routers are read from the API as they are."""
        mine = {(address.kind, f"{address.name}@file") for address in self._mine}
        return {
            kind: {name: spec for name, spec in held.items() if (kind, name) not in mine}
            for kind, held in self._defined.items()
            if kind not in _ROUTERS
        }

    def serving(self, ours: Snapshot, base: Table | None = None) -> Serving:
        """All that serves with this state of ours. With `base` only what differs from it is made anew."""
        ours = {address: spec for address, spec in ours.items() if address not in self.observed.taken_over}
        routers, others = self.routers(ours), self._others_beside(ours)
        table = self._table(routers, others) if base is None else _revision(base, routers, others)
        definitions = {kind: dict(held) for kind, held in self._theirs.items()}
        for address, spec in ours.items():
            definitions.setdefault(address.kind, {})[f"{address.name}@file"] = spec
        judge = Judge(ours, self.authentication, self._foreign_middlewares)
        asks, redirects = partial(judge.asks, self.instance), partial(judge.redirects, self.instance)
        return Serving(table, Definitions(definitions), asks, redirects)

    def _others_beside(self, ours: Snapshot) -> list[Router]:
        """Others' routers. One that names a service or middleware of ours is disabled without it."""
        was, is_there = self._names(self._mine), self._names(ours)
        return [
            replace(router, disabled=f"{gone[0]} does not exist", accepted=False) if gone else router
            for router in self._others
            for gone in [[name for name in (router.service, *router.middlewares) if name in was - is_there]]
        ]

    @staticmethod
    def _names(addresses: Iterable[Address]) -> frozenset[str]:
        kinds = (".services", ".middlewares")
        return frozenset(f"{address.name}@file" for address in addresses if address.kind.endswith(kinds))

    def routers(self, ours: Snapshot) -> list[Router]:
        """Our routers, with what they name of our own and of other files looked up."""
        specs: Kinds = {}
        for kind, held in self._theirs.items():
            specs[kind] = {plain_name(name): spec for name, spec in held.items() if name.endswith("@file")}
        for address, spec in ours.items():
            specs.setdefault(address.kind, {})[address.name] = spec
        others = [(kind, name) for kind, held in self._items.items() for name in held if not name.endswith("@file")]
        return reading.from_files(specs, others=others if self._items else None, faults=_faults)

    def _table(self, ours: Iterable[Router], others: Iterable[Router]) -> Table:
        routers = [*others, *ours]
        doors = self._doors or inferred(routers)
        return Table(
            routers, doors, release=release_of(self.observed.version) or NEWEST, precedence=self.observed.precedence
        )

    def findings(self, was: Serving, will_be: Serving, sorts: Changes, after: Snapshot) -> Findings:
        """What is wrong with the routers that change, among all others."""
        changed = frozenset(router.name for router in set(was.table.routers) ^ set(will_be.table.routers))
        asked = {f"{a.name}@file": certificate_asked(spec) for a, spec in after.items() if a.kind == "http.routers"}
        by_door = {str(door.get("name")): certificate_asked(door.get("http")) for door in self.observed.doors}
        certificates = Certificates(asked=asked, by_door=by_door)
        return check_change(was, will_be, changed, changes=sorts, certificates=certificates)

    @cached_property
    def _foreign_middlewares(self) -> dict[str, Mapping[str, Any]]:
        return self._theirs.get("http.middlewares", {})


def _faults(kind: str, spec: Spec) -> Iterator[str]:
    return (message for _, message, severity in insides.faults(kind, spec) if severity == "error")


def _revision(base: Table, ours: Iterable[Router], others: Iterable[Router]) -> Table:
    """The table with these routers of ours; shares with `base` what is the same."""
    wanted, standing = {*ours, *others}, set(base.routers)
    return revised(base, {router.name for router in standing - wanted}, wanted - standing)


# ── hosts without a route ────────────────────────────────────────────────────────────────────────


def _known(scene: _Scene, ours: Snapshot) -> frozenset[str]:
    """The names by which our routes are known."""
    routers = {address: spec for address, spec in ours.items() if address.kind in _ROUTERS}
    return frozenset(name.text for router in scene.routers(routers) for name in names(router))


def _moved(before: Table, after: Table) -> Iterator[Router]:
    """Routers, as they were, that are gone or not as they were."""
    still = set(after.routers)
    return (router for router in before.routers if router not in still)


def _cut_off(changes: Iterable[Change], was: Serving) -> Iterator[Router]:
    """Routers whose connections end elsewhere now: with a TCP router, or closed."""
    for change in changes:
        if change.before and change.after and change.after.kind in ("tcp", "closed", "misdirected"):
            names = {one.router for one in change.before.chances if one.kind == "served"}
            yield from (one for one in was.table.routers if one.protocol == "http" and plain_name(one.name) in names)


def _gone(instance: str, was: Serving, will_be: Serving, moved: Iterable[Router]) -> Iterator[Gone]:
    told_of = set[str]()
    for router in moved:
        for name in names(router):
            if name.text not in told_of:
                told_of.add(name.text)
                yield from _lost(_address(instance, router), router, name, was, will_be)


def _reached(instance: str, was: Serving, will_be: Serving, public: Collection[str]) -> Iterator[Reached]:
    """Names that routers which come or change answer for at public entry points, where no router of that name did."""
    for router in _moved(will_be.table, was.table):
        for name in names(router):
            new = places(will_be, name, doubted=True) - places(was, name, doubted=False)
            for door in sorted({door for door, _ in new if door in public}):
                yield Reached(host=name.text, route=_address(instance, router), entry_point=door)


def _lost(route: str, router: Router, name: Name, was: Serving, will_be: Serving) -> Iterator[Gone]:
    answered = places(was, name, doubted=True)
    left = places(will_be, name, doubted=False) if answered else frozenset()
    lost = sorted(answered - left)
    if not lost:
        return
    other = stand_in(will_be, name, lost[0])
    if other and not left and any(one.router == plain_name(router.name) for one in other.chances):
        return  # its rule says the same in other words
    if left:
        where = ", ".join(sorted({door for door, _ in lost}))
        yield Gone(host=name.text, route=route, told=f"{name.text} would no longer be served on {where}")
    elif other:
        taker = " or ".join(one.router for one in other.chances)
        words = f"{name.text} would have no route of its own any more; {taker} would answer for it"
        yield Gone(host=name.text, route=route, told=words)
    else:
        yield Gone(host=name.text, route=route, told=f"{name.text} would no longer be served")


# ── what is wrong with the routes that change ────────────────────────────────────────────────────


def certificate_asked(spec: Spec) -> CertificateAsked:
    """The certificate that a router, or the HTTP part of an entry point, asks for."""
    tls = reading.value_at(spec, "tls")
    domains = reading.value_at(tls, "domains")
    listed = domains if isinstance(domains, list) else []
    names = (name for one in listed for key in ("main", "sans") for name in reading.texts(reading.value_at(one, key)))
    return CertificateAsked(str(reading.value_at(tls, "certResolver") or ""), tuple(names))


def _problems(instance: str, findings: Iterable[Finding]) -> Iterator[Problem]:
    """What refuses the change, or what a person should see before it; the rest is in the effects."""
    for finding in findings:
        if finding.severity != "info":
            yield Problem(message=str(finding), address=_route(instance, finding.subject), severity=finding.severity)


# ── sorts of requests ────────────────────────────────────────────────────────────────────────────


def _effect(instance: str, change: Change, was: Serving, will_be: Serving) -> Effect:
    return Effect(
        told=told(change),
        host=_host(change),
        entry_point=change.entry_point,
        before=_answering(instance, change.before, was),
        after=_answering(instance, change.after, will_be),
        unknown=change.unknown,
        odd=change.witness is not None and not is_ordinary(change.witness),
        data=as_json(change),
    )


def _host(change: Change) -> str:
    """The host of the witness, and its path: what is agreed to for one path is not agreed to for all."""
    if change.witness is None:
        return ""
    path = change.witness.target.partition("?")[0]
    return f"{change.witness.host or 'any host'}{'' if path == '/' else path}"


def _answering(instance: str, treatment: Treatment | None, serving: Serving) -> Answering:
    if treatment is None or treatment.kind == "unknown":
        return Answering(known=False)
    if not treatment.served:
        return Answering()
    routes = [_named(instance, one) for one in treatment.chances]
    return Answering(routes=tuple(routes), asks=not serving.is_open(treatment))


def _named(instance: str, treatment: Treatment) -> str:
    return _route(instance, treatment.router, "tcp" if treatment.kind == "tcp" else "http")


def _route(instance: str, name: str, protocol: str = "http") -> str:
    return str(Address(instance, f"{protocol}.routers", name))


def _address(instance: str, router: Router) -> str:
    return _route(instance, plain_name(router.name), router.protocol)
