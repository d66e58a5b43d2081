"""Change one resource in a person's file and nothing else: comments, key order and every other line stay.

Whole lines are cut out and put in, so that what is not asked for is not even rewritten; inside the resource
itself ruamel.yaml merges field by field. A file in a style where lines do not separate resources (JSON, flow
mappings) is rewritten as a whole. Each edit is read back before it is handed out.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from reconciler import document
from reconciler.document import Document, Path
from reconciler.traefik import kinds
from state.model import Problem, Spec, canonical


class EditError(ValueError):
    """A file cannot be edited safely; `problems` says where and why."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        self.problems = problems
        super().__init__(message)


def set_resource(text: bytes | None, kind: str, name: str, spec: Spec, *, file: str = "") -> bytes:
    """The file with this resource as given, added or changed field by field. `text=None` begins a file.

    Raises EditError where the file cannot be read or the resource is none that Traefik takes.
    """
    plain, faults = kinds.check(kind, name, spec)
    if faults:
        raise EditError(f"{kind}/{name}: " + "; ".join(_worded(fault) for fault in faults))
    if "{{" in _carried(kind, name, plain):
        raise EditError(f"{kind}/{name} holds '{{{{', which Traefik would execute as a Go template")
    page = _Page.read(file, text or b"")
    if page.resources.get((kind, name)) == plain:
        return text or b""
    edited = page.with_resource(kind, name, plain)
    return _checked(page, edited, {**page.resources, (kind, name): plain})


def remove_resource(text: bytes, kind: str, name: str, *, file: str = "") -> bytes | None:
    """The file without this resource; None where nothing is left of it. Not there: unchanged.

    The comments right above the resource go with it. Raises EditError where the file cannot be read.
    """
    page = _Page.read(file, text)
    if (kind, name) not in page.resources:
        return text
    after = {key: spec for key, spec in page.resources.items() if key != (kind, name)}
    return _checked(page, page.without_resource(kind, name), after) if after else None


_LARGEST = 64 * 1024
_MOST = 4_000
"""Bytes and values of one resource. Writing YAML in which comments stay costs a fifth of a millisecond a value."""


def _carried(kind: str, name: str, spec: Spec) -> str:
    try:
        text = canonical(spec).decode()
    except TypeError as error:  # too large a number, half a character, deeper than anybody reads
        raise EditError(f"{kind}/{name} holds what no file can carry: {error}") from error
    if len(text) > _LARGEST or text.count(",") > _MOST:
        raise EditError(f"{kind}/{name} is too large for an edit: more than {_MOST:,} values or {_LARGEST >> 10} KiB")
    return text


def _loaded(yaml: YAML, text: str) -> Any:
    try:
        return yaml.load(text)
    except YAMLError as fault:  # a tab inside a word, say: Traefik's reader takes it, and so does ours
        raise EditError(f"the comments of this file cannot be kept, so edit it by hand: {fault}") from fault


def _worded(fault: kinds.Fault) -> str:
    return f"{kinds.dotted(fault.path)}: {fault.message}" if fault.path else fault.message


# Line breaks that only YAML knows, ends of documents, explicit keys: where counting lines would not be safe.
_NO_OWN_LINES = re.compile("[\r\x85\u2028\u2029]|^(?:\\.\\.\\.|%)|^\\s*\\?(?:\\s|$)")


