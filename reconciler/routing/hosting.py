"""Which host names are answered, and where: by routers that ask for them by name, and really get their requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from reconciler.routing import rules
from reconciler.routing.decide import Found, Nothing, find
from reconciler.routing.index import bound_of
from reconciler.routing.matchers import Host, Node
from reconciler.routing.planes import Claimant, Place, Plane, planes
from reconciler.routing.regions import Side
from reconciler.routing.request import Refused, Request
from reconciler.routing.routers import Router
from reconciler.routing.rules import ParseError
from reconciler.routing.treatments import Serving, Treatment

MOST_TRIES: Final = 20
_KINDS: Final = {"http": "served", "tcp": "tcp"}


@dataclass(frozen=True)
class Name:
    """What a router is known by: a host name, or its whole rule where it asks for none."""

    text: str
    node: Node


def names(router: Router) -> list[Name]:
    """What a router is known by. Nothing where its rule cannot be read."""
    try:
        node = rules.parse(router.rule, router.protocol)
    except ParseError:
        return []
    hosts = sorted(rules.hosts(node))
    return [Name(host, Host(host)) for host in hosts] or [Name(router.rule, node)]


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


def _known_by(one: Claimant, name: Name) -> bool:
    return not one.childless and name.text in {each.text for router in one.path for each in names(router.router)}


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
