"""Containers, what they say and what they use, whoever tells it; and which of them stands behind a route. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

from state.sparing import dataclass

Output = Literal["all", "stdout", "stderr"]

PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
"""Labels by which Compose says whose container it is. Other labels may hold secrets and are never shown."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container. `state` is one word (running, exited …), `status` what its engine says of it, "" where unknown."""

    id: str
    name: str
    image: str = ""
    state: str = ""
    status: str = ""
    health: str = ""  # healthy, unhealthy, starting; "" where nobody checks
    host: str = ""  # as its source calls it; "" where there is only one
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()  # published on its host

    @property
    def project(self) -> str:
        return self.labels.get(PROJECT, "")

    @property
    def service(self) -> str:
        return self.labels.get(SERVICE, "")

    @property
    def runs(self) -> bool:
        return self.state == "running"

    @property
    def trouble(self) -> str:
        """What is wrong with it, "" where nothing is seen."""
        if not self.runs:
            return f"is {self.state or 'in no known state'}{f' ({self.status})' if self.status else ''}"
        return f"runs and is {self.health}" if self.health in ("unhealthy", "starting") else ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line that a container wrote. `level` is a word such as error, "" where it does not say."""

    text: str
    at: datetime | None = None
    output: str = ""  # stdout or stderr; "" where they are one
    level: str = ""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which lines: the newest `most` since a moment; only those that hold `text`, where one is given."""

    most: int
    since: datetime
    output: Output = "all"
    text: str = ""
    case_sensitive: bool = False

    def takes(self, line: Line) -> bool:
        """Whether it holds the text, and is not older."""
        return (line.at is None or line.at >= self.since) and self.finds(line)

    def finds(self, line: Line) -> bool:
        """Whether it holds the text."""
        return self.text in line.text if self.case_sensitive else self.text.casefold() in line.text.casefold()


@dataclass(frozen=True)
class Excerpt:
    """Lines, oldest first, the newest always among them; `left_out` says what else there is and is not here.

    `further` says so of lines that are wanted as well, which only those may hear who may see what is wanted of them.
    """

    lines: tuple[Line, ...]
    left_out: tuple[str, ...] = ()
    further: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a container uses now. None: its source does not say."""

    cpu_percent: float | None = None  # of one processor: two that are busy are 200
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    memory_percent: float | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None
    processes: int | None = None


class SourceError(Exception):
    """A source cannot tell. `away`: it does not answer at all, so it need not be asked again at once."""

    def __init__(self, message: str, *, away: bool = False, retry: bool = True) -> None:
        super().__init__(message)
        self.away = away
        self.retry = retry


class Source(Protocol):
    """Who can tell about containers. Every method raises SourceError; all are safe to call from several threads."""

    @property
    def title(self) -> str:
        """What it is called in an answer."""
        ...

    def containers(self) -> list[Container]: ...

    def read(self, container: Container, wanted: Wanted) -> Excerpt: ...

    def usage(self, container: Container) -> Usage: ...

    def close(self) -> None: ...


# ── levels ───────────────────────────────────────────────────────────────────────────────────────

_LEVEL: Final = re.compile(
    r"\b(?:(?P<fatal>fatal|panic|emerg(?:ency)?|crit(?:ical)?)|(?P<error>err(?:or)?|exception|traceback)"
    r"|(?P<warn>warn(?:ing)?)|(?P<info>info|notice)|(?P<debug>debug)|(?P<trace>trace))\b",
    re.I,
)
TROUBLED: Final = frozenset({"error", "fatal"})


def level_of(text: str) -> str:
    """The level that a line names first, "" where it names none."""
    found = _LEVEL.search(text[:300])
    return found.lastgroup or "" if found else ""


# ── which one is behind a route ──────────────────────────────────────────────────────────────────

_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1", "host.docker.internal"})


@dataclass(frozen=True, kw_only=True)
class Route:
    """What a route says by which its container may be found."""

    host: str = ""
    router: str = ""  # with its provider where that is another than file
    service: str = ""
    backends: tuple[str, ...] = ()  # addresses


def behind(route: Route, containers: Sequence[Container]) -> list[Container]:
    """The containers that a route leads to: by its backends, by the labels that make it, or by the host they name."""
    found = [one for one in containers if _is_backend(one, route.backends) or _is_labelled(one, route)]
    if not found:
        by_port = [one for one in containers if _is_published(one, route.backends)]
        found = by_port if len(by_port) == 1 else []
    return found


def _is_backend(one: Container, backends: Iterable[str]) -> bool:
    names = {one.name, one.service, *one.addresses, one.id[:12]} - {""}
    if one.project and one.service:
        names |= {f"{one.project}-{one.service}-1", f"{one.project}_{one.service}_1"}
    return any(_host_of(url) in names for url in backends)


def _is_published(one: Container, backends: Iterable[str]) -> bool:
    return any(_host_of(url) in _HERE and _port_of(url) in one.ports for url in backends)


def _is_labelled(one: Container, route: Route) -> bool:
    """Whether a label of it makes this router or service, or a rule in one asks for the host."""
    names = {route.router.partition("@")[0], route.service.partition("@")[0]} - {""}
    foreign = not route.router or "@" in route.router
    rule = f"`{route.host}`"
    for label, value in one.labels.items():
        parts = label.lower().split(".")
        if parts[:2] != ["traefik", "http"] or len(parts) < 4:
            continue
        if foreign and parts[2] in ("routers", "services") and parts[3] in {name.lower() for name in names}:
            return True
        if route.host and parts[2] == "routers" and parts[-1] == "rule" and rule in value:
            return True
    return False


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _port_of(url: str) -> int:
    try:
        parts = urlsplit(url)
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return 0
