"""Routes that the desired repo holds: found, changed field by field, and kept apart from what others use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from reconciler.desired import Resource
from shards import routes
from shards.drafting import Ground
from shards.kit import Refused
from shards.routes import ROUTERS, SERVICES
from state.model import Address, Spec


def of_kind(ground: Ground, instance: str, *kinds: str) -> list[Resource]:
    """Desired resources of these kinds, in the order of their addresses."""
    return [
        resource
        for address, resource in sorted(ground.desired.resources.items())
        if address.instance == instance and address.kind in kinds
    ]


def route(ground: Ground, instance: str, name: str) -> Resource:
    """A desired HTTP route by its name. Raises Refused where the desired repo does not hold it."""
    ground.instance(instance, "traefik")
    found = ground.desired.resources.get(Address(instance, ROUTERS, name.removesuffix("@file")))
    if found is not None:
        return found
    if is_foreign(name):
        raise Refused(
            "foreign-route",
            f"{name} belongs to {name.rpartition('@')[2]}, where its owner changes it; nothing here touches it. "
            "get_route shows it, and adopt_route proposes to bring it into the desired repo.",
        )
    raise Refused(
        "unknown-route",
        f"The desired repo holds no HTTP route '{name}'; list_routes shows those it holds. A foreign route "
        "belongs to whoever made it and is not changed from here.",
    )


def is_foreign(name: str) -> bool:
    """Whether a name says that another provider than files has it."""
    _, at, provider = name.rpartition("@")
    return bool(at) and provider != "file"


def service_of(ground: Ground, instance: str, router: Spec) -> Resource | None:
    """The service of a router, where the desired repo holds it."""
    name = str(router.get("service", "")).removesuffix("@file")
    return ground.desired.resources.get(Address(instance, SERVICES, name))


def own_service(ground: Ground, instance: str, found: Resource) -> Resource:
    """The service whose backends may be changed with this route. Raises Refused where others would feel it."""
    service = service_of(ground, instance, found.spec)
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


def updated(
    spec: Spec,
    middlewares: Sequence[str] | None,
    entry_points: Sequence[str] | None,
    tls: bool | None,
    cert_resolver: str | None,
    priority: int | None,
) -> dict[str, Any]:
    """A router with the given fields changed; None keeps a field, an empty value takes it away."""
    changed = dict(spec)
    if middlewares is not None:
        changed["middlewares"] = list(middlewares)
    if entry_points is not None:
        changed["entryPoints"] = list(entry_points)
    if tls is not None or cert_resolver is not None:
        changed["tls"] = routes.changed_tls(spec.get("tls"), tls, cert_resolver)
    if priority is not None:
        changed["priority"] = priority or None
    return {key: value for key, value in changed.items() if value not in (None, [])}


def several(value: str | Sequence[str]) -> list[str]:
    """One or many, as many."""
    return [value] if value and isinstance(value, str) else list(value)


def file_name(name: str) -> str:
    """A file for a resource of any name; two names that meet in one file share it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "resource"