@dataclass(frozen=True)
class _Page:
    """A readable file, with the lines that each resource stands on."""

    file: str
    lines: list[str]
    newline: str
    document: Document
    resources: Mapping[kinds.Named, Spec]
    paths: Mapping[kinds.Named, Path]
    rest: Mapping[str, Any]  # what is no resource: x-… at the root

    @classmethod
    def read(cls, file: str, content: bytes) -> _Page:
        """Raises EditError where the file holds anything that the desired repo would refuse."""
        if file.lower().endswith(".toml"):
            raise EditError(f"{file} is TOML, which is not edited; change it by hand or write it as YAML")
        read = document.read(file, content, templates=False, ends=True)
        shaped = kinds.examine(read.value)
        problems = read.problems or tuple(read.problem(fault.path, _worded(fault)) for fault in shaped.faults)
        if problems:
            raise EditError(f"the file cannot be edited before it is mended: {problems[0]}", problems)
        text = content.decode()
        newline = "\r\n" if "\r\n" in text else "\n"
        rest = {key: value for key, value in (read.value or {}).items() if key.startswith("x-")}
        lines = text.replace("\r\n", "\n").split("\n")
        return cls(file, lines, newline, read, shaped.resources, shaped.paths, rest)

    def with_resource(self, kind: str, name: str, spec: Spec) -> bytes:
        if not self._lines_separate(kind):
            return self._rewritten(lambda root: _put(_group(root, kind), kind, name, spec))
        path = self.paths.get((kind, name))
        return self._changed(path, spec) if path else self._added(kind, name, spec)

    def without_resource(self, kind: str, name: str) -> bytes:
        if not self._lines_separate(kind):
            return self._rewritten(lambda root: _take_out(root, kind, name))
        path = self.paths[kind, name]
        # Where it is the last of its section, the section goes as well: an empty one is poison.
        while len(path) > 1 and len(_value(self.document.value, path[:-1])) == 1:
            path = path[:-1]
        before, after = self.lines[: self._first(path)], self.lines[self._last(path) :]
        if before and not before[-1].strip() and after and not after[0].strip():
            before.pop()
        return self._joined(before + after)

    # ── by lines ──

    def _lines_separate(self, kind: str) -> bool:
        """Whether the resources of this kind, and what holds them, each have lines of their own."""
        if kind == kinds.CERTIFICATES or any(map(_NO_OWN_LINES.search, self.lines)):
            return False
        value: Any = self.document.value
        holder: Path = ()
        for name in (None, *kind.split(".")):
            if name is not None:
                key = _key(value, name)
                if key not in value:
                    return True
                value, holder = value[key], (*holder, key)
            if holder in self.document.flowing or not (isinstance(value, dict) or (holder == () and value is None)):
                return False
            value = value or {}
        return True

    def _changed(self, path: Path, spec: Spec) -> bytes:
        line, column = self.document.place(path)
        start, end, indent = line - 1, self._last(path), " " * (column - 1)
        block = "\n".join(text.removeprefix(indent) for text in self.lines[start:end])
        yaml = self._yaml(path)
        root = _loaded(yaml, block)
        key = next(iter(root))
        root[key] = _merged(root[key], spec)
        lines = _fragment(yaml, root, indent)
        kept = [f"{indent}{comment}" for comment in _lost(block, "\n".join(lines))]
        return self._joined([*self.lines[:start], *kept, *lines, *self.lines[end:]])

    def _added(self, kind: str, name: str, spec: Spec) -> bytes:
        """After the last of its neighbours, one blank line apart where they are."""
        section, group = kind.split(".")
        value = self.document.value or {}
        section_key = _key(value, section)
        group_key = _key(value.get(section_key, {}), group)
        fresh: Any = {name: spec}
        holder: Path = (section_key, group_key)
        if group_key not in value.get(section_key, {}):
            fresh, holder = {group: fresh}, (section_key,)
        if section_key not in value:
            fresh, holder = {section: fresh}, ()
        indent, at = self._column_below(holder), self._last(holder) if value else len(self.lines)
        lines = _fragment(self._yaml(), _fresh(fresh), " " * indent)
        if self._spaced(holder):
            lines.insert(0, "")
        before = self.lines[:at] if any(self.lines[:at]) else []
        if before and not before[-1]:
            before.pop()
        return self._joined([*before, *lines, *(self.lines[at:] or [""])])

    def _column_below(self, holder: Path) -> int:
        children = _children(self.document, holder)
        return self.document.place(children[0])[1] - 1 if children else 0

    def _spaced(self, holder: Path) -> bool:
        children = _children(self.document, holder)
        if len(children) < 2:
            return False
        first = self._first(children[-1])
        return first > 0 and not self.lines[first - 1].strip()

    def _first(self, path: Path) -> int:
        """Where a resource begins, counting from 0: its key, or the comments right above it."""
        line, column = self.document.place(path)
        start = line - 1
        while len(path) > 1 and start > 0 and self.lines[start - 1].startswith(" " * (column - 1) + "#"):
            start -= 1
        return start

    def _last(self, path: Path) -> int:
        """The number of the last line of what stands at a path: comments that stand in deeper are part of it,
        blank lines after it are not."""
        line, inside = self.document.ends[path], " " * self.document.place(path)[1]
        while line > 1 and not self.lines[line - 1].strip():
            line -= 1
        while line < len(self.lines) and self.lines[line].startswith(inside) and self.lines[line].lstrip()[:1] == "#":
            line += 1
        return line

    def _joined(self, lines: list[str]) -> bytes:
        text = "\n".join(lines)
        return (text if text.endswith("\n") else text + "\n").replace("\n", self.newline).encode()

    # ── as a whole ──

    def _rewritten(self, change: Any) -> bytes:
        text = "\n".join(self.lines)
        yaml = self._yaml()
        yaml.explicit_start = text.startswith("---") or None
        root = _loaded(yaml, text)
        root = root if isinstance(root, CommentedMap) else CommentedMap()
        change(root)
        rewritten = _dumped(yaml, root).decode()
        return self._joined([*_lost(text, rewritten), *rewritten.split("\n")])

    def _yaml(self, path: Path = ()) -> YAML:
        """A reader and writer that indents as this part of the file does."""
        yaml = YAML(typ="rt")
        yaml.preserve_quotes = True
        yaml.width = 1_000_000
        sequence, offset = self._sequence_indent(path) or self._sequence_indent(()) or (4, 2)
        yaml.indent(mapping=self._mapping_indent(path), sequence=sequence, offset=offset)
        return yaml

    def _mapping_indent(self, within: Path) -> int:
        """How far fields stand in from the key above, as the first ones in this part have it."""
        for path, (line, column) in self.document.places.items():
            above, key_column = self.document.place(path[:-1])
            in_block = len(path) > 1 and isinstance(path[-1], str) and path[:-1] not in self.document.flowing
            if in_block and path[: len(within)] == within != path and above < line and column > key_column:
                return column - key_column
        return 2

    def _sequence_indent(self, within: Path) -> tuple[int, int] | None:
        """How far items and their dashes stand in from the key above, as the first list in this part has it."""
        for path, (line, column) in self.document.places.items():
            above, key_column = self.document.place(path[:-1])
            dash = self.lines[line - 1].rfind("-", 0, column - 1)
            in_block = path[-1:] == (0,) and path[:-1] not in self.document.flowing
            if in_block and path[: len(within)] == within and above < line and dash + 1 >= key_column:
                return column - key_column, dash + 1 - key_column
        return None


