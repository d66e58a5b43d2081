"""What may be shown: a spec with the values of its secrets covered. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from state.model import Spec

COVERED = "•••"
_SECRET = re.compile(r"(^|[-_.])(users?|password|passwd|secret|token|authorization|api-?key|credentials?)$", re.I)


def redact(spec: Spec) -> Spec:
    """The same shape, with every value under a telling key covered."""
    if isinstance(spec, dict):
        return {key: COVERED if _SECRET.search(str(key)) and value else redact(value) for key, value in spec.items()}
    return [redact(item) for item in spec] if isinstance(spec, list) else spec


def cover(text: str, specs: Iterable[Spec]) -> str:
    """`text` without any value that stands under a telling key in `specs`: a target may quote what it dislikes."""
    if not text:
        return text  # looking through thousands of specs has its price
    secrets = {
        word for spec in specs for value in _values(spec) for word in (value, *value.split(":", 1)) if len(word) > 2
    }
    for word in sorted(secrets, key=len, reverse=True):
        text = text.replace(word, COVERED)
    return text


def _values(spec: Spec, secret: bool = False) -> Iterator[str]:
    if isinstance(spec, dict):
        for key, value in spec.items():
            yield from _values(value, secret or bool(_SECRET.search(str(key))))
    elif isinstance(spec, list):
        for item in spec:
            yield from _values(item, secret)
    elif secret and isinstance(spec, str):
        yield spec


def telling(path: str) -> bool:
    """Whether a dotted field path leads to or through a secret."""
    return any(_SECRET.search(part) for part in path.split("."))
