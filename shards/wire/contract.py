"""What every shard keeps to, as tests: subclass it, say how the shard is made, and give a call of each tool.

The same calls are made in this process, over real HTTP, and through a real gateway, and have to come to the same.
"""

from __future__ import annotations

import contextlib
import re
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types as protocol
import orjson
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette

from reconciler.ports import SystemClock
from reconciler.setting import Secret
from shards import gateway, outcome
from shards.config import GatewaySettings
from shards.declared import OURS, Declared, Listed
from shards.kit import Call, Shard, Tool
from shards.offers import described
from shards.outcome import LARGEST
from shards.wire import alone

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_TOOL = re.compile(r"[a-z][a-z0-9_]{0,60}")
_LONGEST = 64  # characters of a tool's whole name: more is cut off or refused by some clients
_TOKEN = "the token of a contract test"
_PREFIX = "elsewhere_"


class Contract(ABC):
    """What is asked of every shard, wherever it runs: those of the gateway's own process are asked no less."""

    calls: Mapping[str, Mapping[str, Any]] = {}
    """Arguments for each of its tools."""

    @abstractmethod
    def make(self) -> Shard: ...

    # ── what it says of itself ───────────────────────────────────────────────────────────────────

    def test_its_names_are_ones_that_every_client_takes(self) -> None:
        shard = self.make()
        assert _NAME.fullmatch(shard.name) and shard.title
        names = [tool.name for tool in shard.tools()]
        assert names and len(names) == len(set(names))
        for name in names:
            assert _TOOL.fullmatch(name) and len(shard.prefix + name) <= _LONGEST, name

    def test_every_tool_tells_a_model_what_it_is_for(self) -> None:
        for tool in self.make().tools():
            listing = described(tool.name, tool)
            assert listing.description and len(listing.description) >= 40, f"{tool.name}: say what it is for"
            assert listing.input_schema["additionalProperties"] is False
            assert listing.output_schema and listing.output_schema["type"] == "object"
            for name, schema in listing.input_schema.get("properties", {}).items():
                told = (schema, *schema.get("anyOf", ()))
                assert any("description" in each for each in told), f"{tool.name}: say what {name} is"

    def test_every_tool_says_how_long_it_may_take(self) -> None:
        for tool in self.make().tools():
            assert 0 < tool.traits.seconds <= 600, f"{tool.name}: a client waits for {tool.traits.seconds} s at most"

    # ── what it does ─────────────────────────────────────────────────────────────────────────────

    def test_every_tool_answers_its_example(self) -> None:
        for tool in self.make().tools():
            assert tool.name in self.calls, f"give a call of {tool.name}"
            came = _run(tool, self.calls[tool.name])
            assert came.refusal is None, f"{tool.name}: {came.refusal}"

    def test_arguments_that_do_not_fit_are_refused_in_words(self) -> None:
        for tool in self.make().tools():
            came = _run(tool, {"no-such-argument": 1})
            assert came.code == "bad-arguments" and came.refusal and came.refusal.problems, tool.name

    def test_no_argument_may_hold_more_than_somebody_thought_of(self) -> None:
        for tool in self.make().tools():
            unbounded = [place for place, schema in _schemas(described(tool.name, tool).input_schema) if _grows(schema)]
            assert not unbounded, f"{tool.name}: say how many there may be: {', '.join(unbounded)}"

    def test_arguments_without_number_are_refused_at_once(self) -> None:
        for tool in self.make().tools():
            for name in tool.arguments.model_fields:
                for many in _without_number():
                    began = time.thread_time()
                    came = _run(tool, {name: many})
                    assert came.code == "bad-arguments" and came.refusal and came.refusal.problems, tool.name
                    assert time.thread_time() - began < 0.3, f"{tool.name}: {name} is looked at for too long"

    def test_over_http_it_is_the_same_shard(self) -> None:
        here = self.make()
        with _served(self.make()) as address:
            listed = {tool.name: tool for tool in _ask(address, lambda client: client.list_tools()).tools}
            assert listed.keys() == {tool.name for tool in here.tools()}
            for tool in here.tools():
                told, meant = listed[tool.name], described(tool.name, tool)
                assert (told.input_schema, told.output_schema) == (meant.input_schema, meant.output_schema)
                assert told.annotations == meant.annotations and told.annotations
                assert told.annotations.read_only_hint is not tool.traits.writes
                _require_answered(tool, _called(address, tool.name, self.calls[tool.name]))

    def test_over_http_it_refuses_what_it_does_not_know_and_whom_it_does_not_know(self) -> None:
        with _served(self.make()) as address:
            for tool in self.make().tools():
                _require_refused(_called(address, tool.name, {"no-such-argument": 1}))
            try:
                _called(address, "no_such_tool", {})
            except MCPError as error:
                assert error.code == protocol.INVALID_PARAMS
            else:
                raise AssertionError("a tool that there is not was called")
            assert _status(address) == 401

    def test_over_http_a_call_that_is_given_up_leaves_it_as_it_was(self) -> None:
        async def give_up(client: Client) -> protocol.CallToolResult:
            with anyio.move_on_after(0):
                await client.call_tool(name, dict(self.calls[name]))
            return await client.call_tool(name, dict(self.calls[name]))

        name = next(iter(self.calls))
        with _served(self.make()) as address:
            assert not _ask(address, give_up).is_error

    def test_what_it_reads_is_the_same_through_a_gateway_that_finds_it_elsewhere(self) -> None:
        reading = [tool for tool in self.make().tools() if not tool.traits.writes]
        with _served(self.make()) as there, _gateway_to(there, reading) as address:
            self.require_the_same(address, _PREFIX, reading)

    def require_the_same(self, address: str, prefix: str, tools: Iterable[Tool]) -> None:
        """A gateway there offers these tools as they are, and every call comes to what it should."""
        listed = {tool.name: tool for tool in _ask(address, lambda client: client.list_tools(), "").tools}
        for tool in tools:
            name = prefix + tool.name
            told, meant = listed[name], described(name, tool)
            assert (told.input_schema, told.output_schema) == (meant.input_schema, meant.output_schema)
            assert told.annotations and told.annotations.read_only_hint is not tool.traits.writes
            _require_refused(_called(address, name, {"no-such-argument": 1}, ""))
            _require_answered(tool, _called(address, name, self.calls[tool.name], ""))

    def test_its_health_lists_its_tools(self) -> None:
        with _served(self.make()) as address, urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
            health = orjson.loads(answer.read())
        assert health["status"] == "ok" and health["tools"].keys() == {tool.name for tool in self.make().tools()}


