"""Prompts and resources of a shard elsewhere: those that a person declared, for those who may, cleaned and audited."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import mcp_types as protocol
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette

from reconciler.setting import ConfigError
from shards import declared
from shards.declared import Declared, Listed
from shards.health import Patience
from shards.wire import alone
from state.events import ToolCalled
from tests import plain_http
from tests.conformance import everything
from tests.conftest import wait_until
from tests.shards.elsewhere import QUICK, Weather
from tests.shards.serving import ERAS, NOBODY, DesiredRepo, Waypost, gateway_over, served
from tests.shards.test_elsewhere import until

Context = ServerRequestContext[dict[str, Any], Any]
TEXT = "test://static-text"


@dataclass
class House:
    waypost: Waypost
    library: contextlib.ExitStack  # closed: the shard is away
    port: int

    @contextlib.contextmanager
    def without_library(self) -> Iterator[None]:
        """For as long as this lasts; then it is back where it was."""
        self.library.close()
        try:
            yield
        finally:
            self.library.enter_context(served(everything.application(), self.port))

    def ask(self, question: Callable[[Client], Awaitable[Any]], token: str = "", era: str = ERAS[-1]) -> Any:
        """What a client is told, or the error that it gets."""

        async def ask() -> Any:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with (
                plain_http.AsyncClient(headers=headers, timeout=30) as http,
                Client(streamable_http_client(f"{self.waypost.url}/mcp", http_client=http), mode=era) as client,
            ):
                try:
                    return await question(client)
                except MCPError as error:
                    return error

        return anyio.run(ask)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("further")
    with contextlib.ExitStack() as here, contextlib.ExitStack() as there:
        address = there.enter_context(served(everything.application()))
        shard = Declared(
            name="library",
            url=f"{address}/mcp",
            tools=frozenset({"test_simple_text"}),
            prompts=frozenset({"test_simple_prompt"}),
            resources=frozenset({"test://static-"}),
            patience=QUICK,
        )
        desired = DesiredRepo(directory / "desired.git")
        waypost = here.enter_context(gateway_over(desired, directory / "gateway", discovery=Listed((shard,))))
        yield House(waypost, there, urlsplit(address).port or 0)


@pytest.fixture
def house(shared: House) -> House:
    """A gateway with a shard elsewhere that is up."""
    wait_until(lambda: _state(shared) == "up", "the shard", 60)
    return shared


def _state(house: House, shard: str = "library") -> str:
    health = plain_http.get(f"{house.waypost.url}/health").json()
    return str(health["shards"].get(shard, {}).get("state"))


def _calls(house: House) -> list[ToolCalled]:
    return [row.event for row in house.waypost.outbox() if isinstance(row.event, ToolCalled)]


def test_only_what_was_declared_is_listed_and_prompts_bear_the_shards_prefix(house: House) -> None:
    prompts = house.ask(lambda client: client.list_prompts())
    assert [prompt.name for prompt in prompts.prompts] == ["library_test_simple_prompt"]
    resources = house.ask(lambda client: client.list_resources())
    assert [resource.uri for resource in resources.resources] == [TEXT, "test://static-binary"]
    templates = house.ask(lambda client: client.list_resource_templates())
    assert templates.resource_templates == []


def test_what_was_declared_is_passed_on_and_audited(house: House) -> None:
    read = house.ask(lambda client: client.read_resource(TEXT))
    assert read.contents[0].text == "Text that never changes."
    said = house.ask(lambda client: client.get_prompt("library_test_simple_prompt"))
    assert said.messages[0].content.text == "This is a simple prompt for testing."
    recorded = [(event.tool, event.shard, event.outcome) for event in _calls(house)]
    assert recorded[-2:] == [("resources/read", "library", "ok"), ("prompts/get", "library", "ok")]


@pytest.mark.parametrize(
    "question",
    [
        lambda client: client.read_resource("test://watched-resource"),
        lambda client: client.read_resource("file:///etc/passwd"),
        lambda client: client.read_resource("test://static-text/../watched-resource"),
        lambda client: client.read_resource("test://static-text/%2E%2e/watched-resource"),
        lambda client: client.read_resource("test://static-text\\..\\watched-resource"),
        lambda client: client.get_prompt("library_test_prompt_with_image"),
        lambda client: client.get_prompt("test_simple_prompt"),
    ],
)
def test_what_was_not_declared_is_not_there(house: House, question: Callable[[Client], Awaitable[Any]]) -> None:
    refused = house.ask(question)
    assert isinstance(refused, MCPError) and refused.code == -32602
    assert refused.message.startswith("There is no such")


def test_who_may_not_ask_the_shard_finds_nothing_of_it(house: House) -> None:
    token = house.waypost.token("narrow", grants=("traefik",))
    try:
        assert house.ask(lambda client: client.list_prompts(), token).prompts == []
        refused = house.ask(lambda client: client.read_resource(TEXT), token)
        assert isinstance(refused, MCPError) and refused.code == -32602
    finally:
        house.waypost.keyring.change(lambda _: [])


def test_one_that_is_away_is_said_to_be_away_and_the_lists_stay_as_they_were(house: House) -> None:
    lists = (lambda client: client.list_prompts(), lambda client: client.list_resources())
    before = [house.ask(listing) for listing in lists]
    with house.without_library():
        until(lambda: _state(house) == "down", 60)
        assert [house.ask(listing) for listing in lists] == before and before[0].prompts and before[1].resources
        refused = house.ask(lambda client: client.read_resource(TEXT))
    assert isinstance(refused, MCPError) and refused.data["code"] == "shard-down" and refused.data["retry"]


LISTS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "prompts": lambda client: client.list_prompts(),
    "resources": lambda client: client.list_resources(),
    "templates": lambda client: client.list_resource_templates(),
}


@pytest.mark.parametrize("listing", LISTS)
@pytest.mark.parametrize("era", ERAS)
def test_a_shard_that_never_said_what_it_has_is_named_as_missing(
    make_waypost: Callable[..., Waypost], listing: str, era: str
) -> None:
    def declared(name: str, at: str) -> Declared:
        prompts, resources = frozenset({"explain"}), frozenset({"test://"})
        return Declared(
            name=name, url=f"{at}/mcp", tools=frozenset(), prompts=prompts, resources=resources, patience=QUICK
        )

    with contextlib.ExitStack() as there:
        library = there.enter_context(served(everything.application()))
        weather = there.enter_context(served(alone.application(Weather(), "")))  # knows of tools only, and says so
        tools_only = Declared(name="mute", url=f"{NOBODY}/mcp", tools=frozenset({"walk"}), patience=QUICK)
        named = {"library": library, "weather": weather, "cellar": NOBODY}
        shards = (*(declared(name, at) for name, at in named.items()), tools_only)
        house = House(make_waypost(discovery=Listed(shards)), there, 0)
        for name in ("library", "weather"):
            wait_until(lambda name=name: _state(house, name) == "up", "the shard", 60)
        listed = house.ask(LISTS[listing], era=era)
        whole = house.ask(LISTS[listing], house.waypost.token("narrow", grants=("library",)), era)
    assert list(listed.meta["waypost/missing"]) == ["cellar"], "the others were not asked, or said that they have none"
    assert listed.meta["waypost/missing"]["cellar"].startswith(("shard-unreachable: ", "shard-down: "))
    assert "waypost/missing" not in (whole.meta or {})


@dataclass
class Hesitant:
    """A shard that is asked, and does not answer as long as anybody waits."""

    asked: threading.Event = field(default_factory=threading.Event)

    def application(self) -> Starlette:
        async def prompt(_: Context, __: protocol.GetPromptRequestParams) -> protocol.GetPromptResult:
            return await self._hesitate()

        async def resource(_: Context, __: protocol.ReadResourceRequestParams) -> protocol.ReadResourceResult:
            return await self._hesitate()

        async def tools(_: Context, __: protocol.PaginatedRequestParams | None) -> protocol.ListToolsResult:
            return protocol.ListToolsResult(tools=[])

        server = Server("hesitant", on_list_tools=tools, on_get_prompt=prompt, on_read_resource=resource)
        return server.streamable_http_app(stateless_http=True)

    async def _hesitate(self) -> NoReturn:
        self.asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def given_up(self, question: Callable[[Client], Awaitable[Any]], client: Client) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(question, client)
            assert await anyio.to_thread.run_sync(self.asked.wait, 60)
            group.cancel_scope.cancel()


@pytest.mark.parametrize(
    "question, method",
    [
        (lambda client: client.get_prompt("hesitant_explain"), "prompts/get"),
        (lambda client: client.read_resource("slow://one"), "resources/read"),
    ],
)
def test_what_the_client_gives_up_is_audited_as_that(
    make_waypost: Callable[..., Waypost], question: Callable[[Client], Awaitable[Any]], method: str
) -> None:
    hesitant, patience = Hesitant(), Patience(every=0.3, within=60.0, failures=2, successes=2)
    with contextlib.ExitStack() as there:
        url = there.enter_context(served(hesitant.application()))
        shard = Declared(
            name="hesitant",
            url=f"{url}/mcp",
            tools=frozenset(),
            prompts=frozenset({"explain"}),
            resources=frozenset({"slow://"}),
            patience=patience,
        )
        house = House(make_waypost(discovery=Listed((shard,))), there, 0)
        wait_until(lambda: _state(house, "hesitant") == "up", "the shard", 60)
        house.ask(lambda client: hesitant.given_up(question, client))
        wait_until(lambda: _calls(house), "the audit", 30)
        [noted] = _calls(house)
    assert (noted.tool, noted.shard, noted.outcome) == (method, "hesitant", "cancelled")
    assert noted.milliseconds > 0


ENTRY = '[shards.library]\nurl = "http://library:9200/mcp"\ntools = ["look_up"]\n'


def test_prompts_and_resources_are_declared_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "shards.toml"
    file.write_text(ENTRY + 'prompts = ["explain"]\nresources = ["library://shelf/"]\n')
    shard = declared.read(file)["library"]
    assert (shard.prompts, shard.resources) == (frozenset({"explain"}), frozenset({"library://shelf/"}))
    file.write_text(ENTRY + 'resources = [""]\n')
    with pytest.raises(ConfigError, match="such as weather://reports/"):
        declared.read(file)
