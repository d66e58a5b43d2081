"""Routes that the desired repo holds: found, changed field by field, and kept apart from what others use.

HTTP, TCP and UDP have routers and services of their own: one name may stand for a route of each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from reconciler.desired import Resource
from reconciler.traefik.lent import PROTOCOLS
from shards import routes
from shards.drafting import Ground
from shards.kit import Refused
from shards.routes import ROUTERS, SERVICES
from state.model import Address, Spec
from state.sparing import dataclass


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to become of a router: None keeps a field, an empty value takes it away."""

    host: str | Sequence[str] | None
    path_prefix: str | None
    rule: str | None
    middlewares: Sequence[str] | None
    entry_points: Sequence[str] | None
    tls: bool | None
    cert_resolver: str | None
    passthrough: bool | None
    priority: int | None


_SENSELESS: Final = {
    "http": (("passthrough",), "only TCP routes hand TLS on; here Traefik reads the requests"),
    "tcp": (("path_prefix",), "connections have no path; host is the server name that they ask for"),
    "udp": (
        ("host", "path_prefix", "rule", "middlewares", "tls", "cert_resolver", "passthrough", "priority"),
        "Traefik sends all that reaches its entry points to its backends (service_url), and nothing else can be said",
    ),
}
"""What a route of a protocol does not have, and why."""


def of_kind(ground: Ground, instance: str, *kinds: str) -> list[Resource]:
    """Desired resources of these kinds, in the order of their addresses."""
    return [
        resource
        for address, resource in sorted(ground.desired.resources.items())
        if address.instance == instance and address.kind in kinds
    ]


def route(ground: Ground, instance: str, name: str, protocol: str = "") -> Resource:
    """A desired route by its name. Raises Refused where the desired repo does not hold it.

    Of several protocols, where none is named, HTTP comes before TCP and TCP before UDP.
    """
    ground.instance(instance, "traefik")
    for each in [protocol] if protocol else PROTOCOLS:
        address = Address(instance, f"{each}.routers", name.removesuffix("@file"))
        if found := ground.desired.resources.get(address):
            return found
    if is_foreign(name):
        raise Refused(
            "foreign-route",
            f"{name} belongs to {name.rpartition('@')[2]}, where its owner changes it; nothing here touches it. "
            "get_route shows it, and adopt_route proposes to bring it into the desired repo.",
        )
    raise Refused(
        "unknown-route",
        f"The desired repo holds no {f'{protocol.upper()} route' if protocol else 'route'} '{name}'; list_routes shows "
        "those it holds. A foreign route belongs to whoever made it and is not changed from here.",
    )


def protocol_of(found: Resource) -> str:
    """The protocol of a router."""
    return found.address.kind.partition(".")[0]


def is_foreign(name: str) -> bool:
    """Whether a name says that another provider than files has it."""
    _, at, provider = name.rpartition("@")
    return bool(at) and provider != "file"


def service_of(ground: Ground, found: Resource) -> Resource | None:
    """The service of a router, where the desired repo holds it."""
    name = str(found.spec.get("service", "")).removesuffix("@file")
    return ground.desired.resources.get(Address(found.address.instance, f"{protocol_of(found)}.services", name))


def own_service(ground: Ground, found: Resource) -> Resource:
    """The service whose backends may be changed with this route. Raises Refused where others would feel it."""
    service = service_of(ground, found)
    if service is None or routes.backends(service.spec) is None:
        raise Refused(
            "bad-backend",
            f"The service of route {found.address.name} is no plain load balancer of the desired repo; change it "
            "with add_dynamic_config.",
        )
    users = routes.users_of_service(service.address, ground.desired.snapshot)
    others = [str(user) for user in users if user != found.address]
    if others:
        raise Refused(
            "shared-service",
            f"{service.address} also serves {', '.join(others)}. Give this route a service of its own, or change "
            "the service for all of them with add_dynamic_config.",
        )
    return service


def refuse_taken(ground: Ground, instance: str, name: str) -> None:
    """Raises Refused where a router or a service has this name already."""
    for kind in (ROUTERS, SERVICES):
        if standing := ground.desired.resources.get(Address(instance, kind, name)):
            raise Refused(
                "already-exists",
                f"{standing.address} already stands in {standing.file}:{standing.line}. Use update_route, or "
                "another name.",
            )


def changed(found: Resource, change: Change) -> Spec:
    """A router with the given fields changed. Raises Refused for what a route of its protocol does not have."""
    _refuse_senseless(found, change)
    hosts = None if change.host is None else several(change.host)
    rule = routes.changed_rule(found.spec, hosts, change.path_prefix, change.rule, protocol_of(found))
    spec = {**found.spec, "rule": rule or None}
    if change.middlewares is not None:
        spec["middlewares"] = list(change.middlewares)
    if change.entry_points is not None:
        spec["entryPoints"] = list(change.entry_points)
    encryption = (change.tls, change.cert_resolver, change.passthrough)
    if any(given is not None for given in encryption):
        spec["tls"] = routes.changed_tls(found.spec.get("tls"), *encryption)
    if change.priority is not None:
        spec["priority"] = change.priority or None
    return {key: value for key, value in spec.items() if value not in (None, [])}


def _refuse_senseless(found: Resource, change: Change) -> None:
    protocol = protocol_of(found)
    fields, why = _SENSELESS[protocol]
    if given := [field for field in fields if getattr(change, field) is not None]:
        raise Refused(
            "bad-arguments",
            f"{protocol.upper()} route '{found.address.name}' has no {', '.join(given)}: {why}. Nothing was proposed.",
        )


def several(value: str | Sequence[str]) -> list[str]:
    """One or many, as many."""
    return [value] if value and isinstance(value, str) else list(value)


def file_name(name: str) -> str:
    """A file for a resource of any name; two names that meet in one file share it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "resource"
