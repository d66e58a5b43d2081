"""Room for calls of one shard: given back by every call, whether it ran, took too long, or never began."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from pydantic import BaseModel

from reconciler.ports import SystemClock
from shards import gateway, offers
from shards.audit import Audit
from shards.config import GatewaySettings
from shards.kit import Call, Shard, Traits, tool
from shards.offers import AT_ONCE, Local
from state.events import ToolCalled
from state.outbox import Outbox
from tests.shards.serving import ERAS, NOBODY, WIDE, DesiredRepo, Waypost, now, served

CALL = Call(request_id="1", client="a test", tool="x_hang")


class Nothing(BaseModel):
    pass


class Hanging(Shard):
    name = "x"
    title = "X"
    prefix = "x_"

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.ran = 0

    @tool(Traits(title="Hang", seconds=0.2))
    def hang(self, call: Call) -> Nothing:
        """Wait until somebody says to go on."""
        self.ran += 1
        self.go_on.wait(30)
        return Nothing()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox.open(tmp_path / "outbox.db", now, create=True)
    yield opened
    opened.close()


def room_left(offer: Local) -> int:
    return offer.room._value


def codes(outbox: Outbox) -> list[str]:
    return [row.event.outcome for row in outbox.read() if isinstance(row.event, ToolCalled)]


def test_one_that_takes_too_long_is_answered_and_gives_its_room_back_when_it_ends(outbox: Outbox) -> None:
    shard = Hanging()
    offer = offers.of(shard, SystemClock())["x_hang"]
    assert isinstance(offer, Local)

    async def story() -> None:
        assert (await offer.carry_out(Audit(outbox), CALL, {}, None)).code == "too-slow"
        assert room_left(offer) == AT_ONCE - 1
        shard.go_on.set()
        while room_left(offer) < AT_ONCE:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(story(), 30))
    assert (shard.ran, codes(outbox)) == (1, ["too-slow"])


def test_one_that_never_began_never_begins_takes_no_room_and_is_recorded_as_given_up(outbox: Outbox) -> None:
    shard, free = Hanging(), threading.Event()
    offer = offers.of(shard, SystemClock())["x_hang"]
    assert isinstance(offer, Local)

    async def story() -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        busy = asyncio.create_task(anyio.to_thread.run_sync(free.wait, 30))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(offer.carry_out(Audit(outbox), CALL, {}, None))
        while room_left(offer) == AT_ONCE:
            await asyncio.sleep(0)
        waiting.cancel()
        while room_left(offer) < AT_ONCE:
            await asyncio.sleep(0)
        free.set()
        await asyncio.gather(busy, waiting, return_exceptions=True)

    asyncio.run(asyncio.wait_for(story(), 30))
    assert (shard.ran, codes(outbox)) == (0, ["cancelled"])


def test_one_whose_client_hung_up_is_recorded_at_its_limit_and_not_again_when_it_ends(outbox: Outbox) -> None:
    shard = Hanging()
    offer = offers.of(shard, SystemClock())["x_hang"]
    assert isinstance(offer, Local)

    async def story() -> None:
        calling = asyncio.create_task(offer.carry_out(Audit(outbox), CALL, {}, None))
        while not shard.ran:
            await asyncio.sleep(0.01)
        calling.cancel()
        await asyncio.wait({calling})
        assert (calling.cancelled(), codes(outbox)) == (True, ["too-slow"])
        shard.go_on.set()
        while room_left(offer) < AT_ONCE:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(story(), 30))
    assert (shard.ran, codes(outbox)) == (1, ["too-slow"])


class Slow(Shard):
    """One of several, all of which wait for the same word."""

    title = "Slow"

    def __init__(self, name: str, go_on: threading.Event) -> None:
        self.name, self.prefix = name, f"{name}_"
        self.go_on = go_on
        self.begun: list[str] = []

    @tool(Traits(title="Wait", seconds=60))
    def wait(self, call: Call) -> Nothing:
        """Wait until somebody says to go on."""
        self.begun.append(call.request_id)
        self.go_on.wait(60)
        return Nothing()


def test_slow_tools_of_six_shards_leave_threads_to_a_seventh_and_to_the_audit(
    desired: DesiredRepo, tmp_path: Path
) -> None:
    go_on = threading.Event()
    slow = [Slow(f"slow{number}", go_on) for number in range(6)]

    def begun() -> int:
        return sum(len(shard.begun) for shard in slow)

    async def story(waypost: Waypost) -> None:
        async with waypost._client("/mcp", ERAS[-1]) as client, anyio.create_task_group() as calling:
            for shard in slow * AT_ONCE:
                calling.start_soon(client.call_tool, f"{shard.name}_wait", {})
            while begun() < 40:  # as many threads as there are where nobody says how many there should be
                await anyio.sleep(0.01)
            with anyio.fail_after(20):
                assert not (await client.call_tool("traefik_list_routes", {})).is_error
                while begun() < len(slow) * AT_ONCE:
                    await anyio.sleep(0.01)
            calling.cancel_scope.cancel()

    settings = GatewaySettings(
        directory=tmp_path / "gateway",
        source=desired.path,
        reconciler_url=NOBODY,
        bounds=replace(WIDE, at_once=1_000),
    )
    with served(gateway.build(settings, more=slow)) as url:
        waypost = Waypost(url, settings, desired)
        try:
            anyio.run(story, waypost)
            noted = [row.event.tool for row in waypost.outbox() if isinstance(row.event, ToolCalled)]
        finally:
            go_on.set()
    assert noted == ["traefik_list_routes"]
