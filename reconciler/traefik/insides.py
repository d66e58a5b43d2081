"""Values inside a service or middleware for which Traefik would disable every router that uses it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.routing import rules
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
        yield from _patterns(spec)
        yield from _ranges(spec)
        yield from _needed(spec)


def _one_type(kind: str, spec: Mapping[str, Any]) -> Iterator[Finding]:
    types = [key for key in spec if not (kind == "http.services" and key == "middlewares")]
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


_STRATEGIES = frozenset({"", "wrr", "p2c", "hrw", "leasttime"})


def _choices(spec: Spec) -> Iterator[Finding]:
    strategy = at(spec, "loadBalancer", "strategy")
    if strategy is not None and strategy not in _STRATEGIES:
        yield (
            ("loadBalancer", "strategy"),
            f"Traefik knows no strategy '{strategy}'; it knows wrr, p2c, hrw, leasttime",
            "error",
        )


_PATTERNS: tuple[tuple[str, ...], ...] = (
    ("redirectRegex", "regex"),
    ("replacePathRegex", "regex"),
    ("stripPrefixRegex", "regex"),
    ("forwardAuth", "authResponseHeadersRegex"),
    ("headers", "accessControlAllowOriginListRegex"),
)


def _patterns(spec: Spec) -> Iterator[Finding]:
    for path in _PATTERNS:
        value = at(spec, *path)
        for pattern in value if isinstance(value, list) else [value]:
            if isinstance(pattern, str) and (fault := rules.pattern_fault(pattern)):
                yield path, fault, "error"


def _ranges(spec: Spec) -> Iterator[Finding]:
    for holder in ("ipAllowList", "ipWhiteList"):
        ranges = listed(spec, holder, "sourceRange")
        if holder in spec and not ranges:
            yield (
                (holder, "sourceRange"),
                "holds no range, and a list that admits nobody is refused by Traefik",
                "error",
            )
        for index, one in enumerate(ranges):
            if not rules.is_range(str(one)):
                yield (
                    (holder, "sourceRange", index),
                    f"'{one}' is neither an address nor a range like 192.168.1.0/24",
                    "error",
                )


def _needed(spec: Spec) -> Iterator[Finding]:
    for holder in ("basicAuth", "digestAuth"):
        if holder in spec and not at(spec, holder, "users") and not at(spec, holder, "usersFile"):
            yield (holder,), "has neither users nor usersFile", "error"
    if "redirectScheme" in spec and not at(spec, "redirectScheme", "scheme"):
        yield ("redirectScheme", "scheme"), "says no scheme to redirect to", "error"
    if "retry" in spec and str(at(spec, "retry", "attempts") or 0).lstrip("+-0") == "":
        yield ("retry", "attempts"), "needs at least one attempt", "error"
