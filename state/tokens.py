"""The view of tokens that come to an end by themselves: whose they are, and whether a person was warned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from state.events import TokenEndsSoon, TokenMade, TokenRevoked
from state.record import Occasion
from state.view import View, on


@dataclass(frozen=True, slots=True)
class Lasting:
    """A token, from when to when; `warned`: it was said that it ends."""

    name: str
    made: datetime
    expires: datetime
    warned: bool = False


@dataclass
class Tokens(View):
    """`lasting`: id -> what is known of every token that ends one day, and that nobody revoked or replaced."""

    lasting: dict[str, Lasting] = field(default_factory=dict)

    @on(TokenMade)
    def _make(self, event: TokenMade, at: Occasion) -> None:
        for replaced in event.replaces:
            self.lasting.pop(replaced, None)
        if expires := _moment(event.expires):
            self.lasting[event.token] = Lasting(event.name, at.at, expires)

    @on(TokenRevoked)
    def _revoke(self, event: TokenRevoked, at: Occasion) -> None:
        self.lasting.pop(event.token, None)

    @on(TokenEndsSoon)
    def _warn(self, event: TokenEndsSoon, at: Occasion) -> None:
        if known := self.lasting.get(event.token):
            self.lasting[event.token] = replace(known, warned=True)


def _moment(text: str) -> datetime | None:
    """None for "", and for what is no moment: an event is what somebody said once, and must be foldable for ever."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC)
