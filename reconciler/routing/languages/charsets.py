"""Sets of characters as sorted, disjoint ranges.

A byte that is no part of UTF-8 is one character, `BROKEN`: a regular expression sees each such byte as U+FFFD, and
no literal in a rule can hold one, so that a single stand-in speaks for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

Charset = tuple[tuple[int, int], ...]

BROKEN = "\udcff"
_BROKEN, _REPLACEMENT, LAST = ord(BROKEN), 0xFFFD, 0x10FFFF


def merged(ranges: Iterable[tuple[int, int]]) -> Charset:
    """Any ranges, in order and without overlaps."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def complement(ranges: Charset) -> Charset:
    """Everything else, over all code points."""
    found, start = [], 0
    for low, high in ranges:
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    return (*found, (start, LAST)) if start <= LAST else tuple(found)


def intersection(one: Charset, other: Charset) -> Charset:
    found, at, beside = [], 0, 0
    while at < len(one) and beside < len(other):
        low, high = max(one[at][0], other[beside][0]), min(one[at][1], other[beside][1])
        if low <= high:
            found.append((low, high))
        if one[at][1] < other[beside][1]:
            at += 1
        else:
            beside += 1
    return tuple(found)


def contains(ranges: Charset, number: int) -> bool:
    return any(low <= number <= high for low, high in ranges)


def point(character: str) -> int:
    """The number of a character; that of `BROKEN` for every byte that is no part of UTF-8."""
    number = ord(character)
    return _BROKEN if 0xD800 <= number <= 0xDFFF else number


def of(text: str) -> Charset:
    return merged((ord(character), ord(character)) for character in text)


def as_seen(ranges: Charset) -> Charset:
    """The set over what a text can hold: no surrogates, and `BROKEN` where U+FFFD belongs to the set."""
    text = intersection(ranges, TEXT)
    return merged((*text, (_BROKEN, _BROKEN))) if contains(ranges, _REPLACEMENT) else text


TEXT: Charset = ((0, 0xD7FF), (0xE000, LAST))
WORD: Charset = of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")
EVERYTHING: Charset = ((0, LAST),)

_LIKED = "abcdefghijklmnopqrstuvwxyz0123456789-./_ABCDEFGHIJKLMNOPQRSTUVWXYZ~:=,+@;&'()*![]$#?%<>{}|\"^`\\ "
_LIKED_POINTS = tuple(map(ord, _LIKED))


@lru_cache(10_000)
def nicest(low: int, high: int) -> tuple[int, str]:
    """The character of a range that people read most easily, and how odd it is (0 for a small letter)."""
    for at, number in enumerate(_LIKED_POINTS):
        if low <= number <= high:
            return _oddity(at), _LIKED[at]
    for number in range(max(low, 0xA1), min(high, 0x2FFF) + 1):
        if chr(number).isalpha():
            return 50, chr(number)
    return (70, BROKEN) if low <= _BROKEN <= high else (60, chr(low))


def _oddity(at: int) -> int:
    """Small letters are plain, then come digits, signs of names and paths, capitals, and the rest."""
    return 0 if at < 26 else 1 if at < 36 else 2 if at < 40 else 3 if at < 66 else 4 + at - 66
