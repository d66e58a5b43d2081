"""Who hangs up gains nothing by it: what was begun goes on, is counted, and stands in the audit."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from shards import gateway
from shards.config import GatewaySettings
from shards.kit import Call, Made, Shard, Traits, tool
from shards.limits import Bounds
from state.events import ToolCalled
from tests.conftest import wait_until
from tests.shards.serving import ERAS, NOBODY, DesiredRepo, Waypost, served

NARROW = Bounds(at_once=1, proposals_a_day=1)


class Slow(Shard):
    """It makes a proposal, which lasts until it is told to end."""

    name = "slow"
    title = "Slow"
    prefix = "slow_"

    def __init__(self) -> None:
        self.begun, self.ends = threading.Event(), threading.Event()

    @tool(Traits(title="Make", writes=True))
    def make(self, call: Call) -> Made:
        """Make a proposal, slowly and for a client that is gone by then."""
        self.begun.set()
        self.ends.wait(30)
        return Made(proposal="late")

    @tool(Traits(title="Read", seconds=0.5))
    def read(self, call: Call) -> Made:
        """Read, and never come to an end of it."""
        self.begun.set()
        self.ends.wait(30)
        return Made(proposal="")


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    yield made
    made.ends.set()


@pytest.fixture
def waypost(slow: Slow, tmp_path: Path) -> Iterator[Waypost]:
    desired = DesiredRepo(tmp_path / "desired.git")
    settings = GatewaySettings(directory=tmp_path / "gateway", source=desired.path, reconciler_url=NOBODY)
    with served(gateway.build(replace(settings, bounds=NARROW), more=[slow])) as url:
        yield Waypost(url, settings, desired)


def hang_up_on(waypost: Waypost, slow: Slow, era: str, tool: str = "slow_make") -> None:
    """Call, and be gone before there is an answer."""

    async def call() -> None:
        async with waypost._client("/mcp", era) as client, anyio.create_task_group() as calling:
            calling.start_soon(client.call_tool, tool, {})
            assert await anyio.to_thread.run_sync(slow.begun.wait, 30)
            calling.cancel_scope.cancel()

    anyio.run(call)


def calls(waypost: Waypost) -> list[tuple[str, str]]:
    noted = (row.event for row in waypost.outbox())
    return [(one.tool, one.outcome) for one in noted if isinstance(one, ToolCalled)]


@pytest.mark.parametrize("era", ERAS)
def test_a_call_runs_until_it_ends_and_a_proposal_counts_whoever_is_gone_by_then(
    waypost: Waypost, slow: Slow, era: str
) -> None:
    hang_up_on(waypost, slow, era)
    assert [waypost.refusal("gateway_status")["code"] for _ in range(10)] == ["too-many-at-once"] * 10
    slow.ends.set()
    deadline = time.monotonic() + 30
    while ("slow_make", "ok") not in calls(waypost) or waypost.call("gateway_status").is_error:
        assert time.monotonic() < deadline
    assert waypost.refusal("slow_make")["code"] == "quota"
    assert [outcome for tool, outcome in calls(waypost) if tool == "slow_make"] == ["ok", "quota"]


@pytest.mark.parametrize("era", ERAS)
def test_what_is_read_without_end_is_recorded_as_too_slow_whoever_is_gone_by_then(
    waypost: Waypost, slow: Slow, era: str
) -> None:
    hang_up_on(waypost, slow, era, "slow_read")
    wait_until(lambda: calls(waypost), "the audit of a call that goes on", 30)
    assert calls(waypost) == [("slow_read", "too-slow")]
