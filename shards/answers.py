"""What the Traefik shard answers: typed, and with nothing in it that may be a secret."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from reconciler.core.redact import redact
from reconciler.desired import Resource
from reconciler.query_client import Answer, Away
from shards.lent import Lent
from shards.reading import texts
from shards.routes import MIDDLEWARES, backends
from state.model import Address
from state.sparing import dataclass


class Route(BaseModel):
    """A router as the desired repo wants it, and what Traefik says about it."""

    name: str
    kind: str
    rule: str
    service: str
    middlewares: list[str]
    entry_points: list[str]
    tls: bool
    file: str = Field(description="in the desired repo; of a foreign route its provider")
    line: int
    live: Literal["as desired", "differs", "missing", "unknown", "foreign"] = Field(
        description="how our file in Traefik's directory holds it; unknown while the reconciler is away; foreign: "
        "somebody else's, never touched"
    )


class Foreign(BaseModel):
    """A router that somebody else put into Traefik. Explained here, never touched."""

    name: str
    kind: str
    origin: str = Field(description="the file or the provider that it comes from")


class RouteList(BaseModel):
    """All routes of one Traefik."""

    main: str = Field(description="the commit of main that this was read from")
    routes: list[Route]
    foreign: list[Foreign]
    live: str = Field(description="'' where live was asked; else why it could not be")


class RouteDetail(BaseModel):
    """One route with its native configuration."""

    main: str
    route: Route
    router: dict[str, Any]
    service: dict[str, Any] | None = Field(description="the service as desired; null where it is not in the repo")
    backends: list[str]


class Verdict(BaseModel):
    """What is wrong with a file, if anything is."""

    valid: bool
    resources: list[str] = Field(description="addresses that it would add, change or take away")
    problems: list[str] = Field(description="every fault, with file and line where it has one")


class Middleware(BaseModel):
    """A middleware that a route can name."""

    name: str
    type: str = Field(description="'' for one that only Traefik knows")
    origin: str = Field(description="file of the desired repo, or the file or provider elsewhere")


class MiddlewareList(BaseModel):
    middlewares: list[Middleware]
    live: str = Field(description="'' where Traefik's own were asked for; else why they could not be")


class Preset(BaseModel):
    """A ready-made middleware with what its file says about it."""

    name: str
    file: str
    middlewares: list[str] = Field(description="the names to use in a route")
    notes: dict[str, Any] = Field(description="description and parameters, from x-waypost in the file")


class PresetList(BaseModel):
    presets: list[Preset]


@dataclass(frozen=True)
class Live:
    """What the reconciler sees in one Traefik: our resources (secrets covered), and where others' come from."""

    ours: Mapping[str, Any]
    foreign: Mapping[Address, str]


def read_live(answer: Answer) -> Live | Away:
    """The reconciler's answer about a live target; what it does not say is not there."""
    if isinstance(answer, Away):
        return answer
    ours, foreign = answer.get("ours"), answer.get("foreign")
    return Live(
        ours=ours if isinstance(ours, dict) else {},
        foreign=dict(_addressed(foreign)) if isinstance(foreign, dict) else {},
    )


def _addressed(told: Mapping[str, Any]) -> Iterator[tuple[Address, str]]:
    for key, value in told.items():
        with contextlib.suppress(ValueError):  # what is no address names nothing
            yield Address.parse(key), str(value)


def route(resource: Resource, live: Live | Away) -> Route:
    """A desired router as it is told to a model."""
    spec = resource.spec if isinstance(resource.spec, dict) else {}
    return Route(
        name=resource.address.name,
        kind=resource.address.kind,
        rule=str(spec.get("rule", "")),
        service=str(spec.get("service", "")),
        middlewares=[str(name) for name in spec.get("middlewares") or ()],
        entry_points=[str(name) for name in spec.get("entryPoints") or ()],
        tls=spec.get("tls") is not None,
        file=resource.file,
        line=resource.line,
        live=_standing(resource, live),
    )


def foreign_route(main: str, lent: Lent) -> RouteDetail:
    """A route of somebody else's; it stands in no file of the desired repo."""
    router, service = lent.spec, str(lent.spec.get("service", ""))
    found = lent.parts.get((lent.services, service if "@" in service else f"{service}@{lent.provider}"))
    return RouteDetail(
        main=main,
        route=Route(
            name=lent.router,
            kind=lent.routers,
            rule=str(router.get("rule", "")),
            service=service,
            middlewares=[*texts(router.get("middlewares"))],
            entry_points=[*texts(router.get("entryPoints"))],
            tls=router.get("tls") is not None,
            file=lent.provider,
            line=0,
            live="foreign",
        ),
        router=router,
        service=found.spec if found else None,
        backends=(backends(found.spec) if found else None) or [],
    )


def _standing(resource: Resource, live: Live | Away) -> Literal["as desired", "differs", "missing", "unknown"]:
    if isinstance(live, Away):
        return "unknown"
    found = live.ours.get(str(resource.address))
    if found is None:
        return "missing"
    return "as desired" if found == redact(resource.spec) else "differs"


def route_list(main: str, wanted: Sequence[Resource], live: Live | Away) -> RouteList:
    """Desired routes, and the foreign ones beside them."""
    return RouteList(
        main=main,
        routes=[route(resource, live) for resource in wanted],
        foreign=[
            Foreign(name=address.name, kind=address.kind, origin=origin)
            for address, origin in _foreign(live)
            if address.kind.endswith(".routers")
        ],
        live=live.reason if isinstance(live, Away) else "",
    )


def middleware_list(wanted: Sequence[Resource], live: Live | Away) -> MiddlewareList:
    """Desired middlewares, and those that only Traefik knows, under the names by which a route can use them."""
    desired = [Middleware(name=one.address.name, type=_type(one.spec), origin=one.file) for one in wanted]
    others = [
        Middleware(name=address.name if "@" in address.name else f"{address.name}@file", type="", origin=origin)
        for address, origin in _foreign(live)
        if address.kind == MIDDLEWARES
    ]
    return MiddlewareList(middlewares=[*desired, *others], live=live.reason if isinstance(live, Away) else "")


def _foreign(live: Live | Away) -> list[tuple[Address, str]]:
    return [] if isinstance(live, Away) else sorted(live.foreign.items())


def _type(spec: Any) -> str:
    return ", ".join(spec) if isinstance(spec, dict) else ""
