"""A shard that answers what no shard should, byte by byte: the call is refused in time, and nobody else notices."""

from __future__ import annotations

import gzip
import itertools
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import anyio
import mcp_types as protocol
import pytest
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from shards.declared import Declared, Listed
from shards.health import Patience
from shards.wire import link
from state.events import ToolCalled
from tests import plain_http
from tests.shards.misbehaving.peers import TRICKY
from tests.shards.serving import ERAS, DesiredRepo, Waypost, gateway_over, served

Context = ServerRequestContext[dict[str, Any], Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SECONDS = 3.0
EXPRESSION = {
    "type": "object",
    "properties": {"words": {"type": "string", "pattern": "^(a+)+$"}},
    "required": ["words"],
}
"""It takes Python's engine for ever to find out that the answer does not fit."""


def started(status: int, kind: str, **headers: str) -> MutableMapping[str, Any]:
    named = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    told = [(name.encode(), value.encode()) for name, value in named.items()]
    return {"type": "http.response.start", "status": status, "headers": told}


async def said(send: Send, status: int, kind: str, body: bytes, **headers: str) -> None:
    await send(started(status, kind, **headers))
    await send({"type": "http.response.body", "body": body})


async def for_ever(send: Send, kind: str, piece: bytes) -> None:
    await send(started(200, kind))
    while True:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await anyio.sleep(0)


def answer(id: Any, result: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id, "result": result}).encode()


def nested(message: bytes, depth: int) -> bytes:
    return message.replace(b'"HERE"', b'{"a":' * depth + b"1" + b"}" * depth)


WELL = {"content": [{"type": "text", "text": "well"}], "structuredContent": {"words": "well"}, "resultType": "complete"}
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}

LIES: dict[str, Callable[[Send, Any], Awaitable[None]]] = {
    "garbage": lambda send, id: said(send, 200, "application/json", b"{ not JSON"),
    "nothing": lambda send, id: said(send, 200, "application/json", b""),
    "another_id": lambda send, id: said(send, 200, "application/json", answer(f"{id}0", WELL)),
    "no_result": lambda send, id: said(send, 200, "application/json", answer(id, {"content": 7})),
    "a_page": lambda send, id: said(send, 200, "text/html", b"<h1>login</h1>"),
    "a_fault": lambda send, id: said(send, 500, "text/plain", b"boom"),
    "a_detour": lambda send, id: said(send, 307, "text/plain", b"", location="http://127.0.0.1:9/mcp"),
    "deep": lambda send, id: said(send, 200, "application/json", b"[" * 200_000),
    "deep_answer": lambda send, id: said(
        send, 200, "application/json", nested(answer(id, {**WELL, "structuredContent": {"here": "HERE"}}), 300)
    ),
    "bomb": lambda send, id: said(
        send, 200, "application/json", gzip.compress(b" " * (64 << 20)), content_encoding="gzip"
    ),
    "endless": lambda send, id: for_ever(send, "application/json", b" " * 65_536),
    "notices": lambda send, id: for_ever(
        send, "text/event-stream", f"event: message\ndata: {json.dumps(PROGRESS)}\n\n".encode()
    ),
    "flood": lambda send, id: said(
        send, 200, "application/json", answer(id, {**WELL, "content": [{"type": "text", "text": "x" * 2_000_000}]})
    ),
    "tricks": lambda send, id: said(
        send,
        200,
        "application/json",
        answer(id, {**WELL, "content": [{"type": "text", "text": TRICKY}], "structuredContent": {"words": TRICKY}}),
    ),
    "list": lambda send, id: said(send, 200, "application/json", answer(id, {**WELL, "structuredContent": [1]})),
    "expression": lambda send, id: said(
        send, 200, "application/json", answer(id, {**WELL, "structuredContent": {"words": "a" * 40 + "!"}})
    ),
}


