"""Who refers to whom inside Traefik's configuration: the names that a resource needs to find. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from state.model import Address, Snapshot, Spec

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Reference:
    """A name in a resource, and what kind of thing it names. `path` is where it stands inside the spec."""

    path: Path
    kind: str
    name: str


def references(kind: str, spec: Spec) -> Iterator[Reference]:
    """Every name that a resource refers to, as it is written (`auth`, `auth@docker`)."""
    if not isinstance(spec, dict):
        return
    protocol = kind.split(".")[0]
    for path, group, name in _named(kind, spec):
        if isinstance(name, str) and name:
            yield Reference(path, f"{'tls' if group == 'options' else protocol}.{group}", name)


def needs(starts: Iterable[Address], snapshot: Snapshot) -> set[Address]:
    """These and all of the snapshot that they refer to, directly or not."""
    found = set(starts)
    ahead = list(found)
    while ahead:
        address = ahead.pop()
        for reference in references(address.kind, snapshot.get(address)):
            referred = Address(address.instance, reference.kind, reference.name.removesuffix("@file"))
            if referred in snapshot and referred not in found:
                found.add(referred)
                ahead.append(referred)
    return found


def at(spec: Any, *path: str) -> Any:
    """The value at a path of keys, or None where there is none."""
    for key in path:
        spec = spec.get(key) if isinstance(spec, dict) else None
    return spec


def listed(spec: Any, *path: str) -> list[Any]:
    """The list at a path of keys; empty where there is none."""
    value = at(spec, *path)
    return value if isinstance(value, list) else []


_Found = Iterator[tuple[Path, str, Any]]


def _named(kind: str, spec: Mapping[str, Any]) -> _Found:
    if kind.endswith(".routers"):
        yield ("service",), "services", spec.get("service")
        yield ("tls", "options"), "options", at(spec, "tls", "options")
        yield from _names(spec, "middlewares", ("middlewares",))
        yield from _names(spec, "routers", ("parentRefs",))
    elif kind.endswith(".services"):
        yield from _of_service(spec)
    elif kind.endswith(".middlewares"):
        yield from _names(spec, "middlewares", ("chain", "middlewares"))
        yield ("errors", "service"), "services", at(spec, "errors", "service")


def _of_service(spec: Mapping[str, Any]) -> _Found:
    yield from _names(spec, "middlewares", ("middlewares",))
    transport = ("loadBalancer", "serversTransport")
    yield transport, "serversTransports", at(spec, *transport)
    for holder, group in (("weighted", "services"), ("highestRandomWeight", "services"), ("mirroring", "mirrors")):
        for index, child in enumerate(listed(spec, holder, group)):
            yield (holder, group, index, "name"), "services", at(child, "name")
    for path in (("mirroring", "service"), ("failover", "service"), ("failover", "fallback")):
        yield path, "services", at(spec, *path)


def _names(spec: Mapping[str, Any], group: str, path: tuple[str, ...]) -> _Found:
    for index, name in enumerate(listed(spec, *path)):
        yield (*path, index), group, name
