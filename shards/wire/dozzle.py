"""Containers over Dozzle's own MCP server.

It gives a log from its oldest line on and stops, without a word, where a mebibyte is full: then the newest lines are
missing. So a small window is asked for first and larger ones after it, as long as they are whole; an answer that may
have been cut off is never used.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import httpx2
import mcp_types as protocol
import orjson
from mcp import Client
from mcp.shared.exceptions import MCPError

from reconciler.dozzle import Door, Version
from reconciler.ports import Clock
from reconciler.setting import Secret
from shards.containers import Container, Excerpt, Line, SourceError, Usage, Wanted
from shards.declared import Declared
from shards.dozzle_pages import container, entries
from shards.log_sources import heard
from shards.reading import objects
from shards.wire.link import dialled
from state.sparing import dataclass

SINCE: Final[Version] = (10, 6, 12)
"""Before, it did not keep to what its user may see."""

_FULL: Final = 1 << 20
"""Characters at which Dozzle stops."""

_ONE_ENTRY: Final = 128 << 10
"""That many may be missing to the full, and the next entry was too long for the rest."""

_WINDOWS: Final = (1, 5, 30, 180, 1_440, 10_080)
"""Minutes. Only whole ones count there."""

_SECONDS: Final = 12.0
_TROUBLE: Final = (
    MCPError, httpx2.HTTPError, OSError, RuntimeError, ValueError, anyio.ClosedResourceError,
    anyio.BrokenResourceError, ExceptionGroup,
    asyncio.CancelledError,  # nobody cancels this loop: it is the SDK's word for a connection that broke
)  # fmt: skip

_Answer = TypeVar("_Answer")
_Work = Callable[[Client], Awaitable[_Answer | SourceError]]


@dataclass(frozen=True)
class _Window:
    """What is in the log of the last minutes, and whether the newest of it may be missing."""

    minutes: int
    lines: tuple[Line, ...]
    whole: bool


class Tools:
    """Dozzle as models see it."""

    def __init__(self, door: Door, clock: Clock, ca_file: Path | None = None) -> None:
        self._door = door
        self._clock = clock
        self._ca_file = ca_file

    @property
    def title(self) -> str:
        return f"Dozzle {self._door.known_version} (MCP)".replace("  ", " ")

    def close(self) -> None:
        self._door.close()

    def containers(self) -> list[Container]:
        async def work(client: Client) -> str | SourceError:
            return await _call(client, "list_containers", {})

        return [container(one) for one in objects(_json(self._done(work)))]

    def read(self, container: Container, wanted: Wanted) -> Excerpt:
        now = self._clock.now()
        return self._done(partial(_widened, container=container, wanted=wanted, now=now))

    def usage(self, container: Container) -> Usage:
        async def work(client: Client) -> str | SourceError:
            return await _call(client, "get_container_stats", _of(container))

        told = _json(self._done(work))
        history = objects(told.get("stats")) if isinstance(told, dict) else []
        if not history:
            raise SourceError(f"Dozzle has measured nothing of {container.name}: does it run?", retry=False)
        return _usage(history[-1], told)

    @heard()
    def _done(self, work: _Work[_Answer]) -> _Answer:
        """Work over one connection; over a second one where a token may have ended meanwhile."""
        if self._door.version() < SINCE:
            version = ".".join(map(str, SINCE))
            raise SourceError(
                f"Dozzle {self._door.known_version} is older than {version}, so its MCP server is not used",
                away=True,
                retry=False,
            )
        answer = self._tried(work)
        if isinstance(answer, SourceError) and answer.away and self._door.token():
            self._door.forget()
            answer = self._tried(work)
        if isinstance(answer, SourceError):
            raise answer
        return answer

    def _tried(self, work: _Work[_Answer]) -> _Answer | SourceError:
        token = self._door.token()
        declared = Declared(
            name="dozzle",
            url=f"{self._door.url}/api/mcp",
            tools=frozenset(),
            token=Secret(token) if token else None,
            seconds=_SECONDS,
        )

        async def connected() -> _Answer | SourceError:
            with anyio.fail_after(_SECONDS):
                async with dialled(declared, self._trust) as client:
                    return await work(client)

        try:
            return anyio.run(connected)
        except _TROUBLE as fault:
            return SourceError(
                f"Dozzle's MCP server does not answer ({_words(fault)}): is it on (--enable-mcp)?", away=True
            )

    def _trust(self) -> ssl.SSLContext:
        if not self._door.url.startswith("https:"):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never asked, and reading certificates takes its time
        return ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)


def _words(fault: BaseException) -> str:
    while isinstance(fault, ExceptionGroup):
        fault = fault.exceptions[0]
    return " ".join(str(fault).split())[:200] or type(fault).__name__


async def _call(client: Client, tool: str, arguments: Mapping[str, Any]) -> str | SourceError:
    params = protocol.CallToolRequestParams(name=tool, arguments=dict(arguments))
    # Not `call_tool`, which evaluates the schemas of a stranger.
    result = await client.session.send_request(protocol.CallToolRequest(params=params), protocol.CallToolResult)
    text = "".join(one.text for one in result.content if isinstance(one, protocol.TextContent))
    if result.is_error:
        return SourceError(f"Dozzle refuses {tool}: {' '.join(text.split())[:200]}")
    return text


def _of(one: Container) -> dict[str, Any]:
    return {"host": one.host, "container_id": one.id}


# ── windows ──────────────────────────────────────────────────────────────────────────────────────


async def _widened(client: Client, *, container: Container, wanted: Wanted, now: datetime) -> Excerpt | SourceError:
    """The largest window that is whole and holds no more than is needed."""
    best: _Window | None = None
    for minutes in _minutes(wanted, now):
        told = await _window(client, container, wanted, minutes)
        if isinstance(told, SourceError):
            return told
        if not told.whole or _lacks_the_newest(told, best):
            return _excerpt(best, wanted, minutes) if best else _too_much(container)
        best = told
        if len(told.lines) >= wanted.most:
            break
    return _excerpt(best, wanted, 0) if best else Excerpt(())


def _minutes(wanted: Wanted, now: datetime) -> Iterator[int]:
    last = max(1, round((now - wanted.since).total_seconds() / 60))
    yield from (minutes for minutes in _WINDOWS if minutes < last)
    yield last


async def _window(client: Client, container: Container, wanted: Wanted, minutes: int) -> _Window | SourceError:
    arguments = {**_of(container), "since_minutes": minutes, "stream": wanted.output}
    tool = "get_container_logs"
    if wanted.text:
        tool = "search_container_logs"
        arguments |= {"query": wanted.text, "case_sensitive": wanted.case_sensitive}
    text = await _call(client, tool, arguments)
    if isinstance(text, SourceError):
        return text
    return _Window(minutes, tuple(filter(wanted.takes, entries(text))), len(text.encode()) < _FULL - _ONE_ENTRY)


def _lacks_the_newest(wider: _Window, before: _Window | None) -> bool:
    """Whether a smaller window has seen what a wider one does not tell: one entry too long ends it, too."""
    known = before.lines[-1].at if before and before.lines else None
    last = wider.lines[-1].at if wider.lines else None
    return known is not None and (last is None or last < known)


def _excerpt(window: _Window, wanted: Wanted, missing: int) -> Excerpt:
    """`missing`: the window of so many minutes was more than Dozzle gives at once; 0 where none was."""
    kept = window.lines[-wanted.most :]
    left_out, further = [], []
    if len(window.lines) > len(kept):
        further.append(f"older lines: these are the newest {len(kept):,}")
    if missing:
        since = "minute" if window.minutes == 1 else f"{window.minutes} minutes"
        left_out.append(
            f"lines older than the last {since}: those of {missing} minutes are more than Dozzle gives at once"
        )
    return Excerpt(kept, tuple(left_out), tuple(further))


def _too_much(container: Container) -> SourceError:
    """Nothing of it is used: it is the newest that would be missing."""
    return SourceError(
        f"{container.name} wrote more within the last minute than Dozzle's MCP server gives at once, and it would keep "
        "the oldest of it"
    )


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        raise SourceError("Dozzle's MCP server answers what is no JSON", retry=False) from None


def _usage(newest: Mapping[str, Any], told: Mapping[str, Any]) -> Usage:
    def number(value: Any) -> float | None:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    cpu, memory, used = (number(newest.get(key)) for key in ("cpuPercent", "memoryPercent", "memoryUsageBytes"))
    limit = number(told.get("memoryLimitBytes"))
    return Usage(
        cpu_percent=None if cpu is None else round(cpu, 2),
        memory_percent=None if memory is None else round(memory, 2),
        memory_bytes=None if used is None else int(used),
        memory_limit_bytes=int(limit) if limit else None,
    )
