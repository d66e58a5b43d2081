"""What a value of a native file may look like, as small shapes that tell every fault and where it stands. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Path = tuple[str | int, ...]
Fault = tuple[Path, str]
Shape = Callable[[Any, Path], Iterator[Fault]]

_VARIABLE: Final = re.compile(r"\$\{?\w|\[\[\w+\]\]")
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_MOST_SHOWN: Final = 40


def anything(value: Any, path: Path) -> Iterator[Fault]:
    """No demands."""
    return iter(())


def text(value: Any, path: Path) -> Iterator[Fault]:
    if not isinstance(value, str):
        yield path, f"{_seen(value)} is no text; put it in quotes"


def word(value: Any, path: Path) -> Iterator[Fault]:
    """Text or a number, where both are written the same."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        yield path, f"{_seen(value)} is no text"


def scalar(value: Any, path: Path) -> Iterator[Fault]:
    """Text, a number, a switch, or nothing."""
    if isinstance(value, dict | list):
        yield path, f"{_seen(value)} stands where one value belongs"


def number(value: Any, path: Path) -> Iterator[Fault]:
    written = isinstance(value, str) and (_is_variable(value) or bool(_NUMBER.fullmatch(value)))
    if isinstance(value, bool) or not (written or isinstance(value, int | float)):
        yield path, f"{_seen(value)} is no number"


def whole(value: Any, path: Path) -> Iterator[Fault]:
    if isinstance(value, float):
        yield path, f"{_seen(value)} is no whole number"
    else:
        yield from number(value, path)


def exact(value: Any, path: Path) -> Iterator[Fault]:
    """A number for which neither text nor a variable may stand."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield path, f"{_seen(value)} is no number"


def integer(value: Any, path: Path) -> Iterator[Fault]:
    """The same, and a whole one."""
    if isinstance(value, bool) or not isinstance(value, int):
        yield path, f"{_seen(value)} is no whole number"


def boolean(value: Any, path: Path) -> Iterator[Fault]:
    """A switch for which no variable may stand."""
    if not isinstance(value, bool):
        yield path, f"{_seen(value)} is neither true nor false"


def switch(value: Any, path: Path) -> Iterator[Fault]:
    if not isinstance(value, bool) and not _is_variable(value) and value not in ("true", "false"):
        yield path, f"{_seen(value)} is neither true nor false"


def one_of(*words: str) -> Shape:
    def check(value: Any, path: Path) -> Iterator[Fault]:
        if value not in words and not _is_variable(value):
            yield path, f"{_seen(value)} is none of {', '.join(words)}"

    return check


def matching(pattern: str, what: str, *, numbers: bool = False) -> Shape:
    """Text of a form; `what` says which, for people. With `numbers` it may be written as a whole number too."""
    form = re.compile(pattern)

    def check(value: Any, path: Path) -> Iterator[Fault]:
        fits = isinstance(value, str) or (numbers and isinstance(value, int) and not isinstance(value, bool))
        if not fits or not (form.fullmatch(str(value)) or _is_variable(value)):
            yield path, f"{_seen(value)} is no {what}"

    return check


def either(*shapes: Shape) -> Shape:
    """Fine where one of them finds nothing wrong; else the faults of the one that fits the sort of value best."""

    def check(value: Any, path: Path) -> Iterator[Fault]:
        found = [list(shape(value, path)) for shape in shapes]
        if all(found):
            # A fault deeper inside means that the sort of value was right.
            yield from max(found, key=lambda faults: max(len(where) for where, _ in faults))

    return check


def optional(shape: Shape) -> Shape:
    """The same, or nothing written behind the key."""

    def check(value: Any, path: Path) -> Iterator[Fault]:
        if value is not None:
            yield from shape(value, path)

    return check


def listing(shape: Shape, *, unique: bool = False) -> Shape:
    def check(value: Any, path: Path) -> Iterator[Fault]:
        if not isinstance(value, list):
            yield path, f"{_seen(value)} is no list"
            return
        for index, item in enumerate(value):
            yield from shape(item, (*path, index))
            if unique and item in value[:index]:
                yield (*path, index), f"{_seen(item)} stands here twice"

    return check


def mapping(shape: Shape, *, keys: str = "") -> Shape:
    """Names of any choice, or of the form `keys`, each with a value of one shape."""
    form = re.compile(keys) if keys else None

    def check(value: Any, path: Path) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield path, f"{_seen(value)} is no mapping of names to values"
            return
        for key, item in value.items():
            if form and not form.fullmatch(key):
                yield (*path, key), f"'{key[:_MOST_SHOWN]}' is no name that is taken here"
            yield from shape(item, (*path, key))

    return check


def record(fields: Mapping[str, Shape], *, required: tuple[str, ...] = (), extensions: bool = False) -> Shape:
    """Known fields only. With `extensions` every key that begins with `x-` is passed over."""

    def check(value: Any, path: Path) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield path, f"{_seen(value)} is no mapping of fields"
            return
        for key, item in value.items():
            if key in fields:
                yield from fields[key](item, (*path, key))
            elif not (extensions and key.startswith("x-")):
                yield (*path, key), _unknown(key, fields)
        for name in required:
            if name not in value:
                yield path, f"'{name}' is missing"

    return check


def _unknown(key: str, fields: Mapping[str, Shape]) -> str:
    near = difflib.get_close_matches(key, fields, n=1)
    return f"unknown field '{key[:_MOST_SHOWN]}'" + (f"; '{near[0]}' is meant?" if near else "")


def _is_variable(value: Any) -> bool:
    """Whether it is filled in when it is deployed, so that nobody can say yet what it will be."""
    return isinstance(value, str) and bool(_VARIABLE.search(value))


def _seen(value: Any) -> str:
    """A value in a message. Text is not repeated where it is long: it may be anything."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else f"'{str(value)[:_MOST_SHOWN]}'"
