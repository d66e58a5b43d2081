"""A shard elsewhere: found, kept, checked and asked. Whatever becomes of it, nobody else notices.

One task a shard holds its connection and makes a new one when that is lost; calls come from tasks of their own, so
that a lost connection is an answer to them and never a cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import field
from functools import partial
from typing import Any, Final, Protocol, TypeVar, cast

import anyio
import anyio.to_thread
import mcp_types as protocol
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import mcp_param_headers, x_mcp_header_map

from reconciler.core.redact import redact
from reconciler.ports import Chance, Clock
from shards import untrusted
from shards.declared import Declared
from shards.health import Breaker, Budget, Health, Turned
from shards.kit import Call, Refused
from shards.offers import Offer, Progress
from shards.registry import Standing
from shards.wire import distrust
from shards.wire.elsewhere import Elsewhere
from shards.wire.link import CUT_OFF, REQUEST_ID, Trust, dialled, posted, words
from shards.wire.posting import MOST_BYTES, Post
from state.sparing import dataclass

Said = TypeVar("Said", bound=protocol.Result)

SOONEST: Final = 0.2
LONGEST: Final = 5.0
"""Seconds between two tries to connect, doubling from the one to the other."""

_MOST_TOOLS: Final = 500
_MOST_PAGES: Final = 50

_LONGEST_HEADER: Final = 8_000
_LONGEST_HEADERS: Final = 12_000
"""Characters of an argument in a header, and of all of them: more than many a server takes (Node: 16 KiB with all other
headers) would be a fault of the connection, and here only of the call."""

_HANGS: Final = 0.25
"""Of the time that a call may take: if its client hangs up after that, it was the shard that did not answer. Clients
have less patience than shards are given, and one that only hangs would never be left in peace."""

_TROUBLED = frozenset({protocol.INTERNAL_ERROR, protocol.REQUEST_TIMEOUT, protocol.PARSE_ERROR})
"""Errors of a shard, or of a proxy before it, that may be gone the next time. `CONNECTION_CLOSED` alone says that the
connection is; by any other error a shard refuses a call, whatever code it has made up for that."""


class Shelf(Protocol):
    """Where it is kept what a shard offered last, for a start at which it is away."""

    def get(self) -> list[protocol.Tool]: ...

    def put(self, tools: list[protocol.Tool]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all links share."""

    clock: Clock
    chance: Chance
    tls: Trust
    dial: Callable[[Declared, Trust], AbstractAsyncContextManager[Client]] = dialled
    post: Callable[[Declared, Trust, Client], Post | None] = posted
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
    _mirrored: Mapping[str, Mapping[tuple[str, ...], str]] = field(default_factory=dict)
    _lists: dict[type[protocol.Result], protocol.Result] = field(default_factory=dict)
    _client: Client | None = None
    _post: Post | None = None
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
            named = {prefix + tool.name: Elsewhere(self, tool, distrust.listing(prefix, tool)) for tool in self.tools}
            self._offered = self.tools, named
            self._mirrored = {tool.name: x_mcp_header_map(tool.input_schema) for tool in self.tools}
        return self._offered[1]

    def standing(self) -> Standing:
        health = self.health
        return Standing(
            state=health.state,
            tools=len(self.tools),
            where=str(redact(self.shard.url)),  # some take a key in their address
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
            self._client = self._post = None
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
        async with self.around.dial(self.shard, self.around.tls) as client:
            self._post = post = self.around.post(self.shard, self.around.tls, client)
            with contextlib.closing(post) if post else contextlib.nullcontext():
                await self._watched(client)

    async def _watched(self, client: Client) -> None:
        while not self._lost.is_set():
            await self._check(client)
            self._client = client
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), self._until_the_next_check())

    def _until_the_next_check(self) -> float:
        every = self.shard.patience.every
        return every if self.health.state == "up" else min(every, 1.0)

    async def _check(self, client: Client) -> None:
        """Ask for the tools: whoever answers that is well. Raises where it does not."""
        tools = self._declared(await asyncio.wait_for(_offered(client, self.shard.tools), self.shard.patience.within))
        if tools != self.tools:
            self.tools = tools
            await anyio.to_thread.run_sync(self.shelf.put, list(tools))
        if turned := self.health.passed(self.around.clock.now()):
            self.around.tell(self.shard.name, turned)

    def _declared(self, offered: list[protocol.Tool]) -> tuple[protocol.Tool, ...]:
        wanted = {tool.name: tool for tool in offered if tool.name in self.shard.tools}
        return tuple(wanted[name] for name in sorted(wanted) if distrust.is_usable(wanted[name]))

    def _failed(self, fault: str) -> None:
        if turned := self.health.failed(fault, self.around.clock.now()):
            self.around.tell(self.shard.name, turned)

    # ── calls ────────────────────────────────────────────────────────────────────────────────────

    async def call(
        self, tool: protocol.Tool, call: Call, arguments: Mapping[str, Any], progress: Progress | None
    ) -> protocol.CallToolResult:
        """What the shard answers to a call. Raises Refused where it does not answer, or not in time."""
        self._require_up()
        self._require_rested(self.breaker.wait(self.around.clock.monotonic()))
        is_trial, asked_at = self.breaker.state == "open", math.inf
        effort = self.shard.effort(tool.name)
        try:
            async with asyncio.timeout(effort.seconds), self._room:
                asked_at = self.around.clock.monotonic()
                ask = partial(self._asked, tool.name, call.request_id, arguments, progress)
                result = await self._tried(ask, effort.retries)
        except TimeoutError:
            self.breaker.failed(self.around.clock.monotonic())
            raise Refused(
                "shard-slow",
                f"The shard {self.shard.name} did not answer within {effort.seconds:g} s; what it has begun may "
                "still come to its end there.",
                retry=True,
            ) from None
        except asyncio.CancelledError:
            now = self.around.clock.monotonic()
            if now - asked_at > effort.seconds * _HANGS:
                self.breaker.failed(now)
            elif is_trial:
                self.breaker.given_up(now)
            raise
        return distrust.answer(self.shard.name, tool, result)

    async def ask(self, request: protocol.ClientRequest, expected: type[Said]) -> Said:
        """What the shard says to something else than a call, asked once. Raises Refused where it does not answer."""
        self._require_up()
        self._require_rested(self.breaker.rest(self.around.clock.monotonic()))  # it is no trial: those are calls
        client = self._client
        try:
            async with asyncio.timeout(self.shard.patience.within), self._room:
                if client is None:
                    raise Refused(
                        "shard-unreachable", f"The shard {self.shard.name} is being connected to.", retry=True
                    )
                return await client.session.send_request(request, expected)
        except TimeoutError:
            raise Refused("shard-slow", f"The shard {self.shard.name} did not answer in time.", retry=True) from None
        except MCPError as error:
            fault = self._trouble(error)
            if not fault:
                raise Refused("shard-refused", untrusted.short(error.message, 500)) from error
            raise Refused("shard-failed", f"The shard {self.shard.name} failed: {fault}", retry=True) from error
        except CUT_OFF as fault:
            raise Refused("shard-unreachable", self._lose(fault), retry=True) from fault
        except (RuntimeError, ValueError) as fault:
            raise Refused("shard-lies", f"The shard {self.shard.name} said what it should not.") from fault

    async def listed(self, request: protocol.ClientRequest, expected: type[Said]) -> Said:
        """What the shard lists; while it does not answer, what it listed last. Raises Refused where it never did."""
        try:
            self._lists[expected] = said = await self.ask(request, expected)
        except Refused as refusal:
            known = self._lists.get(expected)
            if refusal.code == "shard-refused" or not isinstance(known, expected):
                raise
            return known
        return said

    def _require_up(self) -> None:
        if self.health.state == "down":
            raise Refused(
                "shard-down",
                f"The shard {self.shard.name} is down since {self.health.since:%Y-%m-%d %H:%M:%S} UTC: "
                f"{self.health.reason or 'it did not answer'}. It is looked for all the time; other shards work.",
                retry=True,
                after=self.shard.patience.every,
            )

    def _require_rested(self, wait: float) -> None:
        if wait:
            raise Refused(
                "shard-resting",
                f"The shard {self.shard.name} failed {self.breaker.opens_after} calls in a row, so it is left in peace "
                f"for {wait:.0f} s. Other shards work.",
                retry=True,
                after=wait,
            )

    async def _tried(
        self, ask: Callable[[], Awaitable[protocol.CallToolResult | str]], retries: int
    ) -> protocol.CallToolResult:
        """Ask, and ask again what did not get through: a tool elsewhere only reads."""
        self._budget.earn()
        for again in range(retries, -1, -1):
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
            if self._post:
                meta, mirrored = {REQUEST_ID: request_id}, mcp_param_headers(self._mirrored.get(tool, {}), arguments)
                return await self._post.call(tool, arguments, meta, _relay(progress), _short(mirrored))
            params = protocol.CallToolRequestParams(name=tool, arguments=dict(arguments), _meta=_named(request_id))
            # Not `call_tool`, which evaluates the schemas of a stranger.
            return await client.session.send_request(
                protocol.CallToolRequest(params=params), protocol.CallToolResult, progress_callback=_relay(progress)
            )
        except MCPError as error:
            if fault := self._trouble(error):
                return fault
            self.breaker.succeeded()  # a refusal is an answer too
            message = untrusted.short(error.message, 500)
            raise Refused("shard-refused", f"The shard {self.shard.name} refused the call: {message}") from error
        except CUT_OFF as fault:
            return self._lose(fault)
        except (RuntimeError, ValueError) as fault:  # what it answered does not fit what it promised
            raise Refused(
                "shard-lies", f"The shard {self.shard.name} answered what it should not: {words(fault)}"
            ) from fault

    def _trouble(self, error: MCPError) -> str:
        """What is wrong with the shard, or with the way to it; "" where it merely refuses."""
        if error.code == protocol.CONNECTION_CLOSED:
            return self._lose(error)
        return words(error) if error.code in _TROUBLED else ""

    def _lose(self, fault: BaseException) -> str:
        """A client that failed once never works again: let the connection be made anew."""
        self._lost.set()
        return words(fault)