class ShardContract(Contract):
    """What is asked of a shard that runs elsewhere. Subclass as `class TestX(ShardContract)`: `make` gives the shard,
    `calls` arguments for each of its tools."""

    def test_its_name_is_none_of_those_in_the_gateway(self) -> None:
        assert self.make().name not in OURS

    def test_all_its_tools_only_read(self) -> None:
        assert not [tool.name for tool in self.make().tools() if tool.traits.writes]


@contextlib.contextmanager
def _gateway_to(there: str, tools: Iterable[Tool]) -> Iterator[str]:
    """The address of a gateway that finds these tools there."""
    with tempfile.TemporaryDirectory() as place:
        token = Path(place, "token")
        token.write_text(_TOKEN)
        declared = Declared(
            name="elsewhere",
            url=f"{there}/mcp",
            tools=frozenset(tool.name for tool in tools),
            token=Secret(f"file:{token}"),
            prefix=_PREFIX,
        )
        settings = GatewaySettings(
            directory=Path(place, "gateway"),
            source=Path(place, "no-desired-repo"),
            reconciler_url="http://127.0.0.1:9",  # nobody answers there
            discovery=Listed((declared,)),
        )
        with _listening(gateway.build(settings)) as address:
            _until_up(address, declared.name)
            yield address


@cache
def _without_number() -> tuple[list[int], dict[str, int]]:
    return [1] * 300_000, {str(number): number for number in range(300_000)}


def _schemas(schema: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """It, and all that it holds."""
    if isinstance(schema, dict):
        yield place, schema
    parts = schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ()
    for name, part in parts:
        yield from _schemas(part, f"{place}/{name}")


def _grows(schema: Mapping[str, Any]) -> bool:
    """Whether what it describes may have any number of members."""
    if schema.get("type") == "array":
        return "maxItems" not in schema
    closed = schema.get("additionalProperties") is False or "maxProperties" in schema
    return schema.get("type") == "object" and not closed


def _require_answered(tool: Tool, came: protocol.CallToolResult) -> None:
    assert came.structured_content is not None and not came.is_error, f"{tool.name}: {came.content}"
    assert came.structured_content.keys() == tool.answer.model_json_schema()["properties"].keys()
    assert sum(len(part.text) for part in came.content if part.type == "text") <= LARGEST


def _require_refused(came: protocol.CallToolResult) -> None:
    told = came.structured_content or {}
    assert came.is_error and told["code"] == "bad-arguments" and told["retry"] is False
    assert told.keys() >= {"message", "problems", "retry_after_seconds", "request_id"}


def _run(tool: Tool, arguments: Mapping[str, Any]) -> outcome.Outcome:
    call = Call(request_id="contract", client="contract", tool=tool.name)
    return outcome.run(tool, call, arguments, SystemClock())


def _served(shard: Shard) -> AbstractContextManager[str]:
    return _listening(alone.application(shard, _TOKEN))


@contextlib.contextmanager
def _listening(application: Starlette) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = uvicorn.Server(uvicorn.Config(application, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def _until_up(address: str, shard: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
            standing = orjson.loads(answer.read())["shards"].get(shard, {})
        if standing.get("state") == "up":
            return
        assert time.monotonic() < deadline, f"the gateway does not find it: {standing}"
        time.sleep(0.05)


def _ask(address: str, question: Any, token: str = _TOKEN) -> Any:
    async def ask() -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False, verify=False) as http,  # on loopback
            Client(streamable_http_client(f"{address}/mcp", http_client=http)) as client,
        ):
            try:
                return await question(client)
            except MCPError as error:  # raised inside, it would come out wrapped into a group
                return error

    answer = anyio.run(ask)
    if isinstance(answer, MCPError):
        raise answer
    return answer


def _called(address: str, tool: str, arguments: Mapping[str, Any], token: str = _TOKEN) -> protocol.CallToolResult:
    result = _ask(address, lambda client: client.call_tool(tool, dict(arguments)), token)
    assert isinstance(result, protocol.CallToolResult)
    return result


def _status(address: str) -> int:
    """What whoever shows no token is answered."""
    asked = urllib.request.Request(f"{address}/mcp", b"{}", {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
