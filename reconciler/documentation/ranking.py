"""Which texts are about a topic: the words they share with it, weighed as BM25 does. Pure, and easy to explain.

A word counts more the rarer it is among the texts, and more in a heading than below it; its tenth time in a text adds
little, and a long text earns less with it than a short one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SMALL: Final = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "have", "how", "i", "in",
        "is", "it", "my", "not", "of", "on", "or", "that", "the", "this", "to", "use", "what", "when", "where", "which",
        "why", "with", "you", "your",
    }
)  # fmt: skip
_HEADING: Final = 4
"""How often a word of the heading counts."""

_SATURATION: Final = 1.2
_LENGTH: Final = 0.6


@dataclass(frozen=True)
class Text:
    heading: str
    body: str


@dataclass(frozen=True)
class Ranked:
    """Which of the texts, and how much it is about the topic; only what is about it at all is ranked."""

    index: int
    score: float


def rank(topic: str, texts: Sequence[Text]) -> list[Ranked]:
    """The texts that share a word with the topic, the best first; equals stay in their order."""
    wanted = list(dict.fromkeys(words(topic)))
    counted = [Counter([*list(words(one.heading)) * _HEADING, *words(one.body)]) for one in texts]
    usual = sum(map(Counter.total, counted)) / max(len(counted), 1) or 1.0
    weights = {word: _weight(sum(word in one for one in counted), len(counted)) for word in wanted}
    found = [
        Ranked(index, sum(weights[word] * _saturated(one[word], one.total() / usual) for word in wanted))
        for index, one in enumerate(counted)
    ]
    return sorted((one for one in found if one.score > 0), key=lambda one: (-one.score, one.index))


def words(text: str) -> Iterator[str]:
    """Its words, bare: `forwardAuth` is forward, auth, and both as one, so that it is found however it is written."""
    for written in re.split(r"[^A-Za-z0-9]+", text):
        parts = _HUMP.split(written)
        for part in (*parts, "".join(parts)) if len(parts) > 1 else parts:
            bare = _bare(part.lower())
            if bare and bare not in _SMALL:
                yield bare


def _bare(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _weight(holding: int, of: int) -> float:
    return math.log(1 + (of - holding + 0.5) / (holding + 0.5))


def _saturated(times: int, length: float) -> float:
    return times * (_SATURATION + 1) / (times + _SATURATION * (1 - _LENGTH + _LENGTH * length))
