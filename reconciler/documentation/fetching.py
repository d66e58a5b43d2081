"""Fetching what official sources publish, and nothing else: the edge between Waypost and the world outside.

An address must be one of a source's, its host must resolve to public addresses only, and the connection is made to
an address that was checked, not to the name again. Every redirect is judged like the first address. Sizes, times
and kinds are bounded, whatever the other side sends.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx2

from reconciler.documentation import sources
from reconciler.documentation.sources import OFFICIAL, Source
from reconciler.ports import Clock

LARGEST: Final = 8 << 20
"""Bytes of one answer once it is unpacked; the search index of a large site is a few million."""

SECONDS: Final = 20.0
"""For one page, redirects and all."""

_STEP: Final = 5.0
_MOST_REDIRECTS: Final = 5
_AT_ONCE: Final = 8
_KINDS: Final = frozenset(
    {
        "text/html", "application/xhtml+xml", "text/markdown", "text/plain", "application/json", "text/xml",
        "application/xml",
    }
)  # fmt: skip

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""Where networks without IPv4 put the rest of the world."""

_MOST_TRIED: Final = 3

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host. Raises OSError where it has none."""


@dataclass(frozen=True)
class Fetched:
    """What stands at an address; `address` is where it was found in the end."""

    address: str
    kind: str
    content: bytes
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True)
class Unchanged:
    """It is what it was when its validators were noted."""

    address: str


@dataclass(frozen=True)
class Gone:
    """Nothing stands there (any more): the source itself says so."""

    reason: str


@dataclass(frozen=True)
class Refused:
    """We do not go there: it is no official place, or it leads to none."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """It could not be had just now."""

    reason: str


Outcome = Fetched | Unchanged | Gone | Refused | Failed


@dataclass(frozen=True)
class Validators:
    """What an earlier answer said of itself, so that the next one may be "not modified"."""

    etag: str = ""
    last_modified: str = ""


def public(address: str) -> bool:
    """Whether this is an address of the world outside: not of this machine, this house, or somebody's metadata."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    return all(one.is_global and not one.is_multicast and not one.is_reserved for one in _meant(known))


def _meant(address: IPAddress) -> list[IPAddress]:
    """The address, and every IPv4 address that a gateway on the way would make of it."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address in _TRANSLATED:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    inner = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
    return [address, *(one for one in inner if one is not None)]


def resolve(host: str, port: int) -> list[str]:
    """Ask this machine's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


@dataclass(frozen=True)
class Reach:
    """How far fetching may go. The default is what the product does; only tests choose otherwise."""

    sources: Sequence[Source] = OFFICIAL
    resolve: Resolve = resolve
    permitted: Callable[[str], bool] = public
    seconds: float = SECONDS
    largest: int = LARGEST


