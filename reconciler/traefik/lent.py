"""A foreign route with all that it needs inside its own provider, as its owner wrote it, secrets covered. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from reconciler.core.redact import redact, secrets
from reconciler.core.target import Observation
from reconciler.routing import reading
from reconciler.routing.routers import Router
from reconciler.traefik.references import references

Json = dict[str, Any]

PROTOCOLS: Final = ("http", "tcp", "udp")

_TOLD: Final = ("services", "middlewares")
"""What routers refer to and Traefik's API tells."""

_OBSERVED: Final = {"accessLogs": True, "metrics": True, "tracing": True, "traceVerbosity": "minimal"}
_BALANCED: Final = {"strategy": "wrr", "passHostHeader": True, "responseForwarding": {"flushInterval": "100ms"}}
"""What Traefik fills in by itself."""


def lent(observed: Observation, name: str, protocol: str = "") -> Json | None:
    """The router of this qualified name and what it refers to inside its provider; None where there is none.

    Of several protocols, where none is named, HTTP comes before TCP and TCP before UDP.
    `{router, protocol, provider, entry_points, priority, parents, missing, resources: [{kind, name, spec, whole,
    secrets, used_by}]}`: `missing` is what the router names and Traefik does not list, `whole` the spec with what
    Traefik fills in by itself, `secrets` are paths to what is covered, and `used_by` the other routers that need the
    resource too. UDP knows no priority: it is 0.
    """
    wanted = [protocol] if protocol else PROTOCOLS
    found = next((router for each in wanted if (router := _found(_routers(observed, each), name))), None)
    if found is None:
        return None
    written = _written(observed, found)
    resources = {(_kind(found), found.name): written}
    missing: list[str] = []
    for kind, one, spec in _needed(observed, _kind(found), found.provider, written):
        if spec is None:
            missing.append(one)
        else:
            resources[kind, one] = spec
    return {
        "router": found.name,
        "protocol": found.protocol,
        "provider": found.provider,
        "entry_points": list(found.entry_points),
        "priority": found.priority or len(found.rule.encode()),
        "parents": list(found.parents),
        "resources": [_told(observed, found, kind, one, spec) for (kind, one), spec in resources.items()],
        "missing": missing,
    }


def _routers(observed: Observation, protocol: str) -> list[Router]:
    items = {kind: {one: item.spec for one, item in held.items()} for kind, held in observed.served.items()}
    if protocol == "udp":
        return [_of_udp(name, spec) for name, spec in items.get("udp.routers", {}).items()]
    doors = [reading.entry_point(door) for door in observed.doors]
    return [one for one in reading.from_api(items, doors) if one.protocol == protocol]


def _of_udp(name: str, spec: Mapping[str, Any]) -> Router:
    return Router(name=name, protocol="udp", entry_points=reading.texts(spec.get("using") or spec.get("entryPoints")))


def _kind(router: Router) -> str:
    return f"{router.protocol}.routers"


def _found(routers: Sequence[Router], name: str) -> Router | None:
    """The router of this name, or of whose copy it is the name; with the entry points of all its copies."""
    meant = next((one.name for one in routers if name in (one.name, *_copies(one))), "")
    alike = [one for one in routers if one.name == meant]
    entry_points = dict.fromkeys(door for one in alike for door in one.entry_points)
    return replace(alike[0], entry_points=tuple(entry_points)) if alike else None


def _copies(router: Router) -> Iterator[str]:
    yield from (f"{door}-{router.name}" for door in router.entry_points)


def _written(observed: Observation, router: Router) -> Json:
    """The router's spec without what Traefik added; of a copy, where there is no original any more."""
    written = _listed(observed, router)
    spec = {key: value for key, value in written.items() if key not in ("priority", "observability")}
    if (observability := written.get("observability")) not in (None, _OBSERVED):
        spec["observability"] = observability
    if router.name not in observed.served.get(_kind(router), {}):
        spec = _without_door(observed, router, spec)
    spec["entryPoints"] = list(router.entry_points)
    spec["middlewares"] = list(router.middlewares)
    if isinstance(tls := spec.get("tls"), Mapping) and tls.get("passthrough") is False:
        spec["tls"] = {key: value for key, value in tls.items() if key != "passthrough"}
    return {key: value for key, value in spec.items() if value not in ([], "", "default")}


def _listed(observed: Observation, router: Router) -> Json:
    """The router as Traefik lists it, or a copy where there is no original any more."""
    listed = observed.served.get(_kind(router), {})
    return next(dict(listed[one].written) for one in (router.name, *_copies(router)) if one in listed)


def _without_door(observed: Observation, router: Router, spec: Json) -> Json:
    """A copy without the TLS that its entry point gave it."""
    given = [reading.value_at(reading.value_at(door, "http"), "tls") for door in observed.doors]
    return {key: value for key, value in spec.items() if key != "tls" or value not in given}


def _needed(observed: Observation, kind: str, provider: str, router: Json) -> Iterator[tuple[str, str, Json | None]]:
    """Kind, qualified name and spec of all that a router refers to inside its provider; None: it is not listed."""
    ahead, seen = [(kind, router)], set[tuple[str, str]]()
    while ahead:
        kind, spec = ahead.pop(0)
        for reference in references(kind, spec):
            name = reference.name if "@" in reference.name else f"{reference.name}@{provider}"
            place = (reference.kind, name)
            if place in seen or not reference.kind.endswith(_TOLD) or not name.endswith(f"@{provider}"):
                continue
            seen.add(place)
            item = observed.served.get(reference.kind, {}).get(name)
            written = None if item is None else _plain(item.written)
            yield (*place, written)
            if written is not None:
                ahead.append((reference.kind, written))


def _plain(spec: Mapping[str, Any]) -> Json:
    """A service or a middleware without what Traefik filled in."""
    balancer = spec.get("loadBalancer")
    if not isinstance(balancer, Mapping):
        return dict(spec)
    return {**spec, "loadBalancer": {key: value for key, value in balancer.items() if _BALANCED.get(key) != value}}


def _told(observed: Observation, router: Router, kind: str, name: str, spec: Json) -> Json:
    item = None if kind == _kind(router) else observed.served[kind][name]
    users = item.spec.get("usedBy") if item is not None else ()
    mine = {router.name, *_copies(router)}
    return {
        "kind": kind,
        "name": name,
        "spec": redact(spec),
        "whole": redact(_listed(observed, router) if item is None else item.written),
        "secrets": secrets(spec),
        "used_by": [str(user) for user in users or () if user not in mine],
    }
