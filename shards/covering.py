"""Files of the desired repo as a model may see them: what a person wrote there although nobody should is covered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reconciler.secrets import find_secrets

MARK: Final = "••• a secret stands here, which nobody is shown"
"""What stands in place of a line that holds one."""


def covered(path: str, text: str) -> str:
    """The text, with every line covered that holds a secret, and those further in that belong to it."""
    secret = {problem.line for problem in find_secrets(path, text)}
    return "\n".join(_covered(text.split("\n"), secret)) if secret else text


def _covered(lines: list[str], secret: set[int]) -> Iterator[str]:
    margin = -1  # of the covered line that the next ones may belong to
    for number, line in enumerate(lines, 1):
        indent = len(line) - len(line.lstrip())
        if number in secret:
            margin = indent
            yield f"{line[:indent]}# {MARK}"
        elif margin < 0 or (line.strip() and indent <= margin):
            margin = -1
            yield line
