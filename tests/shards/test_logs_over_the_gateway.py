"""Logs and containers as a client of the gateway gets them: tools that only read, audited like all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.setting import Secret
from shards import config
from shards.log_sources import LogsAt
from tests.dozzle.containers_told import Box, House, house
from tests.shards.contracts import DOCS, OfTheGateway, desk_over
from tests.shards.serving import NOBODY, DesiredRepo, Waypost


@pytest.fixture(scope="module")
def served() -> Iterator[House]:
    with house() as one:
        one.containers.open = True
        one.containers.boxes = [Box("gitea")]
        one.containers.boxes[0].write("it works")
        yield one
        assert one.containers.faults == []


class TestDozzle(OfTheGateway):
    name = "dozzle"
    calls = {
        "list_containers": {},
        "tail_logs": {"container": "gitea"},
        "search_logs": {"container": "gitea", "text": "works"},
        "get_container_stats": {"container": "gitea"},
        "get_dozzle_docs": DOCS,
    }

    @pytest.fixture(autouse=True)
    def _served(self, served: House, desired: DesiredRepo, tmp_path: Path) -> Iterator[None]:
        self.desired, self.known = desired, {"logs": LogsAt(docker_url=served.docker)}
        with desk_over(desired, tmp_path / "gateway", NOBODY) as self.desk:
            yield


def test_a_client_reads_the_newest_lines_through_the_gateway(
    make_waypost: Callable[..., Waypost], served: House
) -> None:
    waypost = make_waypost(logs=LogsAt(dozzle_url=served.dozzle, docker_url=served.docker))
    told = waypost.answer("dozzle_tail_logs", container="gitea", lines=1)
    assert "it works" in told["text"] and told["source"]["name"] == "Dozzle 10.7.3 (MCP)"
    listed = {tool.name: tool for tool in waypost.tools(path="/mcp/dozzle").tools}
    assert set(listed) == {
        "dozzle_list_containers", "dozzle_tail_logs", "dozzle_search_logs", "dozzle_get_container_stats",
        "dozzle_get_dozzle_docs",
    }  # fmt: skip
    assert all(one.annotations and one.annotations.read_only_hint for one in listed.values())
    assert waypost.outbox()[-1].event.tool == "dozzle_tail_logs"


def test_a_password_that_was_rotated_counts_with_the_next_question(
    make_waypost: Callable[..., Waypost], served: House, tmp_path: Path
) -> None:
    login, dozzle = tmp_path / "login", served.containers
    login.write_text("waypost:right")
    waypost = make_waypost(logs=LogsAt(dozzle_url=served.dozzle, dozzle_auth=Secret(f"file:{login}")))
    dozzle.open = False
    try:
        assert "it works" in waypost.answer("dozzle_tail_logs", container="gitea")["text"]
        login.write_text("waypost:another")
        dozzle.password = "another"
        dozzle.tokens.clear()  # a Dozzle that knows a user by another password knows no token of before
        told = waypost.answer("dozzle_tail_logs", container="gitea")
    finally:
        dozzle.open = True
    assert "it works" in told["text"] and told["source"]["name"] == "Dozzle 10.7.3 (MCP)"


def test_the_gateway_learns_from_its_settings_whom_to_ask(tmp_path: Path) -> None:
    told = {
        "WAYPOST_DOZZLE_URL": "http://dozzle:8080", "WAYPOST_DOZZLE_AUTH": "file:/run/secrets/dozzle-login",
        "WAYPOST_DOCKER_URL": "http://docker:2375",
    }  # fmt: skip
    logs = config.read(tmp_path, told).logs
    assert (logs.dozzle_url, logs.docker_url) == ("http://dozzle:8080", "http://docker:2375")
    assert logs.dozzle_auth and logs.dozzle_auth.is_file
    assert not config.read(tmp_path, {}).logs


def test_where_no_source_is_configured_there_are_no_such_tools(waypost: Waypost) -> None:
    assert not [tool.name for tool in waypost.tools().tools if tool.name.startswith("dozzle_")]
