"""Questions as people and programs write them down: requests in JSON lines and as addresses, versions."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from reconciler.routing.entrances import entry_points, inferred
from reconciler.routing.request import NEWEST, Request
from reconciler.routing.urls import Release

__all__ = ["Asked", "BadRequest", "asked", "entry_points", "inferred", "of_url", "release", "release_of"]

Pairs = tuple[tuple[str, str], ...]


class BadRequest(ValueError):
    """What is wrong with a request as it is written down."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and the server name of its TLS handshake where that is said (None: the host that it asks for)."""

    request: Request
    server_name: str | None = None


def asked(line: bytes) -> Asked:
    """One request of a JSON line. Raises BadRequest. Fields that are not known are passed over."""
    fields = _decoded(line)
    if not isinstance(fields, dict):
        raise BadRequest("this is no JSON object")
    headers = _headers(fields.get("headers"))
    method = _text(fields, "method", "GET")
    client = _client(_text(fields, "client_ip", "127.0.0.1"))
    door = _text(fields, "entrypoint", _text(fields, "entry_point", ""))
    server_name = fields.get("sni")
    if server_name is not None and not isinstance(server_name, str):
        raise BadRequest("'sni' must be text")
    if "target" in fields:
        if "url" in fields:
            raise BadRequest("there are both 'url' and 'target'; write one of them")
        return Asked(_raw(fields, method, headers, client, door), server_name)
    if "url" not in fields:
        raise BadRequest("there is neither 'url' nor 'target'")
    made = of_url(method, _text(fields, "url", ""), headers, client, door)
    _check_beside_url(fields, made)
    return Asked(made, server_name)


def _check_beside_url(fields: Mapping[str, Any], made: Request) -> None:
    """Raises BadRequest where fields that belong to a raw request contradict the address."""
    if fields.get("tls") not in (None, made.tls):
        scheme = "https" if made.tls else "http"
        raise BadRequest(f"'tls' contradicts the 'url', which begins with {scheme}; leave it out, or give a 'target'")
    if fields.get("host") not in (None, made.host):
        raise BadRequest("'host' contradicts the 'url'; give a Host header instead, or a 'target'")


def of_url(method: str, url: str, headers: Sequence[tuple[str, str]], client_ip: str, entry_point: str) -> Request:
    """The request that a client makes for a URL.

    Raises BadRequest for what no client would send; what Traefik makes of such a thing can be asked as a raw request.
    """
    _check_authority(url)
    hosts = [(name, value) for name, value in headers if name.lower() == "host"]
    try:
        made = Request.of_url(_wire(method), url, headers, _client(client_ip), entry_point)
    except (ValueError, UnicodeError) as error:
        raise BadRequest(str(error)) from None
    return replace(made, headers=made.headers + tuple(hosts[1:])) if len(hosts) > 1 else made


_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f<>\\^|%]")


def _check_authority(url: str) -> None:
    authority = url.partition("://")[2]
    host = re.split("[/?#]", authority, maxsplit=1)[0].rpartition("@")[2]
    name, port = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(.*)", host, re.DOTALL).groups()  # type: ignore[union-attr]
    raw = "; to see what Traefik answers to it, give it as 'target' and 'host'"
    if wrong := _FORBIDDEN.search(name):
        raise BadRequest(f"'{url}' is no address: no client asks for a host with {wrong[0]!r} in it{raw}")
    if port and not re.fullmatch(":[0-9]{0,5}", port, re.ASCII) or port and int(port[1:] or "0") > 65535:
        raise BadRequest(f"'{url}' is no address: '{port[1:]}' is no port{raw}")
    if not name.isascii() and not _is_international(name):
        raise BadRequest(f"'{url}' is no address: no client asks for a host like '{name}'{raw}")


def _is_international(name: str) -> bool:
    try:
        return bool(name.encode("idna"))
    except UnicodeError:
        return False


def _decoded(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        words = str(error)
    try:
        return json.loads(line)  # it takes lone surrogates, by which some write bytes that are no UTF-8
    except (ValueError, RecursionError):
        raise BadRequest(f"this is not JSON: {words}") from None


def _raw(fields: Mapping[str, Any], method: str, headers: Pairs, client_ip: str, entry_point: str) -> Request:
    host = fields.get("host")
    if host is None and "host" not in fields:
        own = [value for name, value in headers if name.lower() == "host"]
        first = next((index for index, (name, _) in enumerate(headers) if name.lower() == "host"), None)
        host, headers = (own[0], headers[:first] + headers[first + 1 :]) if first is not None else (None, headers)
    if host is not None and not isinstance(host, str):
        raise BadRequest("'host' must be text, or null where there is no Host header")
    tls = fields.get("tls", False)
    if not isinstance(tls, bool):
        raise BadRequest("'tls' must be true or false")
    return Request(
        method=_wire(method),
        target=_wire(_text(fields, "target", "/")),
        host=None if host is None else _wire(host),
        headers=tuple((_wire(name), _wire(value)) for name, value in headers),
        client_ip=client_ip,
        entry_point=entry_point,
        tls=tls,
    )


def _wire(text: str) -> str:
    """Text as bytes in UTF-8, a character each; a lone surrogate U+DC80 to U+DCFF is the byte it escapes."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    except UnicodeEncodeError:
        raise BadRequest("a character that no request can carry (a lone surrogate)") from None


def _text(fields: Mapping[str, Any], name: str, default: str) -> str:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise BadRequest(f"'{name}' must be text")
    return value


def _client(address: str) -> str:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise BadRequest(f"'{address}' is no IP address") from None
    return address


_WRONG_HEADERS: Final = '\'headers\' must be {"Name": "value"} or [["Name", "value"], …]'


def _headers(value: Any) -> Pairs:
    if value is None:
        return ()
    if isinstance(value, dict):
        pairs = [(name, one) for name, held in value.items() for one in (held if isinstance(held, list) else [held])]
    elif isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        pairs = [(name, one) for name, one in value]
    else:
        raise BadRequest(_WRONG_HEADERS)
    if not all(isinstance(name, str) and isinstance(one, str) for name, one in pairs):
        raise BadRequest(_WRONG_HEADERS)
    return tuple(pairs)


# ── versions ─────────────────────────────────────────────────────────────────────────────────────


def release(text: str) -> Release:
    """A version of Traefik; without its last number the newest of its line. Raises ValueError."""
    match = re.fullmatch(r"v?([0-9]{1,3})\.([0-9]{1,3})(?:\.([0-9]{1,5}))?(?:[-+].*)?", text.strip())
    if match is None or int(match[1]) != 3:
        raise ValueError(f"'{text}' is no version of Traefik 3; write one like 3.7 or 3.7.15")
    line = (int(match[1]), int(match[2]))
    if match[3] is not None:
        return (*line, int(match[3]))
    return NEWEST if line == NEWEST[:2] else (*line, 999)


def release_of(version: str) -> Release | None:
    """The version that a Traefik says it is (3.7.15, v3.7.0-rc.1), as numbers; None for none of version 3."""
    match = re.fullmatch(r"v?3\.([0-9]{1,3})\.([0-9]{1,5})(?:-.*)?", version)
    return (3, int(match[1]), int(match[2])) if match else None
