"""Entry points with options of their own: where they make rules see other requests than those that proofs speak of."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from reconciler.routing.headers import canonical_name
from reconciler.routing.matchers import Header, HeaderRegexp, Matcher, Node, PathRegexp
from reconciler.routing.request import PLAIN, Door
from reconciler.routing.rules import conditions
from reconciler.routing.urls import RESERVED

SET_BY_TRAEFIK: Final = frozenset(
    {"X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Host", "X-Forwarded-Server", "X-Real-Ip"}
)


def followed(door: Door) -> Door:
    """The options of an entry point that proofs follow; the others as they are by default."""
    if door == PLAIN:
        return PLAIN
    return Door(
        sanitize_path=door.sanitize_path,
        odd_headers=door.odd_headers,
        underscored_headers=door.underscored_headers,
        trust_all=door.trust_all,
    )


def hangs_on(door: Door, node: Node) -> str:
    """Why a proof about this rule is none at this entry point; "" where it is one."""
    return "" if door == PLAIN else _why(door, node)


@lru_cache(20_000)
def _why(door: Door, node: Node) -> str:
    return next((why for matcher in conditions(node) if (why := _touched(door, matcher))), "")


def _touched(door: Door, matcher: Matcher) -> str:
    """What an entry point does that makes a matcher see something else; "" where it does nothing of the kind."""
    if not isinstance(matcher, Header | HeaderRegexp):
        return ""
    name = canonical_name(matcher.key)
    if _is_believed(door, name):
        return f"the entry point believes what some clients say of {name} (forwardedHeaders), and a rule asks for it"
    if door.connection_headers and name == "Connection":
        return f"the entry point lets {name} pass (forwardedHeaders.connection), and a rule asks for it"
    if door.hostname and name == "X-Forwarded-Server":
        return "a rule asks for X-Forwarded-Server, where Traefik says the name of its machine"
    return ""


def _is_believed(door: Door, name: str) -> bool:
    """Whether it depends on who asks what a rule sees of a header, or on what Traefik makes of it besides."""
    if not name.startswith(("X-Forwarded", "X-Real-Ip", "X-Scheme")):
        return False
    return name in SET_BY_TRAEFIK if door.trust_all else bool(door.trusted)


def barred(door: Door) -> list[Node]:
    """The paths that an entry point refuses after a router was chosen, as rules: routing paths keep some escapes."""
    if not door.barred:
        return []
    texts = (f"%{ord(one):02X}" if one in RESERVED else re.escape(one) for one in sorted(door.barred))
    return [PathRegexp("|".join(texts))]
