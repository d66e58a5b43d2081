"""One YAML file, read with suspicion: no aliases, tags, duplicate keys or templates, and a place for every value.

The only module that knows PyYAML. Scalars are read the way Traefik's own YAML reader reads them (`no` is text,
`010` is eight), because a file that means one thing in review and another when served is worse than an error.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from state.model import Problem

LARGEST = 1024 * 1024
DEEPEST = 50
LONGEST_KEY = 256  # bytes; a YAML reader gives up on keys over 1024 once they are written as JSON
_MOST_PROBLEMS = 50

Path = tuple[str | int, ...]
Place = tuple[int, int]
"""Line and column, both from 1."""


@dataclass(frozen=True)
class Document:
    """What a file says, where it says it, and what is wrong with it. With problems, `value` may be partial."""

    file: str
    value: Any = None
    places: Mapping[Path, Place] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    ends: Mapping[Path, int] = field(default_factory=dict)  # path -> the last line of what stands there
    flowing: frozenset[Path] = frozenset()  # lists and mappings written in one line: [a, b], {a: 1}

    def place(self, path: Path) -> Place:
        """Where a path stands, or its nearest known parent; (0, 0) where nothing is known."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return 0, 0

    def problem(self, path: Path, message: str, **more: str) -> Problem:
        line, column = self.place(path)
        return Problem(message=message, file=self.file, line=line, column=column, **more)


def read(
    file: str,
    content: bytes,
    *,
    templates: bool = True,
    trusting: bool = False,
    ends: bool = False,
    tagged: bool = False,
    most: int = LARGEST,
) -> Document:
    """Read one YAML file (JSON is YAML; TOML by its suffix). Never raises; what is wrong is in `problems`.

    `templates=False` also refuses Go templates, comments included. `trusting` is for files that are not ours to
    refuse: aliases and merges are resolved, tags passed over, and what Traefik would not stumble over is a warning.
    `ends=True` also says where everything ends. `tagged=True` keeps what a file's own tags say: `!Find [a]` is read as
    {"!Find": ["a"]}, a scalar under a tag as text. A file of more than `most` bytes is not read.
    """
    text, problem = _decode(file, content, most)
    if problem:
        return Document(file, problems=(problem,))
    found = [] if templates else list(_templates(file, text))
    if file.lower().endswith(".toml"):
        return _read_toml(file, text, found)
    reader = _Reader(file, trusting, ends, tagged)
    reader.read(text)
    problems = tuple((found + reader.problems)[:_MOST_PROBLEMS])
    return Document(file, reader.value, reader.places, problems, reader.ends, frozenset(reader.flowing))


def comments(text: str) -> list[str]:
    """Every comment of a readable YAML text, in order: what stands between its tokens."""
    found: list[str] = []
    last = 0
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        found += [gap.strip() for gap in text[last : token.start_mark.index].splitlines() if "#" in gap]
        last = token.end_mark.index
    return found


def too_large(file: str, size: int, most: int = LARGEST) -> Problem:
    """What to say of a file that is not even read."""
    return Problem(message=f"the file is {size:,} bytes, more than {most:,}; split it", file=file)


def _decode(file: str, content: bytes, most: int) -> tuple[str, Problem | None]:
    if len(content) > most:
        return "", too_large(file, len(content), most)
    try:
        return content.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        message = "the file is not UTF-8 text; save it as UTF-8"
        return "", Problem(message=message, file=file, line=before.count(b"\n") + 1, column=column)


def _read_toml(file: str, text: str, problems: list[Problem]) -> Document:
    """TOML as Traefik users have it; the library tells no places, so problems name only the file."""
    try:
        value = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        endless = (
            "a number of thousands of digits" if isinstance(error, ValueError) else f"deeper than {DEEPEST} levels"
        )
        words = str(error) if isinstance(error, tomllib.TOMLDecodeError) else endless
        return Document(file, problems=(*problems, Problem(message=f"this is not TOML: {words}", file=file)))
    found = [Problem(message=words, file=file) for words in _toml_faults(value, DEEPEST)]
    return Document(file, None if found else value, problems=(*problems, *found[:_MOST_PROBLEMS]))


