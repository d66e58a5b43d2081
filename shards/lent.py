"""A foreign route with all that it needs, as the reconciler tells it: secrets covered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.traefik.references import Reference
from shards.kit import Refused
from shards.reading import objects, texts
from state.sparing import dataclass

Place = tuple[str, str]
"""Kind and qualified name of a resource of somebody else's."""


@dataclass(frozen=True)
class Part:
    """A resource of the provider, with its secrets covered: `secrets` says where. `used_by`: other routers.

    `whole` is the spec with what Traefik fills in where nobody says it, since somebody may have said just that.
    """

    spec: dict[str, Any]
    secrets: tuple[str, ...]
    used_by: tuple[str, ...]
    whole: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Lent:
    """A foreign route as the reconciler tells it: a router of HTTP, TCP or UDP, and what it needs."""

    router: str
    protocol: str
    provider: str
    priority: int
    parents: tuple[str, ...]
    parts: Mapping[Place, Part]
    missing: tuple[str, ...]

    @property
    def spec(self) -> dict[str, Any]:
        return self.parts[self.routers, self.router].spec

    @property
    def routers(self) -> str:
        """The kind of the router."""
        return f"{self.protocol}.routers"

    @property
    def services(self) -> str:
        """The kind of its services."""
        return f"{self.protocol}.services"

    @property
    def service(self) -> Place:
        """The service of the router: a part, or what another provider has."""
        return self.place(Reference(("service",), self.services, str(self.spec.get("service", ""))))

    def place(self, reference: Reference) -> Place:
        name = reference.name if "@" in reference.name else f"{reference.name}@{self.provider}"
        return reference.kind, name


def read(told: Mapping[str, Any]) -> Lent:
    """The reconciler's answer. Raises Refused where it is none."""
    parts = {
        (str(one.get("kind")), str(one.get("name"))): Part(
            spec=one["spec"],
            secrets=texts(one.get("secrets")),
            used_by=texts(one.get("used_by")),
            whole=one["whole"] if isinstance(one.get("whole"), dict) else one["spec"],
        )
        for one in objects(told.get("resources"))
        if isinstance(one.get("spec"), dict)
    }
    router, priority = str(told.get("router")), told.get("priority")
    protocol = str(told.get("protocol") or "http")
    if (f"{protocol}.routers", router) not in parts or not isinstance(priority, int):
        raise Refused("unreadable", "The reconciler's answer cannot be read: it may be of another version.")
    return Lent(
        router=router,
        protocol=protocol,
        provider=str(told.get("provider")),
        priority=priority,
        parents=texts(told.get("parents")),
        parts=parts,
        missing=texts(told.get("missing")),
    )