def _checked(page: _Page, edited: bytes, wanted: Mapping[kinds.Named, Spec]) -> bytes:
    """The edit, after reading it back: a person's file is never damaged silently."""
    after = _Page.read(page.file, edited)
    if dict(after.resources) != dict(wanted) or after.rest != page.rest:
        raise EditError(f"{page.file or 'the file'} cannot be edited without touching more than asked; edit it by hand")
    return edited


def _value(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


def _children(read: Document, holder: Path) -> list[Path]:
    return [path for path in read.places if len(path) == len(holder) + 1 and path[: len(holder)] == holder]


def _lost(before: str, after: str) -> list[str]:
    """The comments that an edit dropped: they are put back above what was edited, for a person to judge."""
    return list((Counter(document.comments(before)) - Counter(document.comments(after))).elements())


def _fragment(yaml: YAML, root: Any, indent: str) -> list[str]:
    text = _dumped(yaml, root).decode()
    return [indent + line if line.strip() else line for line in text.removesuffix("\n").split("\n")]


def _dumped(yaml: YAML, root: Any) -> bytes:
    stream = io.BytesIO()
    yaml.dump(root, stream)
    return stream.getvalue()


def _key(holder: Mapping[str, Any], name: str) -> str:
    return next((key for key in holder if key.casefold() == name.casefold()), name)


def _group(root: CommentedMap, kind: str) -> Any:
    section, group = kind.split(".")
    holder = root
    members = CommentedSeq() if kind == kinds.CERTIFICATES else CommentedMap()
    for name, fresh in ((section, CommentedMap()), (group, members)):
        key = _key(holder, name)
        if holder.get(key) is None:
            holder[key] = fresh
        holder = holder[key]
    return holder


def _put(group: Any, kind: str, name: str, spec: Spec) -> None:
    if kind != kinds.CERTIFICATES:
        group[name] = _merged(group.get(name), spec)
        return
    for index, entry in enumerate(group):
        if kinds.certificate_name(entry) == name:
            group[index] = _merged(entry, spec)
            return
    group.append(_fresh(spec))


def _take_out(root: CommentedMap, kind: str, name: str) -> None:
    section, group = kind.split(".")
    section_key = _key(root, section)
    group_key = _key(root[section_key], group)
    members = root[section_key][group_key]
    if kind == kinds.CERTIFICATES:
        del members[next(i for i, entry in enumerate(members) if kinds.certificate_name(entry) == name)]
    else:
        del members[name]
    if not members:
        del root[section_key][group_key]
    if not root[section_key]:
        del root[section_key]


def _merged(old: Any, new: Any) -> Any:
    """`new`, written into `old` so that what did not change keeps its comments, order and quotes."""
    if isinstance(old, CommentedMap) and isinstance(new, dict):
        wanted = {_key(old, key): value for key, value in new.items()}
        for key in [key for key in old if key not in wanted]:
            del old[key]
        for key, value in wanted.items():
            old[key] = _merged(old.get(key), value)
        return old
    if isinstance(old, CommentedSeq) and isinstance(new, list):
        for index, value in enumerate(new[: len(old)]):
            old[index] = _merged(old[index], value)
        old.extend(_fresh(value) for value in new[len(old) :])
        del old[len(new) :]
        return old
    same = isinstance(old, type(new)) and isinstance(old, bool) == isinstance(new, bool) and old == new
    return old if same and old is not None else _fresh(new)


def _fresh(value: Any) -> Any:
    if isinstance(value, dict):
        return CommentedMap({_fresh(key): _fresh(inner) for key, inner in value.items()})
    if isinstance(value, list):
        return CommentedSeq(_fresh(inner) for inner in value)
    return DoubleQuotedScalarString(value) if isinstance(value, str) and not _reads_as_text(value) else value


def _reads_as_text(text: str) -> bool:
    """Whether Traefik's reader takes it for text without quotes; ruamel's own idea of that is a newer YAML's."""
    try:
        return bool(document.plain(text) == text)
    except ValueError:
        return False
