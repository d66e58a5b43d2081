"""Regular expressions as trees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from reconciler.routing.languages import charsets
from reconciler.routing.languages.charsets import Charset


class Unmodelled(ValueError):
    """A regular expression that this package does not model; the message says what about it."""


class At(Enum):
    """Conditions on a place in the text, which consume nothing."""

    TEXT_START = 1
    TEXT_END = 2
    LINE_START = 3
    LINE_END = 4
    WORD_EDGE = 5
    NO_WORD_EDGE = 6


@dataclass(frozen=True)
class Chars:
    """One character of a set."""

    ranges: Charset


@dataclass(frozen=True)
class Concatenation:
    parts: tuple[Tree, ...]


@dataclass(frozen=True)
class Alternation:
    parts: tuple[Tree, ...]


@dataclass(frozen=True)
class Repeat:
    """`least` to `most` times; None is without end."""

    part: Tree
    least: int
    most: int | None


Tree = Chars | Concatenation | Alternation | Repeat | At


def literal(text: str) -> Tree:
    """Exactly these characters."""
    return Concatenation(tuple(Chars(charsets.of(character)) for character in text))
