"""Values inside a service or middleware for which Traefik would disable every router that uses it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.routing.values import number
from reconciler.traefik import middlewares
from reconciler.traefik.kinds import dotted
from reconciler.traefik.references import Path, at, listed
from state.model import Spec

Finding = tuple[Path, str, str]
"""Where in the spec, what is wrong there, and "error", or "warning" for what Traefik takes though it cannot work."""


def faults(kind: str, spec: Spec) -> Iterator[Finding]:
    """Everything wrong inside one service or middleware by itself."""
    if not isinstance(spec, dict) or not kind.endswith((".services", ".middlewares")):
        return
    yield from _one_type(kind, spec)
    if kind.endswith(".services"):
        yield from _servers(kind, spec)
        yield from _children(spec)
        yield from _choices(spec)
    else:
        yield from ((path, message, "error") for path, message in middlewares.faults(spec))


def disabling(kind: str, spec: Spec) -> Iterator[str]:
    """Why Traefik disables every router that uses this service or middleware, in words with the place."""
    for path, message, severity in faults(kind, spec):
        if severity == "error":
            yield f"{dotted(path)} {message}" if path else message


def _one_type(kind: str, spec: Mapping[str, Any]) -> Iterator[Finding]:
    beside = ("middlewares",) if kind == "http.services" else ()
    types = [key for key, value in spec.items() if key not in beside and value is not None]
    if len(types) != 1:
        found = f"several types ({', '.join(types)})" if types else "no type"
        yield (), f"has {found}; a {kind.split('.')[1].removesuffix('s')} has exactly one", "error"


_URL = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://(?:[\w.~-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?(?:[/?#][!-~]*)?\Z", re.ASCII
)
_SOCKET = re.compile(r"\S*:\w+\Z")


def _servers(kind: str, spec: Spec) -> Iterator[Finding]:
    http = ("url", _URL, "http://192.168.1.10:3000")
    key, shape, like = http if kind == "http.services" else ("address", _SOCKET, "192.168.1.10:5432")
    for index, server in enumerate(listed(spec, "loadBalancer", "servers")):
        value = at(server, key)
        if not shape.match(str(value)):
            path = ("loadBalancer", "servers", index, key)
            refused = kind == "http.services" and ":" in str(value)
            message = f"'{value or ''}' is not where a server can be; write it like {like}"
            yield path, message, "error" if refused else "warning"


def _children(spec: Spec) -> Iterator[Finding]:
    for holder, group in (("weighted", "services"), ("highestRandomWeight", "services"), ("mirroring", "mirrors")):
        for index, child in enumerate(listed(spec, holder, group)):
            if not at(child, "name"):
                yield (holder, group, index), "names no service", "error"
    for holder, key in (("mirroring", "service"), ("failover", "service"), ("failover", "fallback")):
        if holder in spec and not at(spec, holder, key):
            yield (holder, key), "names no service", "error"
    for index, child in enumerate(listed(spec, "mirroring", "mirrors")):
        if not 0 <= number(at(child, "percent")) <= 100:
            yield ("mirroring", "mirrors", index, "percent"), "is no share from 0 to 100", "error"


_STRATEGIES = frozenset({"", "wrr", "p2c", "hrw", "leasttime"})


def _choices(spec: Spec) -> Iterator[Finding]:
    strategy = at(spec, "loadBalancer", "strategy")
    if strategy is not None and strategy not in _STRATEGIES:
        yield (
            ("loadBalancer", "strategy"),
            f"Traefik knows no strategy '{strategy}'; it knows wrr, p2c, hrw, leasttime",
            "error",
        )
