"""Whoever asks for too much hears it in a body that clients hand on, with a code of ours and when to come back."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import jsonrpc
from pydantic import BaseModel

from shards import gateway
from shards.config import GatewaySettings
from shards.errors import Code
from shards.kit import Call, Shard, Traits, tool
from shards.limits import Bounds
from tests import plain_http
from tests.shards.serving import ERAS, NOBODY, ROUTE, DesiredRepo, Waypost, served

NARROW = Bounds(reads_rate=0.01, reads_burst=4, writes_rate=10.0, writes_burst=20, at_once=1, proposals_a_day=1)


class Said(BaseModel):
    text: str


class Door(Shard):
    """It waits until it is told to go on, and says very much."""

    name = "door"
    title = "Door"
    prefix = "door_"

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    @tool(Traits(title="Wait"))
    def wait(self, call: Call) -> Said:
        """Wait until somebody opens."""
        self.entered.set()
        self.opened.wait(30)
        return Said(text="open")

    @tool(Traits(title="Shout"))
    def shout(self, call: Call) -> Said:
        """Say more than anybody wants to hear."""
        return Said(text="x" * 2_000_000)


@pytest.fixture(scope="module")
def door() -> Door:
    return Door()


@pytest.fixture(scope="module")
def waypost(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waypost]:
    directory = tmp_path_factory.mktemp("narrow")
    desired = DesiredRepo(directory / "desired.git")
    settings = GatewaySettings(directory=directory / "gateway", source=desired.path, reconciler_url=NOBODY)
    settings = replace(settings, bounds=NARROW)
    with served(gateway.build(settings, more=[door])) as url:
        yield Waypost(url, settings, desired)


def test_too_fast(waypost: Waypost) -> None:
    for _ in range(4):
        waypost.answer("traefik_list_routes")
    refusal = waypost.refusal("traefik_list_routes")
    assert refusal["code"] == "too-fast" and refusal["retry"] and 90 < refusal["retry_after_seconds"] <= 100


def test_too_many_at_once(waypost: Waypost, door: Door) -> None:
    first = threading.Thread(target=waypost.call, args=("door_wait",))
    first.start()
    assert door.entered.wait(30)
    refusal = waypost.refusal("gateway_status")
    door.opened.set()
    first.join()
    assert refusal["code"] == "too-many-at-once" and refusal["retry"] and refusal["retry_after_seconds"] == 1
    waypost.answer("gateway_status")


def test_the_proposals_of_a_day(waypost: Waypost) -> None:
    waypost.answer("traefik_create_route", **ROUTE)
    refusal = waypost.refusal("traefik_create_route", **{**ROUTE, "name": "another"})
    assert refusal["code"] == "quota" and refusal["retry"] and 0 < refusal["retry_after_seconds"] <= 86_400


def test_the_status_tells_each_client_what_it_has_left(make_waypost: Callable[..., Waypost]) -> None:
    waypost = make_waypost()
    ada, bob = (waypost.token(name) for name in ("ada", "bob"))
    waypost.answer("traefik_create_route", token=ada, **ROUTE)
    left = [waypost.answer("gateway_status", token=token)["quotas"] for token in (ada, bob)]
    a_day = waypost.settings.bounds.proposals_a_day
    assert [one["proposals_left"] for one in left] == [a_day - 1, a_day]
    assert {one["proposals_a_day"] for one in left} == {a_day}


def test_an_answer_that_is_too_long(waypost: Waypost) -> None:
    refusal = waypost.refusal("door_shout")
    assert refusal["code"] == "too-large" and not refusal["retry"]


@pytest.mark.parametrize("era", ERAS)
def test_a_request_that_is_too_large_is_told_so_through_the_client(waypost: Waypost, era: str) -> None:
    with pytest.raises(MCPError, match="larger than 4 MiB") as caught:
        waypost.call("traefik_list_routes", era, padding="x" * (5 << 20))
    assert caught.value.code == Code.TOO_LARGE


def test_so_is_one_that_does_not_say_how_large_it_is(waypost: Waypost) -> None:
    pieces = (b'"' + b"x" * (1 << 20) for _ in range(6))
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    answer = plain_http.post(f"{waypost.url}/mcp", content=pieces, headers=headers)
    assert answer.status_code == 413 and json.loads(answer.content)["error"]["code"] == Code.TOO_LARGE


OF_THE_PROTOCOL = {*range(-32768, -32099), *range(-32099, -32019), -32002}
"""Kept by JSON-RPC, kept by the revision of 2026-07-28 for itself, and retired by it for good."""

OF_THE_SDK = {value for value in vars(jsonrpc).values() if isinstance(value, int)}
NUMBER = re.compile(r"-3[23]\d{3}\b")


def test_codes_of_ours_are_none_that_the_protocol_or_the_sdk_uses_and_stand_in_one_place() -> None:
    assert {-32700, -32020, -32042, -32001, -32000} <= OF_THE_SDK, "it has its codes elsewhere now"
    assert all(-32019 <= code <= -32000 for code in Code) and not set(Code) & (OF_THE_PROTOCOL | OF_THE_SDK)
    shards = Path(gateway.__file__).parent
    naming = [path.name for path in shards.rglob("*.py") if NUMBER.search(path.read_text())]
    assert naming == ["errors.py"]
