"""What strangers wrote, as a line that a person may read."""

from __future__ import annotations


def plain(text: str) -> str:
    """The text without what shows nothing, changes direction or drives a terminal."""
    return "".join(filter(str.isprintable, text))
