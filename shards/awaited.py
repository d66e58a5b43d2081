"""Tools that a person declared and their shard has not offered: they are known, and say at once what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import mcp_types as protocol

from shards.audit import Audit
from shards.declared import Declared
from shards.health import State
from shards.kit import Call, Refused
from shards.offers import Progress
from shards.outcome import Outcome
from state.sparing import dataclass


@dataclass(frozen=True)
class Awaited:
    """One of them. It is called, though never listed: nobody knows its schema. `reason` is the shard's last failure."""

    declared: Declared
    name: str
    state: State
    reason: str

    writes: ClassVar[bool] = False
    since: ClassVar[int] = 0  # whoever declared it let it in

    @property
    def shard(self) -> str:
        return self.declared.name

    @property
    def listing(self) -> protocol.Tool:
        return protocol.Tool(name=self.declared.public_prefix + self.name, input_schema={"type": "object"})

    async def carry_out(
        self, audit: Audit, call: Call, arguments: Mapping[str, Any], progress: Progress | None
    ) -> Outcome:
        outcome = Outcome(refusal=self._refusal())
        await audit.noted(call, self.shard, arguments, outcome)
        return outcome

    def _refusal(self) -> Refused:
        if self.state == "up":
            return Refused(
                "tool-missing",
                f"The shard {self.shard} is up and does not offer {self.name}, which it was declared to; a person has "
                "to see to that.",
            )
        return Refused(
            "shard-down",
            f"The shard {self.shard} has never answered: {self.reason or 'it is being looked for'}. Other shards work.",
            retry=True,
            after=self.declared.patience.every,
        )


def of(declared: Declared, name: str, state: State, reason: str) -> Awaited | None:
    """What a name means that a shard does not offer; None where nobody declared it."""
    tool = name.removeprefix(declared.public_prefix)
    known = name.startswith(declared.public_prefix) and tool in declared.tools
    return Awaited(declared, tool, state, reason) if known else None
