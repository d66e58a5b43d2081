"""Whatever a shard elsewhere does, the others are not disturbed, every call is answered, and all is well afterwards."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import mcp_types as protocol
import pytest

from shards.audit import Audit
from shards.declared import Effort
from shards.health import OPENS_AFTER
from shards.kit import Call, Refused
from shards.wire.remote import Link, Surroundings
from state.events import ToolCalled
from state.outbox import Outbox
from tests.shards.misbehaving.peers import MOODS, Peer, Spell
from tests.shards.misbehaving.world import LeapingLoop, LoopClock, NoShelf, World, play, threads_at_once
from tests.shards.serving import now

PEER = Peer("peer", Random(1), (Spell(1, 20, "fails inside"), Spell(20, 100, "refuses calls")))
"""Its lists are well all the time."""


def test_the_gateway_stands_misbehaving_shards() -> None:
    met = play(range(80))
    assert set(MOODS) <= met.keys()


@pytest.mark.soak
@pytest.mark.parametrize("block", range(20))
def test_the_gateway_stands_misbehaving_shards_for_long(block: int) -> None:
    play(range(1_000 + block * 500, 1_500 + block * 500))


def test_a_seed_plays_the_same_schedule_again() -> None:
    once, again = World(7).play(), World(7).play()
    assert once.turns == again.turns
    assert [(one.call, one.ended) for one in once.asked] == [(one.call, one.ended) for one in again.asked]


async def _asked(link: Link, name: str = "ask") -> str:
    """The code of what became of a call."""
    [tool] = (each for each in link.tools if each.name == name)
    try:
        await link.call(tool, Call(request_id="r", client="c", tool=f"peer_{name}"), {}, None)
    except Refused as refusal:
        return refusal.code
    return "ok"


async def _failed_until_it_rests(link: Link) -> None:
    await asyncio.sleep(2)
    assert [await _asked(link) for _ in range(OPENS_AFTER)] == ["shard-unreachable"] * OPENS_AFTER


@pytest.fixture
def leaping() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        yield runner


def kept_by(
    runner: asyncio.Runner,
    course: Callable[[Link], Awaitable[None]],
    peer: Peer = PEER,
    post: Callable[..., Any] = lambda *_: None,
    **chosen: object,
) -> None:
    """What a link to a peer goes through, on a clock that leaps."""

    async def run() -> None:
        around = Surroundings(
            clock=LoopClock(), chance=Random(1).randbytes, tls=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            dial=lambda *_: peer.met(), post=post,
        )  # fmt: skip
        link = Link(replace(peer.declared, **chosen), NoShelf(), around)
        keeping = asyncio.create_task(link.keep())
        await course(link)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    with threads_at_once():
        runner.run(run())


def test_good_checks_end_no_rest_and_a_failed_trial_begins_the_next(leaping: asyncio.Runner) -> None:
    async def course(link: Link) -> None:
        await _failed_until_it_rests(link)
        await asyncio.sleep(9)  # one check, at least
        assert (link.health.state, await _asked(link)) == ("up", "shard-resting")
        await asyncio.sleep(1.5)
        assert [await _asked(link), await _asked(link)] == ["shard-unreachable", "shard-resting"]

    kept_by(leaping, course)


def test_a_refusal_is_an_answer_and_closes_a_breaker(leaping: asyncio.Runner) -> None:
    async def course(link: Link) -> None:
        await _failed_until_it_rests(link)
        await asyncio.sleep(20)
        assert [await _asked(link), await _asked(link)] == ["shard-refused", "shard-refused"]
        assert link.breaker.state == "closed"

    kept_by(leaping, course)


def test_a_question_that_is_no_call_takes_no_call_its_trial(leaping: asyncio.Runner) -> None:
    async def course(link: Link) -> None:
        await _failed_until_it_rests(link)
        with pytest.raises(Refused, match="left in peace"):
            await link.ask(protocol.ListPromptsRequest(), protocol.ListPromptsResult)
        await asyncio.sleep(20)
        with pytest.raises(Refused, match="never"):
            await link.ask(protocol.ListPromptsRequest(), protocol.ListPromptsResult)
        assert link.breaker.state == "open"
        assert await _asked(link) == "shard-refused"

    kept_by(leaping, course)


def test_a_trial_that_its_client_gives_up_is_left_to_the_next_call(leaping: asyncio.Runner) -> None:
    async def course(link: Link) -> None:
        await _failed_until_it_rests(link)
        await asyncio.sleep(20)
        given_up = asyncio.create_task(_asked(link))
        await asyncio.sleep(0.01)
        assert await _asked(link) == "shard-resting"
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        assert (await _asked(link), link.breaker.state) == ("shard-refused", "closed")

    kept_by(leaping, course)


async def _hung_up_on(link: Link, *, after: float, calls: int = 1) -> None:
    """So many calls, whose clients are gone after some seconds."""
    begun = [asyncio.create_task(_asked(link)) for _ in range(calls)]
    await asyncio.sleep(after)
    for one in begun:
        one.cancel()
    await asyncio.gather(*begun, return_exceptions=True)


def test_a_call_from_before_a_rest_ends_it_for_nobody_when_its_client_hangs_up(leaping: asyncio.Runner) -> None:
    async def course(link: Link) -> None:
        await asyncio.sleep(2.8)
        early = asyncio.create_task(_asked(link))
        await asyncio.sleep(0.3)
        assert [await _asked(link) for _ in range(OPENS_AFTER)] == ["shard-unreachable"] * OPENS_AFTER
        early.cancel()
        await asyncio.gather(early, return_exceptions=True)
        assert await _asked(link) == "shard-resting"

    kept_by(leaping, course, Peer("peer", Random(1), (Spell(1, 3, "hangs in calls"), Spell(3, 100, "fails inside"))))


def test_a_shard_that_hangs_is_left_in_peace_though_no_client_has_its_patience(leaping: asyncio.Runner) -> None:
    async def course(link: Link) -> None:
        await asyncio.sleep(4)
        await _hung_up_on(link, after=0.5, calls=OPENS_AFTER)
        assert link.breaker.state == "closed", "whoever is gone at once says nothing of the shard"
        for _ in range(OPENS_AFTER):
            await _hung_up_on(link, after=1.5)
        assert await _asked(link) == "shard-resting"
        await asyncio.sleep(11)
        await _hung_up_on(link, after=1.5)  # the trial
        assert await _asked(link) == "shard-resting"

    kept_by(leaping, course, Peer("peer", Random(1), (Spell(1, 100, "hangs in calls"),)))


class _Unforeseen:
    """A way to a shard that fails as nobody thought of."""

    async def call(self, *_: object) -> protocol.CallToolResult:
        raise KeyError("city")

    def close(self) -> None:
        pass


def test_what_nobody_foresaw_is_a_fault_and_nobody_is_said_to_have_hung_up(
    leaping: asyncio.Runner, tmp_path: Path
) -> None:
    outbox = Outbox.open(tmp_path / "outbox.db", now, create=True)

    async def course(link: Link) -> None:
        await asyncio.sleep(2)
        offer = link.offers()["peer_ask"]
        call = Call(request_id="r", client="c", tool="peer_ask")
        assert (await offer.carry_out(Audit(outbox), call, {}, None)).code == "internal"

    kept_by(leaping, course, post=lambda *_: _Unforeseen())
    assert [row.event.outcome for row in outbox.read() if isinstance(row.event, ToolCalled)] == ["internal"]
    outbox.close()


def test_a_call_is_asked_again_as_often_as_its_tool_is_worth(leaping: asyncio.Runner) -> None:
    async def course(link: Link) -> None:
        await asyncio.sleep(2)
        tries = []
        for name in ("ask", "look"):
            before = PEER.asked
            assert await _asked(link, name) == "shard-unreachable"
            tries.append(PEER.asked - before)
        assert tries == [3, 1]

    kept_by(leaping, course, retries=2, tool={"look": Effort(retries=0)})
