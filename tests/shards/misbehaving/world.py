"""A gateway's registry over shards that misbehave, on a clock that leaps: one seed, one schedule, always the same.

`python -m tests.shards.misbehaving.world SEED…` plays schedules again.
"""

from __future__ import annotations

import asyncio
import selectors
import ssl
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, cast
from unittest import mock

import anyio
import mcp_types as protocol
from pydantic import BaseModel

from shards import untrusted
from shards.audit import Audit
from shards.declared import Listed
from shards.health import Turned
from shards.kit import Call, Shard, Traits, tool
from shards.limits import Bounds, Limits
from shards.outcome import LARGEST, Outcome
from shards.registry import Registry
from shards.wire.remote import Link, Surroundings
from state.events import ToolCalled
from state.outbox import Outbox
from state.record import Entry
from tests.shards.misbehaving.peers import AT_ONCE, MOODS, SECONDS, Peer, Spell

TROUBLE: Final = 40.0
"""Seconds, on the clock that leaps, in which shards misbehave."""

PEACE: Final = 25.0
"""Seconds after that in which all has to be well again."""

CALLS: Final = 24

_HIDDEN: Final = frozenset("\x1b\u202e\u200b")
_BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Leaping(selectors.SelectSelector):
    """Where nothing is ready, time goes on to when something will be."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            raise AssertionError("everybody waits, and nothing will ever happen")
        if not found and timeout:
            self.now += timeout
        return found


class LeapingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leaping = Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now


class LoopClock:
    """The clock of the loop that runs."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return _BEGAN + timedelta(seconds=self.monotonic())

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps on the loop")


class Sum(BaseModel):
    total: int


class Steady(Shard):
    """A shard in the gateway's own process, which nothing may disturb."""

    name = "steady"
    title = "Steady"
    prefix = "steady_"

    @tool(Traits(title="Add"))
    def add(self, call: Call, one: int) -> Sum:
        """Add one to a number."""
        return Sum(total=one + 1)


@dataclass
class Kept:
    """An outbox in memory."""

    entries: list[Entry] = field(default_factory=list)

    def put_all(self, entries: Sequence[Entry]) -> list[str]:
        self.entries += entries
        return [entry.key for entry in entries]


@dataclass
class NoShelf:
    tools: list[protocol.Tool] = field(default_factory=list)

    def get(self) -> list[protocol.Tool]:
        return self.tools

    def put(self, tools: list[protocol.Tool]) -> None:
        self.tools = tools


@dataclass(frozen=True)
class Asked:
    """One call and what came of it; `given_up`: its client hung up before it was answered."""

    call: Call
    shard: str
    began: float
    ended: float
    outcome: Outcome | None
    given_up: bool


