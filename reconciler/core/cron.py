"""Cron lines: whether five fields name moments that ever come. Pure; who runs them is elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NUMBERS = re.compile(r"([0-9]{1,2})(?:-([0-9]{1,2}))?(?:/([0-9]{1,2}))?")
_NAMES = re.compile(r"([a-z]{3})(?:-([a-z]{3}))?")
_ALL = re.compile(r"\*(?:/([0-9]{1,2}))?")


@dataclass(frozen=True)
class _Field:
    name: str
    first: int
    last: int
    words: Sequence[str] = ()  # of the values from `first` on
    numbers: bool = True


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    # Sunday is 0 to one cron and Monday to another: only names say the same everywhere.
    _Field("weekday", 0, 6, _WEEKDAYS, numbers=False),
)


class _Wrong(ValueError):
    """A part of a cron line that cannot be; the message completes the sentence about it."""


def fault(line: str) -> str:
    """What is wrong with a cron line, "" where nothing is.

    Its five fields are minute, hour, day, month (1-12 or jan-dec) and weekday (mon-sun): each `*`, a value, a
    range `a-b`, either with a step `/n`, or several of them with commas between. Weekdays are written as names.
    """
    texts = line.split()
    if len(texts) != len(_FIELDS):
        return f"it has {len(texts)} fields"
    try:
        _, _, days, months, _ = (_values(text, field) for text, field in zip(texts, _FIELDS, strict=True))
    except _Wrong as wrong:
        return str(wrong)
    if min(days) > max(_LONGEST[month - 1] for month in months):
        return "no such month has that day"
    return ""


def _values(text: str, field: _Field) -> set[int]:
    return {value for part in text.split(",") for value in _part(part, field)}


def _part(text: str, field: _Field) -> range:
    if found := _ALL.fullmatch(text):
        return _stepped(field.first, field.last, found[1], text, field)
    if found := _NAMES.fullmatch(text.lower()):
        first = _named(found[1], text, field)
        return _stepped(first, _named(found[2], text, field) if found[2] else first, None, text, field)
    found = _NUMBERS.fullmatch(text)
    if not found or not field.numbers:
        raise _Wrong(f"{field.name} '{text}' cannot be read" + ("" if field.numbers else " (write mon to sun)"))
    first = int(found[1])
    last = int(found[2]) if found[2] else field.last if found[3] else first
    return _stepped(first, last, found[3], text, field)


def _named(word: str, text: str, field: _Field) -> int:
    if word not in field.words:
        raise _Wrong(f"{field.name} '{text}' cannot be read")
    return field.words.index(word) + field.first


def _stepped(first: int, last: int, step: str | None, text: str, field: _Field) -> range:
    if not field.first <= first <= last <= field.last:
        raise _Wrong(f"{field.name} '{text}' is not within {field.first}-{field.last}, or backwards")
    if step is not None and not 1 <= int(step) <= last - first:
        raise _Wrong(f"{field.name} '{text}' has a step that leads nowhere")
    return range(first, last + 1, int(step or 1))