def _toml_faults(value: Any, depth: int) -> Iterator[str]:
    if depth == 0:
        yield f"nested deeper than {DEEPEST} levels"
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _toml_faults(inner, depth - 1)
    elif not isinstance(value, str | int | float) or value in (float("inf"), float("-inf")) or value != value:
        yield f"'{value}' is no value that Traefik can use here; put it in quotes if text is meant"
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        # Not the number itself: to write one of thousands of digits in decimals is refused by Python.
        yield "a whole number that 64 bits do not hold is too large for TOML; put it in quotes if text is meant"


def _templates(file: str, text: str) -> Iterator[Problem]:
    for number, line in enumerate(text.split("\n"), 1):
        if (column := line.find("{{")) >= 0:
            yield Problem(
                message="Go template '{{' found: Traefik would execute it, even in a comment; "
                "write the value itself (in a quoted string '{\\u007b' is a literal '{{')",
                file=file,
                line=number,
                column=column + 1,
            )


_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?\Z")
_ENDLESS = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_BASES = {"x": 16, "o": 8, "b": 2}


def plain(text: str) -> Any:
    """What Traefik's YAML reader makes of an unquoted scalar. Raises ValueError for what it cannot carry."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _DATE.match(text):
        raise ValueError(f"an unquoted date ({text}) is no text for Traefik; put it in quotes")
    if _ENDLESS.match(text):
        raise ValueError(f"{text} is no usable number; put it in quotes if text is meant")
    if text[0] not in "+-.0123456789":
        return text
    return _number(text.replace("_", "") if text[0] != "." else text, text)


def _number(digits: str, text: str) -> Any:
    if len(digits) < 100 and (match := _INTEGER.match(digits)):
        sign, body = match.groups()
        base = _BASES.get(body[1:2].lower(), 8 if len(body) > 1 and body[0] == "0" else 10)
        number = int(body[2:] if body[1:2].isalpha() else body, base) * (-1 if sign == "-" else 1)
        if -(2**63) <= number < 2**64:
            return number
    if _FLOAT.match(digits):
        if (fraction := float(digits)) in (float("inf"), float("-inf")):
            raise ValueError(f"{text[:40]} is too large a number; put it in quotes if text is meant")
        return fraction
    return text


class _Refused(Exception):
    """The file cannot be read further."""


@dataclass
class _Container:
    path: Path
    holder: dict[str, Any] | list[Any]
    anchor: str = ""
    key: str = ""
    has_key: bool = False
    is_merge: bool = False
    end: int = 0
    merged: dict[str, Any] = field(default_factory=dict)


class _Reader:
    """One pass over the event stream, without recursion; nothing is expanded, so nothing can explode."""

    def __init__(self, file: str, trusting: bool, with_ends: bool, tagged: bool) -> None:
        self.file = file
        self.value: Any = None
        self.places: dict[Path, Place] = {}
        self.ends: dict[Path, int] = {}
        self.flowing: set[Path] = set()
        self.problems: list[Problem] = []
        self._trusting = trusting
        self._with_ends = with_ends
        self._tagged = tagged
        self._documents = 0
        self._open: list[_Container] = []
        self._anchored: dict[str, Any] = {}
        self._takers: Mapping[type[yaml.Event], Callable[[Any], None]] = {
            yaml.DocumentStartEvent: self._begin,
            yaml.AliasEvent: self._take_alias,
            yaml.ScalarEvent: self._take_scalar,
            yaml.MappingStartEvent: self._descend,
            yaml.SequenceStartEvent: self._descend,
            yaml.MappingEndEvent: self._ascend,
            yaml.SequenceEndEvent: self._ascend,
        }

    def read(self, text: str) -> None:
        with suppress(_Refused):
            self._read(text)

    def _read(self, text: str) -> None:
        try:
            for event in yaml.parse(text, Loader=yaml.CSafeLoader):
                if taker := self._takers.get(type(event)):
                    taker(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            words = ": ".join(part for part in (error.context, error.problem) if part)
            self._report(f"this is not YAML: {words}", mark)
        except yaml.reader.ReaderError as error:
            self._report_character(text, error)

    def _begin(self, event: yaml.DocumentStartEvent) -> None:
        self._documents += 1
        if event.version or event.tags:
            self._report("a '%' directive found; leave it out", event.start_mark)
        if self._documents > 1:
            message = "a second document ('---') would be ignored; put it in a file of its own"
            self._report(message, event.start_mark, fatal=False)
            raise _Refused

    def _take_alias(self, event: yaml.AliasEvent) -> None:
        self._place(self._alias(event), event)

    def _take_scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_node(event)
        value = {event.tag: event.value} if self._has_own_tag(event) else self._scalar(event)
        if event.anchor:
            self._anchored[event.anchor] = value
        self._place(value, event)

    def _check_node(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.anchor and not self._trusting:
            self._report(f"anchor '&{event.anchor}' found; write the value out where it is used", event.start_mark)
        if event.tag and not (self._trusting or self._has_own_tag(event)):
            self._report(f"tag '{event.tag}' found; leave it out", event.start_mark)

    def _has_own_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> bool:
        """Whether it bears a tag of the file's own making that is to be kept: `!Find`, and neither `!` nor `!!str`."""
        return self._tagged and len(event.tag or "") > 1 and str(event.tag).startswith("!")

    def _alias(self, event: yaml.AliasEvent) -> Any:
        if not self._trusting:
            self._report(f"alias '*{event.anchor}' found; write the value out", event.start_mark)
        elif event.anchor not in self._anchored:
            self._report(f"alias '*{event.anchor}' refers to nothing before it", event.start_mark)
        else:
            return self._anchored[event.anchor]
        return None

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        if event.style or (event.tag and event.tag.endswith(("str", "!"))):
            return event.value
        try:
            return plain(event.value)
        except ValueError as error:
            self._report(str(error), event.start_mark)
            return event.value

    def _descend(self, event: yaml.CollectionStartEvent) -> None:
        self._check_node(event)
        if len(self._open) == DEEPEST:
            self._report(f"nested deeper than {DEEPEST} levels", event.start_mark, fatal=False)
            raise _Refused
        holder: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        if self._has_own_tag(event):
            path: Path = (*self._place({event.tag: holder}, event), str(event.tag))
            self.places[path] = _place_of(event)
        else:
            path = self._place(holder, event)
        if event.flow_style:
            self.flowing.add(path)
        self._open.append(_Container(path, holder, event.anchor or ""))

    def _ascend(self, event: yaml.CollectionEndEvent) -> None:
        done = self._open.pop()
        if self._with_ends:
            self._end_at(done.path, _end_of(event) if done.path in self.flowing else done.end)
        if isinstance(done.holder, dict):
            for key, value in done.merged.items():
                done.holder.setdefault(key, value)
        if done.anchor:  # only now, so that nothing can hold itself
            self._anchored[done.anchor] = done.holder
        if not self._open and self._trusting and _expanded(self.value) > LARGEST:
            self.value = None
            self._report("its aliases expand to more than can be read here", None, fatal=False)

    def _place(self, value: Any, event: yaml.Event) -> Path:
        """Put a finished scalar or a fresh container where it belongs; returns its path."""
        if not self._open:
            self.value = value
            self.places[()] = _place_of(event)
            return self._ended((), event)
        top = self._open[-1]
        if isinstance(top.holder, list):
            path = (*top.path, len(top.holder))
            top.holder.append(value)
            self.places[path] = _place_of(event)
            return self._ended(path, event)
        if not top.has_key:
            self._take_key(top, value, event)
        elif top.is_merge:
            top.has_key = top.is_merge = False
            self._merge(top, value, event)
        else:
            top.holder[top.key] = value
            top.has_key = False
        return self._ended((*top.path, top.key), event)

    def _ended(self, path: Path, event: yaml.Event) -> Path:
        if self._with_ends:
            self._end_at(path, _end_of(event))
        return path

    def _end_at(self, path: Path, line: int) -> None:
        self.ends[path] = max(line, self.ends.get(path, 0))
        if self._open:
            self._open[-1].end = max(line, self._open[-1].end)

    def _merge(self, top: _Container, value: Any, event: yaml.Event) -> None:
        # An inline mapping is still empty at this moment; only what an alias names can be taken over.
        for source in value if isinstance(value, list) else [value]:
            if isinstance(source, dict):
                top.merged = {**source, **top.merged}
        if not isinstance(event, yaml.AliasEvent):
            self._report("merge key '<<' with anything but one alias is not read here", event.start_mark, fatal=False)

    def _take_key(self, top: _Container, key: Any, event: yaml.Event) -> None:
        assert isinstance(top.holder, dict)
        top.has_key, top.key = True, key if isinstance(key, str) else str(key)[:LONGEST_KEY]
        if isinstance(key, (dict, list)):
            self._report("a key must be text, not a list or a mapping", event.start_mark)
        elif not isinstance(key, str):
            written = getattr(event, "value", key)
            self._report(f"the key {written} is not text; put it in quotes", event.start_mark, fatal=False)
        elif key == "<<" and isinstance(event, yaml.ScalarEvent) and not event.style:
            top.is_merge = self._trusting
            self._report("merge key '<<' found; write the fields out", event.start_mark, fatal=None)
        elif self._tagged and key.startswith("!"):
            self._report(f"the key '{key}' would be taken for a tag", event.start_mark)
        elif len(key.encode()) > LONGEST_KEY:
            self._report(f"a key longer than {LONGEST_KEY} bytes", event.start_mark, fatal=False)
        if top.key in top.holder:
            self._report(f"'{top.key}' stands here twice; keep one of them", event.start_mark)
        self.places.setdefault((*top.path, top.key), _place_of(event))

    def _report_character(self, text: str, error: yaml.reader.ReaderError) -> None:
        # The library counts bytes or characters, depending on its mood; the file itself is surer.
        found = _UNPRINTABLE.search(text)
        at = found.start() if found else 0
        message = f"this is not YAML: {error.reason}" + (f" (U+{ord(found[0]):04X})" if found else "")
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        self.problems.append(Problem(message=message, file=self.file, line=line, column=column))

    def _report(self, message: str, mark: Any, *, fatal: bool | None = True) -> None:
        """`fatal`: True is always an error, False one only in our own files, None nothing at all in others'."""
        if self._trusting and fatal is None:
            return
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        severity = "warning" if self._trusting and not fatal else "error"
        self.problems.append(Problem(message=message, file=self.file, line=line, column=column, severity=severity))
        if len(self.problems) >= _MOST_PROBLEMS:
            raise _Refused


_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _expanded(value: Any) -> int:
    """How many values there are once every alias is written out; shared parts are counted once and reused."""
    sizes: dict[int, int] = {}

    def size(part: Any) -> int:
        if not isinstance(part, dict | list):
            return 1
        if id(part) not in sizes:
            inner = part.values() if isinstance(part, dict) else part
            sizes[id(part)] = 1 + sum(size(one) for one in inner)
        return sizes[id(part)]

    return size(value)


def _end_of(event: yaml.Event) -> int:
    """The line an event ends on, from 1. The mark of a block scalar stands on the line after."""
    mark = event.end_mark
    if mark is None:
        return 0
    is_block = isinstance(event, yaml.ScalarEvent) and event.style in ("|", ">")
    return mark.line if is_block and mark.column == 0 else mark.line + 1


def _place_of(event: yaml.Event) -> Place:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)
