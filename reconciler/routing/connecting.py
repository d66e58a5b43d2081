"""Who takes a connection, told in rules about requests: TCP routers as if they stood before all HTTP routers.

A client names in its TLS handshake the host that it asks for, so what TCP rules ask of the server name can be asked
of the host. Where a TCP rule asks for more than that, its router is opaque.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from reconciler.routing.choosing import Layer, Ranked, plain_name
from reconciler.routing.claims import EVERYTHING, Claims
from reconciler.routing.evaluate import Rule
from reconciler.routing.matchers import And, ClientIP, HostRegexp, HostSNI, HostSNIRegexp, Node, Not, Or
from reconciler.routing.patterns import finder
from reconciler.routing.table import Table
from reconciler.routing.tcp import Route

ABOVE_HTTP: Final = 2**66
"""Added to the priority of a TCP router, so that it stands before every HTTP router."""
_EVERYTHING: Final = HostRegexp(".*")
_NOTHING: Final = Not(_EVERYTHING)
_NAMELESS: Final = Or((HostRegexp(":"), HostRegexp("^[0-9.]+$"), Not(HostRegexp("."))))
"""Hosts that no client names in a handshake: addresses, and none at all."""
_MOST_CLAIMS: Final = 200


def stripped(host: str) -> str:
    """An expression for a host (`.a.test` for `*.a.test`), however many dots it ends with."""
    label = "[^.]*" if host.startswith(".") else ""
    return rf"^{label}{re.escape(host)}\.*$"


def by_tcp(table: Table, door: str) -> list[bool]:
    """Of the plain and the TLS connections of an entry point, those that a TCP router may take."""
    if door not in table.connections:
        return []
    return [tls for tls in (False, True) if table.connections[door].matter(tls) and _tcp(table, door, tls)]


def layer(table: Table, place: tuple[str, bool]) -> Layer:
    """All routers of a place, TCP first."""
    door, tls = place
    http = table.layers.get(place)
    if not table.connections[door].matter(tls):
        return http or Layer(())
    return Layer([*(http.ranked if http else ()), *_tcp(table, door, tls)])


def options(table: Table, place: tuple[str, bool]) -> list[Node]:
    """The hosts for which it counts with which TLS options a connection is made."""
    return [claim(host) for host in _claimed(table.connections[place[0]].claims)] if differ(table, place) else []


def differ(table: Table, place: tuple[str, bool]) -> bool:
    """Whether connections of a place are made with different TLS options, or cut off for want of them."""
    door, tls = place
    return tls and door in table.connections and table.connections[door].claims.differ


def claim(host: str) -> Node:
    """Requests over connections that are made for a host of HTTP routers."""
    name = host.removesuffix(".")
    pattern = HostRegexp(stripped(name[1:] if name.startswith("*.") else name))
    return And((pattern, Not(_NAMELESS)))


def claims(table: Table, door: str) -> Mapping[str, frozenset[str | None]]:
    """The hosts that HTTP routers with TLS name -> what TLS options connections for them have."""
    return table.connections[door].claims.options


def _claimed(claims: Claims) -> list[str]:
    return [host for host in claims.options if host != EVERYTHING]


# ── TCP routers ──────────────────────────────────────────────────────────────────────────────────


def _tcp(table: Table, door: str, tls: bool) -> list[Ranked]:
    connections = table.connections[door]
    plain, encrypted = ([one for one in connections.routes if one.router.tls is wanted] for wanted in (False, True))
    claims = connections.claims
    if not tls or not (encrypted or claims.exist):
        return [_ranked(one, _asked(one, nameless=True)) for one in plain]
    return list(_encrypted(encrypted, claims))


def _encrypted(routes: list[Route], claims: Claims) -> Iterator[Ranked]:
    """What TCP takes of TLS connections: nothing of hosts that HTTP routers name, and by `*` what HTTP leaves."""
    wide = max((one.key for one in routes if one.catch_all), default=None)
    for one in routes:
        asked = _asked(one, nameless=False)
        if one.catch_all and claims.everything:
            beside = [_asked(other, nameless=False) for other in routes if other.key == one.key and other is not one]
            asked = _any([node for node in beside if node is not None]) if None not in beside else None
        elif claims.everything and wide is not None and one.key < wide:
            asked = _NOTHING
        yield _ranked(one, _left(asked, claims), one.hosts)


def _left(asked: Node | None, claims: Claims) -> Node | None:
    """What is asked without the hosts that HTTP routers name; None where those are too many to say, or not known."""
    claimed = _claimed(claims)
    if asked is None or claims.unread or len(claimed) > _MOST_CLAIMS:
        return None
    return And((asked, *(Not(claim(host)) for host in claimed))) if claimed else asked


def _ranked(one: Route, asked: Node | None, hosts: frozenset[str] | None = None) -> Ranked:
    """A TCP router as one of HTTP; `asked` None: nobody can tell in terms of a request."""
    rule = None if asked is None else Rule(one.router.rule, asked, one.priority)
    words = one.opaque or "what it takes of the connections here cannot be told from a request"
    return Ranked(
        router=one.router,
        rule=rule,
        priority=one.priority + ABOVE_HTTP,
        opaque="" if rule else words,
        precedence=one.precedence,
        hosts=None if rule else hosts,
        middlewares=tuple(map(plain_name, one.router.middlewares)),
    )


def _asked(one: Route, *, nameless: bool) -> Node | None:
    return None if one.rule is None else _of_host(one.rule.node, nameless)


def _of_host(node: Node, nameless: bool) -> Node | None:
    """A TCP rule as one about the host of a request; `nameless`: no connection has a server name."""
    match node:
        case And(parts) | Or(parts):
            found = [_of_host(part, nameless) for part in parts]
            return None if None in found else type(node)(tuple(one for one in found if one is not None))
        case Not(part):
            inner = _of_host(part, nameless)
            return None if inner is None else Not(inner)
        case ClientIP():
            return node
        case HostSNI("*"):
            return _EVERYTHING
        case HostSNI(value):
            return _NOTHING if nameless else claim(value.lower())
        case HostSNIRegexp(value) if nameless:
            return _EVERYTHING if finder(value)("") else _NOTHING
    return _NOTHING if nameless else None


def _any(nodes: Iterable[Node]) -> Node:
    found = tuple(nodes)
    return Or(found) if len(found) > 1 else found[0] if found else _NOTHING
