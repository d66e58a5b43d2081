"""Named classes of characters and case orbits as RE2 has them; Unicode's from Python's own tables.

A Traefik may know another Unicode than Python does. The two differ in characters that one of them does not assign
yet, so whoever uses these tables leaves `unassigned()` characters out of what they speak of.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

from reconciler.routing.languages.charsets import EVERYTHING, LAST, WORD, Charset, complement, contains, merged, of

_LAST_CASED = 0x1E943  # no later character has cases

NOT_NEWLINE = complement(of("\n"))
_LOWER, _UPPER, _DIGIT = ((97, 122),), ((65, 90),), ((48, 57),)
_GRAPH = ((33, 126),)
_ALNUM = merged([*_LOWER, *_UPPER, *_DIGIT])

PERL: dict[str, Charset] = {"d": _DIGIT, "s": of("\t\n\f\r "), "w": WORD}
POSIX: dict[str, Charset] = {
    "alnum": _ALNUM,
    "alpha": merged([*_LOWER, *_UPPER]),
    "ascii": ((0, 127),),
    "blank": of("\t "),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGIT,
    "graph": _GRAPH,
    "lower": _LOWER,
    "print": ((32, 126),),
    "punct": of("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    "space": of("\t\n\v\f\r "),
    "upper": _UPPER,
    "word": WORD,
    "xdigit": of("0123456789ABCDEFabcdef"),
}


def category(name: str) -> Charset | None:
    """A class of Unicode by its one or two letters; None for scripts and what else is not modelled."""
    if name == "Any":
        return EVERYTHING
    return _categories().get(name) if name != "Cn" else None


def unassigned() -> Charset:
    return _categories()["Cn"]


@cache
def _categories() -> dict[str, Charset]:
    """Two-letter and one-letter category -> its characters."""
    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    start, current = 0, unicodedata.category("\0")
    for point in range(1, LAST + 2):
        found = unicodedata.category(chr(point)) if point <= LAST else ""
        if found != current:
            ranges[current].append((start, point - 1))
            start, current = point, found
    for name in [*ranges]:
        if name != "Cn":  # Go's C is what is assigned and neither letter, mark, number nor sign
            ranges[name[0]].extend(ranges[name])
    return {name: merged(found) for name, found in ranges.items()}


def folded(ranges: Charset) -> Charset:
    """The set with every other case of its members, as `(?i)` means it."""
    if not ranges or ranges[-1][1] < 128:
        return merged([*ranges, *_folded_plain(ranges)])
    orbits = (orbit for orbit in _orbits() if any(contains(ranges, ord(member)) for member in orbit))
    return merged([*ranges, *(one for orbit in orbits for one in of(orbit))])


def _folded_plain(ranges: Charset) -> Iterator[tuple[int, int]]:
    for low, high in ranges:
        for point in range(max(low, 65), min(high, 122) + 1):
            if chr(point).isalpha():
                yield from of(_CASES.get(chr(point).lower(), chr(point).swapcase()))


_CASES = {"k": "kK\u212a", "s": "sS\u017f"}  # the Kelvin sign and the long s


@cache
def _orbits() -> tuple[str, ...]:
    """Characters that `(?i)` holds for one and the same, as texts of two or more."""
    found: dict[str, set[str]] = defaultdict(set)
    for point in range(_LAST_CASED + 1):
        base = _simple_fold(chr(point))
        found[base] |= {base, chr(point)}
    return tuple("".join(sorted(members)) for members in found.values() if len(members) > 1)


def _simple_fold(character: str) -> str:
    """One character for one: where the full folding is longer, the plain lower case."""
    for candidate in (character.casefold(), character.lower()):
        if len(candidate) == 1:
            return candidate
    return character
