"""A client hears that the list of its tools is another one, in the way of its era; and only then."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types as protocol
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import Server
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette

from shards.access import Caller, TurnedAway
from shards.declared import Declared, Listed
from shards.errors import Code
from shards.gate import STILL, Gate, Scope
from shards.wire.announcing import MOST_OF_ONE, Announcer, always
from tests import plain_http
from tests.ports import free_port
from tests.shards.elsewhere import QUICK
from tests.shards.serving import DesiredRepo, Waypost, gateway_over, served, wait_until_healthy
from tests.shards.test_process import started

STREAM = {"Accept": "text/event-stream"}


@dataclass
class Growing:
    """A shard elsewhere that offers, of the tools declared for it, those that it has by now."""

    names: list[str] = field(default_factory=lambda: ["rain"])

    def application(self) -> Starlette:
        async def tools(*_: Any) -> protocol.ListToolsResult:
            schema = {"type": "object"}
            return protocol.ListToolsResult(
                tools=[protocol.Tool(name=name, description="Ask.", input_schema=schema) for name in self.names]
            )

        return Server("weather", on_list_tools=tools).streamable_http_app(stateless_http=True)


@dataclass
class House:
    """A gateway, a shard elsewhere that can be changed, and one that can be switched off."""

    waypost: Waypost
    shard: Growing
    switch_off: threading.Event

    def health(self) -> dict[str, Any]:
        return dict(plain_http.get(f"{self.waypost.url}/health").json())

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        with anyio.fail_after(60):
            while not holds(await anyio.to_thread.run_sync(self.health)):
                await anyio.sleep(0.05)


@contextlib.contextmanager
def in_a_house(directory: Path) -> Iterator[House]:
    shard, off = Growing(), threading.Event()
    with contextlib.ExitStack() as here, contextlib.ExitStack() as there:
        address = there.enter_context(served(shard.application()))
        declared = Declared(
            name="weather", url=f"{address}/mcp", tools=frozenset({"rain", "snow", "hail"}), patience=QUICK
        )
        desired = DesiredRepo(directory / "desired.git")
        discovery = Listed((declared,))
        waypost = here.enter_context(gateway_over(desired, directory / "gateway", discovery=discovery))
        ending = threading.Thread(target=lambda: (off.wait(), there.close()))
        ending.start()
        try:
            yield House(waypost, shard, off)
        finally:
            off.set()
            ending.join()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with in_a_house(tmp_path) as house:
        yield house


@contextlib.asynccontextmanager
async def listening(house: House, era: str, token: str = "") -> AsyncIterator[tuple[Client, list[str]]]:
    """A real client of an era that listens for changes, and what it has heard."""
    heard: list[str] = []

    async def hear(message: Any) -> None:
        heard.append(getattr(message, "method", type(message).__name__))

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    before = (await anyio.to_thread.run_sync(house.health))["listeners"]
    async with (
        plain_http.AsyncClient(headers=headers, timeout=30) as http,
        Client(
            streamable_http_client(house.waypost.url + "/mcp", http_client=http), mode=era, message_handler=hear
        ) as client,
        anyio.create_task_group() as group,
    ):

        async def listen() -> None:
            async with client.listen(tools_list_changed=True) as subscription:
                async for event in subscription:
                    heard.append(type(event).__name__)

        if era != "legacy":
            group.start_soon(listen)
        await house.until(lambda health: health["listeners"] == before + 1)
        yield client, heard
        group.cancel_scope.cancel()


def test_who_listens_is_told_as_soon_as_somebody_looks_and_finds_another_list() -> None:
    offered = {"rain": 1}
    announcer = Announcer(lambda: dict(offered))

    async def story() -> None:
        with announcer.listening("ann", lambda: dict(offered), always) as stream, anyio.fail_after(5):
            offered["snow"] = 2
            announcer.look()
            assert await stream.news()

    anyio.run(story)


def test_who_was_let_in_is_asked_for_anew_with_what_they_came_with() -> None:
    known = {"Bearer ann": Caller(name="ann", role="read")}
    came: dict[str, Any] = {}

    async def admit(authorization: str, host: str) -> Caller | TurnedAway:
        return known.get(authorization) or TurnedAway("nobody knows that token")

    async def keep(scope: Scope, *_: Any) -> None:
        came.update(scope)

    async def story() -> None:
        scope = {"type": "http", "headers": [(b"authorization", b"Bearer ann"), (b"host", b"localhost")]}
        await Gate(keep, admit, lambda shard: True)(scope, *([None] * 2))  # type: ignore[arg-type]
        assert await came[STILL]()
        known["Bearer ann"] = Caller(name="ann", role="propose")
        assert not await came[STILL]()  # with other rights, so with another list
        known.clear()
        assert not await came[STILL]()

    anyio.run(story)


@pytest.mark.parametrize("era", ["legacy", "auto"])
def test_a_client_hears_that_a_shard_has_gained_a_tool_and_nothing_while_it_is_down(house: House, era: str) -> None:
    async def story() -> None:
        await house.until(lambda health: health["shards"].get("weather", {}).get("tools") == 1)
        async with listening(house, era) as (client, heard):
            assert client.server_capabilities.tools and client.server_capabilities.tools.list_changed
            house.shard.names.append("snow")
            with anyio.fail_after(60):
                while not heard:
                    await anyio.sleep(0.02)
            assert "weather_snow" in {tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools}
            said = list(heard)
            house.switch_off.set()
            await house.until(lambda health: health["shards"].get("weather", {}).get("state") == "down")
            assert "weather_snow" in {tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools}
            assert heard == said
        await house.until(lambda health: health["listeners"] == 0)

    anyio.run(story)


def test_who_may_not_call_the_new_tool_hears_nothing_of_it(house: House) -> None:
    all_of_it, only_traefik = house.waypost.token("all"), house.waypost.token("narrow", grants=("traefik",))

    async def story() -> None:
        await house.until(lambda health: health["shards"].get("weather", {}).get("tools") == 1)
        async with (
            listening(house, "legacy", all_of_it) as (_, heard),
            listening(house, "legacy", only_traefik) as (_, unheard),
        ):
            house.shard.names.append("snow")
            with anyio.fail_after(60):
                while not heard:
                    await anyio.sleep(0.02)
            house.shard.names.append("hail")
            with anyio.fail_after(60):
                while len(heard) < 2:
                    await anyio.sleep(0.02)
            assert not unheard

    anyio.run(story)


@pytest.mark.parametrize("era", ["legacy", "auto"])
def test_whose_token_is_revoked_listens_no_longer(house: House, era: str) -> None:
    token = house.waypost.token("leaving")
    house.waypost.token("staying")

    async def story() -> None:
        async with listening(house, era, token):
            house.waypost.keyring.change(lambda known: [one for one in known if one.name == "staying"])
            await house.until(lambda health: health["listeners"] == 0)

    anyio.run(story)


def test_a_client_gets_so_many_streams_and_no_more_and_leaves_nothing_behind(house: House) -> None:
    async def story() -> None:
        url, most = f"{house.waypost.url}/mcp", httpx2.Limits(max_connections=None)
        async with contextlib.AsyncExitStack() as open_ones, plain_http.AsyncClient(timeout=30, limits=most) as http:
            for _ in range(MOST_OF_ONE):
                stream = await open_ones.enter_async_context(http.stream("GET", url, headers=STREAM))
                assert stream.status_code == 200 and stream.headers["content-type"] == "text/event-stream"
            assert (await http.get(url, headers=STREAM)).status_code == 405
            client = await open_ones.enter_async_context(Client(streamable_http_client(url, http_client=http)))
            with pytest.raises(MCPError, match="close one") as refused:
                await open_ones.enter_async_context(client.listen(tools_list_changed=True))
            told = refused.value.error.data
            assert (refused.value.error.code, told["code"], told["retry"]) == (Code.FAILED, "too-many-streams", True)
            assert told["request_id"]
        await house.until(lambda health: health["listeners"] == 0)

    anyio.run(story)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://elsewhere.example.org"}, 403),
        ({"Host": "elsewhere.example.org"}, 401),
        ({"Accept": "application/json"}, 406),
        ({"MCP-Protocol-Version": "2026-07-28"}, 405),
    ],
)
def test_a_stream_is_for_those_who_may_call_and_ask_for_one(
    refusing: Waypost, headers: dict[str, str], status: int
) -> None:
    assert plain_http.get(f"{refusing.url}/mcp", headers={**STREAM, **headers}).status_code == status


def test_a_gateway_that_ends_lets_go_of_its_listeners_cleanly(tmp_path: Path) -> None:
    DesiredRepo(tmp_path / "desired.git")
    url = f"http://127.0.0.1:{free_port()}"
    with started(tmp_path, WAYPOST_LISTEN=url[7:], WAYPOST_RECONCILER_LISTEN="127.0.0.1:9") as process:
        wait_until_healthy(url, process)
        with plain_http.stream("GET", f"{url}/mcp", headers=STREAM, timeout=60) as stream:
            process.send_signal(signal.SIGTERM)
            assert "".join(stream.iter_text()).startswith(":")  # to its proper end: one cut off would raise
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in said, said