def liar() -> Starlette:
    """A real MCP server, in front of whose calls somebody sits who answers them himself."""

    async def list_tools(_: Context, __: protocol.PaginatedRequestParams | None) -> protocol.ListToolsResult:
        tools = [
            protocol.Tool(
                name=name, input_schema={"type": "object"}, output_schema=EXPRESSION if name == "expression" else None
            )
            for name in (*LIES, "honest")
        ]
        return protocol.ListToolsResult(tools=tools)

    async def call_tool(_: Context, params: protocol.CallToolRequestParams) -> protocol.CallToolResult:
        return protocol.CallToolResult(content=[protocol.TextContent(text="honestly")])

    server = Server[dict[str, Any]]("liar", on_list_tools=list_tools, on_call_tool=call_tool)
    honest = server.streamable_http_app(stateless_http=True)

    async def between(scope: Any, receive: Any, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await honest(scope, receive, send)
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        asked = json.loads(body)
        lie = LIES.get(asked.get("params", {}).get("name", "")) if asked.get("method") == "tools/call" else None
        if lie is not None:
            return await lie(send, asked["id"])
        again = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Any:
            return next(again, None) or await receive()

        return await honest(scope, replay, send)

    return Starlette(routes=[Mount("/", between)], lifespan=honest.router.lifespan_context)


@pytest.fixture(scope="module")
def waypost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waypost]:
    directory = tmp_path_factory.mktemp("liar")
    with served(liar()) as url:
        declared = Declared(
            name="liar",
            url=f"{url}/mcp",
            tools=frozenset({*LIES, "honest"}),
            seconds=SECONDS,
            retries=1,
            patience=Patience(every=1.0, within=10.0, failures=3, successes=1),
        )
        discovery = Listed((declared,))
        desired = DesiredRepo(directory / "desired.git")
        with gateway_over(desired, directory / "gateway", discovery=discovery) as running:
            yield running


def until_up(waypost: Waypost) -> None:
    deadline = time.monotonic() + 60
    while plain_http.get(f"{waypost.url}/health").json()["shards"].get("liar", {}).get("state") != "up":
        assert time.monotonic() < deadline, "the shard never came back"
        time.sleep(0.05)
    while waypost.call("liar_honest").is_error:  # the breaker rests for a while
        assert time.monotonic() < deadline, "the shard is never asked again"
        time.sleep(0.2)


def memory() -> int:
    """Kilobytes of this process, in which the gateway runs: its own most."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1])


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie not in ("list", "tricks")])
def test_a_lie_is_a_refusal_and_nobody_else_notices(waypost: Waypost, lie: str) -> None:
    until_up(waypost)
    before = memory()
    result = waypost.call(f"liar_{lie}")
    if lie != "expression":  # nobody evaluates it, neither here nor the client
        assert result.is_error and (result.structured_content or {})["code"].startswith(("shard-", "too-large"))
    assert memory() - before < 300_000
    waypost.answer("gateway_status")
    [*_, last] = [
        row.event for row in waypost.outbox() if isinstance(row.event, ToolCalled) and row.event.shard == "liar"
    ]
    assert last.outcome != "cancelled", "nobody hung up"
    assert last.tool == f"liar_{lie}" and last.milliseconds <= (SECONDS + 2) * 1000


def forever_again(asked: list[float]) -> Starlette:
    """A shard with sessions that ends its own stream at once, each time, and wants to be listened to again at once."""
    greeting = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}

    async def mcp(request: Request) -> Response:
        if request.method == "GET":
            asked.append(time.monotonic())
            return Response(b"retry: 0\n\n", media_type="text/event-stream")
        message = await request.json()
        if message["method"] != "initialize":
            return Response(status_code=400 if "id" in message else 202)
        return Response(answer(message["id"], greeting), headers={"mcp-session-id": "7"}, media_type="application/json")

    return Starlette(routes=[Route("/mcp", mcp, methods=["GET", "POST"])])


def test_a_stream_that_ends_again_and_again_is_not_listened_to_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PAUSE", 0.2)
    asked: list[float] = []

    async def listen(url: str) -> None:
        async with link.dialled(Declared(name="x", url=f"{url}/mcp", tools=frozenset()), ssl.create_default_context):
            while len(asked) < 3:
                await anyio.sleep(0.01)

    with served(forever_again(asked)) as url:
        anyio.run(listen, url)
    assert all(later - sooner >= 0.2 for sooner, later in itertools.pairwise(asked))


def test_what_went_wrong_is_told_on_one_line() -> None:
    assert (
        link.words(ValueError("no\n2026-01-01 INFO all is well\r\n  at all")) == "no 2026-01-01 INFO all is well at all"
    )
    assert link.words(ValueError("\n")) == "ValueError"


@pytest.mark.parametrize("era", ERAS)
def test_what_was_not_promised_and_some_era_cannot_be_told_is_left_out(waypost: Waypost, era: str) -> None:
    until_up(waypost)
    result = waypost.call("liar_list", era)
    assert not result.is_error and isinstance(result.content[0], protocol.TextContent)
    assert (result.content[0].text, result.structured_content) == ("well", None)


def test_what_is_told_without_our_kit_loses_its_tricks_as_well(waypost: Waypost) -> None:
    until_up(waypost)
    result = waypost.call("liar_tricks")
    assert isinstance(result.content[0], protocol.TextContent)
    assert (result.content[0].text, result.structured_content) == ("all well", {"words": "all well"})
