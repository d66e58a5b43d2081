"""Shards that run elsewhere: whatever becomes of one, the gateway and all others go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import mcp_types as protocol
import pytest
from mcp.server import Server

from reconciler.setting import ConfigError
from shards.declared import Declared, Effort, Listed
from shards.health import OPENS_AFTER, RESTS, Patience
from shards.wire import alone
from shards.wire.posting import MOST_BYTES
from state.events import ShardFound, ShardLost, ShardsDeclared, ToolCalled
from tests import plain_http
from tests.shards.elsewhere import QUICK, TOOLS, Process, Weather, shard_process
from tests.shards.serving import ERAS, DesiredRepo, Waypost, gateway_over, served

MakeWaypost = Callable[..., Waypost]


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Process]:
    """One process for all tests; who ends it starts it again."""
    with shard_process() as process:
        yield process.start()


@pytest.fixture(scope="module")
def shared(elsewhere: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waypost]:
    directory, declared = tmp_path_factory.mktemp("weather"), elsewhere.declared(seconds=5.0)
    repo = DesiredRepo(directory / "desired.git")
    with gateway_over(repo, directory / "gateway", discovery=Listed((declared,))) as waypost:
        yield waypost


@pytest.fixture
def weather(shared: Waypost) -> Waypost:
    """A gateway with a shard elsewhere that is up."""
    until(lambda: state(shared) == "up")
    return shared


def state(waypost: Waypost, shard: str = "weather") -> str:
    shards = plain_http.get(f"{waypost.url}/health").json()["shards"]
    return str(shards.get(shard, {}).get("state", ""))


def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def calls(waypost: Waypost) -> list[tuple[ToolCalled, str]]:
    """Every call that was audited, with its request id."""
    return [(row.event, row.request_id) for row in waypost.outbox() if isinstance(row.event, ToolCalled)]


def told(waypost: Waypost) -> list[str]:
    return [
        type(row.event).__name__
        for row in waypost.outbox()
        if isinstance(row.event, ShardsDeclared | ShardLost | ShardFound)
    ]


@pytest.mark.parametrize("era", ERAS)
def test_its_tools_are_listed_and_called_like_any_other(weather: Waypost, era: str) -> None:
    tools = {tool.name: tool for tool in weather.tools(era).tools}
    assert {f"weather_{name}" for name in TOOLS} <= tools.keys() and "traefik_list_routes" in tools
    result = weather.call("weather_forecast", era, city="Kiel")
    assert result.structured_content is not None and result.structured_content["words"] == "sunny"


def test_a_call_has_one_request_id_here_and_there_and_is_audited_once(weather: Waypost) -> None:
    before = len(calls(weather))
    answer = weather.answer("weather_forecast", city="Kiel")
    [(called, request_id)] = calls(weather)[before:]
    assert (called.shard, called.tool, called.outcome) == ("weather", "weather_forecast", "ok")
    assert called.arguments == '{"city":"Kiel"}' and called.milliseconds > 0
    assert answer["request_id"] == request_id


def test_a_tool_that_nobody_declared_is_neither_listed_nor_called(weather: Waypost) -> None:
    assert "weather_undeclared" not in {tool.name for tool in weather.tools().tools}
    with pytest.raises(Exception, match="no tool 'weather_undeclared'"):
        weather.call("weather_undeclared")


def test_what_it_says_about_itself_counts_for_nothing(weather: Waypost) -> None:
    for tool in weather.tools(path="/mcp/weather").tools:
        assert tool.annotations is not None and tool.annotations.read_only_hint


def test_it_has_an_address_of_its_own(weather: Waypost) -> None:
    assert {tool.name for tool in weather.tools(path="/mcp/weather").tools} == {f"weather_{name}" for name in TOOLS}
    assert plain_http.post(f"{weather.url}/mcp/nobody", json={}).status_code == 404


def test_one_that_was_never_there_disturbs_nobody(make_waypost: MakeWaypost) -> None:
    away = make_waypost(discovery=Listed((Process().declared(),)))
    assert not away.call("traefik_list_routes").is_error
    until(lambda: state(away) == "down")
    assert not away.call("traefik_list_routes").is_error
    assert away.answer("gateway_status")["shards"]["weather"]["state"] == "down"
    assert told(away) == ["ShardsDeclared", "ShardLost"]


def test_one_that_was_not_there_at_the_start_is_found_by_itself(make_waypost: MakeWaypost, elsewhere: Process) -> None:
    elsewhere.kill()
    away = make_waypost(discovery=Listed((elsewhere.declared(),)))
    until(lambda: state(away) == "down")
    elsewhere.start()
    until(lambda: state(away) == "up")
    assert away.answer("weather_forecast", city="Kiel")["words"] == "sunny"
    assert told(away) == ["ShardsDeclared", "ShardLost", "ShardFound"]


def test_one_that_dies_in_a_call_is_an_answer_and_comes_back_by_itself(weather: Waypost, elsewhere: Process) -> None:
    refusal = weather.refusal("weather_die")
    assert refusal["code"] in ("shard-unreachable", "shard-slow") and refusal["retry"]
    assert not weather.call("traefik_list_routes").is_error
    until(lambda: state(weather) == "down")
    refusal = weather.refusal("weather_forecast", city="Kiel")
    assert refusal["code"] == "shard-down" and refusal["retry"] and refusal["retry_after_seconds"]
    elsewhere.kill()
    elsewhere.start()
    until(lambda: state(weather) == "up")
    assert weather.answer("weather_forecast", city="Kiel")["words"] == "sunny"


def test_the_list_of_tools_stays_while_it_is_away_and_over_a_restart_of_the_gateway(
    make_waypost: MakeWaypost, elsewhere: Process
) -> None:
    waypost = make_waypost(discovery=Listed((elsewhere.declared(),)))
    until(lambda: state(waypost) == "up")
    before = [tool.name for tool in waypost.tools().tools]
    elsewhere.kill()
    until(lambda: state(waypost) == "down")
    assert [tool.name for tool in waypost.tools().tools] == before
    again = make_waypost(discovery=Listed((elsewhere.declared(),)))
    until(lambda: state(again))
    assert [tool.name for tool in again.tools().tools] == before
    assert again.refusal("weather_forecast", city="Kiel")["code"].startswith("shard-")
    elsewhere.start()


def test_one_that_stands_still_is_slow_and_then_down_and_nobody_else_waits(
    make_waypost: MakeWaypost, elsewhere: Process
) -> None:
    waypost = make_waypost(discovery=Listed((elsewhere.declared(seconds=0.5),)))
    until(lambda: state(waypost) == "up")
    elsewhere.stop(True)
    assert waypost.refusal("weather_forecast", city="Kiel")["code"] in ("shard-slow", "shard-down")
    assert not waypost.call("traefik_list_routes").is_error
    elsewhere.stop(False)
    until(lambda: state(waypost) == "up" and not waypost.call("weather_forecast", city="Kiel").is_error)


def test_one_that_fails_call_after_call_is_left_in_peace_for_a_while_however_well_its_checks_go(
    make_waypost: MakeWaypost, elsewhere: Process
) -> None:
    often_checked = Patience(every=0.02)  # so that there are good checks between any two calls
    waypost = make_waypost(discovery=Listed((elsewhere.declared(seconds=0.05, patience=often_checked),)))
    until(lambda: state(waypost) == "up")
    for _ in range(OPENS_AFTER):
        assert waypost.refusal("weather_linger", seconds=0.5)["code"] == "shard-slow"
    refusal = waypost.refusal("weather_forecast", city="Kiel")
    assert (refusal["code"], refusal["retry"]) == ("shard-resting", True)
    assert 0 < refusal["retry_after_seconds"] <= RESTS
    assert (state(waypost), calls(waypost)[-1][0].outcome) == ("up", "shard-resting")
    assert not waypost.call("traefik_list_routes").is_error


def test_a_tool_may_be_given_more_or_less_time_than_its_shard(make_waypost: MakeWaypost, elsewhere: Process) -> None:
    patient = elsewhere.declared(seconds=0.3, tool={"linger": Effort(seconds=10)})
    waypost = make_waypost(discovery=Listed((patient,)))
    until(lambda: state(waypost) == "up")
    assert waypost.answer("weather_linger", seconds=1.0)["words"] == "late"
    hasty = elsewhere.declared(seconds=10, tool={"linger": Effort(seconds=0.3)})
    waypost = make_waypost(discovery=Listed((hasty,)))
    until(lambda: state(waypost) == "up")
    refusal = waypost.refusal("weather_linger", seconds=1.0)
    assert refusal["code"] == "shard-slow" and "within 0.3 s" in refusal["message"]
    assert waypost.answer("weather_forecast", city="Kiel")["words"] == "sunny"


def test_its_refusal_reaches_the_model_as_it_is(weather: Waypost) -> None:
    assert weather.refusal("weather_refuse")["code"] == "no-such-city"
    assert calls(weather)[-1][0].outcome == "tool-failed"


def test_too_much_text_is_refused_and_tricks_in_it_are_taken_out(weather: Waypost) -> None:
    assert weather.refusal("weather_flood", characters=2_000_000)["code"] == "too-large"
    assert weather.answer("weather_trick")["words"] == "all is wellreversedend"


def test_a_wrong_token_is_told_and_nothing_is_sent_elsewhere(make_waypost: MakeWaypost, elsewhere: Process) -> None:
    waypost = make_waypost(discovery=Listed((elsewhere.declared(token=None),)))
    until(lambda: state(waypost) == "down")
    assert waypost.answer("gateway_status")["shards"]["weather"]["reason"]


async def _a_page(_: Any, asked: protocol.PaginatedRequestParams | None) -> protocol.ListToolsResult:
    """One tool a page, without end."""
    number = int((asked and asked.cursor) or 0)
    tool = protocol.Tool(name=f"tool{number}", input_schema={"type": "object"})
    return protocol.ListToolsResult(tools=[tool], next_cursor=str(number + 1))


@pytest.mark.parametrize("stateless", [True, False])
def test_tools_on_later_pages_are_offered_too_and_a_list_without_end_has_one(
    make_waypost: MakeWaypost, stateless: bool
) -> None:
    book = Server("book", on_list_tools=_a_page).streamable_http_app(stateless_http=stateless)
    patience = Patience(every=1.0, within=30.0)
    with served(book) as url:
        tools = frozenset({"tool0", "tool3", "tool900"})
        waypost = make_waypost(
            discovery=Listed((Declared(name="book", url=f"{url}/mcp", tools=tools, patience=patience),))
        )
        until(lambda: state(waypost, "book") == "up")
        assert {"book_tool0", "book_tool3"} == {one.name for one in waypost.tools(path="/mcp/book").tools}


@pytest.mark.parametrize("stateless", [True, False])
def test_of_a_list_whose_pages_are_large_no_more_is_read_than_of_any_answer(
    make_waypost: MakeWaypost, stateless: bool
) -> None:
    asked: set[int] = set()

    async def page(context: Any, params: protocol.PaginatedRequestParams | None) -> protocol.ListToolsResult:
        told = await _a_page(context, params)
        asked.add(int(told.next_cursor or 0))
        large = protocol.Tool(name="other", description="x" * (MOST_BYTES // 3), input_schema={"type": "object"})
        return protocol.ListToolsResult(tools=[*told.tools, large], next_cursor=told.next_cursor)

    shelf = Server("shelf", on_list_tools=page).streamable_http_app(stateless_http=stateless)
    with served(shelf) as url:
        tools, patience = frozenset({"tool1", "tool9"}), Patience(every=1.0, within=60.0)
        shard = Declared(name="shelf", url=f"{url}/mcp", tools=tools, patience=patience)
        waypost = make_waypost(discovery=Listed((shard,)))
        until(lambda: state(waypost, "shelf") == "up", 120)
        assert {one.name for one in waypost.tools(path="/mcp/shelf").tools} == {"shelf_tool1"}
    assert max(asked) == 3


async def _mirrored(*_: Any) -> protocol.ListToolsResult:
    more = {f"more{number}": {"type": "string", "x-mcp-header": f"More{number}"} for number in range(200)}
    schema = {"type": "object", "properties": {"city": {"type": "string", "x-mcp-header": "City"}, **more}}
    return protocol.ListToolsResult(tools=[protocol.Tool(name="ask", input_schema=schema)])


async def _told(_: Any, params: protocol.CallToolRequestParams) -> protocol.CallToolResult:
    return protocol.CallToolResult(content=[protocol.TextContent(text=str((params.arguments or {})["city"])[:10])])


@pytest.mark.parametrize("era", ERAS)
def test_an_argument_that_a_shard_wants_in_a_header_too_is_put_there(make_waypost: MakeWaypost, era: str) -> None:
    particular = Server("particular", on_list_tools=_mirrored, on_call_tool=_told)
    with served(particular.streamable_http_app(stateless_http=True)) as url:
        shard = Declared(name="particular", url=f"{url}/mcp", tools=frozenset({"ask"}), patience=QUICK)
        waypost = make_waypost(discovery=Listed((shard,)))
        until(lambda: state(waypost, "particular") == "up")
        for city in ("Kiel", "Köln\r\nX-Evil: 1"):
            answer = waypost.call("particular_ask", era, city=city)
            assert not answer.is_error and answer.content[0].text[:2] == city[:2]  # type: ignore[union-attr]
        for long, number in ((100_000, 0), (7_000, 20), (100, 200)):
            more = {f"more{each}": "x" * long for each in range(number)}
            refusal = waypost.refusal("particular_ask", era="legacy", city="x" * long, **more)
            assert refusal["code"] == "shard-refused", "a shard was sent more in headers than servers take"


def test_a_token_of_a_client_never_travels_on(weather: Waypost) -> None:
    token = weather.token("claude")
    try:
        assert not weather.call("weather_forecast", token=token, city="Kiel").is_error  # the shard knows only its own
    finally:
        weather.keyring.change(lambda _: [])


@pytest.mark.parametrize(
    ("token", "header", "status"),
    [
        ("", {"Host": "rebound.example.org:9200"}, 421),
        ("", {"Host": "127.0.0.1.example.org"}, 421),
        ("", {"Origin": "https://page.example.org"}, 403),
        ("", {}, 200),
        ("", {"Host": "localhost"}, 200),
        ("", {"Host": "[::1]:9200"}, 200),
        ("a-token", {"Host": "weather:9200"}, 200),
    ],
)
def test_without_a_token_a_shard_is_for_this_machine_and_for_no_web_page(
    token: str, header: dict[str, str], status: int
) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token or 0}", **header}
    with served(alone.application(Weather(), token)) as url:
        assert plain_http.post(f"{url}/mcp", json=body, headers=headers).status_code == status


@pytest.mark.parametrize("listen", ["9200", "127.0.0.1:", "127.0.0.1:²", "127.0.0.1:65536", "127.0.0.1:" + "9" * 5_000])
def test_what_is_no_address_to_be_served_at_is_told(listen: str) -> None:
    with pytest.raises(ConfigError, match="WAYPOST_SHARD_LISTEN: right would be"):
        alone.serve(Weather(), {"WAYPOST_SHARD_LISTEN": listen})
