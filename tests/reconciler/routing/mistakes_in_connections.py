"""Wrong beliefs about who takes a connection, TCP or HTTP, and with which TLS options: each put in on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from reconciler.routing import claims, reading, tcp
from reconciler.routing.claims import Claims, Listener
from reconciler.routing.matchers import Node
from reconciler.routing.request import Request
from reconciler.routing.rules import conditions
from reconciler.routing.table import Answer, Table
from reconciler.routing.tcp import Connections, Taken
from tests.reconciler.routing.mistakes_in_grammar import Mistake

real_take = Connections.take
real_claims = Claims.__init__
real_meant = Claims.meant
real_resolved = Claims._resolved
real_compile = tcp.compile_rule
real_chosen = Table._chosen
real_answer = Table.answer


def _http_first(self: Connections, server_name: str, client_ip: str, *, tls: bool) -> Taken:
    if tls and not self.claims.exist:
        return real_take(self, server_name, client_ip, tls=tls)
    return self._http(server_name, tls)


def _tcp_first(self: Connections, server_name: str, client_ip: str, *, tls: bool) -> Taken:
    routes = self._encrypted if tls else self._plain
    return self._first(routes, server_name, client_ip) or self._http(server_name, tls)


def _hostless_first(self: Connections, server_name: str, client_ip: str, *, tls: bool) -> Taken:
    if tls and self.claims.everything:
        return self._http(server_name, tls)
    return real_take(self, server_name, client_ip, tls=tls)


def _plain_by_name(self: Connections, server_name: str, client_ip: str, *, tls: bool) -> Taken:
    if tls or any("HostSNI" in one.router.rule for one in self._plain):
        return real_take(self, server_name, client_ip, tls=tls)
    return self._http(server_name, tls)


def _by_priority(self: Connections, server_name: str, client_ip: str, *, tls: bool) -> Taken:
    match = self._match(self._encrypted if tls else self._plain, server_name, client_ip)
    longest = max((one.router.priority or len(one.router.rule) for one in self.claims._listeners), default=0)
    if match.routes and match.routes[0].priority > longest:
        return self._told(match)
    return self._http(server_name, tls)


def _those_that_serve(self: Claims, listeners: Any, release: Any) -> None:
    real_claims(self, [one for one in listeners if not one.router.disabled], release)


def _any_depth(self: Claims, server_name: str) -> tuple[str, ...]:
    deeper = [host for host in self.options if host.startswith("*.") and server_name.endswith(host[1:])]
    return (*real_meant(self, server_name), *deeper)


def _mentioned(node: Node, name: str) -> Iterator[str]:
    for part in conditions(node):
        if part.name == name:
            yield from (value.lower() for value in part.arguments)


def _children_listen(self: Table) -> Mapping[str, Connections]:
    return {
        name: Connections(
            [one for one in self.routers if one.protocol == "tcp" and name in one.entry_points],
            [
                Listener(one, one.tls_options)
                for one in self.routers
                if one.protocol == "http" and (one.tls or one.parents)
            ],
            release=self.release,
        )
        for name in self.entry_points
    }


def _never_misdirected(self: Table, *known: Any) -> Answer:
    return real_chosen(self, *known[:-1], None)


def _misdirected_by_name(self: Table, request: Request, server_name: str | None = None) -> Answer:
    answer = real_answer(self, request, server_name)
    differs = bool(server_name) and server_name != request.host and answer.taken_by == "http"
    return replace(answer, router=None, tied=(), status=421) if differs else answer


def _own_options(self: Claims, one: Listener) -> str:
    return one.options or claims.DEFAULT


def _own_options_without_hosts(self: Claims, one: Listener) -> str:
    return real_resolved(self, one) if self._hosts[one.router.name] else one.options or claims.DEFAULT


CONNECTIONS: Mapping[str, Mistake] = {
    "HTTP is asked before TCP": ((Connections, "take", _http_first),),
    "TCP is asked before HTTP": ((Connections, "take", _tcp_first),),
    "the higher priority of TCP and HTTP decides": ((Connections, "take", _by_priority),),
    "only HostSNI(`*`) takes plain connections": ((Connections, "take", _plain_by_name),),
    "a TCP catch-all comes before HTTP routers without a host": ((Claims, "everything", False),),
    "HTTP routers without a host come before any TCP router": ((Connections, "take", _hostless_first),),
    "a TCP catch-all has its length for a priority": (
        (tcp, "compile_rule", lambda text, *how: replace(real_compile(text, *how), priority=len(text))),
    ),
    "a server name may be asked for without TLS": ((tcp, "asked_for", lambda node, name: iter(())),),
    "a disabled HTTP router claims no names": ((Claims, "__init__", _those_that_serve),),
    "a wildcard is claimed for names of any depth": ((Claims, "meant", _any_depth),),
    "a denied host is claimed": ((claims, "asked_for", _mentioned),),
    "children claim names": ((Table, "connections", property(_children_listen)),),
    "TLS options that do not exist are the default ones": (
        (reading._Files, "_has_options", lambda self, options: True),
    ),
    "TLS options of server name and host may differ": ((Table, "_chosen", _never_misdirected),),
    "a server name other than the host is misdirected": ((Table, "answer", _misdirected_by_name),),
    "TLS options in conflict are everybody's own": ((Claims, "_resolved", _own_options),),
    "TLS options of a router without a host are its own": ((Claims, "_resolved", _own_options_without_hosts),),
}
