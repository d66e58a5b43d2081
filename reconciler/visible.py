"""Text of others for people's eyes: what would drive a terminal, hide letters or turn them around is written out."""

from __future__ import annotations


def visible(line: str) -> str:
    """A line in which nothing is but what is seen: `\\x1b`, `\\n` or `\\u202e` stands for what is not. Tabs stay."""
    return line if line.isprintable() else "".join(map(_seen, line))


def visible_lines(text: str) -> str:
    """The same for text whose line breaks are meant."""
    return "\n".join(map(visible, text.split("\n")))


def _seen(letter: str) -> str:
    return letter if letter.isprintable() or letter == "\t" else letter.encode("unicode_escape").decode()
