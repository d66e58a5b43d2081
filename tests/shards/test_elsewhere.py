"""Shards that run elsewhere: whatever becomes of one, the gateway and all others go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx2
import pytest

from shards.declared import Listed
from state.events import ShardFound, ShardLost, ShardsDeclared, ToolCalled
from tests.shards.elsewhere import TOOLS, Process, shard_process
from tests.shards.serving import ERAS, Waypost

MakeWaypost = Callable[..., Waypost]


@pytest.fixture
def elsewhere() -> Iterator[Process]:
    with shard_process() as process:
        yield process


@pytest.fixture
def away(make_waypost: MakeWaypost, elsewhere: Process) -> Waypost:
    """A gateway whose shard elsewhere was never there."""
    return make_waypost(discovery=Listed((elsewhere.declared(),)))


@pytest.fixture
def weather(make_waypost: MakeWaypost, elsewhere: Process) -> Waypost:
    """A gateway with a shard elsewhere that is up."""
    elsewhere.start()
    waypost = make_waypost(discovery=Listed((elsewhere.declared(seconds=5.0),)))
    until(lambda: state(waypost) == "up")
    return waypost


def state(waypost: Waypost) -> str:
    shards = httpx2.get(f"{waypost.url}/health").json()["shards"]
    return str(shards.get("weather", {}).get("state", ""))


def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


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
    answer = weather.answer("weather_forecast", city="Kiel")
    [row] = [row for row in weather.outbox() if isinstance(row.event, ToolCalled)]
    assert isinstance(row.event, ToolCalled)
    assert (row.event.shard, row.event.tool, row.event.outcome) == ("weather", "weather_forecast", "ok")
    assert row.event.arguments == '{"city":"Kiel"}' and row.event.milliseconds > 0
    assert answer["request_id"] == row.request_id


def test_a_tool_that_nobody_declared_is_neither_listed_nor_called(weather: Waypost) -> None:
    assert "weather_undeclared" not in {tool.name for tool in weather.tools().tools}
    with pytest.raises(Exception, match="no tool 'weather_undeclared'"):
        weather.call("weather_undeclared")


def test_what_it_says_about_itself_counts_for_nothing(weather: Waypost) -> None:
    for tool in weather.tools(path="/mcp/weather").tools:
        assert tool.annotations is not None and tool.annotations.read_only_hint


def test_it_has_an_address_of_its_own(weather: Waypost) -> None:
    assert {tool.name for tool in weather.tools(path="/mcp/weather").tools} == {f"weather_{name}" for name in TOOLS}
    assert httpx2.post(f"{weather.url}/mcp/nobody", json={}).status_code == 404


def test_one_that_was_never_there_disturbs_nobody(away: Waypost) -> None:
    assert not away.call("traefik_list_routes").is_error
    until(lambda: state(away) == "down")
    assert not away.call("traefik_list_routes").is_error
    assert away.answer("gateway_status")["shards"]["weather"]["state"] == "down"
    assert told(away) == ["ShardsDeclared", "ShardLost"]


def test_one_that_was_not_there_at_the_start_is_found_by_itself(away: Waypost, elsewhere: Process) -> None:
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


def test_the_list_of_tools_stays_while_it_is_away(weather: Waypost, elsewhere: Process) -> None:
    before = [tool.name for tool in weather.tools().tools]
    elsewhere.kill()
    until(lambda: state(weather) == "down")
    assert [tool.name for tool in weather.tools().tools] == before


def test_the_list_of_tools_stays_over_a_restart_of_the_gateway(
    weather: Waypost, elsewhere: Process, make_waypost: MakeWaypost
) -> None:
    before = [tool.name for tool in weather.tools().tools]
    elsewhere.kill()
    again = make_waypost(discovery=Listed((elsewhere.declared(),)))
    until(lambda: state(again))
    assert [tool.name for tool in again.tools().tools] == before
    assert again.refusal("weather_forecast", city="Kiel")["code"].startswith("shard-")


def test_one_that_stands_still_is_slow_and_then_down_and_nobody_else_waits(
    make_waypost: MakeWaypost, elsewhere: Process
) -> None:
    waypost = make_waypost(discovery=Listed((elsewhere.start().declared(seconds=0.5),)))
    until(lambda: state(waypost) == "up")
    elsewhere.stop(True)
    assert waypost.refusal("weather_forecast", city="Kiel")["code"] in ("shard-slow", "shard-down")
    assert not waypost.call("traefik_list_routes").is_error
    elsewhere.stop(False)
    until(lambda: state(waypost) == "up" and not waypost.call("weather_forecast", city="Kiel").is_error)


def test_its_refusal_reaches_the_model_as_it_is(weather: Waypost) -> None:
    assert weather.refusal("weather_refuse")["code"] == "no-such-city"
    [row] = [row for row in weather.outbox() if isinstance(row.event, ToolCalled)]
    assert isinstance(row.event, ToolCalled) and row.event.outcome == "tool-failed"


def test_too_much_text_is_refused_and_tricks_in_it_are_taken_out(weather: Waypost) -> None:
    assert weather.refusal("weather_flood", characters=2_000_000)["code"] == "too-large"
    assert weather.answer("weather_trick")["words"] == "all is wellreversedend"


def test_a_wrong_token_is_told_and_nothing_is_sent_elsewhere(make_waypost: MakeWaypost, elsewhere: Process) -> None:
    waypost = make_waypost(discovery=Listed((elsewhere.start().declared(token=None),)))
    until(lambda: state(waypost) == "down")
    assert waypost.answer("gateway_status")["shards"]["weather"]["reason"]


def test_a_token_of_a_client_never_travels_on(weather: Waypost) -> None:
    token = weather.token("claude")
    assert not weather.call("weather_forecast", token=token, city="Kiel").is_error  # the shard knows only its own
