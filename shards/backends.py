"""Whether backends answer: only those that stand in the desired repo or that Traefik serves, and never another one."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from reconciler.core.redact import redact
from reconciler.query_client import Answer, Away
from shards import routes, untrusted
from shards.drafting import Ground
from shards.kit import Refused
from shards.routes import ROUTERS, SERVICES
from state.model import Address
from state.sparing import dataclass

MOST: Final = 50
"""Backends that are asked in one call."""

PATIENCE: Final = 3.0
"""Seconds that each of them gets."""

ALTOGETHER: Final = 13.0
"""Seconds that all of them get: a name may take long to be looked up, which nothing here can cut short."""

_AT_ONCE: Final = 16


class Backend(BaseModel):
    """One backend of one service, as it answered just now."""

    service: str
    url: str
    known_from: Literal["desired", "live", "desired and live"]
    answers: bool = Field(description="whether a connection could be made and something came back")
    status: int | None = Field(description="HTTP status of HEAD /, null where none came")
    milliseconds: int | None
    error: str = Field(description="why it does not answer, or ''")
    traefik_says: str = Field(description="UP or DOWN by Traefik's own health check; '' where there is none")


class BackendStatus(BaseModel):
    """Backends, those that do not answer first."""

    backends: list[Backend]
    left_out: int = Field(description="how many more there are; name a route or a service to see its own")
    live: str = Field(description="'' where Traefik was asked for its services; else why it could not be")


@dataclass(frozen=True)
class Known:
    """A backend that somebody configured."""

    service: str
    url: str
    desired: bool = False
    live: bool = False
    traefik_says: str = ""

    @property
    def source(self) -> Literal["desired", "live", "desired and live"]:
        return "desired and live" if self.desired and self.live else "desired" if self.desired else "live"


def known(ground: Ground, instance: str, live: Answer, name: str) -> list[Known]:
    """The backends of one Traefik; of one route or service where one is named. Raises Refused for an unknown name."""
    found: dict[tuple[str, str], Known] = {}
    for service, url in _desired(ground, instance):
        found[service, url] = Known(service, url, desired=True)
    for service, url, status in _live(live):
        before = found.get((service, url))
        found[service, url] = Known(service, url, desired=before is not None, live=True, traefik_says=status)
    if not name:
        return list(found.values())
    services = _services_of(ground, instance, name)
    mine = [one for one in found.values() if one.service in services]
    if not mine:
        raise Refused(
            "unknown-service", f"No route or service '{name}' with backends is desired or live; see list_routes."
        )
    return mine


def _desired(ground: Ground, instance: str) -> Iterable[tuple[str, str]]:
    for address, resource in sorted(ground.desired.resources.items()):
        if address.instance == instance and address.kind == SERVICES:
            for url in routes.backends(resource.spec) or ():
                if redact(url) == url:  # who wrote a password there does not want it told
                    yield address.name, url


def _live(answer: Answer) -> Iterable[tuple[str, str, str]]:
    told = {} if isinstance(answer, Away) else answer.get("services")
    for name, service in (told if isinstance(told, dict) else {}).items():
        servers = service.get("servers") if isinstance(service, dict) else None
        for url, status in (servers if isinstance(servers, dict) else {}).items():
            yield str(name).removesuffix("@file"), str(url), str(status)


def _services_of(ground: Ground, instance: str, name: str) -> set[str]:
    """Names by which the services of this route, or this service, may be known."""
    bare = name.removesuffix("@file")
    router = ground.desired.resources.get(Address(instance, ROUTERS, bare))
    named = str(router.spec.get("service", "")).removesuffix("@file") if router and router.spec else ""
    return {one for one in (bare, name, named) if one}


def asked(backends: Sequence[Known], away: str) -> BackendStatus:
    """Ask them all at once, each for a few seconds. Whoever is late is told as such, and left behind."""
    chosen = backends[:MOST]
    workers = ThreadPoolExecutor(_AT_ONCE)
    try:
        asking = [workers.submit(_asked, one) for one in chosen]
        wait(asking, timeout=ALTOGETHER)
        answers = [
            each.result() if each.done() else _told(one, None, f"no answer within {ALTOGETHER:g} s")
            for one, each in zip(chosen, asking, strict=True)
        ]
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
    return BackendStatus(
        backends=sorted(answers, key=lambda one: (one.answers, one.service, one.url)),
        left_out=len(backends) - len(chosen),
        live=away,
    )


def _asked(backend: Known) -> Backend:
    started = time.monotonic()
    status, error = _head(backend.url)
    return _told(backend, status, error, round((time.monotonic() - started) * 1000))


def _told(backend: Known, status: int | None, error: str, took: int = 0) -> Backend:
    return Backend(
        service=backend.service,
        url=backend.url,
        known_from=backend.source,
        answers=status is not None,
        status=status,
        milliseconds=took if status is not None else None,
        error=error,
        traefik_says=backend.traefik_says,
    )


_NO_ADDRESS: Final = "this is no address that can be asked over HTTP"


def _head(url: str) -> tuple[int | None, str]:
    """Status of HEAD at a backend, or why there is none. Redirects are not followed."""
    ends = time.monotonic() + PATIENCE
    try:
        parts = urlsplit(url)
        connection = _connection(parts.scheme, parts.hostname or "", parts.port)
    except (ValueError, http.client.InvalidURL):
        return None, _NO_ADDRESS
    try:
        connection.request("HEAD", parts.path or "/", headers={"User-Agent": "waypost", "Connection": "close"})
        with contextlib.closing(_response(connection.sock, ends)) as response:
            return response.status, ""
    except UnicodeError:  # no name that could be looked up, or a path that no request line carries
        return None, _NO_ADDRESS
    except (OSError, http.client.HTTPException) as fault:
        return None, untrusted.clean(_words(fault))[:200]
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        # Whether its certificate is trusted is Traefik's transport to say; here only: does it answer?
        return http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=ssl._create_unverified_context())
    if scheme not in ("http", "h2c") or not host:
        raise ValueError(scheme)
    return http.client.HTTPConnection(host, port, timeout=PATIENCE)


def _response(connected: socket.socket, ends: float) -> http.client.HTTPResponse:
    """The head of the answer. Whoever says a line of it now and then keeps within the limit of each."""
    response = http.client.HTTPResponse(_Until(connected, ends), method="HEAD")  # type: ignore[arg-type]
    response.begin()
    return response


class _Until(io.RawIOBase):
    """What comes over a connection until that moment; then it is late."""

    def __init__(self, connected: socket.socket, ends: float) -> None:
        super().__init__()
        self._connected, self._ends = connected, ends

    def makefile(self, mode: str) -> io.BufferedReader:
        """As of a socket: it is all that is asked of one here."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connected.settimeout(left)
        return self._connected.recv_into(buffer)


def _words(fault: Exception) -> str:
    if isinstance(fault, TimeoutError):
        return f"no answer within {PATIENCE:g} s"
    if isinstance(fault, ConnectionRefusedError):
        return "the connection is refused: nothing listens there"
    return str(fault) or type(fault).__name__
