"""Which server names HTTP routers claim in TLS handshakes, and with which TLS options the connections are made.

Traefik reads these names from rules before it looks closer: a router claims its hosts though it be disabled for an
argument too many, and rules of either syntax claim alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final, NamedTuple

from reconciler.routing import matchers
from reconciler.routing.choosing import plain_name
from reconciler.routing.evaluate import WILDCARDS
from reconciler.routing.grammar import OLD_HTTP, ParseError, TooLarge, parse_loosely
from reconciler.routing.matchers import And, Loose, Node, Not, Or
from reconciler.routing.routers import Router
from reconciler.routing.urls import Release

DEFAULT: Final = "default"
EVERYTHING: Final = "*"
_NAMES: Final = tuple(dict.fromkeys([*(kind.__name__ for kind in matchers.HTTP), *OLD_HTTP]))


class Listener(NamedTuple):
    """An HTTP router that listens with TLS; `options` are its own, or those of the entry point ("" the default)."""

    router: Router
    options: str


class Claims:
    """What the HTTP routers of one entry point claim."""

    def __init__(self, listeners: Iterable[Listener], release: Release) -> None:
        self._listeners = tuple(listeners)
        self._release = release

    @cached_property
    def differ(self) -> bool:
        """Whether any of them asks for other options than the default ones."""
        return any(one.options not in ("", DEFAULT) or one.router.broken_tls for one in self._listeners)

    @property
    def exist(self) -> bool:
        """Whether HTTP has any say about TLS connections."""
        return bool(self.options) or self.everything or bool(self.unread)

    @cached_property
    def everything(self) -> bool:
        """Whether a router names no host at all, or all of them."""
        return any(hosts is not None and (not hosts or EVERYTHING in hosts) for hosts in self._hosts.values())

    @cached_property
    def unread(self) -> str:
        """Why nobody can tell all the names that are claimed: Traefik takes a rule that is not understood here."""
        for one in self._listeners:
            if self._hosts[one.router.name] is None and (one.router.accepted or _is_too_large(one.router.rule)):
                return f"which names {plain_name(one.router.name)} claims is not known: its rule is not understood here"
        return ""

    @cached_property
    def options(self) -> Mapping[str, frozenset[str | None]]:
        """Host -> the TLS options of connections for it: one, or several among which chance decides.

        None stands for options that do not exist, the host `*` for all that nobody claims.
        """
        found: dict[str, set[str | None]] = {}
        for one in self._listeners:
            resolved = self._resolved(one)
            for host in self._hosts[one.router.name] or ():
                found.setdefault(host, set()).add(None if one.router.broken_tls and resolved != DEFAULT else resolved)
        return {host: frozenset(options) for host, options in found.items()}

    def meant(self, server_name: str) -> tuple[str, ...]:
        """The hosts that routers claim (but `*`) and that a server name means, the longest first."""
        if not server_name:
            return ()
        meant = [server_name, f"{server_name}."]
        if self._release >= WILDCARDS:
            meant.append("*." + server_name.partition(".")[2])
        return tuple(sorted((name for name in meant if name in self.options), key=lambda name: -len(name)))

    def of_connection(self, server_name: str) -> frozenset[str | None]:
        """The options of a connection that HTTP takes: one, or several among which chance decides."""
        hosts = self.meant(server_name)
        longest = (self.options[host] for host in hosts if len(host) == len(hosts[0]))
        found = frozenset[str | None]().union(*longest)
        return found or self.options.get(EVERYTHING, frozenset({DEFAULT}))

    def of_router(self, name: str) -> str:
        """The options with which a connection must have been made for this router."""
        own = self._by_name.get(name)
        return DEFAULT if own is None else self._resolved(own)

    def _resolved(self, one: Listener) -> str:
        """The options that a router ends up with: its own, where no other asks for others for one of its hosts."""
        hosts = self._hosts[one.router.name]
        if not hosts or any(len(self._wanted[host]) > 1 for host in hosts):
            return DEFAULT
        return one.options or DEFAULT

    @cached_property
    def _wanted(self) -> Mapping[str, frozenset[str]]:
        """Host -> the TLS options that routers for it ask for."""
        found: dict[str, set[str]] = {}
        for one in self._listeners:
            for host in self._hosts[one.router.name] or ():
                found.setdefault(host, set()).add(one.options or DEFAULT)
        return {host: frozenset(options) for host, options in found.items()}

    @cached_property
    def _hosts(self) -> Mapping[str, tuple[str, ...] | None]:
        """Router -> the hosts that it claims, None where its rule cannot be read."""
        return {one.router.name: _hosts_of(one.router.rule) for one in self._listeners}

    @cached_property
    def _by_name(self) -> Mapping[str, Listener]:
        return {one.router.name: one for one in self._listeners}


def _hosts_of(rule: str) -> tuple[str, ...] | None:
    """What a rule asks for and does not deny, in reading order; None where Traefik cannot read it either."""
    try:
        return tuple(dict.fromkeys(asked_for(parse_loosely(rule, _NAMES), "Host")))
    except ParseError:
        return None


def _is_too_large(rule: str) -> bool:
    try:
        parse_loosely(rule, _NAMES)
    except TooLarge:
        return True
    except ParseError:
        return False
    return False


def asked_for(node: Node, name: str) -> Iterator[str]:
    """The values of all matchers of a name in a rule, in reading order and lower case, but for what it denies."""
    match node:
        case Loose(found, values) if found == name:
            yield from (value.lower() for value in values)
        case And(parts) | Or(parts):
            for part in parts:
                yield from asked_for(part, name)
        case Not(part):
            yield from _denied(part, name)


def _denied(node: Node, name: str) -> Iterator[str]:
    """What a denial leaves standing: a denial of a denial."""
    match node:
        case Not(part):
            yield from asked_for(part, name)
        case And(parts) | Or(parts):
            for part in parts:
                yield from _denied(part, name)
