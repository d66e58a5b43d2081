"""A foreign route with all that it needs, as the reconciler tells it: secrets covered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.traefik.references import Reference
from shards.kit import Refused
from shards.reading import objects, texts
from shards.routes import ROUTERS

Place = tuple[str, str]
"""Kind and qualified name of a resource of somebody else's."""


@dataclass(frozen=True)
class Part:
    """A resource of the provider, with its secrets covered: `secrets` says where. `used_by`: other routers."""

    spec: dict[str, Any]
    secrets: tuple[str, ...]
    used_by: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Lent:
    """A foreign route as the reconciler tells it."""

    router: str
    provider: str
    priority: int
    parents: tuple[str, ...]
    parts: Mapping[Place, Part]
    missing: tuple[str, ...]

    @property
    def spec(self) -> dict[str, Any]:
        return self.parts[ROUTERS, self.router].spec

    def place(self, reference: Reference) -> Place:
        name = reference.name if "@" in reference.name else f"{reference.name}@{self.provider}"
        return reference.kind, name


def read(told: Mapping[str, Any]) -> Lent:
    """The reconciler's answer. Raises Refused where it is none."""
    parts = {
        (str(one.get("kind")), str(one.get("name"))): Part(
            one["spec"], texts(one.get("secrets")), texts(one.get("used_by"))
        )
        for one in objects(told.get("resources"))
        if isinstance(one.get("spec"), dict)
    }
    router, priority = str(told.get("router")), told.get("priority")
    if (ROUTERS, router) not in parts or not isinstance(priority, int):
        raise Refused("unreadable", "The reconciler's answer cannot be read: it may be of another version.")
    return Lent(
        router=router,
        provider=str(told.get("provider")),
        priority=priority,
        parents=texts(told.get("parents")),
        parts=parts,
        missing=texts(told.get("missing")),
    )
