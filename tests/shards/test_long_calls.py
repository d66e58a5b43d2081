"""Calls that take long: clients hear how far they are, and who gives up gives up at a shard elsewhere as well."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import mcp_types as protocol
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from reconciler import web
from reconciler.loop import Outcome
from shards.declared import Declared, Listed
from state.events import ToolCalled
from tests import plain_http
from tests.shards.elsewhere import QUICK
from tests.shards.serving import ERAS, HAND_WRITTEN, Answers, DesiredRepo, Waypost, gateway_over, served

Context = ServerRequestContext[dict[str, Any], Any]


@dataclass
class Walk:
    """A shard that anybody could have written with the SDK: it tells how far it is, and knows who gave up."""

    url: str = ""
    begun: int = 0
    given_up: list[str] = field(default_factory=list)

    def server(self) -> Server[dict[str, Any]]:
        async def list_tools(_: Context, __: protocol.PaginatedRequestParams | None) -> protocol.ListToolsResult:
            schema = {"type": "object"}
            return protocol.ListToolsResult(
                tools=[protocol.Tool(name=name, input_schema=schema) for name in ("walk", "stray", "stumble")]
            )

        async def call_tool(context: Context, params: protocol.CallToolRequestParams) -> protocol.CallToolResult:
            self.begun += 1
            if params.name == "stray":
                await self._stray(params.name)
            if params.name == "stumble":
                raise MCPError(-32042, "it is dark here")
            for step in range(1, 4):
                await context.session.report_progress(step, 3, f"step {step}\u202e")
            return protocol.CallToolResult(content=[protocol.TextContent(text="arrived")])

        return Server("walk", on_list_tools=list_tools, on_call_tool=call_tool)

    async def _stray(self, name: str) -> None:
        try:
            await anyio.sleep(60)
        finally:
            self.given_up.append(name)


@pytest.fixture(scope="module")
def walk() -> Iterator[Walk]:
    made = Walk()
    with served(made.server().streamable_http_app(stateless_http=True)) as url:
        made.url = f"{url}/mcp"
        yield made


@pytest.fixture(scope="module")
def waypost(walk: Walk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waypost]:
    directory = tmp_path_factory.mktemp("long")
    declared = Declared(
        name="walk", url=walk.url, tools=frozenset({"walk", "stray", "stumble"}), patience=QUICK, seconds=20.0
    )
    with gateway_over(
        DesiredRepo(directory / "desired.git"), directory / "gateway", discovery=Listed((declared,))
    ) as running:
        until(lambda: "up" in plain_http.get(f"{running.url}/health").json()["shards"].get("walk", {}).values())
        yield running


def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def heard(
    waypost: Waypost, tool: str, era: str, patience: float = 30.0
) -> list[tuple[float, float | None, str | None]]:
    """What a client hears of a call until it is answered, or given up."""
    steps: list[tuple[float, float | None, str | None]] = []

    async def hear(done: float, total: float | None, words: str | None) -> None:
        steps.append((done, total, words))

    async def ask() -> None:
        async with (
            plain_http.AsyncClient(timeout=30) as http,
            Client(streamable_http_client(f"{waypost.url}/mcp", http_client=http), mode=era) as client,
        ):
            with anyio.move_on_after(patience):
                await client.call_tool(tool, {}, progress_callback=hear)

    anyio.run(ask)
    return steps


@pytest.mark.parametrize("era", ERAS)
def test_how_far_a_call_is_reaches_the_client_without_tricks(waypost: Waypost, era: str) -> None:
    assert heard(waypost, "walk_walk", era) == [(step, 3, f"step {step}") for step in (1, 2, 3)]


def test_a_client_may_count_its_calls_from_nought(waypost: Waypost) -> None:
    said = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "plain", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": 0,
    }
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "walk_walk",
    }
    params = {"name": "walk_walk", "arguments": {}, "_meta": said}
    body = {"jsonrpc": "2.0", "id": 0, "method": "tools/call", "params": params}
    told = plain_http.post(f"{waypost.url}/mcp", json=body, headers=headers, timeout=30).text
    assert "arrived" in told and told.count("notifications/progress") == 3


def test_a_call_that_its_client_gives_up_is_given_up_at_the_shard_and_audited_as_that(
    waypost: Waypost, walk: Walk
) -> None:
    begun = walk.begun
    heard(waypost, "walk_stray", "2026-07-28", patience=2.0)
    until(lambda: walk.given_up)
    assert walk.begun == begun + 1, "what was given up is not asked again"
    until(lambda: [one for one in calls(waypost) if one.tool == "walk_stray"])
    [noted] = [one for one in calls(waypost) if one.tool == "walk_stray"]
    assert (noted.shard, noted.outcome) == ("walk", "cancelled") and noted.milliseconds > 0
    assert heard(waypost, "walk_walk", "2026-07-28"), "it answers the next one"


def test_an_error_of_its_own_making_is_a_refusal_and_the_connection_stays(waypost: Waypost, walk: Walk) -> None:
    begun = walk.begun
    for _ in range(3):
        refusal = waypost.refusal("walk_stumble")
        assert refusal["code"] == "shard-refused" and "it is dark here" in refusal["message"]
    assert walk.begun == begun + 3, "what was refused is not asked again"


@dataclass
class Unhurried(Answers):
    """A reconciler that answers nothing until somebody has heard that it is waited for."""

    heard: threading.Event = field(default_factory=threading.Event)

    def pass_now(self) -> Outcome:
        assert self.heard.wait(60), "nobody heard of it"
        return Outcome(state="nothing", said="all is as it should be")

    def _tell(self, question: str) -> dict[str, Any]:
        self.heard.wait(5)
        return super()._tell(question)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("reload_config", {}, "waiting for the pass"),
        ("get_backend_status", {}, "waiting for Traefik and the backends"),
        ("check_ssl_status", {}, "waiting for the certificates"),
        ("diagnose", {"what": "grafana"}, "waiting for all who may know"),
    ],
)
def test_who_waits_for_others_hears_for_how_long(
    tmp_path: Path, era: str, tool: str, arguments: dict[str, Any], words: str
) -> None:
    answers, steps = Unhurried({"encryption": {"entry_points": [], "routers": []}}), []

    async def hear(done: float, total: float | None, words: str | None) -> None:
        steps.append((done, total, words))
        answers.heard.set()

    async def ask(url: str) -> None:
        async with (
            plain_http.AsyncClient(timeout=30) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=era) as client,
        ):
            result = await client.call_tool(f"traefik_{tool}", arguments, progress_callback=hear)
            assert not result.is_error, result.content

    desired = DesiredRepo(tmp_path / "desired.git")
    desired.commit({"traefik/grafana.yaml": HAND_WRITTEN.replace(b"10.0.0.5:3000", b"127.0.0.1:9")})
    with (
        served(web.build(answers, ["127.0.0.1"])) as reconciler,
        gateway_over(desired, tmp_path / "gateway", reconciler_url=reconciler) as running,
    ):
        anyio.run(ask, running.url)
    assert steps[0] == (1, None, words)


def calls(waypost: Waypost) -> list[ToolCalled]:
    return [row.event for row in waypost.outbox() if isinstance(row.event, ToolCalled)]
