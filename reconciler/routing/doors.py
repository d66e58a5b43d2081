"""Entry points with options of their own: where they make rules see other requests than those that proofs speak of."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from reconciler.routing.headers import canonical_name
from reconciler.routing.matchers import Header, HeaderRegexp, Matcher, Node, Path, PathPrefix, PathRegexp
from reconciler.routing.request import PLAIN, Door
from reconciler.routing.rules import matchers
from reconciler.routing.urls import RESERVED

_ODD_NAME: Final = re.compile("[^A-Za-z0-9-]")


def hangs_on(door: Door, node: Node) -> str:
    """Why a proof about this rule is none at this entry point; "" where it is one."""
    return "" if door == PLAIN else _why(door, node)


@lru_cache(20_000)
def _why(door: Door, node: Node) -> str:
    if any(_is_touched(door, matcher) for matcher in matchers(node)):
        return "the entry point has options of its own that change what rules see"
    return ""


def _is_touched(door: Door, matcher: Matcher) -> bool:
    if isinstance(matcher, Path | PathPrefix | PathRegexp):
        return not door.sanitize_path
    if not isinstance(matcher, Header | HeaderRegexp):
        return False
    name = canonical_name(matcher.key)
    trusts = door.trust_all or bool(door.trusted)
    strict = door.odd_headers != "keep" or door.underscored_headers != "keep"
    return (
        (trusts and name.startswith(("X-Forwarded", "X-Real-Ip", "X-Scheme")))
        or (strict and bool(_ODD_NAME.search(name)))
        or name in map(canonical_name, (*door.connection_headers, "Connection"))
        or (bool(door.hostname) and name == "X-Forwarded-Server")
    )


def barred(door: Door) -> list[Node]:
    """The paths that an entry point refuses after a router was chosen, as rules: routing paths keep some escapes."""
    if not door.barred:
        return []
    texts = (f"%{ord(one):02X}" if one in RESERVED else re.escape(one) for one in sorted(door.barred))
    return [PathRegexp("|".join(texts))]
