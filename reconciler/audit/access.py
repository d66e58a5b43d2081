"""Whether a route asks who is there: middlewares, chains, entry points, parents, client certificates. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from reconciler.audit.evidence import Evidence, Finding, entry_points, provider, qualified, together, where
from reconciler.traefik.api import Item
from reconciler.traefik.exposure import AUTHENTICATING
from reconciler.traefik.references import at, listed

_KIND: Final = "http.routers"
_CONTROLS: Final = {
    "api@internal": "Traefik's API",
    "dashboard@internal": "Traefik's dashboard",
    "rest@internal": "Traefik's REST provider, which changes routes",
}


def asks(evidence: Evidence, name: str, item: Item) -> bool | None:
    """Whether a router makes sure who is there before it lets a request through; None where that cannot be told."""
    return _asks(evidence, name, item, frozenset())


def access(evidence: Evidence) -> Iterator[Finding]:
    """Routes that let everybody in; Traefik's own routes apart."""
    for name, family in evidence.families(_KIND):
        serving = [item for item in family.values() if item.status != "disabled" and not _is_parent(item)]
        if provider(name) == "internal":
            yield from _internal(evidence, name, serving)
        else:
            yield from _open(evidence, name, serving)
    layer_four = [name for kind in ("tcp.routers", "udp.routers") for name in evidence.runtime.of(kind)]
    if layer_four:
        message = f"{together(sorted(layer_four))}: for TCP and UDP Traefik cannot ask who is there"
        yield Finding(severity="info", kind="layer-4", subject="tcp, udp", message=message)


def _is_parent(item: Item) -> bool:
    """A router without a service only hands on to its children."""
    return not item.spec.get("service")


def _open(evidence: Evidence, name: str, serving: list[Item]) -> Iterator[Finding]:
    answers = [(item, asks(evidence, name, item)) for item in serving]
    if public := [item for item, answer in answers if answer is False]:
        if all(_only_redirects(evidence, name, item) for item in public):
            message = f"only redirects to HTTPS{where(public)}, and asks nobody who they are for that"
            yield Finding(severity="info", kind="redirect", subject=f"{_KIND} {name}", message=message)
            return
        yield _unauthenticated(name, public)
    if doubtful := [item for item, answer in answers if answer is None]:
        message = f"has a plugin among its middlewares{where(doubtful)}; whether that authenticates cannot be told here"
        yield Finding(severity="info", kind="plugin", subject=f"{_KIND} {name}", message=message)


def _unauthenticated(name: str, public: list[Item]) -> Finding:
    service = str(public[0].spec.get("service", ""))
    what = _CONTROLS.get(service, "")
    rule = public[0].spec.get("rule", "")
    message = f"{rule}{where(public)} has no authentication middleware"
    if any(at(item.spec, "tls", "options") for item in public):
        message += " (its TLS options may ask for a client certificate)"
    if what:
        return Finding(
            severity="error",
            kind="open-controls",
            subject=f"{_KIND} {name}",
            message=f"{message} and leads to {what}",
            suggestion="Add basicAuth or forwardAuth, or take the route out",
        )
    return Finding(
        severity="warning",
        kind="no-authentication",
        subject=f"{_KIND} {name}",
        message=message,
        suggestion="Add forwardAuth or basicAuth to its middlewares, unless the service asks for itself",
    )


def _internal(evidence: Evidence, name: str, serving: list[Item]) -> Iterator[Finding]:
    public = [item for item in serving if asks(evidence, name, item) is False]
    if not public:
        return
    if name == "rest@internal":
        message = f"whoever reaches it{where(public)} can change every route: the REST provider asks for nothing"
        yield Finding(
            severity="error",
            kind="open-controls",
            subject=f"{_KIND} {name}",
            message=message,
            suggestion="Turn providers.rest.insecure off",
        )
        return
    message = f"Traefik's own, without authentication{where(public)}"
    tip = "See that only you can reach that entry point" if name in _CONTROLS else ""
    yield Finding(severity="info", kind="internal", subject=f"{_KIND} {name}", message=message, suggestion=tip)


# ── who asks ──


def _asks(evidence: Evidence, name: str, item: Item, seen: frozenset[str]) -> bool | None:
    return _any(
        (
            _by_middlewares(evidence, name, listed(item.spec, "middlewares"), frozenset()),
            _by_service(evidence, name, item),
            _by_doors(evidence, item),
            _by_certificate(evidence, item),
            _by_parents(evidence, name, item, seen | {name}),
        )
    )


def _by_middlewares(evidence: Evidence, holder: str, names: Iterable[Any], seen: frozenset[str]) -> bool | None:
    return _any(_by_middleware(evidence, qualified(str(name), holder), seen) for name in names)


def _by_middleware(evidence: Evidence, name: str, seen: frozenset[str]) -> bool | None:
    item = evidence.runtime.of("http.middlewares").get(name)
    if item is None or name in seen:
        return False
    types = {key.lower() for key in item.spec}
    if types & AUTHENTICATING:
        return True
    inner = _by_middlewares(evidence, name, listed(item.spec, "chain", "middlewares"), seen | {name})
    return None if "plugin" in types and not inner else inner


def _by_service(evidence: Evidence, router: str, item: Item) -> bool | None:
    name = qualified(str(item.spec.get("service", "")), router)
    service = evidence.runtime.of("http.services").get(name)
    return service is not None and _by_middlewares(evidence, name, listed(service.spec, "middlewares"), frozenset())


def _by_doors(evidence: Evidence, item: Item) -> bool | None:
    """Newer versions list an entry point's middlewares with the router already; it does no harm to look."""
    doors = [evidence.door(name) for name in entry_points(item)]
    answers = [
        door is not None and _by_middlewares(evidence, "@file", listed(door.http, "middlewares"), frozenset())
        for door in doors
    ]
    return _all(answers)


def _by_certificate(evidence: Evidence, item: Item) -> bool:
    if item.spec.get("tls") is None or evidence.directory is None:
        return False
    name = str(at(item.spec, "tls", "options") or "default").removesuffix("@file")
    _, options = evidence.directory.winners.get(("tls.options", name), ("", None))
    return at(options, "clientAuth", "clientAuthType") in ("RequireAnyClientCert", "RequireAndVerifyClientCert")


def _by_parents(evidence: Evidence, name: str, item: Item, seen: frozenset[str]) -> bool | None:
    routers = evidence.runtime.of(_KIND)
    parents = [qualified(str(parent), name) for parent in listed(item.spec, "parentRefs")]
    known = [(parent, routers[parent]) for parent in parents if parent in routers and parent not in seen]
    return _all([_asks(evidence, parent, found, seen) for parent, found in known])


def _only_redirects(evidence: Evidence, router: str, item: Item) -> bool:
    if item.spec.get("tls") is not None:
        return False
    names = (qualified(str(name), router) for name in listed(item.spec, "middlewares"))
    return any(_redirects(evidence, name, frozenset()) for name in names)


def _redirects(evidence: Evidence, name: str, seen: frozenset[str]) -> bool:
    item = evidence.runtime.of("http.middlewares").get(name)
    if item is None or name in seen:
        return False
    if at(item.spec, "redirectScheme", "scheme") == "https":
        return True
    links = listed(item.spec, "chain", "middlewares")
    return any(_redirects(evidence, qualified(str(link), name), seen | {name}) for link in links)


def _any(answers: Iterable[bool | None]) -> bool | None:
    known = list(answers)
    return True if True in known else None if None in known else False


def _all(answers: list[bool | None]) -> bool | None:
    return False if not answers or False in answers else None if None in answers else True
