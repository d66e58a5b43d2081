"""A shard elsewhere: found, kept, checked and asked. Whatever becomes of it, nobody else notices.

One task a shard holds its connection and makes a new one when that is lost; calls come from tasks of their own, so
that a lost connection is an answer to them and never a cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Final, Protocol, cast

import anyio
import anyio.to_thread
import httpx2
import mcp_types as protocol
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from reconciler.ports import Chance, Clock
from reconciler.setting import ConfigError
from shards import untrusted
from shards.audit import Audit
from shards.declared import Declared
from shards.health import Breaker, Budget, Health, Turned
from shards.kit import Call, Refused
from shards.offers import Offer, Progress, in_thread
from shards.outcome import LARGEST, Outcome
from shards.registry import Standing

SOONEST: Final = 0.2
LONGEST: Final = 5.0
"""Seconds between two tries to connect, doubling from the one to the other."""

REQUEST_ID: Final = "waypost/request-id"
"""Where a shard finds, in a call's metadata, by which id the gateway knows it."""

_MOST_TOOLS: Final = 500
_LONGEST_TITLE: Final = 200
_LONGEST_DESCRIPTION: Final = 4_000

_ANSWERED = frozenset({protocol.INVALID_PARAMS, protocol.INVALID_REQUEST, protocol.METHOD_NOT_FOUND})
"""Errors by which a shard refuses a call."""

_TROUBLED = frozenset({protocol.INTERNAL_ERROR, protocol.REQUEST_TIMEOUT})
"""Errors of a shard, or of a proxy before it, that leave the connection usable."""

_logger = logging.getLogger("waypost.gateway")


