"""Who takes a connection, told in rules about requests: TCP routers as if they stood before all HTTP routers.

A client names in its TLS handshake the host that it asks for, so what TCP rules ask of the server name can be asked
of the host. Where a TCP rule asks for more than that, its router is opaque.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.routing.choosing import Layer, Ranked, plain_name, rank
from reconciler.routing.evaluate import Rule, compile_rule, http_test
from reconciler.routing.grammar import ParseError
from reconciler.routing.matchers import And, ClientIP, HostRegexp, HostSNI, HostSNIRegexp, Node, Not, Or
from reconciler.routing.patterns import finder
from reconciler.routing.routers import Router
from reconciler.routing.table import Table

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
    door, tls = place
    if not tls or not table.connections[door].matter(tls) or not _has_options(table, door):
        return []
    return [claim(host) for host in _claimed(table, door)]


def _has_options(table: Table, door: str) -> bool:
    return any(router.tls_options not in ("", "default") or router.broken_tls for router in _https(table, door))


def claim(host: str) -> Node:
    """Requests over connections that are made for a host of HTTP routers."""
    name = host.removesuffix(".")
    pattern = HostRegexp(stripped(name[1:] if name.startswith("*.") else name))
    return And((pattern, Not(_NAMELESS)))


def _https(table: Table, door: str) -> Iterator[Router]:
    for router in table.routers:
        if router.protocol == "http" and not router.parents:
            yield from (router for one in table.doors_of(router) if one.name == door and (router.tls or one.tls))


def claims(table: Table, door: str) -> Mapping[str, object]:
    """The hosts that HTTP routers with TLS name -> what TLS options connections for them have."""
    return table.connections[door]._options


def _claimed(table: Table, door: str) -> list[str]:
    return [host for host in claims(table, door) if host != "*"]


# ── TCP routers ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Route:
    router: Router
    rule: Rule | None
    priority: int
    precedence: int
    opaque: str

    @property
    def key(self) -> tuple[int, int]:
        return self.priority, self.precedence

    @property
    def catches_all(self) -> bool:
        return self.rule is not None and self.rule.node == HostSNI("*")


def _tcp(table: Table, door: str, tls: bool) -> list[Ranked]:
    routes = [_route(table, router) for router in _listening(table, door)]
    plain, encrypted = ([one for one in routes if one.router.tls is wanted] for wanted in (False, True))
    if not tls:
        return [_ranked(one, _asked(one, nameless=True)) for one in plain]
    everything = table.connections[door]._https_for_everything
    if not encrypted and not everything and not _claimed(table, door):
        return [_ranked(one, _asked(one, nameless=True)) for one in plain]
    return list(_encrypted(encrypted, _claimed(table, door), everything))


def _listening(table: Table, door: str) -> Iterator[Router]:
    for router in table.routers:
        off = router.name in table.disabled and not router.broken_tls
        if router.protocol == "tcp" and not off and any(one.name == door for one in table.doors_of(router)):
            yield router


def _route(table: Table, router: Router) -> _Route:
    place = rank(router.name, table.precedence)
    length = router.priority or len(router.rule.encode())
    if router.syntax.casefold() == "v2":
        return _Route(router, None, length, place, "its rule is in the syntax of version 2, which is not read here")
    try:
        rule = compile_rule(router.rule, "tcp", table.release)
    except ParseError as error:
        return _Route(router, None, length, place, f"Traefik takes its rule, and it is not understood here: {error}")
    return _Route(router, rule, router.priority or rule.priority, place, "")


def _encrypted(routes: list[_Route], claimed: list[str], everything: bool) -> Iterator[Ranked]:
    """What TCP takes of TLS connections: nothing of hosts that HTTP routers name, and by `*` what HTTP leaves."""
    wide = max((one.key for one in routes if one.catches_all), default=None)
    for one in routes:
        asked = _asked(one, nameless=False)
        if one.catches_all and everything:
            beside = [_asked(other, nameless=False) for other in routes if other.key == one.key and other is not one]
            asked = _any([node for node in beside if node is not None]) if None not in beside else None
        elif everything and wide is not None and one.key < wide:
            continue
        yield _ranked(one, _left(asked, one, claimed))


def _left(asked: Node | None, one: _Route, claimed: list[str]) -> Node | None:
    """What is asked without the hosts that HTTP routers name; None where those are too many to say so."""
    if asked is None:
        return None
    relevant = claimed if one.rule is None or len(claimed) <= _MOST_CLAIMS else None
    if relevant is None:
        return None
    return And((asked, *(Not(claim(host)) for host in relevant))) if relevant else asked


def _ranked(one: _Route, asked: Node | None) -> Ranked:
    """A TCP router as one of HTTP; `asked` None: nobody can tell in terms of a request."""
    rule = None if asked is None else Rule(one.router.rule, asked, one.priority, http_test(asked))
    words = one.opaque or "what it takes of the connections here cannot be told from a request"
    return Ranked(
        router=one.router,
        rule=rule,
        priority=one.priority + ABOVE_HTTP,
        opaque="" if rule else words,
        precedence=one.precedence,
        middlewares=tuple(map(plain_name, one.router.middlewares)),
    )


def _asked(one: _Route, *, nameless: bool) -> Node | None:
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
