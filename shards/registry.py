"""Which shards there are, how each of them is, and which tools that makes: one list for every front."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

import mcp_types as protocol

from reconciler.ports import Clock
from reconciler.setting import ConfigError
from shards import awaited, offers
from shards.declared import Declared, Discovery, Listed
from shards.health import State
from shards.kit import Shard
from shards.offers import Offer
from state.sparing import dataclass

LOOKS_EVERY: Final = 2.0
"""Seconds between two looks at which shards there should be."""

Said = TypeVar("Said", bound=protocol.Result)

_logger = logging.getLogger("waypost.gateway")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one shard is. `missing`: tools that were declared for it and that it does not offer."""

    state: State
    tools: int
    where: str = "here"
    since: datetime | None = None
    reason: str = ""
    breaker: str = "closed"
    missing: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        said = {**vars(self), "since": self.since.isoformat(timespec="seconds") if self.since else None}
        return {name: value for name, value in said.items() if value not in (None, "", ())}


class Remote(Protocol):
    """A shard elsewhere, as the registry needs it."""

    @property
    def shard(self) -> Declared: ...

    def offers(self) -> Mapping[str, Offer]: ...

    def standing(self) -> Standing: ...

    async def ask(self, request: protocol.ClientRequest, expected: type[Said]) -> Said: ...

    async def listed(self, request: protocol.ClientRequest, expected: type[Said]) -> Said: ...

    async def keep(self) -> None: ...


@dataclass
class Registry:
    """All shards: those of this process, always there, and those elsewhere, each kept by a task of its own."""

    residents: Sequence[Shard]
    clock: Clock
    discovery: Discovery = field(default_factory=Listed)
    connect: Callable[[Declared], Remote] | None = None
    tell: Callable[[tuple[str, ...]], None] = lambda names: None
    """Hears which shards run elsewhere when these are others than before; quick."""
    before: tuple[str, ...] = ()
    """Those that ran elsewhere when the gateway ended."""
    trouble: str = field(default="", init=False)
    """Why it cannot be told which shards there should be, "" where it can."""
    _local: dict[str, Mapping[str, Offer]] = field(init=False)
    _remote: dict[str, tuple[Remote, asyncio.Task[None]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._local = {shard.name: offers.of(shard, self.clock) for shard in self.residents}
        offers.together(self._local.values())

    # ── what there is ────────────────────────────────────────────────────────────────────────────

    def knows(self, shard: str) -> bool:
        return shard in self._local or shard in self._remote

    def offers(self, shard: str = "") -> Mapping[str, Offer]:
        """The tools of one shard, or of all, by the names that clients call; what is ours wins."""
        if shard:
            return self._local.get(shard) or (self._remote[shard][0].offers() if shard in self._remote else {})
        found: dict[str, Offer] = {}
        for of_one in (*(remote.offers() for remote, _ in self._remote.values()), *self._local.values()):
            found |= of_one
        return found

    def remotes(self, shard: str = "") -> list[Remote]:
        """Those elsewhere, or the one of that name, sorted."""
        return [remote for name, (remote, _) in sorted(self._remote.items()) if shard in ("", name)]

    def offer(self, name: str, shard: str = "") -> Offer | None:
        """What is meant by a name in a call. A tool that was declared is known, also before its shard told of it."""
        return self.offered(name, shard) or next(self._awaited(name, shard), None)

    def offered(self, name: str, shard: str = "") -> Offer | None:
        """The same as in `offers`, of which none is put together: it is asked twice with every call."""
        if shard:
            return self.offers(shard).get(name)
        elsewhere = (remote.offers() for remote, _ in reversed(self._remote.values()))
        return next((of_one[name] for of_one in (*self._local.values(), *elsewhere) if name in of_one), None)

    def _awaited(self, name: str, shard: str) -> Iterator[Offer]:
        for of_name, (remote, _) in self._remote.items():
            standing = remote.standing()
            if shard in ("", of_name) and (found := awaited.of(remote.shard, name, standing.state, standing.reason)):
                yield found

    def standings(self) -> dict[str, Standing]:
        local = {name: Standing(state="up", tools=len(of_one)) for name, of_one in self._local.items()}
        return local | {name: remote.standing() for name, (remote, _) in self._remote.items()}

    # ── keeping it so ────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Keep a link to every declared shard until cancelled; what is declared is looked at again and again."""
        try:
            while True:
                self._follow(await self._declared())
                await asyncio.sleep(LOOKS_EVERY)
        finally:
            await self._end(list(self._remote))

    async def _declared(self) -> Mapping[str, Declared]:
        """What should be; while that cannot be read, what was."""
        try:
            declared, trouble = await offers.in_thread(self.discovery.declared), ""
        except ConfigError as fault:
            declared, trouble = {name: remote.shard for name, (remote, _) in self._remote.items()}, str(fault)
        if trouble and trouble != self.trouble:
            _logger.error("the list of shards cannot be used, so what was known stays: %s", trouble)
        self.trouble = trouble
        return declared

    def _follow(self, declared: Mapping[str, Declared]) -> None:
        if self.connect is None:
            return
        for name, (remote, task) in list(self._remote.items()):
            if declared.get(name) != remote.shard or task.done():
                task.cancel()
                del self._remote[name]
        for name in declared.keys() - self._remote.keys() - self._local.keys():
            remote = self.connect(declared[name])
            self._remote[name] = (remote, asyncio.create_task(remote.keep(), name=f"shard {name}"))
        if (names := tuple(sorted(self._remote))) != self.before:
            self.tell(names)
            self.before = names

    async def _end(self, names: Sequence[str]) -> None:
        tasks = [self._remote.pop(name)[1] for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