class Shelf(Protocol):
    """Where it is kept what a shard offered last, for a start at which it is away."""

    def get(self) -> list[protocol.Tool]: ...

    def put(self, tools: list[protocol.Tool]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all links share."""

    clock: Clock
    chance: Chance
    tls: Callable[[], ssl.SSLContext]
    tell: Callable[[str, Turned], None] = lambda name, turned: None
    """Hears of every shard that went down or came back; quick."""


@dataclass
class Link:
    """One shard elsewhere. `tools` are those that it offers and that a person declared."""

    shard: Declared
    shelf: Shelf
    around: Surroundings
    tools: tuple[protocol.Tool, ...] = field(init=False)
    health: Health = field(init=False)
    breaker: Breaker = field(default_factory=Breaker)
    _budget: Budget = field(default_factory=Budget)
    _offered: tuple[tuple[protocol.Tool, ...], Mapping[str, Offer]] = ((), {})
    _client: Client | None = None
    _lost: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.tools = self._declared(self.shelf.get())
        self.health = Health(self.shard.patience, self.around.clock.now())
        self._room = asyncio.Semaphore(self.shard.at_once)

    @property
    def missing(self) -> list[str]:
        """Tools that a person declared and the shard does not offer."""
        return sorted(self.shard.tools - {tool.name for tool in self.tools})

    def offers(self) -> Mapping[str, Offer]:
        """Its tools by the names that clients call; also while it is down."""
        if self._offered[0] is not self.tools:  # asked with every call, and changed hardly ever
            prefix = self.shard.public_prefix
            named = {prefix + tool.name: Elsewhere(self, tool.name, _listing(prefix, tool)) for tool in self.tools}
            self._offered = self.tools, named
        return self._offered[1]

    def standing(self) -> Standing:
        health = self.health
        return Standing(
            state=health.state,
            tools=len(self.tools),
            where=self.shard.url,
            since=health.since,
            reason=health.reason,
            breaker=self.breaker.state,
            missing=tuple(self.missing),
        )

    # ── the connection ───────────────────────────────────────────────────────────────────────────

    async def keep(self) -> None:
        """Hold a connection, and make a new one whenever it is lost, until cancelled."""
        pause = SOONEST
        while True:
            fault = await self._connected_for_a_while()
            if self._client is not None:
                pause = SOONEST
            self._client = None
            self._failed(fault)
            await anyio.sleep(pause * (1 + self.around.chance(1)[0] / 512))
            pause = min(pause * 2, LONGEST)

    async def _connected_for_a_while(self) -> str:
        """Connect, and stay as long as it lasts; why it ended. The SDK may cancel the task that holds a client: so
        that is one of its own."""
        self._lost = asyncio.Event()
        connection = asyncio.create_task(self._connection())
        try:
            await asyncio.wait({connection}, timeout=self.shard.patience.within * 2)
            if self._client is None:
                connection.cancel()
            await asyncio.wait({connection})
        finally:
            connection.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({connection}, timeout=5)
        return _why(connection)

    async def _connection(self) -> None:
        async with (
            self._http() as http,
            Client(
                streamable_http_client(self.shard.url, http_client=http), read_timeout_seconds=self.shard.seconds + 1
            ) as client,
        ):
            while True:
                await self._check(client)
                self._client = client
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._lost.wait(), self._until_the_next_check())
                if self._lost.is_set():
                    return

    def _http(self) -> httpx2.AsyncClient:
        """Raises ConfigError where the token cannot be had. Goes nowhere but to the declared address."""
        token = self.shard.token
        return httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {token.reveal()}"} if token else {},
            timeout=httpx2.Timeout(self.shard.seconds, connect=self.shard.patience.within),
            follow_redirects=False,
            trust_env=False,
            verify=self.around.tls(),
        )

    def _until_the_next_check(self) -> float:
        every = self.shard.patience.every
        return every if self.health.state == "up" else min(every, 1.0)

    async def _check(self, client: Client) -> None:
        """Ask for the tools: whoever answers that is well. Raises where it does not."""
        offered = await asyncio.wait_for(client.list_tools(cache_mode="refresh"), self.shard.patience.within)
        tools = self._declared(offered.tools[:_MOST_TOOLS])
        if tools != self.tools:
            self.tools = tools
            await anyio.to_thread.run_sync(self.shelf.put, list(tools))
        if turned := self.health.passed(self.around.clock.now()):
            self.around.tell(self.shard.name, turned)
        self.breaker.succeeded()

    def _declared(self, offered: list[protocol.Tool]) -> tuple[protocol.Tool, ...]:
        wanted = (tool for tool in offered if tool.name in self.shard.tools)
        return tuple(sorted(wanted, key=lambda tool: tool.name))

    def _failed(self, fault: str) -> None:
        if turned := self.health.failed(fault, self.around.clock.now()):
            self.around.tell(self.shard.name, turned)

    # ── calls ────────────────────────────────────────────────────────────────────────────────────

    async def call(
        self, tool: str, call: Call, arguments: Mapping[str, Any], progress: Progress | None
    ) -> protocol.CallToolResult:
        """What the shard answers to a call. Raises Refused where it does not answer, or not in time."""
        self._require_well()
        try:
            async with asyncio.timeout(self.shard.seconds), self._room:
                result = await self._tried(partial(self._asked, tool, call.request_id, arguments, progress))
        except TimeoutError:
            self.breaker.failed(self.around.clock.monotonic())
            raise Refused(
                "shard-slow",
                f"The shard {self.shard.name} did not answer within {self.shard.seconds:g} s; what it has begun may "
                "still come to its end there.",
                retry=True,
            ) from None
        return _cleaned(self.shard.name, result)

    def _require_well(self) -> None:
        if self.health.state == "down":
            raise Refused(
                "shard-down",
                f"The shard {self.shard.name} is down since {self.health.since:%Y-%m-%d %H:%M:%S} UTC: "
                f"{self.health.reason or 'it did not answer'}. It is looked for all the time; other shards work.",
                retry=True,
                after=self.shard.patience.every,
            )
        if wait := self.breaker.wait(self.around.clock.monotonic()):
            raise Refused(
                "shard-resting",
                f"The shard {self.shard.name} failed {self.breaker.opens_after} calls in a row, so it is left in peace "
                f"for {wait:.0f} s. Other shards work.",
                retry=True,
                after=wait,
            )

    async def _tried(self, ask: Callable[[], Awaitable[protocol.CallToolResult | str]]) -> protocol.CallToolResult:
        """Ask, and ask again what did not get through: a tool elsewhere only reads."""
        self._budget.earn()
        for again in range(self.shard.retries, -1, -1):
            answer = await ask()
            if not isinstance(answer, str):
                self.breaker.succeeded()
                return answer
            if not again or not self._budget.spend():
                break
            await anyio.sleep(SOONEST * (0.5 + self.around.chance(1)[0] / 255))
        self.breaker.failed(self.around.clock.monotonic())
        raise Refused(
            "shard-unreachable", f"The shard {self.shard.name} cannot be reached: {answer}.", retry=True, after=SOONEST
        )

    async def _asked(
        self, tool: str, request_id: str, arguments: Mapping[str, Any], progress: Progress | None
    ) -> protocol.CallToolResult | str:
        """The answer, or why there is none. Raises Refused where the shard itself refuses the question."""
        client = self._client
        if client is None:
            return self.health.reason or "it is being connected to"
        try:
            return await client.session.call_tool(
                tool, dict(arguments), progress_callback=_relay(progress), meta=_named(request_id)
            )
        except MCPError as error:
            if error.code in _ANSWERED:
                message = untrusted.clean(error.message)[:500]
                raise Refused("shard-refused", f"The shard {self.shard.name} refused the call: {message}") from error
            return _words(error) if error.code in _TROUBLED else self._lose(error)
        except (httpx2.HTTPError, OSError, anyio.ClosedResourceError, anyio.BrokenResourceError) as fault:
            return self._lose(fault)
        except (RuntimeError, ValueError) as fault:  # what it answered does not fit what it promised
            raise Refused(
                "shard-lies", f"The shard {self.shard.name} answered what it should not: {_words(fault)}"
            ) from fault

    def _lose(self, fault: BaseException) -> str:
        """A client that failed once never works again: let the connection be made anew."""
        self._lost.set()
        return _words(fault)


@dataclass(frozen=True)
class Elsewhere:
    """A tool of a shard elsewhere. It only reads, because a person declared it as one that does."""

    link: Link
    name: str
    listing: protocol.Tool

    writes: ClassVar[bool] = False

    @property
    def shard(self) -> str:
        return self.link.shard.name

    async def carry_out(
        self, audit: Audit, call: Call, arguments: Mapping[str, Any], progress: Progress | None
    ) -> Outcome:
        clock = self.link.around.clock
        started, outcome = clock.monotonic(), _HUNG_UP
        try:
            outcome = await self._outcome(call, arguments, progress)
        finally:  # also of a call that the client gave up: it may have been asked
            outcome = replace(outcome, seconds=clock.monotonic() - started)
            with anyio.CancelScope(shield=True):
                await in_thread(partial(audit.note, call, self.shard, arguments, outcome))
        return outcome

    async def _outcome(self, call: Call, arguments: Mapping[str, Any], progress: Progress | None) -> Outcome:
        try:
            answer = await self.link.call(self.name, call, arguments, progress)
        except Refused as refusal:
            return Outcome(refusal=refusal)
        return Outcome(answer=answer, failed=bool(answer.is_error))


_HUNG_UP = Outcome(refusal=Refused("cancelled", "the client gave the call up"))


def _listing(prefix: str, tool: protocol.Tool) -> protocol.Tool:
    """A tool as we vouch for it: what it says of itself is text, and what it claims about harm is no matter."""
    title = untrusted.clean(tool.title or tool.name)[:_LONGEST_TITLE]
    return protocol.Tool(
        name=prefix + tool.name,
        title=title,
        description=untrusted.clean(tool.description or title)[:_LONGEST_DESCRIPTION],
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=protocol.ToolAnnotations(
            title=title, read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
        ),
    )


def _named(request_id: str) -> protocol.RequestParamsMeta:
    return cast(protocol.RequestParamsMeta, {REQUEST_ID: request_id})


def _relay(progress: Progress | None) -> Any:
    if progress is None:
        return None

    async def relay(done: float, total: float | None, message: str | None) -> None:
        await progress(done, total, None if message is None else untrusted.clean(message)[:500])

    return relay


def _cleaned(shard: str, result: protocol.CallToolResult) -> protocol.CallToolResult:
    """The answer without tricks in its texts, and without what the shard says about itself."""
    dumped = untrusted.cleaned(result.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"}))
    size = sum(map(len, _texts(dumped)))
    if size > LARGEST:
        raise Refused(
            "too-large", f"The answer of the shard {shard} is {size:,} characters long, more than the {LARGEST:,} that "
            "are handed on; ask for less.",
        )  # fmt: skip
    return protocol.CallToolResult.model_validate(dumped)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _why(connection: asyncio.Task[None]) -> str:
    if not connection.done():
        return "its connection does not end"
    if connection.cancelled():
        return "it does not answer in time"
    fault = connection.exception()
    return _words(fault) if fault else "the connection was lost"


def _words(fault: BaseException) -> str:
    """A fault in a few words, without a traceback and without an address's credentials."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    if isinstance(fault, TimeoutError):
        return "it does not answer in time"
    if isinstance(fault, ConfigError):
        return str(fault)
    return untrusted.clean(str(fault) or type(fault).__name__)[:200]
