"""The view of shards that run elsewhere: which of them does not answer, since when and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from state.events import ShardFound, ShardLost, ShardsDeclared
from state.record import Occasion
from state.view import View, on


@dataclass(frozen=True, slots=True)
class Missing:
    """A shard that does not answer."""

    since: datetime
    reason: str


@dataclass
class Shards(View):
    """`lost`: name -> what is known, of every shard that does not answer."""

    lost: dict[str, Missing] = field(default_factory=dict)

    @on(ShardsDeclared)
    def _declare(self, event: ShardsDeclared, at: Occasion) -> None:
        self.lost = {name: missing for name, missing in self.lost.items() if name in event.shards}

    @on(ShardLost)
    def _lose(self, event: ShardLost, at: Occasion) -> None:
        self.lost[event.shard] = Missing(at.at, event.reason)

    @on(ShardFound)
    def _find(self, event: ShardFound, at: Occasion) -> None:
        self.lost.pop(event.shard, None)
