"""What a change to our part does to requests, judged among everything that the live Traefik serves. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from reconciler.core.effects import Answering, Effect, Effects, Gone, Reached
from reconciler.core.target import Observation
from reconciler.routing import reading
from reconciler.routing.asking import Asked
from reconciler.routing.certificates import Asked as CertificateAsked
from reconciler.routing.certificates import Certificates
from reconciler.routing.changes import Change, Changes, diff
from reconciler.routing.choosing import plain_name
from reconciler.routing.conflicts import check_change
from reconciler.routing.definitions import qualified
from reconciler.routing.explain import as_json as answer_json
from reconciler.routing.explain import lines as answer_lines
from reconciler.routing.findings import Finding, Findings
from reconciler.routing.hosting import Name, asked_for, names, places, stand_in
from reconciler.routing.planes import Place
from reconciler.routing.regions import is_ordinary
from reconciler.routing.revising import moved, named
from reconciler.routing.routers import Router
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving, Treatment
from reconciler.routing.wording import as_json, few, told
from reconciler.traefik.admission import let_in
from reconciler.traefik.covered import let_in_later
from reconciler.traefik.exposure import exposed
from reconciler.traefik.laid_open import LaidOpen
from reconciler.traefik.resident import Resident, routes_of
from reconciler.traefik.scene import Scene
from reconciler.traefik.stakes import Stakes
from reconciler.traefik.takeovers import Takeovers
from state.model import Address, Problem, Snapshot, Spec


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
    resident: Resident | None = None,
    foreseen: Observation | None = None,
) -> Effects:
    """All that going from one state of ours to another does to requests.

    `authentication` are patterns of names of middlewares that ask who is there, for those into which nobody can see.
    `public` are the entry points that the internet reaches. With `resident` the cost is that of what differs from the
    last time. `foreseen` is what Traefik will say of all that is not ours, where the same plan changes that as well.
    """
    resident = resident or Resident()
    states = before.ours, after
    scene = resident.scene(Scene(instance, observed, tuple(authentication), frozenset(public), states))
    was, will_be = resident.sides(scene, before.ours, after)
    if foreseen is not None and foreseen is not observed:
        will_be = Scene(instance, foreseen, tuple(authentication), frozenset(public), states).serving(after)
    sorts, stakes = diff(was, will_be), Stakes(instance, was, will_be, after)
    gone = dict.fromkeys((*moved(was.table, will_be.table), *_cut_off(sorts.classes, was)))
    (routes, left), earlier = resident.routes(scene, before.ours, after), routes_of(scene, before.earlier)
    return Effects(
        all=tuple(_effect(instance, change, was, will_be, stakes) for change in sorts.classes),
        gone=tuple(_gone(instance, was, will_be, gone, stakes, before.ours)),
        let_in=(
            *let_in(instance, sorts.classes, was, will_be, stakes),
            *LaidOpen(instance, was, will_be, stakes).among(sorts.classes),
            *let_in_later(scene, before.ours, after),
        ),
        taken=tuple(Takeovers(instance, before.ours.keys(), after.keys(), will_be, stakes).among(sorts.classes)),
        reached=tuple(_reached(instance, was, will_be, stakes)) if public else (),
        lately=tuple(sorted(earlier.names.keys() - routes.names.keys() - left.names.keys())),
        hosts=len(routes.names),
        routes=len(routes.known) + len(earlier.known.keys() - routes.known.keys()),
        left=len(left.known),
        problems=tuple(_problems(instance, _findings(scene, was, will_be, sorts, after), was, will_be)),
        notes=scene.notes,
    )


def explained(instance: str, observed: Observation, asked: Asked) -> dict[str, Any]:
    """Which router of a running Traefik serves a request, and why: as data, with `words` for people.

    Raises UnknownEntryPoint.
    """
    found = table_of(instance, observed, observed.live)
    answer = found.answer(asked.request, asked.server_name)
    return {**answer_json(answer), "words": list(answer_lines(answer, found, asked.request))}


def table_of(instance: str, observed: Observation, ours: Snapshot) -> Table:
    """Everything that serves with this state of ours, what others have as it was observed."""
    return Scene(instance, observed, states=(ours,)).serving(ours).table


# ── hosts without a route ────────────────────────────────────────────────────────────────────────


def _cut_off(changes: Iterable[Change], was: Serving) -> Iterator[Router]:
    """Routers that get no request for a host though they stay: TCP has the connection, it is closed, or they are shut.

    What is answered 404 is so for want of something that an entry point gives to every router.
    """
    for change in changes:
        if change.before and change.after and change.after.kind in ("tcp", "closed", "misdirected", "not found"):
            names = {qualified(one.router) for one in change.before.chances if one.kind == "served"}
            yield from (one for one in named(was.table, sorted(names)) if one.protocol == "http")


def _gone(
    instance: str, was: Serving, will_be: Serving, moved: Iterable[Router], stakes: Stakes, ours: Snapshot
) -> Iterator[Gone]:
    losing: dict[str, tuple[Name, list[Router]]] = {}
    for router in moved:
        for name in names(router, partial(named, was.table)):
            losing.setdefault(name.text, (name, []))[1].append(router)
    for name, routers in losing.values():
        theirs = any(Address(instance, f"{one.protocol}.routers", plain_name(one.name)) not in ours for one in routers)
        for words, other in _lost(routers, name, was, will_be):
            yield Gone(
                host=name.told,
                route=_address(instance, routers[0]),
                told=words,
                theirs=theirs,
                stake=stakes.of_routers(routers, other),
            )


def _reached(instance: str, was: Serving, will_be: Serving, stakes: Stakes) -> Iterator[Reached]:
    """Names that routers which come or change answer for at public entry points, where no router of that name did."""
    for router in moved(will_be.table, was.table):
        here = {door.name for door in will_be.table.doors_of(router)}  # a child listens where its parents do
        for name in names(router, partial(named, will_be.table)):
            new = places(will_be, name, doubted=True) - places(was, name, doubted=False)
            there = {door for door, _ in new if door in will_be.public and (router.parents or door in here)}
            for door in sorted(there):
                route = _address(instance, router)
                yield Reached(
                    host=name.told,
                    route=route,
                    entry_point=door,
                    certain=not was.unseen,
                    stake=stakes.of_routers([router]),
                )


def _lost(
    routers: Iterable[Router], name: Name, was: Serving, will_be: Serving
) -> Iterator[tuple[str, Treatment | None]]:
    """That a name has no route any more at some places, in words, and who answers there instead."""
    answered = places(was, name, doubted=True)
    left = places(will_be, name, doubted=False) if answered else frozenset()
    lost = sorted(answered - left)
    if not lost:
        return
    other = stand_in(will_be, name, lost[0])
    known_by = {plain_name(one.name) for one in routers}
    if other and not left and any(one.router in known_by for one in other.chances):
        return  # the rule of one says the same in other words
    if places(will_be, name, doubted=True).issuperset(lost):
        if not places(was, name, doubted=False).isdisjoint(lost):  # else nobody could tell before either
            yield f"{name.told} may no longer be served; nobody can tell", None
    else:
        yield f"{name.told} would {_left(lost, left, other, will_be.unseen)}", other


def _left(lost: Iterable[Place], left: Collection[Place], other: Treatment | None, unseen: str) -> str:
    """What a host comes to that a route no longer answers for at some places."""
    if left:
        still = {door for door, _ in left}
        doors = {door for door, _ in lost} - still
        halves = {f"{door} {'over' if tls else 'without'} TLS" for door, tls in lost}
        return f"no longer be served on {', '.join(sorted(doors or halves))}"
    if other:
        takers = " or ".join(f"`{one.router}`" for one in other.chances)
        return f"no longer have a route of its own; {takers} would answer"
    return f"lose its route; nobody can tell who else answers: {unseen}" if unseen else "no longer be served"


# ── what is wrong with the routes that change ────────────────────────────────────────────────────


def _findings(scene: Scene, was: Serving, will_be: Serving, sorts: Changes, after: Snapshot) -> Findings:
    """What is wrong with the routers that change, among all others."""
    one, other = was.table, will_be.table
    changed = {router.name for router in (*moved(one, other), *moved(other, one))}
    by_door = {str(door.get("name")): certificate_asked(door.get("http")) for door in scene.observed.doors}
    certificates = Certificates(asked=_AskedByRouters(scene.instance, after), by_door=by_door)
    return check_change(was, will_be, changed, changes=sorts, certificates=certificates)


@dataclass(frozen=True)
class _AskedByRouters(Mapping[str, CertificateAsked]):
    """The certificates that our routers ask for, by qualified name; each worked out when somebody wants to know."""

    instance: str
    ours: Snapshot

    def __getitem__(self, name: str) -> CertificateAsked:
        if not name.endswith("@file"):
            raise KeyError(name)
        return certificate_asked(self.ours[Address(self.instance, "http.routers", plain_name(name))])

    def __iter__(self) -> Iterator[str]:
        return (f"{address.name}@file" for address in self.ours if address.kind == "http.routers")

    def __len__(self) -> int:
        return sum(address.kind == "http.routers" for address in self.ours)


def certificate_asked(spec: Spec) -> CertificateAsked:
    """The certificate that a router, or the HTTP part of an entry point, asks for."""
    tls = reading.value_at(spec, "tls")
    domains = reading.value_at(tls, "domains")
    listed = domains if isinstance(domains, list) else []
    names = (name for one in listed for key in ("main", "sans") for name in reading.texts(reading.value_at(one, key)))
    return CertificateAsked(str(reading.value_at(tls, "certResolver") or ""), tuple(names))


def _problems(instance: str, findings: Iterable[Finding], was: Serving, will_be: Serving) -> Iterator[Problem]:
    """What refuses the change, or what a person should see before it; the rest is in the effects."""
    for finding in findings:
        if finding.severity != "info":
            route = _route(instance, finding.subject, _protocol(finding, was, will_be))
            yield Problem(message=str(finding), address=route, severity=finding.severity)


def _protocol(finding: Finding, was: Serving, will_be: Serving) -> str:
    """Of the router that a finding is about: routers of HTTP and of TCP may have one name."""
    name = finding.subject if "@" in finding.subject else f"{finding.subject}@file"
    protocols = {router.protocol for serving in (was, will_be) for router in named(serving.table, [name])}
    if len(protocols) > 1 and finding.witness is not None and not finding.outcome:
        return "tcp" if will_be.treatment(finding.witness).by_tcp else "http"
    return next(iter(protocols), "http")


# ── sorts of requests ────────────────────────────────────────────────────────────────────────────


def _effect(instance: str, change: Change, was: Serving, will_be: Serving, stakes: Stakes) -> Effect:
    return Effect(
        told=told(change),
        host=few(change.hosts),
        hosts=change.hosts,
        entry_point=change.entry_point,
        before=_answering(instance, change.before, was, change.hosts),
        after=_answering(instance, change.after, will_be),
        exposed=tuple(exposed(change, was, will_be)),
        unknown=change.unknown,
        odd=change.witness is not None and not is_ordinary(change.witness),
        stake=stakes.of_change(change),
        data=as_json(change),
    )


def _answering(
    instance: str, treatment: Treatment | None, serving: Serving, hosts: tuple[str, ...] | None = None
) -> Answering:
    """Who answers; with `hosts` a way to https counts as asking only where somebody asks there."""
    if treatment is None or treatment.kind == "unknown":
        return Answering(known=False)
    if not treatment.served:
        return Answering()
    routes = [_named(instance, one) for one in treatment.chances]
    asks = not serving.is_open(treatment) if hosts is None else asked_for(serving, treatment, hosts)
    return Answering(routes=tuple(routes), asks=asks)


def _named(instance: str, treatment: Treatment) -> str:
    return _route(instance, treatment.router, "tcp" if treatment.kind == "tcp" else "http")


def _route(instance: str, name: str, protocol: str = "http") -> str:
    return str(Address(instance, f"{protocol}.routers", name))


def _address(instance: str, router: Router) -> str:
    return _route(instance, plain_name(router.name), router.protocol)
