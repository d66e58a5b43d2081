"""A tool of a shard elsewhere, as the gateway offers and audits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

import mcp_types as protocol

from shards.audit import Audit
from shards.kit import Call, Refused
from shards.offers import Progress
from shards.outcome import Outcome, asked
from state.sparing import dataclass

if TYPE_CHECKING:
    from shards.wire.remote import Link


@dataclass(frozen=True)
class Elsewhere:
    """A tool of a shard elsewhere. It only reads, because a person declared it as one that does."""

    link: Link
    tool: protocol.Tool
    listing: protocol.Tool

    writes: ClassVar[bool] = False
    since: ClassVar[int] = 0  # whoever declared it let it in

    @property
    def shard(self) -> str:
        return self.link.shard.name

    async def carry_out(
        self, audit: Audit, call: Call, arguments: Mapping[str, Any], progress: Progress | None
    ) -> Outcome:
        clock = self.link.around.clock
        started, outcome = clock.monotonic(), HUNG_UP
        try:
            outcome = await self._outcome(call, arguments, progress)
        finally:  # also of a call that the client gave up: it may have been asked
            outcome = replace(outcome, seconds=clock.monotonic() - started)
            await audit.noted(call, self.shard, arguments, outcome)
        return outcome

    async def _outcome(self, call: Call, arguments: Mapping[str, Any], progress: Progress | None) -> Outcome:
        came = await asked(call, partial(self.link.call, self.tool, call, arguments, progress))
        said = came.answer
        return replace(came, failed=isinstance(said, protocol.CallToolResult) and bool(said.is_error))


HUNG_UP: Final = Outcome(refusal=Refused("cancelled", "the client gave the call up"))
