"""What every shard keeps to, as tests: subclass it, say how the shard is made, and give a call of each tool.

The same calls are made in this process and over real HTTP, and have to come to the same.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import anyio
import httpx2
import mcp_types as protocol
import orjson
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from reconciler.ports import SystemClock
from shards import outcome
from shards.declared import OURS
from shards.kit import Call, Shard, Tool
from shards.offers import described
from shards.outcome import LARGEST
from shards.wire import alone

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_TOOL = re.compile(r"[a-z][a-z0-9_]{0,60}")
_LONGEST = 64  # characters of a tool's whole name: more is cut off or refused by some clients
_TOKEN = "the token of a contract test"


class ShardContract(ABC):
    """Subclass as `class TestX(ShardContract)`: `make` gives the shard, `calls` arguments for each of its tools."""

    calls: Mapping[str, Mapping[str, Any]] = {}
    elsewhere: ClassVar[bool] = True
    """Whether it may run elsewhere; one that proposes lives in the gateway."""

    @abstractmethod
    def make(self) -> Shard: ...

    # ── what it says of itself ───────────────────────────────────────────────────────────────────

    def test_its_names_are_ones_that_every_client_takes(self) -> None:
        shard = self.make()
        assert _NAME.fullmatch(shard.name) and shard.title
        assert not self.elsewhere or shard.name not in OURS
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

    def test_one_that_runs_elsewhere_only_reads(self) -> None:
        if self.elsewhere:
            assert not [tool.name for tool in self.make().tools() if tool.traits.writes]

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

    def test_over_http_it_is_the_same_shard(self) -> None:
        if not self.elsewhere:
            return
        here = self.make()
        with _served(self.make()) as address:
            listed = {tool.name: tool for tool in _ask(address, lambda client: client.list_tools()).tools}
            assert listed.keys() == {tool.name for tool in here.tools()}
            for tool in here.tools():
                told, meant = listed[tool.name], described(tool.name, tool)
                assert (told.input_schema, told.output_schema) == (meant.input_schema, meant.output_schema)
                assert told.annotations == meant.annotations and told.annotations and told.annotations.read_only_hint
                there = _called(address, tool.name, self.calls[tool.name])
                assert there.structured_content is not None and not there.is_error
                assert there.structured_content.keys() == tool.answer.model_json_schema()["properties"].keys()
                assert sum(len(part.text) for part in there.content if part.type == "text") <= LARGEST

    def test_over_http_it_refuses_what_it_does_not_know_and_whom_it_does_not_know(self) -> None:
        if not self.elsewhere:
            return
        with _served(self.make()) as address:
            for tool in self.make().tools():
                refused = _called(address, tool.name, {"no-such-argument": 1})
                told = refused.structured_content or {}
                assert refused.is_error and told["code"] == "bad-arguments" and told["retry"] is False
                assert told.keys() >= {"message", "problems", "retry_after_seconds", "request_id"}
            try:
                _called(address, "no_such_tool", {})
            except MCPError as error:
                assert error.code == protocol.INVALID_PARAMS
            else:
                raise AssertionError("a tool that there is not was called")
            assert _status(address) == 401

    def test_over_http_a_call_that_is_given_up_leaves_it_as_it_was(self) -> None:
        if not self.elsewhere:
            return

        async def give_up(client: Client) -> protocol.CallToolResult:
            with anyio.move_on_after(0):
                await client.call_tool(name, dict(self.calls[name]))
            return await client.call_tool(name, dict(self.calls[name]))

        name = next(iter(self.calls))
        with _served(self.make()) as address:
            assert not _ask(address, give_up).is_error

    def test_its_health_lists_its_tools(self) -> None:
        if not self.elsewhere:
            return
        with _served(self.make()) as address, urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
            health = orjson.loads(answer.read())
        assert health["status"] == "ok" and health["tools"].keys() == {tool.name for tool in self.make().tools()}


def _run(tool: Tool, arguments: Mapping[str, Any]) -> outcome.Outcome:
    call = Call(request_id="contract", client="contract", tool=tool.name)
    return outcome.run(tool, call, arguments, SystemClock())


@contextlib.contextmanager
def _served(shard: Shard) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    application = alone.application(shard, _TOKEN)
    server = uvicorn.Server(uvicorn.Config(application, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def _ask(address: str, question: Any) -> Any:
    async def ask() -> Any:
        headers = {"Authorization": f"Bearer {_TOKEN}"}
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


def _called(address: str, tool: str, arguments: Mapping[str, Any]) -> protocol.CallToolResult:
    result = _ask(address, lambda client: client.call_tool(tool, dict(arguments)))
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