@dataclass
class World:
    """One schedule."""

    seed: int
    asked: list[Asked] = field(default_factory=list)
    turns: list[tuple[str, str]] = field(default_factory=list)
    told: list[tuple[str, ...]] = field(default_factory=list)
    kept: Kept = field(default_factory=Kept)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.peers = {
            "good": Peer("good", Random(self.seed)),
            **{name: Peer(name, Random(f"{self.seed} {name}"), _spells(self.random)) for name in ("bad", "worse")},
        }
        self.clock = LoopClock()
        self.audit = Audit(cast(Outbox, self.kept), do=lambda work: work())
        self.limits = Limits(self.clock, Bounds(at_once=1_000, reads_burst=10_000))

    def play(self) -> World:
        with asyncio.Runner(loop_factory=LeapingLoop) as runner, threads_at_once():
            runner.run(self._play())
        return self

    async def _play(self) -> None:
        around = Surroundings(
            clock=self.clock,
            chance=self.random.randbytes,
            tls=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            dial=lambda shard, _: self.peers[shard.name].met(),
            post=lambda *_: None,
            tell=self._turned,
        )
        self.registry = Registry(
            (Steady(),),
            self.clock,
            Listed(tuple(peer.declared for peer in self.peers.values())),
            connect=lambda shard: Link(shard, NoShelf(), around),
            tell=self.told.append,
        )
        keeping = asyncio.create_task(self.registry.run())
        await asyncio.sleep(1.0)  # they are found
        await asyncio.gather(*(self._caller(number) for number in range(CALLS)))
        await asyncio.sleep(TROUBLE + PEACE - self.clock.monotonic())
        await self._require_peace()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        self._require_nothing_left()
        self._require_all_audited()
        self._require_turns()

    def _turned(self, shard: str, turned: Turned) -> None:
        self.turns.append((shard, turned.state))

    async def _caller(self, number: int) -> None:
        """One call, at some time, of some tool that is listed; some clients hang up."""
        await asyncio.sleep(self.random.uniform(0, TROUBLE))
        if number % 4 == 0:
            self._require_lists()
        name = self.random.choice(["steady_add", "good_ask", "bad_ask", "bad_ask", "worse_ask", "worse_look"])
        patience = self.random.uniform(0, SECONDS) if self.random.random() < 0.15 else None
        asked = await self._ask(number, name, patience)
        self.asked.append(asked)
        self._require_answered(asked)

    async def _ask(self, number: int, name: str, patience: float | None) -> Asked:
        offer = self.registry.offer(name)
        assert offer is not None, f"{name} is known, and was called unknown"
        call = Call(request_id=f"{self.seed}-{number}", client="a model", tool=name)
        began, outcome = self.clock.monotonic(), None
        with anyio.move_on_after(patience) as scope, self.limits.counted("", name, writes=False):
            arguments = {"one": 1} if name == "steady_add" else {}
            outcome = await offer.carry_out(self.audit, call, arguments, self._hear)
        ended = self.clock.monotonic()
        return Asked(call, offer.shard, began, ended, outcome, scope.cancelled_caught)

    async def _hear(self, done: float, total: float | None, words: str | None) -> None:
        assert words is None or (len(words) <= 500 and words == untrusted.clean(words))

    # ── what always holds ────────────────────────────────────────────────────────────────────────

    def _require_lists(self) -> None:
        """Only declared tools are listed, as ones that read; those of shards that keep their list stay."""
        offers = self.registry.offers()
        assert set(offers) <= {"steady_add", *(f"{name}_{tool}" for name in self.peers for tool in ("ask", "look"))}
        for name, peer in self.peers.items():
            if not peer.moods_met & {"changes its list", "lies in lists"} and self.registry.standings()[name].tools:
                assert {f"{name}_ask", f"{name}_look"} <= offers.keys()
        for offer in offers.values():
            listed = offer.listing
            assert listed.annotations and listed.annotations.read_only_hint and listed.input_schema["type"] == "object"
            assert listed.description and not _HIDDEN & set(listed.description) and len(listed.description) <= 4_000

    def _require_answered(self, asked: Asked) -> None:
        """In time, bounded, cleaned; and those who are well answer as if nobody else were there."""
        assert asked.given_up or asked.outcome is not None
        assert asked.ended - asked.began <= SECONDS + 0.01, f"{asked} took {asked.ended - asked.began} s"
        if asked.outcome is None:
            return
        code = asked.outcome.code
        assert code != "internal" and "unknown" not in code, code
        if asked.shard in ("steady", "good"):
            assert code == "ok", asked
        if isinstance(asked.outcome.answer, protocol.CallToolResult):
            text = asked.outcome.answer.model_dump_json()
            assert len(text) <= 2 * LARGEST and "\\u001b" not in text and "\u202e" not in text

    async def _require_peace(self) -> None:
        """All is well again: every shard is up, one call closes its breaker, its room is free, its tools are there."""
        self.asked += [await self._ask(20_000, f"{name}_ask", None) for name in self.peers]
        for name, standing in self.registry.standings().items():
            assert (standing.state, standing.breaker, standing.reason) == ("up", "closed", ""), (name, standing)
            assert not standing.missing
        for name in self.peers:
            began = self.clock.monotonic()
            asked = await asyncio.gather(*(self._ask(10_000 + n, f"{name}_ask", None) for n in range(AT_ONCE)))
            assert [one.outcome.code for one in asked if one.outcome] == ["ok"] * AT_ONCE
            assert self.clock.monotonic() - began < 3 * self.peers[name].takes, "some room was never given back"
            self.asked += asked

    def _require_nothing_left(self) -> None:
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, left
        for peer in self.peers.values():
            assert peer.connections == 0 and peer.running == 0 and peer.most_running <= AT_ONCE, peer
        assert self.limits.left_today("") and not +self.limits._running

    def _require_all_audited(self) -> None:
        """Every call stands in the audit once, as what its client heard; of one given up, with what is known."""
        events = {entry.request_id + entry.event.tool: entry.event for entry in self._calls()}
        assert len(events) == len(self._calls()), "a call was audited twice"
        for asked in self.asked:
            noted = events.pop(asked.call.request_id + asked.call.tool, None)
            if asked.outcome is not None:
                assert noted is not None and noted.outcome == asked.outcome.code, (asked, noted)
        assert not events, "what was never called is audited"

    def _calls(self) -> list[Any]:
        return [entry for entry in self.kept.entries if isinstance(entry.event, ToolCalled)]

    def _require_turns(self) -> None:
        """Up and down take turns: no transition is told twice, none is left out."""
        assert self.told[0] == tuple(sorted(self.peers)) and len(self.told) == 1
        for name in self.peers:
            states = [state for shard, state in self.turns if shard == name]
            assert states and states[-1] == "up", states
            assert all(one != other for one, other in zip(states, states[1:], strict=False)), states
        assert [state for shard, state in self.turns if shard == "good"] == ["up"]


def _spells(random: Random) -> tuple[Spell, ...]:
    edges = sorted(random.uniform(2, TROUBLE) for _ in range(2 * random.randint(1, 4)))
    return tuple(
        Spell(begins, ends, random.choice(MOODS)) for begins, ends in zip(edges[::2], edges[1::2], strict=True)
    )


@contextmanager
def threads_at_once() -> Iterator[None]:
    """Work for threads is done on the spot: how long a real thread takes would make every run another one."""

    async def run_sync(work: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return work(*arguments)

    with mock.patch("anyio.to_thread.run_sync", run_sync):
        yield


def play(seeds: Sequence[int]) -> Counter[str]:
    """Play these schedules; which moods were met how often. The first that fails says how to play it again."""
    met: Counter[str] = Counter()
    for seed in seeds:
        try:
            world = World(seed).play()
        except BaseException as error:
            error.add_note(f"again: python -m tests.shards.misbehaving.world {seed}")
            raise
        met.update(mood for peer in world.peers.values() for mood in peer.moods_met)
    return met


if __name__ == "__main__":
    for mood, times in sorted(play([int(seed) for seed in sys.argv[1:]]).items()):
        print(f"{times:6} {mood}")  # noqa: T201
