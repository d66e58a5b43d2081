"""What Traefik's docker provider makes of the labels in a compose file: routers, services, middlewares, as files have
them. Pure.

Labels are case-insensitive but for the names that people choose; their values are text. What only Traefik itself knows
(its default rule, whether it exposes every container) is a note, and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.core.snapshots import same
from reconciler.komodo import compose
from reconciler.traefik.fields import KINDS, Free, Many, Record, Scalar, Shape, Table

Kinds = dict[str, dict[str, Any]]
"""Kind -> name -> spec."""

_LABEL: Final = re.compile(r"traefik\.(http|tcp|udp)\.([a-z]+)\.([^.]+)(?:\.(.+))?", re.IGNORECASE)
_SECTIONS: Final = {kind.casefold(): kind for kind in KINDS}
_PART: Final = re.compile(r"([^\[\]]+)(?:\[(\d{1,3})\])?")
_PLAIN: Final = re.compile(r"[^a-zA-Z0-9]+")
_MOST_SHOWN: Final = 300
_TRUE: Final = ("true", "1", "t")


class _Unfit(Exception):
    """A label that Traefik would not take."""


@dataclass(frozen=True)
class Labelled:
    """What labels make, and what is odd about them: `faults` Traefik refuses, `notes` only Traefik itself can tell."""

    kinds: Kinds = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def of_stacks(stacks: Mapping[str, Any]) -> Labelled:
    """Stack -> its compose file, as all of them together come out.

    One name with two meanings is none: Traefik leaves such a router, service or middleware out.
    """
    found: dict[tuple[str, str], list[tuple[str, Any]]] = {}
    faults, notes = list[str](), list[str]()
    for stack, document in sorted(stacks.items()):
        one = of_compose(stack, document)
        faults += one.faults
        notes += one.notes
        for kind, held in one.kinds.items():
            for name, spec in held.items():
                found.setdefault((kind, name), []).append((stack, spec))
    kinds: Kinds = {}
    for (kind, name), specs in found.items():
        if all(same(specs[0][1], spec) for _, spec in specs):
            kinds.setdefault(kind, {})[name] = specs[0][1]
        else:
            named = " and ".join(sorted({stack for stack, _ in specs}))
            faults.append(f"{kind}/{name} is said differently in {named}, so Traefik leaves it out")
    return Labelled(kinds, tuple(faults), tuple(notes))


def of_compose(stack: str, document: Any) -> Labelled:
    """What the labels of one stack's services make."""
    kinds: Kinds = {}
    faults, notes = list[str](), list[str]()
    project = str(document.get("name") or stack) if isinstance(document, Mapping) else stack
    for name, service in compose.services(document).items():
        labels = {key: _text(value) for key, value in compose.table(service.get("labels")).items()}
        mine = {key: value for key, value in labels.items() if key.casefold().startswith("traefik.")}
        enabled = next((value for key, value in mine.items() if key.casefold() == "traefik.enable"), "")
        if not mine or (enabled and enabled.casefold() not in _TRUE):
            continue
        container = _Container(f"{stack}: service '{name}'", name, _normal(f"{name}-{project}"))
        container.take(mine)
        faults += container.faults
        notes += container.notes
        for kind, held in container.kinds.items():
            kinds.setdefault(kind, {}).update(held)
    return Labelled(kinds, tuple(faults), tuple(notes))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _normal(text: str) -> str:
    return _PLAIN.sub("-", text).strip("-")