class _Page(protocol.PaginatedResult):
    """A page of a list of tools, into none of which is looked before it is known that somebody wants it."""

    tools: list[dict[str, Any]]


async def _offered(client: Client, wanted: frozenset[str]) -> list[protocol.Tool]:
    """What it lists of that, page by page, as far as anybody would read. Not `list_tools`, which keeps them all."""
    found: list[protocol.Tool] = []
    cursor: str | None = None
    tools, room = _MOST_TOOLS, MOST_BYTES
    for _ in range(_MOST_PAGES):
        asked = protocol.ListToolsRequest(params=protocol.PaginatedRequestParams(cursor=cursor))
        page = await client.session.send_request(asked, _Page)
        found += [protocol.Tool.model_validate(one) for one in page.tools[:tools] if one.get("name") in wanted]
        tools, room = tools - len(page.tools), room - len(page.model_dump_json())
        cursor = page.next_cursor
        if not cursor or tools <= 0 or room <= 0:
            break
    return found


def _short(headers: Mapping[str, str]) -> Mapping[str, str]:
    """As many of them as any server takes."""
    kept, left = {}, _LONGEST_HEADERS
    for name, value in headers.items():
        size = len(f"{name}: {value}\r\n")
        if len(value) <= _LONGEST_HEADER and size <= left:
            kept[name], left = value, left - size
    return kept


def _named(request_id: str) -> protocol.RequestParamsMeta:
    return cast(protocol.RequestParamsMeta, {REQUEST_ID: request_id})


def _relay(progress: Progress | None) -> Any:
    if progress is None:
        return None

    async def relay(done: float, total: float | None, message: str | None) -> None:
        await progress(done, total, None if message is None else untrusted.short(message, 500))

    return relay


def _why(connection: asyncio.Task[None]) -> str:
    if not connection.done():
        return "its connection does not end"
    if connection.cancelled():
        return "it does not answer in time"
    fault = connection.exception()
    return words(fault) if fault else "the connection was lost"
