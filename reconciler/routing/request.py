"""A request as it arrives on the wire, and as Traefik's rules see it.

Between the two stand Go's HTTP server, which refuses some requests by itself, and the first handlers of an entry
point: they clean the path, set the X-Forwarded headers, and take hop headers away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlsplit

from reconciler.routing import headers, urls
from reconciler.routing.headers import Lines, canonical_name, is_forwarded
from reconciler.routing.headers import number as address_of
from reconciler.routing.urls import Release

__all__ = [
    "NEWEST", "PLAIN", "Connection", "Door", "Refused", "Release", "Request", "Seen", "address_of", "canonical_host",
    "canonical_name", "is_forwarded", "look", "query_of", "split_host", "text_of", "without_port",
]  # fmt: skip

NEWEST: Final[Release] = (3, 7, 15)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request on the wire. Text stands for bytes (latin-1), nothing in it is decoded.

    `target` is that of the request line: "/a%20b?x=1", "http://h/p", "*". `host` is the Host header as sent, None
    where there is none (HTTP/1.0). `headers` are name and value as sent, in order, without Host.
    """

    method: str = "GET"
    target: str = "/"
    host: str | None = ""
    headers: tuple[tuple[str, str], ...] = ()
    client_ip: str = "127.0.0.1"
    entry_point: str = ""
    tls: bool = False

    @classmethod
    def of_url(
        cls,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        client_ip: str = "127.0.0.1",
        entry_point: str = "",
    ) -> Request:
        """The request that an ordinary client makes for a URL; a header named Host goes where it belongs.

        Raises ValueError for what is no http or https address.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"'{url}' is no address; write one like https://git.example.org/path")
        given = [(name, value) for name, value in headers if name.lower() != "host"]
        hosts = [value for name, value in headers if name.lower() == "host"]
        target = _sent(parts.path) or "/"
        if parts.query:
            target += "?" + _sent(parts.query)
        return cls(
            method=method,
            target=target,
            host=hosts[0] if hosts else _host_of(parts.netloc.rpartition("@")[2]),
            headers=tuple((name, _wire(value)) for name, value in given),
            client_ip=client_ip,
            entry_point=entry_point,
            tls=parts.scheme == "https",
        )

    @property
    def url(self) -> str:
        """The address, for people to read."""
        if not self.target.startswith("/"):
            return self.target
        return f"{'https' if self.tls else 'http'}://{self.host or ''}{self.target}"


@dataclass(frozen=True, slots=True)
class Connection:
    """What a TCP rule sees: the server name and protocols of a TLS handshake ("" and () where there is none)."""

    sni: str = ""
    client_ip: str = "127.0.0.1"
    alpn: tuple[str, ...] = ()


def _wire(text: str) -> str:
    """Text as its bytes in UTF-8, a character each."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def _sent(text: str) -> str:
    """A path or query as clients send it: other than ASCII, blanks and quotes escaped, all else as it is."""
    return quote(text, safe="!#$%&'()*+,/:;=?@[]~^|\\{}`")


def _host_of(netloc: str) -> str:
    name, colon, port = netloc.partition(":")
    if netloc.isascii():
        return netloc
    try:
        return name.encode("idna").decode() + colon + port
    except UnicodeError:
        return _wire(netloc)


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """The options of an entry point that change what rules see; the defaults are Traefik's.

    `trusted` are the addresses whose X-Forwarded headers count, `trust_all` is `forwardedHeaders.insecure`.
    `odd_headers` is `aliasHeadersStrategy`, `underscored_headers` the older `underscoreHeadersStrategy`: "keep",
    "delete" or "reject". `hostname` is that of Traefik's machine, which it sends as X-Forwarded-Server; "" unknown.
    `barred` are the characters that `encodedCharacters` does not allow a path to hold escaped: "/" for "%2F".
    """

    sanitize_path: bool = True
    encode_semicolons: bool = False
    trusted: tuple[str, ...] = ()
    trust_all: bool = False
    connection_headers: tuple[str, ...] = ()
    odd_headers: str = "keep"
    underscored_headers: str = "keep"
    hostname: str = ""
    barred: frozenset[str] = frozenset()


