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

_ROUTERS: Final = "http.routers"
_PARTS: Final = frozenset({"http.services", "http.middlewares"})  # the kinds that Traefik's API tells

_OBSERVED: Final = {"accessLogs": True, "metrics": True, "tracing": True, "traceVerbosity": "minimal"}
_BALANCED: Final = {"strategy": "wrr", "passHostHeader": True, "responseForwarding": {"flushInterval": "100ms"}}
"""What Traefik fills in by itself."""


def lent(observed: Observation, name: str) -> Json | None:
    """The HTTP router of this qualified name and what it refers to inside its provider; None where there is none.

    `{router, provider, entry_points, priority, resources: [{kind, name, spec, secrets, used_by}], missing}`: `secrets`
    are paths to what is covered, `used_by` the other routers that need the resource too, and `missing` what the router
    names and Traefik does not list.
    """
    items = {kind: {one: item.spec for one, item in held.items()} for kind, held in observed.served.items()}
    doors = [reading.entry_point(door) for door in observed.doors]
    found = _found([one for one in reading.from_api(items, doors) if one.protocol == "http"], name)
    if found is None:
        return None
    written = _written(observed, found)
    resources = {(_ROUTERS, found.name): written}
    missing: list[str] = []
    for kind, one, spec in _needed(observed, found.provider, written):
        if spec is None:
            missing.append(one)
        else:
            resources[kind, one] = spec
    return {
        "router": found.name,
        "provider": found.provider,
        "entry_points": list(found.entry_points),
        "priority": found.priority or len(found.rule.encode()),
        "parents": list(found.parents),
        "resources": [_told(observed, found, kind, one, spec) for (kind, one), spec in resources.items()],
        "missing": missing,
    }


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
    listed = observed.served.get(_ROUTERS, {})
    original = listed.get(router.name)
    item = original or next(listed[one] for one in _copies(router) if one in listed)
    spec = {key: value for key, value in item.written.items() if key not in ("priority", "observability")}
    if (observability := item.written.get("observability")) not in (None, _OBSERVED):
        spec["observability"] = observability
    if original is None:
        spec = _without_door(observed, router, spec)
    spec["entryPoints"] = list(router.entry_points)
    spec["middlewares"] = list(router.middlewares)
    return {key: value for key, value in spec.items() if value not in ([], "", "default")}


def _without_door(observed: Observation, router: Router, spec: Json) -> Json:
    """A copy without the TLS that its entry point gave it."""
    given = [reading.value_at(reading.value_at(door, "http"), "tls") for door in observed.doors]
    return {key: value for key, value in spec.items() if key != "tls" or value not in given}


def _needed(observed: Observation, provider: str, router: Json) -> Iterator[tuple[str, str, Json | None]]:
    """Kind, qualified name and spec of all that a router refers to inside its provider; None: it is not listed."""
    ahead, seen = [(_ROUTERS, router)], set[tuple[str, str]]()
    while ahead:
        kind, spec = ahead.pop(0)
        for reference in references(kind, spec):
            name = reference.name if "@" in reference.name else f"{reference.name}@{provider}"
            place = (reference.kind, name)
            if place in seen or reference.kind not in _PARTS or not name.endswith(f"@{provider}"):
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
    item = observed.served.get(kind, {}).get(name)
    users = item.spec.get("usedBy") if item is not None and kind != _ROUTERS else ()
    mine = {router.name, *_copies(router)}
    return {
        "kind": kind,
        "name": name,
        "spec": redact(spec),
        "secrets": secrets(spec),
        "used_by": [str(user) for user in users or () if user not in mine],
    }
