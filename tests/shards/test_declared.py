"""shards.toml: a person says which shards run elsewhere; faults are told all at once, and nothing is lost by them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from reconciler.setting import ConfigError
from shards import catalogue, declared
from shards.declared import Effort, Listed, Watched
from shards.wire import alone
from tests import plain_http
from tests.conftest import wait_until
from tests.ports import free_port
from tests.shards.elsewhere import QUICK, Weather
from tests.shards.serving import served
from tests.shards.test_elsewhere import MakeWaypost, state, until

WEATHER = """
[shards.weather]
url = "http://weather:9200/mcp"
token = "env:WEATHER"
tools = ["forecast"]
seconds = 5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shards.toml"


def test_what_it_says_is_what_is_declared(file: Path) -> None:
    file.write_text(WEATHER)
    shard = declared.read(file)["weather"]
    assert (shard.url, shard.tools, shard.seconds) == ("http://weather:9200/mcp", frozenset({"forecast"}), 5)
    assert shard.token and shard.token.reference == "env:WEATHER" and shard.public_prefix == "weather_"


def test_a_tool_may_be_worth_something_else_than_its_shard_says(file: Path) -> None:
    more = WEATHER.replace('["forecast"]', '["forecast", "search.v2", "radar"]').replace("seconds = 5", "seconds = 5.0")
    file.write_text(f"""{more}
[shards.weather.tool.forecast]
seconds = 60.5
[shards.weather.tool."search.v2"]
retries = 0
""")
    shard = declared.read(file)["weather"]
    assert shard.effort("forecast") == Effort(seconds=60.5, retries=2)
    assert shard.effort("search.v2") == Effort(seconds=5, retries=0)
    assert shard.effort("radar") == Effort(seconds=5, retries=2)
    assert shard.longest == 60.5


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("[shards.weather.tool.forcast]\nseconds = 60", "tool: forcast: not among its tools"),
        ("[shards.weather.tool.search.v2]\nretries = 0", "tool.search.v2: Extra inputs are not permitted"),
        ("[shards.weather.tool.forecast]\nseconds = 0", "tool.forecast.seconds: Input should be greater than 0"),
        ("[shards.weather.tool.forecast]\nseconds = 601", "tool.forecast.seconds: Input should be less than"),
        ("[shards.weather.tool.forecast]\nretries = 6", "tool.forecast.retries: Input should be less than"),
        ("[shards.weather.tool.forecast]\nretry = 1", "tool.forecast.retry: Extra inputs are not permitted"),
        ("[shards.weather.tool]\nforecast = 60", "tool.forecast: Input should be"),
        ("tool = 60", "tool: Input should be"),
    ],
)
def test_what_is_wrong_with_the_entry_of_a_tool_is_told_with_its_place(file: Path, written: str, told: str) -> None:
    file.write_text(WEATHER + written)
    with pytest.raises(ConfigError) as error:
        declared.read(file)
    [fault] = error.value.faults
    assert fault.startswith(f"{file}: shards.weather: {told}")


def test_every_fault_is_told_at_once_with_its_place(file: Path) -> None:
    file.write_text(
        """
colour = "red"
[shards.traefik]
url = "http://weather:9200/mcp"
tools = ["forecast"]
[shards.weather]
url = "weather:9200"
tools = []
token = "hunter2hunter2"
every = 5
"""
    )
    with pytest.raises(ConfigError) as told:
        declared.read(file)
    faults = "\n".join(told.value.faults)
    for words in ("'colour'", "'traefik' is the name of one of Waypost's own", "url: right would be", "tools:",
                  "token: right would be a reference", "every:"):  # fmt: skip
        assert words in faults
    assert "hunter2" not in faults


@pytest.mark.parametrize("name", sorted(catalogue.OURS))
def test_no_shard_elsewhere_takes_the_name_of_one_of_ours_whether_that_runs_or_not(file: Path, name: str) -> None:
    file.write_text(WEATHER.replace("weather]", f"{name}]"))
    with pytest.raises(ConfigError, match=f"'{name}' is the name of one of Waypost's own"):
        declared.read(file)


