"""Whether the certificates that routers ask for, or that Traefik holds, cover the hosts that they serve."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from reconciler.routing.choosing import plain_name
from reconciler.routing.findings import Finding
from reconciler.routing.grammar import ParseError, parse
from reconciler.routing.idle import Shown, matched
from reconciler.routing.matchers import Host
from reconciler.routing.revising import named
from reconciler.routing.routers import Router
from reconciler.routing.rules import hosts
from reconciler.routing.treatments import Serving


@dataclass(frozen=True)
class Asked:
    """The certificate that a router or an entry point asks for: by which resolver, for which names (main and sans)."""

    resolver: str = ""
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """`asked`: by routers (qualified names); `by_door`: by entry points, for routers that ask for none themselves.

    `held`: every name on a certificate that Traefik has, None where nobody can tell.
    """

    asked: Mapping[str, Asked] = field(default_factory=dict)
    by_door: Mapping[str, Asked] = field(default_factory=dict)
    held: Collection[str] | None = None


def uncovered(serving: Serving, certificates: Certificates, names: Iterable[str] | None = None) -> Iterator[Finding]:
    """Routers with TLS for hosts of which no certificate speaks. Resolvers that do not exist are found elsewhere."""
    table = serving.table
    disabled = table.disabled
    for router in table.routers if names is None else named(table, names):
        if router.protocol == "http" and router.name not in disabled:
            doors = [door for door in table.doors_of(router) if router.tls or door.tls]
            if doors:
                asked = [certificates.by_door.get(door.name, Asked()) for door in doors if door.tls]
                own = certificates.asked.get(router.name, Asked())
                first = next((one for one in (own, *asked) if one.resolver or one.domains), Asked())
                yield from _judged(serving, router, doors[0].name, first, certificates.held)


def _judged(
    serving: Serving, router: Router, door: str, asked: Asked, held: Collection[str] | None
) -> Iterator[Finding]:
    names = _hosts(router)
    if asked.resolver and not asked.domains and not names and names is not None:
        yield _finding(
            router,
            f"asks `{asked.resolver}` for a certificate, and its rule names no host to ask it for: "
            "the default certificate is served",
            "Name the domains under `tls.domains`",
            matched(serving, router, (door, True)),
        )
        return
    offered = asked.domains or (None if asked.resolver else held)
    missing = [
        name for name in sorted(names or ()) if offered is not None and not any(_covers(one, name) for one in offered)
    ]
    if not missing:
        return
    found = matched(serving, router, (door, True), Host(missing[0]))
    if asked.domains:
        message = f"asks for a certificate for {', '.join(asked.domains)}, which does not cover {', '.join(missing)}"
        yield _finding(router, message, "Add the name under `tls.domains`", found)
    else:
        message = f"no certificate that Traefik holds covers {', '.join(missing)}: the default certificate is served"
        suggestion = "Give the router a certificate resolver, or Traefik a certificate for the name"
        yield _finding(router, message, suggestion, found)


def _hosts(router: Router) -> frozenset[str] | None:
    """The literal hosts of a rule; None where nobody here can read it."""
    try:
        return frozenset(name.removesuffix(".") for name in hosts(parse(router.rule)) if name != "*")
    except ParseError:
        return None


def _covers(name: str, host: str) -> bool:
    """Whether a name on a certificate covers a host; a wildcard covers one label."""
    name, host = name.lower().removesuffix("."), host.lower()
    return name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])


def _finding(router: Router, message: str, suggestion: str, found: Shown) -> Finding:
    shown = plain_name(router.name)
    return Finding(
        severity="warning",
        kind="certificate",
        subject=shown,
        message=f"`{shown}`: {message}",
        suggestion=suggestion,
        witness=found.witness,
        outcome=f"{found.outcome}, with a certificate that does not name the host" if found.witness else "",
        unshown=found.unshown,
    )
