"""What Prometheus reads: calls, refusals and shards of the gateway, in its own text format."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import plain_http, prometheus
from tests.shards.serving import ROUTE, Waypost


def samples(waypost: Waypost) -> dict[tuple[str, frozenset[str]], float]:
    page = plain_http.get(f"{waypost.url}/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }


def test_calls_are_counted_by_tool_and_outcome_and_timed(waypost: Waypost) -> None:
    waypost.call("traefik_list_routes")
    waypost.call("traefik_list_routes")
    waypost.refusal("traefik_create_route", **{**ROUTE, "name": "../etc"})
    found = samples(waypost)
    assert found["waypost_tool_calls_total", frozenset({"traefik", "traefik_list_routes", "ok"})] == 2
    assert found["waypost_tool_calls_total", frozenset({"traefik", "traefik_create_route", "bad-arguments"})] == 1
    assert found["waypost_tool_call_duration_seconds_count", frozenset({"traefik", "traefik_list_routes"})] == 2
    assert found["waypost_tool_call_duration_seconds_sum", frozenset({"traefik", "traefik_list_routes"})] > 0
    assert found["waypost_tool_calls_running", frozenset({"traefik", "traefik_list_routes"})] == 0


def test_every_shard_is_there_before_its_first_call(waypost: Waypost) -> None:
    found = samples(waypost)
    assert found["waypost_shard_up", frozenset({"traefik"})] == 1
    assert found["waypost_shard_tools", frozenset({"traefik"})] > 5
    assert found["waypost_shard_breaker_open", frozenset({"traefik"})] == 0


def test_names_that_are_no_tools_make_no_series(waypost: Waypost) -> None:
    before = len(samples(waypost))
    for number in range(5):
        try:
            waypost.call(f"nothing_{number}")
        except Exception as error:  # the client raises what the protocol says
            assert "no tool" in str(error)
    assert len([key for key in samples(waypost) if "nothing" in str(key)]) == 0
    assert len(samples(waypost)) <= before + 1


@pytest.fixture(scope="module")
def page(refusing: Waypost) -> str:
    """The page of a gateway that was called, well and badly."""
    refusing.call("traefik_list_routes")
    refusing.refusal("traefik_create_route", **{**ROUTE, "name": "../etc"})
    return plain_http.get(f"{refusing.url}/metrics").text


def test_the_page_is_as_prometheus_asks_for_it(page: str) -> None:
    assert prometheus.faults(page) == []


def test_promtool_has_nothing_to_say_about_it(page: str) -> None:
    assert prometheus.checked(page) == ""
