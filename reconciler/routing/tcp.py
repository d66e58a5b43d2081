"""TCP routers, and which of TCP and HTTP takes a connection of one entry point.

Without TLS any TCP router that matches takes the connection, whatever HTTP routers there are. Over TLS the server
name decides: an HTTP router for that very host, then a TCP router that asks for something, then HTTP routers
without a host, then TCP's HostSNI(`*`). HTTP routers claim their hosts here even where they are disabled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from reconciler.routing import oldrules
from reconciler.routing.choosing import plain_name, rank
from reconciler.routing.evaluate import WILDCARDS, Rule, compile_rule
from reconciler.routing.matchers import ALPN, And, Host, HostSNI, Node, Not, Or
from reconciler.routing.request import Connection
from reconciler.routing.routers import HIGHEST_PRIORITY, Router
from reconciler.routing.rules import ParseError, matchers, parse
from reconciler.routing.urls import Release

DEFAULT: Final = "default"
_EVERYTHING: Final = "*"
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
class _Route:
    router: Router
    rule: Rule | None
    priority: int
    precedence: int
    catch_all: bool
    opaque: str = ""

    @property
    def key(self) -> tuple[int, int]:
        return self.priority, self.precedence


@dataclass(frozen=True)
class _Match:
    """What TCP routers make of a connection: those that match, the first to be asked first, and who may."""

    routes: tuple[_Route, ...] = ()
    unknown: str = ""

    @property
    def tied(self) -> tuple[_Route, ...]:
        return tuple(one for one in self.routes if one.key == self.routes[0].key)


class Connections:
    """All that decides who takes a connection of one entry point: its TCP routers, and its HTTP routers with TLS."""

    def __init__(
        self, tcp: Iterable[Router], https: Iterable[Router], *, release: Release, precedence: Sequence[str] = ()
    ) -> None:
        self.disabled: dict[str, str] = {}
        self._release = release
        self._precedence = precedence
        self._https = tuple(https)
        routes = [route for router in tcp if (route := self._route(router))]
        self._routes = tuple(sorted(routes, key=lambda one: (-one.priority, -one.precedence, one.router.name)))

    def matter(self, tls: bool) -> bool:
        """Whether a connection may go elsewhere than to HTTP with the default options."""
        return bool(self._routes) or (tls and self._has_options)

    def take(self, server_name: str, client_ip: str, *, tls: bool) -> Taken:
        """Who takes a connection; `server_name` as in the TLS handshake, "" for none."""
        if not tls or (self._plain and not self._encrypted and not self._https_routes):
            return self._first(self._plain, "", client_ip) or self._http(server_name, tls)
        specific = self._hosts_for(server_name)
        if specific:
            return self._http(server_name, tls)
        match = self._match(self._encrypted, server_name, client_ip)
        if match.unknown:
            return Taken(unknown=match.unknown, reason=match.unknown)
        if match.routes and not match.tied[0].catch_all:
            return self._told(match)
        if match.routes and any(not one.catch_all for one in match.tied):
            return self._told(match)
        if self._https_for_everything or not match.routes:
            return self._http(server_name, tls)
        return self._told(match)

    # ── routes ───────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _plain(self) -> tuple[_Route, ...]:
        return tuple(route for route in self._routes if not route.router.tls)

    @cached_property
    def _encrypted(self) -> tuple[_Route, ...]:
        return tuple(route for route in self._routes if route.router.tls)

    def _route(self, router: Router) -> _Route | None:
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

    def _compiled(self, router: Router) -> _Route | str:
        """A route, or why there is none."""
        if not router.service or (router.unserved and not router.broken_tls):
            return router.unserved or "it has no service"
        if not router.accepted and router.priority > HIGHEST_PRIORITY:
            return f"its priority is higher than {HIGHEST_PRIORITY}"
        place = rank(router.name, self._precedence)
        if router.syntax.casefold() == "v2":
            words = "its rule is in the syntax of version 2, which is not read here"
            return _Route(router, None, router.priority or len(router.rule.encode()), place, False, words)
        try:
            rule = compile_rule(router.rule, "tcp", self._release)
        except ParseError as error:
            if router.accepted:
                words = f"Traefik takes its rule, and it is not understood here: {error}"
                return _Route(router, None, router.priority or len(router.rule.encode()), place, False, words)
            return f"its rule is none: {error}"
        if not router.tls and next(_wanted(rule.node, HostSNI), _EVERYTHING) != _EVERYTHING:
            return "it asks for a server name and has no TLS, without which no client says one"
        return _Route(router, rule, router.priority or rule.priority, place, _is_catch_all(rule.node))

    def _first(self, routes: Sequence[_Route], server_name: str, client_ip: str) -> Taken | None:
        match = self._match(routes, server_name, client_ip)
        if match.unknown:
            return Taken(unknown=match.unknown, reason=match.unknown)
        return self._told(match) if match.routes else None

    def _match(self, routes: Sequence[_Route], server_name: str, client_ip: str) -> _Match:
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

    # ── HTTP over TLS ────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _wanted(self) -> Mapping[str, frozenset[str]]:
        """Host -> the TLS options that routers for it ask for."""
        found: dict[str, set[str]] = {}
        for router in self._https:
            for host in self._claims(router):
                found.setdefault(host, set()).add(router.tls_options or DEFAULT)
        return {host: frozenset(options) for host, options in found.items()}

    @property
    def _options(self) -> Mapping[str, str | None]:
        """Host -> the TLS options of connections for it, None where they do not exist."""
        return {host: min(options, key=str) for host, options in self._outcomes.items()}

    @cached_property
    def _outcomes(self) -> Mapping[str, frozenset[str | None]]:
        """Host -> the TLS options of connections for it: one, or several among which chance decides.

        None stands for options that do not exist, the host `*` for all that nobody claims.
        """
        found: dict[str, set[str | None]] = {}
        for router in self._https:
            options = self._resolved(router)
            for host in self._claims(router):
                found.setdefault(host, set()).add(None if router.broken_tls and options != DEFAULT else options)
        return {host: frozenset(options) for host, options in found.items()}

    def _resolved(self, router: Router) -> str:
        """The options that a router ends up with: its own, where no other asks for others for one of its hosts."""
        hosts = self._claims(router)
        if not hosts or any(len(self._wanted[host]) > 1 for host in hosts):
            return DEFAULT
        return router.tls_options or DEFAULT

    @cached_property
    def _claimed(self) -> Mapping[int, tuple[str, ...]]:
        return {id(router): _domains(router) for router in self._https}

    def _claims(self, router: Router) -> tuple[str, ...]:
        return self._claimed[id(router)]

    @cached_property
    def _has_options(self) -> bool:
        return any(router.tls_options not in ("", DEFAULT) or router.broken_tls for router in self._https)

    @property
    def _https_routes(self) -> bool:
        return bool(self._outcomes) or self._https_for_everything

    @cached_property
    def _https_for_everything(self) -> bool:
        """Whether an HTTP router with TLS names no host at all, or all of them."""
        return any(
            not hosts or _EVERYTHING in hosts
            for router in self._https
            if (hosts := self._claims(router)) is not None and _readable(router)
        )

    def _hosts_for(self, server_name: str) -> tuple[str, ...]:
        """The hosts of HTTP routers that a server name means, but `*`, the longest first."""
        if not server_name:
            return ()
        meant = [server_name, f"{server_name}."]
        if self._release >= WILDCARDS:
            meant.append("*." + server_name.partition(".")[2])
        found = [name for name in meant if name in self._outcomes]
        return tuple(sorted(found, key=lambda name: -len(name)))

    def _http(self, server_name: str, tls: bool) -> Taken:
        if not tls:
            return Taken(by_http=True)
        hosts = self._hosts_for(server_name)
        longest = [host for host in hosts if len(host) == len(hosts[0])]
        options = frozenset[str | None]().union(*(self._outcomes[host] for host in longest))
        options = options or self._outcomes.get(_EVERYTHING, frozenset({DEFAULT}))
        if len(options) > 1:
            words = f"the TLS options for {server_name} change with every reload: several routers for it differ"
            return Taken(by_http=True, unknown=words)
        (name,) = options
        if name is None:
            words = f"the TLS options of the routers for {hosts[0] if hosts else 'all hosts'} do not exist"
            return Taken(closed=True, reason=f"{words}: Traefik closes the connection")
        return Taken(by_http=True, options=name)

    def options_of(self, router: Router) -> str:
        """The TLS options with which a connection must have been made for this HTTP router."""
        own = self._by_name.get(router.name)
        return DEFAULT if own is None else self._resolved(own)

    @cached_property
    def _by_name(self) -> Mapping[str, Router]:
        return {router.name: router for router in self._https}


def _matching(routes: Sequence[_Route], connection: Connection) -> _Match:
    matched: list[_Route] = []
    for route in routes:
        if route.opaque:
            if not matched or route.key >= matched[0].key:
                return _Match(tuple(matched), f"{plain_name(route.router.name)} may take it: {route.opaque}")
        elif route.rule is not None and route.rule.matches(connection):
            matched.append(route)
    return _Match(tuple(matched))


def _asks_protocol(route: _Route) -> bool:
    return route.rule is not None and any(isinstance(part, ALPN) for part in matchers(route.rule.node))


def _is_catch_all(node: Node) -> bool:
    return isinstance(node, HostSNI) and node.value == _EVERYTHING


def _readable(router: Router) -> bool:
    if router.syntax.casefold() == "v2":
        return True
    try:
        parse(router.rule)
    except ParseError:
        return False
    return True


def _domains(router: Router) -> tuple[str, ...]:
    """The hosts that an HTTP router claims in handshakes: what its rule asks for and does not deny."""
    if router.syntax.casefold() == "v2":
        return tuple(sorted(oldrules.hosts_of(router.rule) or ()))
    try:
        return tuple(dict.fromkeys(_wanted(parse(router.rule), Host)))
    except ParseError:
        return ()


def _wanted(node: Node, kind: type[Host | HostSNI]) -> Iterator[str]:
    """The values of all matchers of a kind in a rule, in reading order, but for those that it denies."""
    if isinstance(node, kind):
        yield node.value.lower()
    elif isinstance(node, And | Or):
        for part in node.parts:
            yield from _wanted(part, kind)
    elif isinstance(node, Not):
        yield from _denied(node.part, kind)


def _denied(node: Node, kind: type[Host | HostSNI]) -> Iterator[str]:
    """What a denial leaves standing: a denial of a denial."""
    if isinstance(node, Not):
        yield from _wanted(node.part, kind)
    elif isinstance(node, And | Or):
        for part in node.parts:
            yield from _denied(part, kind)
