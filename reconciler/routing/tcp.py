"""TCP routers, and which of TCP and HTTP takes a connection of one entry point.

Without TLS any TCP router that matches takes the connection, whatever HTTP routers there are. Over TLS the server
name decides: an HTTP router for that very host, then a TCP router that asks for something, then HTTP routers
without a host, then TCP's HostSNI(`*`). HTTP routers claim their hosts here even where they are disabled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from reconciler.routing import oldrules
from reconciler.routing.choosing import plain_name, rank
from reconciler.routing.claims import DEFAULT, EVERYTHING, Claims, Listener, asked_for
from reconciler.routing.evaluate import Rule, TooLarge, compile_rule, server_name
from reconciler.routing.grammar import OLD_TCP, parse_loosely
from reconciler.routing.matchers import ALPN, Loose
from reconciler.routing.request import Connection
from reconciler.routing.routers import HIGHEST_PRIORITY, Router
from reconciler.routing.rules import ParseError, conditions
from reconciler.routing.urls import Release

_CATCH_ALL: Final = Loose("HostSNI", (EVERYTHING,))
_OFFERS: Final = ((), ("http/1.1",), ("h2", "http/1.1"))
"""What clients of HTTP may offer in a handshake."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """Who takes a connection: HTTP, with the TLS `options` of the handshake, or a TCP router, or nobody (`closed`).

    `tied` and `unknown` as in an answer; with HTTP `unknown` is about the options alone.
    """

    by_http: bool = False
    closed: bool = False
    options: str = DEFAULT
    router: Router | None = None
    candidates: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()
    unknown: str = ""
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Route:
    """A TCP router that takes connections; without a `rule` it is `opaque`, and nobody can tell which."""

    router: Router
    rule: Rule | None
    priority: int
    precedence: int
    catch_all: bool
    opaque: str = ""
    hosts: frozenset[str] | None = None
    """The server names to which an opaque one keeps."""

    @property
    def key(self) -> tuple[int, int]:
        return self.priority, self.precedence


@dataclass(frozen=True)
class _Match:
    """What TCP routers make of a connection: those that match, the first to be asked first, and who may."""

    routes: tuple[Route, ...] = ()
    unknown: str = ""

    @property
    def tied(self) -> tuple[Route, ...]:
        return tuple(one for one in self.routes if one.key == self.routes[0].key)


class Connections:
    """All that decides who takes a connection of one entry point: its TCP routers, and its HTTP routers with TLS."""

    def __init__(
        self, tcp: Iterable[Router], https: Iterable[Listener], *, release: Release, precedence: Sequence[str] = ()
    ) -> None:
        self.disabled: dict[str, str] = {}
        self._release = release
        self._precedence = precedence
        self.claims = Claims(https, release)
        routes = [route for router in tcp if (route := self._route(router))]
        self.routes = tuple(sorted(routes, key=lambda one: (-one.priority, -one.precedence, one.router.name)))

    def matter(self, tls: bool) -> bool:
        """Whether a connection may go elsewhere than to HTTP with the default options."""
        return bool(self.routes) or (tls and self.claims.differ)

    def take(self, server_name: str, client_ip: str, *, tls: bool) -> Taken:
        """Who takes a connection; `server_name` as in the TLS handshake, "" for none."""
        if not tls or (self._plain and not self._encrypted and not self.claims.exist):
            return self._first(self._plain, "", client_ip) or self._http(server_name, tls)
        if self.claims.meant(server_name):
            return self._http(server_name, tls)
        match = self._match(self._encrypted, server_name, client_ip)
        if match.unknown:
            return Taken(unknown=match.unknown, reason=match.unknown)
        if not match.routes:
            return self._http(server_name, tls)
        if self.claims.unread:
            return Taken(unknown=self.claims.unread, reason=self.claims.unread)
        specific = any(not one.catch_all for one in match.tied)
        return self._told(match) if specific or not self.claims.everything else self._http(server_name, tls)

    # ── routes ───────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _plain(self) -> tuple[Route, ...]:
        return tuple(route for route in self.routes if not route.router.tls)

    @cached_property
    def _encrypted(self) -> tuple[Route, ...]:
        return tuple(route for route in self.routes if route.router.tls)

    def _route(self, router: Router) -> Route | None:
        if router.disabled and not router.broken_tls:
            self.disabled[router.name] = router.disabled
            return None
        found = self._compiled(router)
        if isinstance(found, str):
            self.disabled[router.name] = found
            return None
        if router.broken_tls:
            self.disabled[router.name] = router.disabled or "its TLS options do not exist"
        return found

    def _compiled(self, router: Router) -> Route | str:
        """A route, or why there is none."""
        if not router.service or (router.unserved and not router.broken_tls):
            return router.unserved or "it has no service"
        if not router.accepted and router.priority > HIGHEST_PRIORITY:
            return f"its priority is higher than {HIGHEST_PRIORITY}"
        place = rank(router.name, self._precedence)
        length = router.priority or len(router.rule.encode())
        try:
            loose = parse_loosely(router.rule, OLD_TCP)
            old = router.syntax == oldrules.SYNTAX
            rule = None if old else compile_rule(router.rule, "tcp", self._release)
        except ParseError as error:
            if router.accepted or isinstance(error, TooLarge):
                words = f"its rule is not understood here: {error}"
                return Route(router, None, length, place, False, words)
            return f"its rule is none: {error}"
        if not router.tls and next(asked_for(loose, "HostSNI"), EVERYTHING) != EVERYTHING:
            return "it asks for a server name and has no TLS, without which no client says one"
        catch_all = loose == _CATCH_ALL
        if rule is None:
            priority = router.priority or (-1 if catch_all else length)
            return Route(router, None, priority, place, catch_all, oldrules.OPAQUE, oldrules.hosts_of(loose))
        return Route(router, rule, router.priority or rule.priority, place, catch_all)

    def _first(self, routes: Sequence[Route], server_name: str, client_ip: str) -> Taken | None:
        match = self._match(routes, server_name, client_ip)
        if match.unknown:
            return Taken(unknown=match.unknown, reason=match.unknown)
        return self._told(match) if match.routes else None

    def _match(self, routes: Sequence[Route], server_name: str, client_ip: str) -> _Match:
        offers = _OFFERS if any(_asks_protocol(route) for route in routes) else _OFFERS[:1]
        found = [_matching(routes, Connection(server_name, client_ip, offer)) for offer in offers]
        if any(one.unknown or one.routes[:1] != found[0].routes[:1] for one in found):
            words = next((one.unknown for one in found if one.unknown), "")
            return _Match(found[0].routes, words or "it depends on the protocols that the client offers (ALPN)")
        return found[0]

    def _told(self, match: _Match) -> Taken:
        first, names = match.routes[0], tuple(route.router.name for route in match.routes)
        shown = plain_name(first.router.name)
        if len(match.tied) > 1:
            tied = tuple(route.router.name for route in match.tied)
            words = f"the TCP routers {', '.join(map(plain_name, tied))} match with the same priority {first.priority}"
            return Taken(candidates=names, tied=tied, reason=f"{words}: chance decides at every reload")
        if first.router.broken_tls:
            words = f"the TCP router {shown} has TLS options that do not exist: Traefik closes the connection"
            return Taken(closed=True, candidates=names, reason=words)
        words = f"the TCP router {shown} takes the whole connection, so that no HTTP router is asked"
        return Taken(router=first.router, candidates=names, reason=words)

    def options_of(self, router: Router) -> str:
        """The TLS options with which a connection must have been made for this HTTP router."""
        return self.claims.of_router(router.name)

    def _http(self, server_name: str, tls: bool) -> Taken:
        if not tls:
            return Taken(by_http=True)
        options = self.claims.of_connection(server_name)
        if len(options) > 1:
            words = f"the TLS options for {server_name} change with every reload: several routers for it differ"
            return Taken(by_http=True, unknown=words)
        if self.claims.unread and self.claims.differ:
            return Taken(by_http=True, unknown=self.claims.unread)
        (name,) = options
        if name is None:
            hosts = self.claims.meant(server_name)
            words = f"the TLS options of the routers for {hosts[0] if hosts else 'all hosts'} do not exist"
            return Taken(closed=True, reason=f"{words}: Traefik closes the connection")
        return Taken(by_http=True, options=name)


def _matching(routes: Sequence[Route], connection: Connection) -> _Match:
    matched: list[Route] = []
    for route in routes:
        if route.opaque:
            if not _is_near(route, connection):
                continue
            if not matched or route.key >= matched[0].key:
                return _Match(tuple(matched), f"{plain_name(route.router.name)} may take it: {route.opaque}")
        elif route.rule is not None and route.rule.matches(connection):
            matched.append(route)
    return _Match(tuple(matched))


def _is_near(route: Route, connection: Connection) -> bool:
    """Whether an opaque route may take a connection, as far as the names to which it keeps tell."""
    name = server_name(connection).rstrip(".")
    return route.hosts is None or not route.hosts.isdisjoint((name, "." + name.partition(".")[2]))


def _asks_protocol(route: Route) -> bool:
    return route.rule is not None and any(isinstance(part, ALPN) for part in conditions(route.rule.node))