class Fetcher:
    """Fetches pages of official sources. Usable by several threads."""

    def __init__(self, reach: Reach, clock: Clock, ca_file: Path | None = None) -> None:
        self._reach = reach
        self._clock = clock
        self._ca_file = ca_file
        self._room = threading.BoundedSemaphore(_AT_ONCE)

    @property
    def sources(self) -> Sequence[Source]:
        return self._reach.sources

    def fetch(self, address: str, known: Validators = Validators()) -> Outcome:
        """What stands there now. Answers within the time limit, whatever the other side does."""
        if not self._room.acquire(blocking=False):
            return Failed("too many pages are being fetched already")
        found: list[Outcome] = []

        def work() -> None:
            try:
                found.append(self._follow(address, known))
            finally:
                self._room.release()

        # A resolver, or a server that sends a byte a second, cannot be interrupted; it can be left behind.
        thread = threading.Thread(target=work, name="documentation", daemon=True)
        thread.start()
        thread.join(self._reach.seconds + 1)
        return found[0] if found else Failed(f"{_host(address)} did not answer within {self._reach.seconds:g} s")

    def _follow(self, address: str, known: Validators) -> Outcome:
        ends = self._clock.monotonic() + self._reach.seconds
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                outcome = self._hop(address, known, ends)
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, zlib.error) as fault:
                return Failed(f"{_host(address)} cannot be reached ({_words(fault)})")
            if not isinstance(outcome, str):
                return outcome
            address = outcome
        return Refused("it redirects without an end")

    def _hop(self, address: str, known: Validators, ends: float) -> Outcome | str:
        """One request: what came of it, or where it leads on to."""
        if sources.source_of(address, self._reach.sources) is None:
            return Refused(f"{address[:200]} is not an official source of documentation")
        host, port = sources.host_and_port(address)
        addresses = list(self._reach.resolve(host, port))
        if not addresses or not all(map(self._reach.permitted, addresses)):
            return Refused(f"{host} resolves to an address that is not public")
        for to in addresses[:_MOST_TRIED][:-1]:
            try:
                return self._ask(address, to, known, ends)
            except httpx2.ConnectError:
                continue  # half of the world's houses have no IPv6
        return self._ask(address, addresses[:_MOST_TRIED][-1], known, ends)

    def _ask(self, address: str, to: str, known: Validators, ends: float) -> Outcome | str:
        parts = urlsplit(address)
        secure = parts.scheme == "https"
        client = httpx2.Client(
            timeout=_STEP,
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve the name once more, and not as we did
            verify=_trusted(self._ca_file),
        )
        request = client.build_request(
            "GET",
            _at(parts.scheme, to, parts.port, parts.path),
            headers=_headers(parts.netloc, known),
            extensions={"sni_hostname": parts.hostname} if secure else {},
        )
        with client:
            response = client.send(request, stream=True)
            try:
                return self._taken(address, response, ends)
            finally:
                response.close()

    def _taken(self, address: str, response: httpx2.Response, ends: float) -> Outcome | str:
        status, headers = response.status_code, response.headers
        if status == 304:
            return Unchanged(address)
        if status in (301, 302, 303, 307, 308):
            return urljoin(address, headers.get("location", "")).partition("#")[0]
        if status in (404, 410):
            return Gone(f"{address} is gone (HTTP {status})")
        if status != 200:
            return Failed(f"{_host(address)} answers HTTP {status}")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _KINDS:
            return Refused(f"{address} is {kind[:60] or 'of no kind'}, which is no documentation")
        content = self._content(response, ends)
        if isinstance(content, str):
            return Failed(f"{_host(address)} {content}")
        return Fetched(address, kind, content, headers.get("etag", "")[:200], headers.get("last-modified", "")[:100])

    def _content(self, response: httpx2.Response, ends: float) -> bytes | str:
        """The whole body, unpacked; or why not. A few bytes may unpack to very many: they never all do."""
        packing = response.headers.get("content-encoding", "identity").lower()
        if packing not in ("identity", "gzip"):
            return f"answers in a packing that was not asked for ({packing[:20]})"
        unpack = zlib.decompressobj(wbits=31) if packing == "gzip" else None
        content = bytearray()
        for chunk in response.iter_raw(64 * 1024):
            room = self._reach.largest - len(content) + 1
            content += unpack.decompress(chunk, room) if unpack else chunk[:room]
            if len(content) > self._reach.largest:
                return f"answers more than {self._reach.largest >> 20} MiB"
            if self._clock.monotonic() > ends:
                return f"did not answer within {self._reach.seconds:g} s"
        if unpack and not unpack.eof:
            return "broke off in the middle"
        return bytes(content)


def _headers(host: str, known: Validators) -> dict[str, str]:
    headers = {
        "Host": host,
        "User-Agent": "waypost",
        "Accept": "text/html, text/markdown, text/plain, application/json, application/xml;q=0.9",
        "Accept-Encoding": "gzip",
        "Connection": "close",
    }
    if known.etag:
        headers["If-None-Match"] = known.etag
    elif known.last_modified:
        headers["If-Modified-Since"] = known.last_modified
    return headers


def _at(scheme: str, to: str, port: int | None, path: str) -> str:
    place = f"[{to}]" if ":" in to else to
    return urlunsplit((scheme, f"{place}:{port}" if port else place, path or "/", "", ""))


@functools.cache
def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    """Everybody's authorities, and the house's own: who looks into all that leaves the house signs with that one."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(cafile=str(ca_file))
    return context


def _host(address: str) -> str:
    return address.partition("://")[2].partition("/")[0][:200] or address[:200]


def _words(fault: Exception) -> str:
    if isinstance(fault, httpx2.TimeoutException):
        return f"no answer within {_STEP:g} s"
    return " ".join(str(fault).split())[:200] or type(fault).__name__
