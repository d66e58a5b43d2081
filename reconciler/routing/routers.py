"""Routers and entry points as values, whatever they were read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from reconciler.routing.request import Door

HIGHEST_PRIORITY: Final = 2**63 - 1001
"""The highest that Traefik lets a user give; above are its own."""
_REDIRECTION_PRIORITY: Final = 2**63 - 2


@dataclass(frozen=True, kw_only=True)
class Router:
    """One router. Names (its own, of its service, middlewares and parents) are qualified: `gitea@file`.

    `entry_points` empty: those by default. `priority` 0: computed from the rule. `disabled` says why it serves
    nothing, as far as whoever made this knows ("" = serves); what rule, priority, parents and entry points tell is
    found by the table. `unserved` is what is wrong with its service, which is never asked for where it has children.
    `doubt`: why nobody here can tell whether it serves. `accepted`: Traefik itself said that it serves, so what cannot
    be read here is opaque, not disabled. `changes` are the parts of a request that its middlewares may rewrite before
    its children see it
    ("path", "host", "headers", "query", "method", "everything").
    """

    name: str
    protocol: str = "http"
    rule: str = ""
    entry_points: tuple[str, ...] = ()
    priority: int = 0
    tls: bool = False
    tls_options: str = ""
    passthrough: bool = False
    broken_tls: bool = False  # its TLS options do not exist: connections for its hosts are closed
    service: str = ""
    middlewares: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    syntax: str = ""
    disabled: str = ""
    unserved: str = ""
    doubt: str = ""
    accepted: bool = False
    changes: tuple[str, ...] = ()

    @property
    def provider(self) -> str:
        return self.name.rpartition("@")[2]


@dataclass(frozen=True, kw_only=True)
class EntryPoint:
    """A door of Traefik. `redirects` names the entry point to which it sends everything, "" where it does not.

    `tls`, `tls_options` and `middlewares` are what it gives to routers that use it. `special`: it has options of
    its own, for which Traefik copies routers. `fault`: why no HTTP router serves here, and `doubt`: why nobody can tell
    whether they do; for one of its middlewares.
    """

    name: str
    port: int | None = None
    tls: bool = False
    tls_options: str = ""
    middlewares: tuple[str, ...] = ()
    as_default: bool = False
    redirects: str = ""
    redirect_priority: int = _REDIRECTION_PRIORITY
    udp: bool = False
    special: bool = False
    fault: str = ""
    doubt: str = ""
    door: Door = field(default_factory=Door)

    @property
    def redirection(self) -> Router:
        """The router that Traefik makes to send everything elsewhere."""
        return Router(
            name=f"{self.name}-to-{self.redirects}@internal",
            rule="HostRegexp(`^.+$`)",
            entry_points=(self.name,),
            priority=self.redirect_priority,
            service="noop@internal",
            middlewares=(f"redirect-{self.name}-to-{self.redirects}@internal",),
        )
