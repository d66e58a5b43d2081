"""Lines of a log without the secrets that programs write into them. Pure.

Three nets, the widest last: whole keys over several lines, what stands behind a name that tells of a secret, and what
the scan of proposals knows by its form. What is covered once too often can be read where the log is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from reconciler.core.redact import COVERED
from reconciler.secrets import REDACTED, redacted, without_named
from shards.containers import Line
from shards.untrusted import clean

_LONGEST: Final = 4_000
"""Characters of one line: what is longer is cut before anybody looks for secrets in it."""

_WORD: Final = 400
_TOGETHER: Final = 50
"""Lines that are looked at together."""

_KEY_BEGINS: Final = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_OF_A_KEY: Final = re.compile(
    r"(?:[^|\n]{1,120}\| +)?(?:\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d) )?[A-Za-z0-9+/]{44,}={0,2}"
)
"""A line of which the one with the beginning of its key may be too old to be seen: bare, or behind the name of its
container and its time."""

_KEY_ENDS: Final = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY-----")


def masked(lines: Sequence[Line]) -> list[Line]:
    """The same lines, every secret in them covered. Looking closely has its price: give those that are shown."""
    # What shows nothing would take a name apart from its secret, and is taken out before a model sees it.
    found = [replace(line, text=without_named(clean(line.text))) for line in lines]
    return [line for at in range(0, len(found), _TOGETHER) for line in _without_known(found[at : at + _TOGETHER])]


def told(text: str) -> str:
    """Words of another system, such as an error of its, without the secrets that it may quote."""
    bare = without_named(clean(short(text)))
    return COVERED if redacted(bare) == REDACTED else bare


def told_whole(text: str) -> str:
    """The same of a text of many lines, such as a commit's message, of which one may begin a key."""
    lines = without_keys(Line(text=line) for line in text.split("\n"))
    return "\n".join(line.text for line in masked(lines))


def without_keys(lines: Iterable[Line]) -> list[Line]:
    """The same lines, shortened, and private keys covered, which go over many of them. To be done with all lines."""
    found: list[Line] = []
    inside = False
    for line in lines:
        text = short(clean(line.text))
        begins, ends = _KEY_BEGINS.search(text), _KEY_ENDS.search(text)
        of_a_key = inside or begins or ends or _OF_A_KEY.fullmatch(text.strip())
        inside = (inside or begins is not None) and ends is None
        found.append(replace(line, text=COVERED if of_a_key else text))
    return found


def _without_known(lines: list[Line]) -> list[Line]:
    """Looked at together first: most lines hold nothing, and each look has its price."""
    if redacted("\n".join(line.text for line in lines)) != REDACTED:
        return lines
    return [replace(line, text=COVERED) if redacted(line.text) == REDACTED else line for line in lines]


def short(text: str) -> str:
    """The beginning of a line, and how much more there is."""
    if len(text) <= _LONGEST:
        return text
    space = text.rfind(" ", _LONGEST - _WORD, _LONGEST)  # half of a secret is not known by its form
    end = space if space > 0 else _LONGEST
    return f"{text[:end]} […{len(text) - end:,} more characters]"