PLAIN: Final = Door()


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that Go or the entry point gives itself, before any rule is asked."""

    status: int
    reason: str


class Seen:
    """A request as rules see it. Text is UTF-8, with bytes that are none as lone surrogates (`surrogateescape`).

    `query` and `headers` are worked out when first asked for: most rules ask for neither. `barred`: whichever
    router takes the request answers it with 400, because its path holds an escape that the entry point does not allow.
    """

    __slots__ = (
        "_address", "_door", "_headers", "_query", "_raw_query", "_received", "_release", "_wire_host", "barred",
        "client_ip", "entry_point", "host", "method", "path", "tls",
    )  # fmt: skip

    def __init__(
        self,
        *,
        method: str = "GET",
        host: str = "",
        path: str = "/",
        query: Mapping[str, tuple[str, ...]] | None = None,
        headers: Mapping[str, tuple[str, ...]] | None = None,
        client_ip: str = "127.0.0.1",
        entry_point: str = "",
        tls: bool = False,
    ) -> None:
        self.method, self.host, self.path = method, host, path
        self.client_ip, self.entry_point, self.tls = client_ip, entry_point, tls
        self.barred = False
        self._query: Mapping[str, tuple[str, ...]] | None = {} if query is None else query
        self._headers: Mapping[str, tuple[str, ...]] | None = {} if headers is None else headers
        self._address: tuple[int, int] | None = None
        self._raw_query = ""
        self._received: Lines = {}
        self._door, self._release, self._wire_host = PLAIN, NEWEST, ""

    @classmethod
    def arrived(cls, request: Request, target: urls.Target, received: Lines, door: Door, release: Release) -> Seen:
        """What rules see of a request that the entry point lets in."""
        seen = cls.__new__(cls)
        seen._wire_host = target.host or (request.host or "").strip(" \t")
        seen.method, seen.host = request.method, _host_seen(seen._wire_host)
        seen.path = text_of(urls.routing_path(target, release, sanitize=door.sanitize_path))
        seen.client_ip, seen.entry_point, seen.tls = request.client_ip, request.entry_point, request.tls
        seen._raw_query, seen._received, seen._door, seen._release = target.query, received, door, release
        seen._query = seen._headers = seen._address = None
        seen.barred = False
        if door.barred:
            path = urls.arriving(target, release, sanitize=door.sanitize_path).upper()
            seen.barred = any(f"%{ord(character):02X}" in path for character in door.barred)
        return seen

    @property
    def query(self) -> Mapping[str, tuple[str, ...]]:
        """Query parameters: key -> values in order."""
        if self._query is None:
            self._query = query_of(self._raw_query, self._door, self._release)
        return self._query

    @property
    def headers(self) -> Mapping[str, tuple[str, ...]]:
        """Header lines: canonical name -> values in order, with those that Traefik adds, without those it takes."""
        if self._headers is None:
            self._headers = _headers_of(self)
        return self._headers

    def lines_of(self, name: str) -> tuple[str, ...]:
        """The header lines of a name as Go writes it."""
        if self._headers is None and name not in self._received and name not in headers.ADDED:
            return ()
        return self.headers.get(name, ())

    @property
    def address(self) -> tuple[int, int]:
        """The client's address: (4 or 6, number); (0, 0) for what is none. A mapped IPv4 address is one of IPv4."""
        if self._address is None:
            self._address = address_of(self.client_ip)
        return self._address

    def __repr__(self) -> str:
        return (
            f"Seen({self.method} {self.host!r} {self.path!r} query={dict(self.query)!r} headers={dict(self.headers)!r})"
        )


def text_of(wire: str) -> str:
    """Bytes as text: UTF-8 where they are, lone surrogates where they are not."""
    return wire if wire.isascii() else wire.encode("latin-1").decode("utf-8", "surrogateescape")


# ── arriving ─────────────────────────────────────────────────────────────────────────────────────

_USUAL: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ROOTED: Final[Release] = (3, 7, 13)
"""Since here a target like "http:a" is refused."""
NO_TUNNELS: Final[Release] = (3, 7, 0)
"""Since here (or some patches later) CONNECT is answered with 501."""
_ODD_NAME = re.compile(r"[^A-Za-z0-9-]")


def look(request: Request, door: Door = PLAIN, release: Release = NEWEST) -> Seen | Refused:
    """What rules see of a request at an entry point, or the answer that Traefik gives before it asks them."""
    if not (request.method in _USUAL or headers.TOKEN.match(request.method)) or " " in request.target:
        return Refused(400, "the request line is malformed")
    authority_only = request.method == "CONNECT" and not request.target.startswith("/")
    try:
        target = urls.read(request.target, release, authority_only=authority_only)
        old = request.host is None
        request = _with_host(request) if old else request
        received = headers.read(request.headers, request.host, old=old)
    except urls.BadTarget as bad:
        return Refused(400, str(bad))
    except headers.BadHeader as bad:
        return Refused(bad.status, bad.reason)
    return _stopped(request, target, received, door, release) or Seen.arrived(request, target, received, door, release)


