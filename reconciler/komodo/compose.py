"""The compose specification, as far as a stack needs it: which fields there are, and what must fit together. Pure.

Variables (`${X}`, `[[X]]`) may stand wherever a value does; what they will be is nobody's to judge here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from reconciler.komodo.compose_fields import FILE
from reconciler.komodo.shapes import Fault, Path


def faults(document: Any) -> list[Fault]:
    """Everything wrong with a compose file, with the path of where it stands; fields first, then what they name."""
    if isinstance(document, dict) and "include" in document:
        return [(("include",), "'include' reads files that stand in no commit; write their services out")]
    found = list(FILE(document, ()))
    return found or list(_loose_ends(document))


def _loose_ends(document: Mapping[str, Any]) -> Iterator[Fault]:
    """What names something that is not there."""
    services = document["services"]
    if not services:
        yield ("services",), "there is no service; remove the stack instead, if that is meant"
    for name, service in services.items():
        at = ("services", name)
        yield from _unknown(depended(service), services, (*at, "depends_on"), "service")
        yield from _unknown(
            attached(service), {**listed(document, "networks"), "default": None}, (*at, "networks"), "network"
        )
        volumes = [one.source for one in mounts(service) if one.kind == "volume" and one.source]
        yield from _unknown(volumes, listed(document, "volumes"), (*at, "volumes"), "volume")
        for kind in ("secrets", "configs"):
            yield from _unknown(granted(service, kind), listed(document, kind), (*at, kind), kind[:-1])
        if "extends" in service:
            yield (*at, "extends"), "what it gets from another service stands elsewhere; write its fields out"
        elif not any(key in service for key in ("image", "build", "provider")):
            yield at, "it names neither an image nor how to build one"


def _unknown(names: list[str], known: Mapping[str, Any], path: Path, what: str) -> Iterator[Fault]:
    for name in names:
        if name not in known and "$" not in name:
            yield path, f"there is no {what} '{name}' in this file"


def listed(document: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    """The entries of a section at the root; nothing where it is left out."""
    found = document.get(section)
    return found if isinstance(found, dict) else {}


def services(document: Any) -> Mapping[str, Mapping[str, Any]]:
    """The services of a compose file, as far as they can be read."""
    found = listed(document, "services") if isinstance(document, dict) else {}
    return {name: service for name, service in found.items() if isinstance(service, dict)}


def depended(service: Mapping[str, Any]) -> list[str]:
    return _names(service.get("depends_on"))


def attached(service: Mapping[str, Any]) -> list[str]:
    """The networks that a service names."""
    return _names(service.get("networks"))


def granted(service: Mapping[str, Any], kind: str) -> list[str]:
    """The secrets or configs that a service is given."""
    items = service.get(kind)
    return [str(item.get("source", "")) if isinstance(item, dict) else str(item) for item in _items(items)]


def _names(value: Any) -> list[str]:
    return [str(name) for name in (value if isinstance(value, dict) else _items(value))]


def _items(value: Any) -> list[Any]:
    """What somebody typed into Komodo may be of any shape."""
    return value if isinstance(value, list) else []


def table(value: Any) -> dict[str, Any]:
    """What is written as a mapping or as a list of `KEY=value`, as a mapping. A key without a value has None."""
    if isinstance(value, dict):
        return dict(value)
    pairs = [str(item).partition("=") for item in value] if isinstance(value, list) else []
    return {key: rest if equals else None for key, equals, rest in pairs}


class Mount(NamedTuple):
    """`kind` is "bind", "volume", …; `how` says more of it, as it is written: read-only, what else is under it, …"""

    kind: str
    source: str
    target: str
    how: Any = None


def mounts(service: Mapping[str, Any]) -> Iterator[Mount]:
    """Each mount of a service."""
    for item in _items(service.get("volumes")):
        if isinstance(item, dict):
            how = {key: value for key, value in item.items() if key not in ("type", "source", "target")}
            yield Mount(
                str(item.get("type", "")), str(item.get("source", "")), str(item.get("target", "")), how or None
            )
        elif isinstance(item, str):
            yield _written_short(item)


def _written_short(item: str) -> Mount:
    source, colon, rest = _split_mount(item)
    if not colon:
        return Mount("volume", "", source)
    target, _, how = rest.partition(":")
    return Mount("bind" if is_path(source) else "volume", source, target, how or None)


def _split_mount(text: str) -> tuple[str, str, str]:
    """Source and rest of `source:target:mode`, where the source may be a variable with a default: ${X:-/data}.

    A brace that belongs to no variable is a letter like any, as it is to compose.
    """
    depth = 0
    for at, sign in enumerate(text):
        if sign == "{" and (depth or text[at - 1 : at] == "$"):
            depth += 1
        elif sign == "}" and depth:
            depth -= 1
        if sign == ":" and depth == 0:
            return text[:at], ":", text[at + 1 :]
    return text, "", ""


def is_open(value: Any) -> bool:
    """Whether something in it is filled in only when it is deployed: by compose (`$`) or by Komodo (`[[`)."""
    if isinstance(value, Mapping):
        return any(is_open(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(is_open(item) for item in value)
    return isinstance(value, str) and ("$" in value or "[[" in value)


def is_path(source: str) -> bool:
    """Whether a mount's source is a place on the host; what a variable will be nobody can say, so it may be one."""
    return source.startswith(("/", ".", "~", "$", "[["))
