"""Which host names are answered, and where: by routers that ask for them by name, and really get their requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from reconciler.routing import rules
from reconciler.routing.decide import Found, Nothing, find
from reconciler.routing.definitions import qualified
from reconciler.routing.index import bound_of
from reconciler.routing.matchers import And, Host, HostRegexp, HostSNIRegexp, Node, Path, PathPrefix
from reconciler.routing.naming import EVERY, hosts_of
from reconciler.routing.patterns import finder, pattern_fault
from reconciler.routing.planes import ANYTHING, Claimant, Place, Plane, planes
from reconciler.routing.regions import Side
from reconciler.routing.request import Refused, Request
from reconciler.routing.revising import named as routers_of
from reconciler.routing.routers import Router
from reconciler.routing.rules import ParseError
from reconciler.routing.treatments import Serving, Treatment

MOST_TRIES: Final = 20
_KINDS: Final = {"http": "served", "tcp": "tcp"}
_STRANGER: Final = "stranger.example"
_UNNAMED: Final = "hosts that no other route names"

Named = Callable[[Iterable[str]], Iterable[Router]]
"""The routers of these qualified names, as far as there are any."""


@dataclass(frozen=True)
class Name:
    """What a router is known by: a host that it names, or its whole rule where it names none. `told`: in words."""

    text: str
    node: Node
    told: str


def names(router: Router, named: Named) -> list[Name]:
    """What a router is known by: its hosts, else those of its parents, else its rule; nothing if none can be read."""
    family = list(_upwards(router, named, set()))
    for one in family:
        if hosts := hosts_of(one):
            return [Name(host, Host(host), host) for host in hosts]
    return [name for one in family[-1:] for name in _by_rule(one)]


def _upwards(router: Router, named: Named, seen: set[str]) -> Iterator[Router]:
    """The router, its parents, theirs, and so on."""
    if router.name not in seen:
        seen.add(router.name)
        yield router
        for parent in named(router.parents):
            yield from _upwards(parent, named, seen)


def _by_rule(router: Router) -> Iterator[Name]:
    try:
        node = rules.parse(router.rule, router.protocol)
    except ParseError:
        return
    patterns = [part.value for part in rules.conditions(node) if isinstance(part, HostRegexp | HostSNIRegexp)]
    narrow = [one for one in patterns if pattern_fault(one) or not (finder(one)("") or finder(one)(_STRANGER))]
    hosts, path = f"hosts that match `{narrow[0]}`" if narrow else EVERY, _path(node)
    told = f"{path} for {hosts}" if path else hosts if narrow else _UNNAMED
    yield Name(router.rule, node if router.protocol == "http" else ANYTHING, told)


def _path(node: Node) -> str:
    match node:
        case Path(value) | PathPrefix(value):
            return "" if value == "/" else value
        case And(parts):
            return next(filter(None, map(_path, parts)), "")
    return ""


def places(serving: Serving, name: Name, *, doubted: bool) -> frozenset[Place]:
    """Where a router known by this name answers some request for it. `doubted`: the answer where nobody can tell."""
    bound = bound_of(name.node)
    return frozenset(
        place
        for place, plane in planes(serving.table).items()
        if any(_answers(serving, plane, one, name, doubted) for one in plane.near(bound) if _known_by(one, name))
    )


def stand_in(serving: Serving, name: Name, place: Place) -> Treatment | None:
    """Who answers a request for this name there, whoever it is; None where nobody does or nobody can tell."""
    found = find((name.node,))
    if not isinstance(found, Found):
        return None
    treatment = serving.treatment(_at(found.witness, place))
    return treatment if treatment.served else None


def treatments_for(serving: Serving, host: str, place: Place) -> Iterable[Treatment] | None:
    """What becomes of requests for a host there, one by each router that may get some; None where those are too many.

    Nothing where no router names the host.
    """
    plane = planes(serving.table).get(place)
    node = Host(host)
    near = plane.near(bound_of(node)) if plane else []
    if not any(one.bound.hosts is not None for one in near):
        return ()
    return _each(serving, near, node, place) if len(near) <= MOST_TRIES else None


def answers(serving: Serving, router: str) -> bool:
    """Whether a router, by its name as answers give it, still gets a request by any of its names, or may."""
    return any(
        _answers(serving, plane, one, name, True)
        for plane in planes(serving.table).values()
        for one in plane.through(qualified(router))
        for name in names(one.last.router, partial(routers_of, serving.table))
    )


def asked_for(serving: Serving, treatment: Treatment, hosts: Iterable[str]) -> bool:
    """Whether somebody asks who is there before these hosts, each perhaps with a path, are served so.

    Who is only sent to https is asked as much as those who come that way.
    """
    if serving.is_open(treatment) or not serving.sends_away(treatment):
        return not serving.is_open(treatment)
    return any(
        _asked_at(serving, host.partition("/")[0], place)
        for place in planes(serving.table)
        if place[1]
        for host in hosts
    )


def _asked_at(serving: Serving, host: str, place: Place) -> bool:
    """Whether anybody is asked for some request for this host there, as far as can be told."""
    plane = planes(serving.table)[place]
    by_name = host and " " not in host
    near = plane.near(bound_of(Host(host))) if by_name else plane.claimants
    return any(not one.childless and not serving.is_open(serving.of_claimant(one, place)) for one in near)


def _each(serving: Serving, near: Iterable[Claimant], node: Node, place: Place) -> Iterator[Treatment]:
    for one in near:
        found = find((node, *one.nodes))
        if isinstance(found, Found):
            yield serving.treatment(_at(found.witness, place))
        elif not isinstance(found, Nothing):
            yield Treatment(kind="unknown", tls=place[1], why=found.reason)


def _known_by(one: Claimant, name: Name) -> bool:
    if one.childless:
        return False
    return any(name.text in (hosts_of(each.router) or (each.router.rule,)) for each in one.path)


def _answers(serving: Serving, plane: Plane, one: Claimant, name: Name, doubted: bool) -> bool:
    """Whether some request for the name ends with this one, or with another of that name."""
    door, router = serving.table.entry_points[plane.place[0]], one.last.router
    side, none_of = Side(one, plane, door.door, serving.table.release), list[Node]()
    for _ in range(MOST_TRIES):
        found = find((name.node, *one.nodes), none_of)
        if not isinstance(found, Found):
            return not isinstance(found, Nothing) and doubted
        request = _at(found.witness, plane.place)
        seen, treatment = side.seen(request), serving.treatment(request)
        if treatment.kind == "unknown" or isinstance(seen, Refused):
            return doubted
        if any(each.router == one.last.shown and each.kind == _KINDS[router.protocol] for each in treatment.chances):
            return True
        thief = side.taken_by(seen)
        if thief is None:
            return False
        none_of.append(thief)
    return doubted


def _at(request: Request, place: Place) -> Request:
    return replace(request, entry_point=place[0], tls=place[1])
