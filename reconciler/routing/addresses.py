"""Client addresses as ranges of numbers: what is in all of some ranges and in none of others."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from reconciler.routing.request import address_of

Range = tuple[int, int, int]  # 4 or 6, lowest, highest

_ALL: tuple[Range, ...] = ((4, 0, 2**32 - 1), (6, 0, 0xFFFE_FFFF_FFFF), (6, 0x1_0000_0000_0000, 2**128 - 1))
"""Every address; those of IPv4 that are mapped into IPv6 are addresses of IPv4."""
_LIKED = ("127.0.0.1", "192.0.2.1", "198.51.100.1", "10.0.0.1", "2001:db8::1")


def pick(inside: Sequence[Range], outside: Sequence[Range]) -> str | None:
    """A plain address in all of the ones and in none of the others; None where there is none."""
    left = _ALL
    for one in inside:
        left = _within(left, one)
    for one in outside:
        left = _without(left, one)
    return next((text for text in _LIKED if _held(text, left)), None) or _plainest(left)


def _held(text: str, ranges: Sequence[Range]) -> bool:
    version, number = address_of(text)
    return any(version == one[0] and one[1] <= number <= one[2] for one in ranges)


def _plainest(ranges: Sequence[Range]) -> str | None:
    """Of the first range; not its lowest where another is left, as that one often names the network."""
    if not ranges:
        return None
    version, low, high = ranges[0]
    number = low + 1 if high > low else low
    return str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number))


def _within(ranges: Sequence[Range], one: Range) -> tuple[Range, ...]:
    cut = ((version, max(low, one[1]), min(high, one[2])) for version, low, high in ranges if version == one[0])
    return tuple(each for each in cut if each[1] <= each[2])


def _without(ranges: Sequence[Range], one: Range) -> tuple[Range, ...]:
    found: list[Range] = []
    for version, low, high in ranges:
        if version != one[0] or one[2] < low or one[1] > high:
            found.append((version, low, high))
            continue
        found += [(version, low, one[1] - 1)] if low < one[1] else []
        found += [(version, one[2] + 1, high)] if one[2] < high else []
    return tuple(found)
