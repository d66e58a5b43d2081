"""Tools under the names by which clients call them, wherever they run; each call is audited before its answer."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

import anyio
import anyio.to_thread
import mcp_types as protocol
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from reconciler.ports import Clock
from shards import catalogue, outcome
from shards.audit import Audit
from shards.kit import Call, Refused, Shard, Tell, Tool
from shards.outcome import Outcome
from state.errors import LogError
from state.sparing import dataclass

_Answer = TypeVar("_Answer")

Progress = Callable[[float, float | None, str | None], Awaitable[None]]
"""Tells how far a call is: done, of how much, in words."""

AT_ONCE: Final = 8
"""Calls of one shard of ours that run at once: a slow shard leaves workers to the others."""


class Offer(Protocol):
    """One tool as it is offered. What `writes` and which `shard` it is of, we say, and never the shard."""

    @property
    def shard(self) -> str: ...

    @property
    def writes(self) -> bool: ...

    @property
    def since(self) -> int:
        """The generation of our own tools that it came with; 0: it is not ours."""
        ...

    @property
    def listing(self) -> protocol.Tool: ...

    async def carry_out(
        self, audit: Audit, call: Call, arguments: Mapping[str, Any], progress: Progress | None
    ) -> Outcome:
        """What comes of a call, recorded. Raises LogError where that cannot be recorded."""
        ...


@dataclass(frozen=True)
class Local:
    """A tool of a shard in this process. It runs in a worker thread, which nothing can stop."""

    tool: Tool
    listing: protocol.Tool
    room: asyncio.Semaphore
    clock: Clock
    since: int = 0

    @property
    def shard(self) -> str:
        return self.tool.shard

    @property
    def writes(self) -> bool:
        return self.tool.traits.writes

    async def carry_out(
        self, audit: Audit, call: Call, arguments: Mapping[str, Any], progress: Progress | None
    ) -> Outcome:
        """What was begun is finished, audited and counted, also when the client hangs up. Reading that takes too long
        is given up on, and goes on taking room: a hung tool hangs its own shard alone."""
        telling = replace(call, tell=_from_a_thread(progress)) if progress else call
        attempt = Attempt(audit, self.clock, self.tool, telling, arguments)
        limit = asyncio.timeout(None if self.writes else self.tool.traits.seconds)
        try:
            async with limit:
                return await self._ran(attempt, limit)
        except TimeoutError:
            return await in_thread(attempt.give_up)
        except asyncio.CancelledError:
            await recorded(attempt.give_up if limit.expired() else attempt.hang_up)
            raise

    async def _ran(self, attempt: Attempt, limit: asyncio.Timeout) -> Outcome:
        """Room is given back once the thread has ended, or will not begin."""
        await self.room.acquire()
        over, left, loop = asyncio.Event(), False, asyncio.get_running_loop()
        try:
            return await in_thread(attempt.run)
        except asyncio.CancelledError:
            if attempt.call_off():
                raise
            left = attempt.leave(functools.partial(loop.call_soon_threadsafe, self._release, over))
            if limit.expired():
                raise
            # Whoever hung up still has this call: else one that hangs up and calls again had no limits.
            if left:
                with anyio.CancelScope(shield=True):
                    await over.wait()
            return attempt.result()
        finally:
            if not left:
                self.room.release()

    def _release(self, over: asyncio.Event) -> None:
        self.room.release()
        over.set()


class Attempt:
    """One run of a tool, recorded once: as what came of it, or as given up on."""

    def __init__(self, audit: Audit, clock: Clock, tool: Tool, call: Call, arguments: Mapping[str, Any]) -> None:
        self._audit = audit
        self._clock = clock
        self._tool = tool
        self._call = call
        self._arguments = arguments
        self._recording = threading.Lock()
        self._outcome: Outcome | None = None
        self._standing = threading.Lock()  # never held for long: the loop waits for it
        self._begun = self._called_off = self._over = False
        self._left: Callable[[], object] | None = None

    def call_off(self) -> bool:
        """See to it that it never begins; whether that is so."""
        with self._standing:
            self._called_off = not self._begun
            return self._called_off

    def leave(self, tell: Callable[[], object]) -> bool:
        """Have its thread call `tell` at its end, as nobody waits for it any more. False: it has come to its end."""
        with self._standing:
            self._left = tell
            return not self._over

    def run(self) -> Outcome:
        with self._standing:
            if self._called_off:
                return _CALLED_OFF  # nobody waits for it
            self._begun = True
        try:
            came = outcome.run(self._tool, self._call, self._arguments, self._clock)
            with self._recording:
                return self._outcome or self._record(came)
        finally:
            with self._standing:
                self._over, left = True, self._left
            if left:
                with contextlib.suppress(RuntimeError):  # the loop may be gone by now
                    left()

    def result(self) -> Outcome:
        """What came of one that is over. Raises LogError where that could not be recorded."""
        with self._recording:
            if self._outcome is None:
                raise LogError("what this call came to was not recorded")
            return self._outcome

    def hang_up(self) -> None:
        """Record of one that never began that its client did not wait for it; of one that did, its thread tells."""
        if self.call_off():
            with self._recording:
                self._record(_CALLED_OFF)

    def give_up(self) -> Outcome:
        """Answer without it; or what came of it, if that is known by now."""
        seconds = self._tool.traits.seconds
        with self._recording:
            return self._outcome or self._record(
                Outcome(
                    refusal=Refused("too-slow", f"{self._call.tool} took more than {seconds:g} s.", retry=True),
                    seconds=seconds,
                )
            )

    def _record(self, came: Outcome) -> Outcome:
        self._audit.note(self._call, self._tool.shard, self._arguments, came)
        self._outcome = came
        return came


_CALLED_OFF: Final = Outcome(refusal=Refused("cancelled", "the client gave the call up before it began"))


def _from_a_thread(progress: Progress) -> Tell:
    """Nobody waits until the client has heard of it: whatever becomes of that, the call goes on."""
    loop = asyncio.get_running_loop()

    async def relay(done: float, total: float | None, words: str) -> None:
        await progress(done, total, words)

    def tell(done: float, total: float | None, words: str) -> None:
        relaying = relay(done, total, words)
        try:
            asyncio.run_coroutine_threadsafe(relaying, loop)
        except RuntimeError:  # the loop may be gone by now
            relaying.close()

    return tell


async def recorded(note: Callable[[], object]) -> None:
    """Do in a worker thread what records a call, also where its client does not wait for it any more."""
    with anyio.CancelScope(shield=True):
        await in_thread(note)


async def in_thread(work: Callable[[], _Answer]) -> _Answer:
    """Do it in a worker thread; it goes on when nobody waits for it any more."""
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


def of(shard: Shard, clock: Clock) -> dict[str, Offer]:
    """What a shard in this process offers, by the names that clients call."""
    room = asyncio.Semaphore(AT_ONCE)
    named = {shard.prefix + tool.name: tool for tool in shard.tools()}
    return {
        name: Local(tool, described(name, tool), room, clock, catalogue.since(shard.name, name))
        for name, tool in named.items()
    }


def described(name: str, tool: Tool) -> protocol.Tool:
    """A tool of ours as tools/list tells it."""
    traits = tool.traits
    return protocol.Tool(
        name=name,
        title=traits.title,
        description=tool.description,
        input_schema=_schema(tool.arguments, "validation"),
        output_schema=_schema(tool.answer, "serialization"),
        annotations=protocol.ToolAnnotations(
            title=traits.title,
            read_only_hint=not traits.writes,
            destructive_hint=traits.destructive,
            idempotent_hint=traits.idempotent or not traits.writes,
            open_world_hint=False,
        ),
    )


@functools.cache
def _schema(model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
    return model.model_json_schema(mode=mode)


def together(offers: Iterable[Mapping[str, Offer]]) -> dict[str, Offer]:
    """The offers of all shards. Raises ValueError where two offer a tool of one name."""
    found: dict[str, Offer] = {}
    for of_one in offers:
        if twice := found.keys() & of_one.keys():
            raise ValueError(f"two shards offer {', '.join(sorted(twice))}")
        found |= of_one
    return found
