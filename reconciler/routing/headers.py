"""Header lines as Go's server and the first handlers of an entry point leave them for the rules.

Text here stands for bytes: every character is one byte (latin-1), as it came over the wire.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Final

from reconciler.routing.urls import Release

Lines = dict[str, list[str]]
"""Canonical name -> values in order."""


class BadHeader(Exception):
    """A request that Go answers itself, because of its headers, with `status`."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_HOST = re.compile(r"[A-Za-z0-9!$%&()*+,\-.:;=\['\]_~]*\Z")
_FRAMING = frozenset({"Transfer-Encoding", "Content-Length", "Expect", "Trailer", "Pragma", "Host"})


@lru_cache(4096)
def _is_name(text: str) -> bool:
    return bool(TOKEN.match(text))


@lru_cache(4096)
def _is_host(text: str) -> bool:
    return bool(_HOST.match(text.strip(" \t")))


@lru_cache(4096)
def canonical_name(name: str) -> str:
    """A header name as Go writes it: X-Forwarded-For; unchanged where it is no header name."""
    return "-".join(part.capitalize() for part in name.split("-")) if TOKEN.match(name) else name


def read(lines: Collection[tuple[str, str]], host: str | None, *, old: bool) -> Lines:
    """Header lines by canonical name, as Go's server hands them on. `old`: in HTTP/1.0. Raises BadHeader."""
    found: Lines = {}
    if not lines and (not host or _is_host(host)):
        return found
    for name, value in lines:
        stripped = value.strip(" \t")
        if not _is_name(name) or not _VALUE.match(stripped):
            raise BadHeader(400, f"the header {name!r} is malformed")
        canonical = canonical_name(name)
        if canonical in found:
            found[canonical].append(stripped)
        else:
            found[canonical] = [stripped]
    framed = not _FRAMING.isdisjoint(found)
    if framed:
        _frame(found, old=old)
    if "Host" in found:
        raise BadHeader(400, "more than one Host header")
    if host and not _is_host(host):
        raise BadHeader(400, "the Host header is malformed")
    if framed:
        _expect(found)
    return found


def _frame(lines: Lines, *, old: bool) -> None:
    """What Go's server does about the headers that say how long a message is, first of all. `old`: HTTP/1.0."""
    encodings = lines.pop("Transfer-Encoding", None)
    chunked = encodings is not None and not old
    if chunked and [encoding.lower() for encoding in encodings or ()] != ["chunked"]:
        raise BadHeader(501, "an unknown Transfer-Encoding")
    _measure(lines, chunked=chunked)
    _translate_pragma(lines)


def _expect(lines: Lines) -> None:
    expected = lines.get("Expect", [""])[0]
    if expected and not has_token(expected, "100-continue"):
        raise BadHeader(417, "an Expect that is not 100-continue")


def _translate_pragma(lines: Lines) -> None:
    """Go gives a Cache-Control to whoever asks in the old way."""
    if _first(lines, "Pragma") == "no-cache":
        lines.setdefault("Cache-Control", ["no-cache"])


_LENGTH: Final = re.compile("0*[0-9]{1,19}")


def _measure(lines: Lines, *, chunked: bool) -> None:
    lengths = lines.pop("Content-Length", None)
    if lengths is not None:
        if len(set(lengths)) > 1 or not _LENGTH.fullmatch(lengths[0]) or int(lengths[0][-19:]) >= 2**63:
            raise BadHeader(400, "a Content-Length that is none")
        if not chunked:
            lines["Content-Length"] = lengths[:1]
    if chunked:
        trailers = {canonical_name(key.strip(" \t")) for line in lines.pop("Trailer", ()) for key in line.split(",")}
        if not trailers.isdisjoint(("Transfer-Encoding", "Trailer", "Content-Length")):
            raise BadHeader(400, "a Trailer that cannot be one")


def has_token(value: str, token: str) -> bool:
    """Whether one of the words between commas is `token` (lower case)."""
    return any(part.strip(" \t").lower() == token for part in value.split(","))


# ── what the entry point adds and takes ──────────────────────────────────────────────────────────

_FORWARDED: Final = frozenset({
    "X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server",
    "X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Prefix", "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info", "X-Real-Ip",
})  # fmt: skip
ADDED: Final = _FORWARDED | {"Connection", "Upgrade"}
"""Headers that a rule may find though nobody sent them."""
ALIASES: Final[Release] = (3, 6, 15)
"""Since here (or some patches before) a header that is one of these but for underscores is taken for it."""


def is_forwarded(name: str, release: Release) -> bool:
    """Whether a header (canonical name) is one that Traefik sets itself, and takes from trusted peers only."""
    if not name.startswith("X"):
        return False
    if "_" in name and release >= ALIASES:
        name = canonical_name(name.replace("_", "-"))
    return name in _FORWARDED


def without_forwarded(lines: Mapping[str, list[str]], release: Release) -> Lines:
    """What is left of the headers of a peer that is not trusted."""
    return {name: values for name, values in lines.items() if not is_forwarded(name, release)}


def forward(lines: Lines, *, client_ip: str, tls: bool, host: str, port: str, server: str) -> None:
    """Set the headers that say how the request came. `host` and its `port` as on the wire; `server` may be ""."""
    if not _first(lines, "X-Real-Ip") and client_ip:
        lines["X-Real-Ip"] = [client_ip.partition("%")[0]]
    if not _first(lines, "X-Forwarded-Proto"):
        kind = "ws" if is_websocket(lines) else "http"
        lines["X-Forwarded-Proto"] = [kind + "s" if tls else kind]
    if not _first(lines, "X-Forwarded-Port"):
        secure = tls or lines["X-Forwarded-Proto"][0] in ("https", "wss")
        lines["X-Forwarded-Port"] = [port or ("443" if secure else "80")]
    if not _first(lines, "X-Forwarded-Host") and host:
        lines["X-Forwarded-Host"] = [host]
    if lines.get("X-Forwarded-For"):
        lines["X-Forwarded-For"] = [", ".join(lines["X-Forwarded-For"])]
    if server:
        lines["X-Forwarded-Server"] = [server]


def is_websocket(lines: Mapping[str, list[str]]) -> bool:
    """Whether the client wants to speak WebSocket; only the first line of each header counts."""
    return _named(_first(lines, "Connection"), "upgrade") and _named(_first(lines, "Upgrade"), "websocket")


def _named(value: str, word: str) -> bool:
    return any(part.strip().lower() == word for part in value.split(","))


def _first(lines: Mapping[str, list[str]], name: str) -> str:
    return lines.get(name, [""])[0]


def take_hop_headers(lines: Lines, release: Release, kept: Collection[str] = ()) -> None:
    """Take away Connection and every header that it names, but for those that the entry point lets pass."""
    named = lines.pop("Connection", [])
    upgrade = _first(lines, "Upgrade") if any(has_token(line, "upgrade") for line in named) else ""
    passed: list[str] = []
    for name in (canonical_name(part.strip(" \t")) for line in named for part in line.split(",")):
        if not name or is_forwarded(name, release):
            continue
        if name in kept:
            passed.append(name)
        else:
            lines.pop(name, None)
    if upgrade:
        passed.append("Upgrade")
        lines["Upgrade"] = [upgrade]
    if passed:
        lines["Connection"] = [",".join(passed)]


def is_within(address: str, ranges: Iterable[str]) -> bool:
    """Whether an address is one of these, or in one of these ranges."""
    return any(
        number(address)[0] == version and first <= number(address)[1] <= last
        for version, first, last in map(address_range, ranges)
    )


@lru_cache(4096)
def number(address: str) -> tuple[int, int]:
    """(4 or 6, number) of an address, (0, 0) for what is none. A zone does not count; a mapped IPv4 one is IPv4."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return 0, 0
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (4, int(mapped)) if mapped is not None else (parsed.version, int(parsed))


@lru_cache(4096)
def address_range(text: str) -> tuple[int, int, int]:
    """(4 or 6, first, last) of an address or a range; mapped IPv4 addresses are IPv4. Raises ValueError."""
    network = ipaddress.ip_network(text, strict=False)
    if network.version == 6 and network.prefixlen >= 96:
        version, first = number(str(network.network_address))
        return version, first, first + network.num_addresses - 1
    return network.version, int(network.network_address), int(network.broadcast_address)
