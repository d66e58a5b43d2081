"""From the sides of a request to the request: escaped, quoted and written as a client would send it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import quote_from_bytes

from reconciler.routing.cubes import Cube
from reconciler.routing.dimensions import CLIENT, HOST, METHOD, PATH, PROTO, PROTOCOLS, SERVER_NAME, Side
from reconciler.routing.request import Connection, Request
from reconciler.routing.urls import ROUTING_PATHS, Release

_CONNECTION, _UPGRADE = Side("header", "Connection"), Side("header", "Upgrade")
_PATH = "!$&'()*+,;=:@[]/%"  # a routing path has its own escapes, so '%' stays
_CLEANED = re.compile(r"//|/\.{1,2}(?:/|\Z)")
_QUERY = "-._~/:@!$'()*,"


def request_of(cube: Cube) -> Request:
    """The request whose sides are those of a cube."""
    scheme = cube.value(PROTO)[0] if PROTO in cube.values else "http"
    (path,), (host,), (method,), (client,) = map(cube.value, (PATH, HOST, METHOD, CLIENT))
    parameters = [(side.key, value) for side, values in cube.values.items() if side.kind == "query" for value in values]
    return Request(
        method=method,
        target=_target(path, cube.release) + _query(parameters),
        host=_written(host),
        headers=(*_headers(cube), *_upgrade(scheme)),
        client_ip=client,
        tls=scheme in ("https", "wss"),
    )


def connection_of(cube: Cube) -> Connection:
    """The connection whose sides are those of a cube."""
    (name,), (client,) = cube.value(SERVER_NAME), cube.value(CLIENT)
    return Connection(sni=name, client_ip=client, alpn=cube.value(PROTOCOLS))


USUAL_HOST = "example.org"


def plain_request(host: str, path: str, release: Release) -> Request:
    """A request of which only host and path matter."""
    return Request(target=_target(path, release), host=_written(host))


def _written(host: str) -> str:
    """Brackets keep a colon in a host from being read as that of a port."""
    return f"[{host}]" if ":" in host else host


@lru_cache(5_000)
def _target(path: str, release: Release) -> str:
    if not path:
        return "http:"  # of all targets only those in absolute form may have no path
    if release >= ROUTING_PATHS or path == "*":
        return _escaped(path, _PATH)
    if not _CLEANED.search(path):
        return _escaped(path, "/")
    return "/" + _escaped(path[1:], "").replace(".", "%2E")  # what is escaped is not cleaned


def _escaped(text: str, safe: str) -> str:
    return quote_from_bytes(_bytes(text), safe)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _query(parameters: Iterable[tuple[str, str]]) -> str:
    pairs = ((_escaped(key, _QUERY), _escaped(value, _QUERY)) for key, value in parameters)
    text = "&".join(f"{key}={value}" if value or not key else key for key, value in pairs)
    return f"?{text}" if text else ""


def _headers(cube: Cube) -> Iterator[tuple[str, str]]:
    for side, values in cube.values.items():
        if side.kind == "header" and side != PROTO:
            yield from ((side.key, _bytes(value).decode("latin-1")) for value in values)
    if cube.values.get(_CONNECTION) and not cube.values.get(_UPGRADE):
        yield _UPGRADE.key, "any"  # without it Traefik takes Connection away


def _upgrade(scheme: str) -> tuple[tuple[str, str], ...]:
    return (("Connection", "Upgrade"), ("Upgrade", "websocket")) if scheme in ("ws", "wss") else ()
