"""Who calls, and what they may: decided from our own records, never from what a request says about itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from reconciler import tokens
from reconciler.tokens import NEWEST_TOOLS, Role, Token
from state.sparing import dataclass

OF_ISSUER: Final = "oauth:"
"""How the names begin of those whom an issuer vouches for. No token is called so."""

TOOL: Final = "waypost:tool:"
"""How the scopes begin that open one tool more."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Somebody who was let in. `name` is "" where nobody was asked who they are; no `grants`: all of the role.

    `proposes` are the grants for what writes, where these are others. Of tools that came after generation `knows` only
    those are theirs that are named, in their grants or in `also`.
    """

    name: str
    role: Role
    grants: frozenset[str] = frozenset()
    proposes: frozenset[str] = frozenset()
    knows: int = NEWEST_TOOLS
    also: frozenset[str] = frozenset()

    def may(self, shard: str, tool: str, *, writes: bool, since: int = 0) -> bool:
        """Whether this tool, under the name by which clients call it, is theirs to see and to call."""
        if not self.has_role_for(writes=writes):
            return False
        grants = (writes and self.proposes) or self.grants
        named = tool in grants or tool in self.also
        return named or (since <= self.knows and (not grants or shard in grants))

    def has_role_for(self, *, writes: bool) -> bool:
        return self.role == "propose" or not writes

    def opened_by(self, tool: str) -> str:
        """What opens one more tool of their role to them: where they were let in, there it is said."""
        if self.name.startswith(OF_ISSUER):
            return f"the scope {TOOL}{tool} at the issuer"
        return f"waypost token grant '{self.name}' {tool}"


@dataclass(frozen=True)
class TurnedAway:
    """Nobody is let in with that, and why. `status` 403: it is known who comes, and that they may do nothing here."""

    reason: str
    status: Literal[401, 403] = 401


LOCAL = Caller(name="", role="propose")
"""Whoever sits at this machine, as long as there is not one token."""


def presented(authorization: str) -> str:
    """The bearer token of an Authorization header, "" where it holds none."""
    scheme, _, raw = authorization.partition(" ")
    return raw.strip() if scheme.lower() == "bearer" else ""


def admit(
    known: Sequence[Token], authorization: str, *, host: str, open_door: bool, now: datetime
) -> Caller | TurnedAway:
    """Who calls with this Authorization header.

    Without a token only where there is none at all, the gateway is bound to loopback (`open_door`), and the
    request was addressed to loopback: behind a proxy on this machine everybody arrives from loopback.
    """
    if not authorization:
        if not known and open_door and _names_loopback(host):
            return LOCAL
        return TurnedAway(_how_to_get_in(known))
    raw = presented(authorization)
    if not raw:
        return TurnedAway("only bearer tokens are understood: Authorization: Bearer TOKEN")
    found = tokens.match(known, raw, now)
    if isinstance(found, str):
        return TurnedAway(found)
    return Caller(
        name=found.name,
        role=found.role,
        grants=frozenset(found.grants),
        knows=found.knows,
        also=frozenset(found.also),
    )


def _how_to_get_in(known: Sequence[Token]) -> str:
    if known:
        return "a token is needed: send it as Authorization: Bearer TOKEN"
    return "a token is needed and there is none yet: make one with waypost token create NAME"


def _names_loopback(host: str) -> bool:
    """Whether a Host header names this machine by a loopback name."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    bare = name.removeprefix("[").removesuffix("]")
    try:
        return bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def ending_soon(known: Sequence[Token], now: datetime) -> Mapping[str, datetime]:
    """Tokens that stop working within days: name -> when. What took their place already is no reason to warn."""
    last: dict[str, Token] = {}
    for token in known:
        if not token.ended(now) and (token.name not in last or _later(token, last[token.name])):
            last[token.name] = token
    return {name: token.expires for name, token in last.items() if token.expires and token.ends_soon(now)}


def _later(one: Token, other: Token) -> bool:
    return one.expires is None or (other.expires is not None and one.expires > other.expires)
