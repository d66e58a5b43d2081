"""Shards elsewhere that misbehave by a schedule: what the SDK's client would make of them, without a network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, cast

import httpx2
import mcp_types as protocol
from mcp import Client
from mcp.shared.exceptions import MCPError

from shards.declared import Declared
from shards.health import Patience

SECONDS: Final = 4.0
AT_ONCE: Final = 3
TRICKY: Final = "all \x1b[2Jwell\u202e\u200b"

MOODS: Final = (
    "refuses connections",
    "hangs",
    "is slow",
    "dies in calls",
    "has its holder cancelled",
    "fails inside",
    "refuses calls",
    "breaks the stream",
    "lies in answers",
    "lies in lists",
    "changes its list",
    "floods",
    "raises what nobody foresaw",
)
WELL: Final = "well"

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"words": {"type": "string"}},
    "required": ["words"],
    "additionalProperties": False,
}
_LIES: Final[tuple[Any, ...]] = (None, {}, {"words": 7}, {"words": None}, {"other": "x"}, {"words": {"$ref": "#"}})


@dataclass(frozen=True)
class Spell:
    """How a shard is from one moment to another."""

    begins: float
    ends: float
    mood: str


@dataclass
class Peer:
    """One shard elsewhere, with what it is to go through."""

    name: str
    random: Random
    spells: tuple[Spell, ...] = ()
    takes: float = 0.05  # seconds of an answer while it is well
    connections: int = 0
    asked: int = 0
    running: int = 0
    most_running: int = 0
    moods_met: set[str] = field(default_factory=set)

    @property
    def declared(self) -> Declared:
        patience = Patience(every=5.0, within=2.0, failures=2, successes=2)
        tools = frozenset({"ask", "look"})
        return Declared(
            name=self.name, url="http://nowhere/mcp", tools=tools, seconds=SECONDS, at_once=AT_ONCE, patience=patience
        )

    @property
    def mood(self) -> str:
        now = asyncio.get_running_loop().time()
        mood = next((spell.mood for spell in self.spells if spell.begins <= now < spell.ends), WELL)
        self.moods_met.add(mood)
        return mood

    @contextlib.asynccontextmanager
    async def met(self) -> AsyncIterator[Client]:
        """What `shards.wire.link.dialled` is for a shard over HTTP."""
        if self.mood == "refuses connections":
            raise ExceptionGroup("unhandled errors in a TaskGroup", [httpx2.ConnectError("connection refused")])
        if self.mood == "hangs":
            await _for_ever()
        self.connections += 1
        connection = _Connection(self, asyncio.current_task())
        try:
            yield cast(Client, connection)
        finally:
            connection.dead = True
            self.connections -= 1


class _Connection:
    """As much of the SDK's client as a link uses. Once dead it stays so, as the SDK's does."""

    def __init__(self, peer: Peer, holder: asyncio.Task[Any] | None) -> None:
        self._peer = peer
        self._holder = holder
        self.dead = False

    @property
    def session(self) -> _Connection:
        return self

    async def send_request(
        self, request: protocol.ClientRequest, kind: type[protocol.Result], *, progress_callback: Any = None
    ) -> protocol.Result:
        peer = self._peer
        if isinstance(request, protocol.ListToolsRequest):
            await self._be_reached()
            listed = [tool.model_dump(by_alias=True) for tool in _listed(peer.mood, peer.random)]
            return kind.model_validate({"tools": listed})
        peer.asked += 1
        peer.running += 1
        peer.most_running = max(peer.most_running, peer.running)
        try:
            await self._be_reached()
            return await self._answer(peer.mood, progress_callback)
        finally:
            peer.running -= 1

    async def _be_reached(self) -> None:
        mood, random = self._peer.mood, self._peer.random
        if self.dead or mood == "refuses connections":
            self.dead = True
            raise MCPError(-32000, "Connection closed")
        if mood == "hangs":
            await _for_ever()
        if mood == "has its holder cancelled" and self._holder and random.random() < 0.5:
            self.dead = True
            self._holder.cancel()
        if mood == "raises what nobody foresaw" and random.random() < 0.5:
            raise random.choice([RuntimeError("what?"), ValueError("no such thing"), ExceptionGroup("x", [OSError()])])
        await asyncio.sleep(self._peer.takes)

    async def _answer(self, mood: str, progress: Any) -> protocol.CallToolResult:
        random = self._peer.random
        match mood:
            case "hangs in calls":
                await _for_ever()
            case "is slow":
                await asyncio.sleep(random.uniform(0, 3 * SECONDS))
            case "dies in calls":
                self.dead = True
                raise MCPError(-32000, "Connection closed")
            case "fails inside":
                raise MCPError(protocol.INTERNAL_ERROR, "boom " + TRICKY)
            case "refuses calls":
                raise MCPError(protocol.INVALID_PARAMS, "never " + TRICKY)
            case "breaks the stream":
                raise random.choice([httpx2.ReadError("reset"), OSError("reset"), httpx2.ReadTimeout("late")])
            case "lies in answers":
                return _told(random.choice(_LIES), is_error=random.random() < 0.2)
            case "floods":
                await self._flood(progress)
                return _told({"words": "x" * 1_100_000})
        return _told({"words": f"sunny {TRICKY}"})

    async def _flood(self, progress: Any) -> None:
        for done in range(50):
            if progress is not None:
                await progress(float(done), None, TRICKY * 100)
            await asyncio.sleep(0.01)


async def _for_ever() -> None:
    await asyncio.sleep(1e9)


def _told(content: Any, *, is_error: bool = False) -> protocol.CallToolResult:
    return protocol.CallToolResult(
        content=[protocol.TextContent(text=TRICKY)], structured_content=content, is_error=is_error
    )


def _listed(mood: str, random: Random) -> list[protocol.Tool]:
    tools = [_tool("ask"), _tool("look"), _tool("harm")]
    if mood == "changes its list":
        tools = random.sample(tools, random.randint(0, 3))
    if mood == "lies in lists":
        forged: Mapping[str, Any] = random.choice(
            [{"type": "string"}, {}, {"type": ["object"]}, {"type": "object", "x": "y" * 200_000}]
        )
        tools = [_tool("ask", forged), _tool("look"), _tool("look", {"type": 5}), _tool("x" * 10_000)]
    if mood == "floods":
        tools = [*tools, *(_tool(f"more{number}") for number in range(600))]
    return tools


def _tool(name: str, schema: Mapping[str, Any] | None = None) -> protocol.Tool:
    forged = protocol.ToolAnnotations(read_only_hint=False, destructive_hint=True, title=TRICKY)
    return protocol.Tool(
        name=name,
        title=TRICKY,
        description=TRICKY * 400 if name == "look" else TRICKY,
        input_schema=dict(schema if schema is not None else {"type": "object"}),
        output_schema=_SCHEMA,
        annotations=forged,
    )