def _with_host(request: Request) -> Request:
    """A request without a host whose headers name one after all, as those of HTTP/1.0 may."""
    hosts = [value for name, value in request.headers if name.lower() == "host"]
    if len(hosts) != 1:
        return request
    left = tuple(line for line in request.headers if line[0].lower() != "host")
    return replace(request, host=hosts[0], headers=left)


def _stopped(request: Request, target: urls.Target, received: Lines, door: Door, release: Release) -> Refused | None:
    """What the entry point answers itself."""
    if request.method == "OPTIONS" and request.target == "*":
        return Refused(200, "Go answers OPTIONS * itself")
    if request.method == "CONNECT" and release >= NO_TUNNELS:
        return Refused(501, "Traefik does not tunnel (CONNECT)")
    if "#" in target.raw_path:
        return Refused(400, "a fragment (#) in the path")
    if target.rootless and release >= ROOTED:
        return Refused(400, "the target is neither a path nor an address")
    if door.odd_headers == "reject" and any(map(_ODD_NAME.search, received)):
        return Refused(400, "a header name with other than letters, digits and dashes")
    if door.underscored_headers == "reject" and any("_" in name for name in received):
        return Refused(400, "a header name with an underscore")
    return None


def takes_away(door: Door, name: str) -> bool:
    """Whether no rule sees a header of this name, as the entry point takes it away or refuses whoever sends it."""
    odd = door.odd_headers != "keep" and _ODD_NAME.search(name) is not None
    return odd or (door.underscored_headers != "keep" and "_" in name)


def _headers_of(seen: Seen) -> dict[str, tuple[str, ...]]:
    door, release = seen._door, seen._release
    lines = {name: list(values) for name, values in seen._received.items()}
    if door.odd_headers == "delete":
        lines = {name: values for name, values in lines.items() if not _ODD_NAME.search(name)}
    if door.underscored_headers == "delete":
        lines = {name: values for name, values in lines.items() if "_" not in name}
    if not (door.trust_all or headers.is_within(seen.client_ip, door.trusted)):
        lines = headers.without_forwarded(lines, release)
    host = seen._wire_host
    _, port = split_host(host)
    headers.forward(lines, client_ip=seen.client_ip, tls=seen.tls, host=host, port=port, server=door.hostname)
    # Before, a name was only found where it was written as Go writes it.
    kept = map(canonical_name, door.connection_headers) if release >= headers.ALIASES else door.connection_headers
    headers.take_hop_headers(lines, release, set(kept))
    return {name: tuple(map(text_of, values)) for name, values in lines.items()}


# ── the host and the query ───────────────────────────────────────────────────────────────────────


@lru_cache(4096)
def _host_seen(wire_host: str) -> str:
    return canonical_host(text_of(wire_host))


def canonical_host(host: str) -> str:
    """The host without its port, in lower case."""
    name = without_port(host)
    return name.lower() if name.isascii() else _go_lower(name)


def _go_lower(text: str) -> str:
    """Lower case character by character; what is no UTF-8 becomes the replacement character."""
    return "".join("\ufffd" if "\ud800" <= one <= "\udfff" else one.lower()[:1] for one in text).strip()


def without_port(host: str) -> str:
    """The host without a port and without the brackets of an address."""
    return split_host(host)[0]


def split_host(host: str) -> tuple[str, str]:
    """Host and port, as Go's net.SplitHostPort; what it cannot split stays whole, but for brackets around it all."""
    colon = host.rfind(":")
    if colon < 0:
        return host, ""
    if host.startswith("["):
        end = host.find("]")
        if end > 0 and end + 1 == colon and "[" not in host[1:] and "]" not in host[colon:]:
            return host[1:end], host[colon + 1 :]
    elif host.find(":") == colon and "[" not in host and "]" not in host:
        return host[:colon], host[colon + 1 :]
    return (host[1:-1] if host.startswith("[") and host.endswith("]") else host), ""


def query_of(raw_query: str, door: Door, release: Release) -> dict[str, tuple[str, ...]]:
    """Query parameters: key -> values in order."""
    found: dict[str, tuple[str, ...]] = {}
    if not raw_query:
        return found
    separated = raw_query.replace(";", "%3B" if door.encode_semicolons else "&")
    if separated.count("&") >= urls.MOST_PARAMETERS and release >= (3, 6, 8):
        return found
    for key, value in urls.parameters(separated):
        name = text_of(key)
        found[name] = (*found.get(name, ()), text_of(value))
    return found