class _Container:
    """One service's labels in the making. `own` is what Traefik calls what it makes for it by itself."""

    def __init__(self, told: str, name: str, own: str) -> None:
        self._told, self._name, self._own = told, name, own
        self.kinds: Kinds = {}
        self.faults: list[str] = []
        self.notes: list[str] = []

    def take(self, labels: Mapping[str, str]) -> None:
        ports: dict[tuple[str, str], dict[str, str]] = {}
        for key, value in sorted(labels.items()):
            match = _LABEL.fullmatch(key)
            kind = _SECTIONS.get(f"{match[1]}.{match[2]}".casefold()) if match else None
            if match is None or kind is None:
                continue  # traefik.enable, traefik.docker.network, and what is no part of the dynamic configuration
            if server := re.fullmatch(r"loadbalancer\.server\.(\w+)", match[4] or "", re.IGNORECASE):
                ports.setdefault((kind, match[3]), {})[server[1].casefold()] = value
                self._spec(kind, match[3])
                continue
            try:
                _put(self._spec(kind, match[3]), KINDS[kind], _parts(match[4] or ""), value)
            except _Unfit as fault:
                self.faults.append(f"{self._told}: label {key[:_MOST_SHOWN]}: {fault}")
        for protocol in ("http", "tcp", "udp"):
            self._finished(
                protocol, {name: said for (kind, name), said in ports.items() if kind == f"{protocol}.services"}
            )

    def _spec(self, kind: str, name: str) -> dict[str, Any]:
        spec: dict[str, Any] = self.kinds.setdefault(kind, {}).setdefault(name, {})
        return spec

    def _finished(self, protocol: str, ports: Mapping[str, Mapping[str, str]]) -> None:
        """What Traefik adds by itself: servers, the service of a router that names none."""
        routers = self.kinds.get(f"{protocol}.routers", {})
        services = self.kinds.get(f"{protocol}.services", {})
        if routers and not services:
            services = self.kinds.setdefault(f"{protocol}.services", {})
            services[self._own] = {}
        for name, spec in services.items():
            if not spec or "loadBalancer" in spec:
                server = _server(protocol, self._name, ports.get(name, {}))
                spec["loadBalancer"] = {**spec.get("loadBalancer", {}), "servers": [server]}
        for name, spec in list(routers.items()):
            if "service" not in spec and len(services) == 1:
                spec["service"] = next(iter(services))
            elif "service" not in spec:
                self.faults.append(f"{self._told}: router '{name}' names no service, and there are several")
            if "rule" not in spec and protocol != "udp":
                self.notes.append(f"{self._told}: router '{name}' gets Traefik's default rule, which is not known here")
                del routers[name]


def _server(protocol: str, host: str, said: Mapping[str, str]) -> dict[str, Any]:
    port = said.get("port", "")
    if protocol != "http":
        return {"address": f"{host}:{port}"}
    return {"url": said.get("url") or f"{said.get('scheme', 'http')}://{host}{f':{port}' if port else ''}"}


# ── a label's path and value, by the shape of what it is about ───────────────────────────────────


def _parts(rest: str) -> list[tuple[str, int | None]]:
    found = [_PART.fullmatch(part) for part in rest.split(".")] if rest else []
    if None in found:
        raise _Unfit("it is no path of a setting")
    return [(match[1], int(match[2]) if match[2] else None) for match in found if match]


def _put(spec: dict[str, Any], shape: Shape, parts: list[tuple[str, int | None]], value: str) -> None:
    """Set what a path leads to; every step is one that the shape knows."""
    if not parts:
        raise _Unfit("it names no setting")
    (name, index), rest = parts[0], parts[1:]
    if isinstance(shape, Free):
        _put_freely(spec, parts, value)
        return
    if isinstance(shape, Table):
        key, inner = name, shape.item
    else:
        assert isinstance(shape, Record)
        key = shape.by_folded_name.get(name.casefold(), "")
        if not key:
            raise _Unfit(f"Traefik knows no '{name}' there")
        inner = shape.fields[key]
    if isinstance(inner, Many) and isinstance(inner.item, Record):
        items = spec.setdefault(key, [])
        items += [{} for _ in range(len(items), (index or 0) + 1)]
        _put(items[index or 0], inner.item, rest, value)
    elif rest:
        if isinstance(inner, Scalar | Many):
            raise _Unfit(f"'{name}' has nothing inside it")
        _put(spec.setdefault(key, {}), inner, rest, value)
    elif isinstance(inner, Record | Table | Free):
        if value.casefold() in _TRUE or value == "":
            spec.setdefault(key, {})
    else:
        spec[key] = _value(inner, value)


def _put_freely(spec: dict[str, Any], parts: Iterable[tuple[str, int | None]], value: str) -> None:
    *above, (last, _) = parts
    for name, _ in above:
        spec = spec.setdefault(name, {})
    spec[last] = value


def _value(shape: Shape, text: str) -> Any:
    if isinstance(shape, Many):
        return list(_words(text))
    takes = shape.takes if isinstance(shape, Scalar) else "text"
    if takes == "number":
        if not re.fullmatch(r"-?[0-9]{1,18}", text.strip()):
            raise _Unfit("its value is no number")
        return int(text)
    if takes == "switch":
        if text.casefold() not in (*_TRUE, "false", "0", "f"):
            raise _Unfit("its value is neither true nor false")
        return text.casefold() in _TRUE
    return text


def _words(text: str) -> Iterator[str]:
    yield from (word for part in text.split(",") if (word := part.strip()))
