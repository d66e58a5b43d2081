"""What HTTP middlewares may do to a request before a router's children see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

EVERYTHING: Final = "everything"

_PATH: Final = ("path", "headers")  # where the path is rewritten, a header says what it was
_HEADERS: Final = ("headers",)
_CHANGES: Final[Mapping[str, tuple[str, ...]]] = {
    "addprefix": _PATH,
    "basicauth": _HEADERS,
    "buffering": (),
    "chain": (),  # its members are asked one by one
    "circuitbreaker": (),
    "compress": _HEADERS,
    "contenttype": (),
    "digestauth": _HEADERS,
    "encodedcharacters": (),
    "errors": (),
    "forwardauth": _HEADERS,
    "grpcweb": _HEADERS,
    "inflightreq": (),
    "ipallowlist": (),
    "ipwhitelist": (),
    "passtlsclientcert": _HEADERS,
    "ratelimit": (),
    "redirectregex": (),
    "redirectscheme": (),
    "replacepath": _PATH,
    "replacepathregex": (*_PATH, "query"),
    "retry": _HEADERS,
    "stripprefix": _PATH,
    "stripprefixregex": _PATH,
}
_BESIDE: Final = frozenset({"members"})


def changes_of(middlewares: Iterable[Mapping[str, Any] | None]) -> tuple[str, ...]:
    """The parts of a request that these may rewrite; None is a middleware that nobody here knows.

    Each is a mapping with its type as the only key, and under "members" those of a chain.
    """
    found: set[str] = set()
    for spec in middlewares:
        found.update((EVERYTHING,) if spec is None else _changes(spec))
    return tuple(sorted(found))


def _changes(spec: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for kind, value in spec.items():
        folded = kind.casefold()
        if folded == "members":
            found.update(changes_of(value))
        elif folded == "headers":
            found.update(_by_headers(value))
        else:
            found.update(_CHANGES.get(folded, (EVERYTHING,)))
    return found


def _by_headers(value: Any) -> tuple[str, ...]:
    """The middleware `headers` touches the request only where it sets request headers."""
    fields = {str(key).casefold(): inner for key, inner in value.items()} if isinstance(value, Mapping) else {}
    wanted = fields.get("customrequestheaders") or {}
    if not wanted:
        return ()
    host = any(str(name).casefold() == "host" for name in wanted)
    return ("headers", "host") if host else ("headers",)
