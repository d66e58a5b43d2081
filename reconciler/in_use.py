"""What of the secrets that Waypost itself uses must stand nowhere else. Pure, and quick to load."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LEAST = 8
"""Characters of a secret that is recognised by itself: shorter ones are words that stand anywhere."""

_PAIR = re.compile(r"[^\s:/@]+:(?P<password>[^\s/]+)\Z")
_USERINFO = re.compile(r"://[^\s/:@]*:(?P<password>[^\s/@]+)@")
_MIXED = re.compile(r"(?=\w*[0-9])(?=\w*[A-Za-z])[\w-]{12,}")


def pieces(secrets: Iterable[str]) -> frozenset[str]:
    """What of these secrets must stand nowhere else: each whole, its password, and what in an address is no word."""
    found: set[str] = set()
    for one in secrets:
        passwords = {match["password"] for pattern in (_PAIR, _USERINFO) if (match := pattern.search(one))}
        found |= {one} | passwords | set(_MIXED.findall(one))
    return frozenset(one for one in found if len(one) >= _LEAST)
