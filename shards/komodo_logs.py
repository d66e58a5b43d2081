"""The log of a stack as one: what its services wrote to either output, by the time that each line bears. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from shards.containers import Line

_DATED: Final = re.compile(r"(?:[^|\n]{1,120}\| +)?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) ")
"""`service-1  | 2026-11-21T15:04:05.123456789Z said`: the name stands there where there are several services."""

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


def in_order(*outputs: Sequence[Line]) -> tuple[list[Line], bool]:
    """All lines in the order in which they were written, and whether that is known.

    It is not where an output bears no time at all: then one output stands behind the other. A line without a time
    belongs to the one before it.
    """
    dated = [list(_dated(output)) for output in outputs if output]
    lines = [one for output in dated for one in output]
    if not all(any(at > _BEGINNING for at, _ in output) for output in dated):
        return [line for _, line in lines], len(dated) < 2
    return [line for _, line in sorted(lines, key=lambda one: one[0])], True


def _dated(lines: Sequence[Line]) -> Iterator[tuple[datetime, Line]]:
    at = _BEGINNING
    for line in lines:
        at = _time_of(line.text) or at
        yield at, line


def _time_of(text: str) -> datetime | None:
    found = _DATED.match(text)
    try:
        return datetime.fromisoformat(found[1]).astimezone(UTC) if found else None
    except (ValueError, OverflowError):  # a day that no calendar has
        return None