def _entry(name: str, **lists: list[str]) -> str:
    return f'[shards.{name}]\nurl = "http://x/mcp"\n' + "".join(f"{key} = {each}\n" for key, each in lists.items())


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (
            _entry("foo", tools=["bar_x"]) + _entry("foo-bar", tools=["x"]),
            "shards.foo-bar: tools: 'x' would be called foo_bar_x, as 'bar_x' of shards.foo is",
        ),
        (
            _entry("foo-bar", tools=["y"], prompts=["x"]) + _entry("foo", tools=["a"], prompts=["bar_x"]),
            "shards.foo: prompts: 'bar_x' would be called foo_bar_x, as 'x' of shards.foo-bar is",
        ),
        (
            _entry("proposals", tools=["read", "list"]),
            "shards.proposals: tools: 'list' would be called proposals_list, as a tool of Waypost's own is",
        ),
    ],
)
def test_two_that_would_be_called_alike_are_both_named(file: Path, entries: str, told: str) -> None:
    file.write_text(entries)
    with pytest.raises(ConfigError) as error:
        declared.read(file)
    assert error.value.faults == (f"{file}: {told}",)


def test_a_tool_and_a_prompt_may_be_called_alike(file: Path) -> None:
    file.write_text(_entry("foo", tools=["bar_x"]) + _entry("foo-bar", tools=["y"], prompts=["x"]))
    assert len(declared.read(file)) == 2


@pytest.mark.parametrize("url", ["http://[weather/mcp", "http://weather:99999/mcp", "http://weather:0/mcp"])
def test_an_address_that_nobody_can_ask_is_a_fault_of_the_file(file: Path, url: str) -> None:
    file.write_text(f'[shards.weather]\nurl = "{url}"\ntools = ["forecast"]\n')
    with pytest.raises(ConfigError, match="shards.weather: url: right would be"):
        declared.read(file)


@pytest.mark.parametrize(
    "content",
    ["[shards", "a = " + "[" * 50_000, "shards = 3", "\x00", "[shards.weather]\nurl = 3", "[shards]\nweather = 1"],
)
def test_whatever_stands_there_is_a_clear_fault(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError, match="shards.toml"):
        declared.read(file)


def test_no_file_is_no_shards_and_a_change_is_seen(file: Path) -> None:
    watched = Watched(file)
    assert watched.declared() == {}
    file.write_text(WEATHER)
    assert list(watched.declared()) == ["weather"]
    file.write_text(WEATHER + WEATHER.replace("weather]", "second]"))
    assert list(watched.declared()) == ["weather", "second"]
    file.unlink()
    assert watched.declared() == {}


def test_a_token_that_was_exchanged_counts_with_the_next_connection(file: Path, make_waypost: MakeWaypost) -> None:
    token, knowing = file.with_name("token"), {name: alone.application(Weather(), name) for name in ("old", "new")}
    token.write_text("old")
    let_in = ["old"]

    async def shard(scope: Scope, receive: Receive, send: Send) -> None:
        await knowing[let_in[-1]](scope, receive, send)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as both:
            for one in knowing.values():
                await both.enter_async_context(one.router.lifespan_context(one))
            yield

    with served(Starlette(routes=[Mount("/", shard)], lifespan=lifespan)) as url:
        file.write_text(WEATHER.replace("http://weather:9200", url).replace("env:WEATHER", f"file:{token}"))
        waypost = make_waypost(discovery=Listed((replace(declared.read(file)["weather"], patience=QUICK),)))
        wait_until(lambda: state(waypost) == "up")
        let_in.append("new")
        wait_until(lambda: "token" in str(waypost.answer("gateway_status")["shards"]["weather"].get("reason")))
        token.write_text("new")
        wait_until(lambda: not waypost.call("weather_forecast", city="Kiel").is_error)


def test_a_running_gateway_follows_the_file_and_keeps_what_it_had_while_that_is_broken(
    file: Path, make_waypost: MakeWaypost
) -> None:
    waypost = make_waypost(discovery=Watched(file))

    def health() -> dict[str, object]:
        return dict(plain_http.get(f"{waypost.url}/health").json())

    file.write_text(WEATHER.replace("weather:9200", f"127.0.0.1:{free_port()}").replace("env:WEATHER", "file:/nowhere"))
    until(lambda: "weather" in health()["shards"])  # type: ignore[operator]
    file.write_text("[shards")
    until(lambda: "is not TOML" in str(health().get("trouble")))
    assert "weather" in health()["shards"]  # type: ignore[operator]
    file.unlink()
    until(lambda: "weather" not in health()["shards"])  # type: ignore[operator]
    assert "trouble" not in health()
