"""Files of the desired repo as a model may see them: what a person wrote there although nobody should is covered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from reconciler.secrets import find_secrets

MARK: Final = "••• a secret stands here, which nobody is shown"
"""What stands in place of a line that holds one."""

_KEY_BEGINS: Final = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
_KEY_ENDS: Final = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY")


def covered(path: str, text: str) -> str:
    """The text, with every line covered that holds a secret, and those further in that belong to it."""
    secret, lines = {problem.line for problem in find_secrets(path, text)}, text.split("\n")
    return "\n".join(_covered(lines, secret.union(_of_keys(lines)))) if secret else text


def _of_keys(lines: list[str]) -> Iterator[int]:
    """The numbers of all lines of private keys, of which the scan knows the first: they may stand no further in."""
    inside = False
    for number, line in enumerate(lines, 1):
        inside = inside or bool(_KEY_BEGINS.search(line))
        if inside:
            yield number
        inside = inside and not _KEY_ENDS.search(line)


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
