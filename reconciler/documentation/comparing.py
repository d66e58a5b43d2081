"""What became of the sections of a page since it was read before. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from reconciler.documentation.page import Page, essence

_ALIKE: Final = 0.6
"""Part of the words that two sections share, from which on one is taken for the other under a new name."""

_MOST_LINES: Final = 1_500
_MOST_COMPARED: Final = 60
"""Sections that went, or came, among which one that moved is looked for."""


@dataclass(frozen=True)
class Kept:
    """A section as it was kept. Its text may be lost ("") where the file that held it is; its hash never is."""

    anchor: str
    heading: str
    hash: str
    text: str = ""


@dataclass(frozen=True)
class Change:
    """What became of one section; `before` is None for a new one, `after` for one that is gone; `one` is the last."""

    one: Kept
    before: Kept | None
    after: Kept | None

    @property
    def kind(self) -> Literal["added", "removed", "renamed", "changed"]:
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        same = self.before.hash == self.after.hash or _same_words(self.before, self.after)
        return "renamed" if same else "changed"

    @property
    def anchors(self) -> frozenset[str]:
        return frozenset(side.anchor for side in (self.before, self.after) if side)


def kept(page: Page) -> tuple[Kept, ...]:
    return tuple(Kept(one.anchor, one.heading, one.hash, one.text) for one in page.sections)


def compare(before: Sequence[Kept], after: Sequence[Kept]) -> list[Change]:
    """Every section that is not as it was, in the order of the page. That sections changed places is no change."""
    old, new = {one.anchor: one for one in before}, {one.anchor: one for one in after}
    gone = [one for one in before if one.anchor not in new]
    come = [one for one in after if one.anchor not in old]
    moved = dict(_moved(gone, come))
    changes = [Change(one, _origin(one, old, moved), one) for one in after if _is_news(one, old)]
    followed = {one.anchor for one in moved.values()}
    return [*changes, *(Change(one, one, None) for one in gone if one.anchor not in followed)]


def _is_news(one: Kept, old: Mapping[str, Kept]) -> bool:
    return one.anchor not in old or old[one.anchor].hash != one.hash


def _origin(one: Kept, old: Mapping[str, Kept], moved: Mapping[str, Kept]) -> Kept | None:
    return old.get(one.anchor) or moved.get(one.anchor)


def _moved(gone: Iterable[Kept], come: Iterable[Kept]) -> Iterator[tuple[str, Kept]]:
    """New anchors of sections that were there before, with what they were."""
    left = list(gone)[:_MOST_COMPARED]
    for one in list(come)[:_MOST_COMPARED]:
        likeness = [(_likeness(one, other), -index) for index, other in enumerate(left)]
        best, index = max(likeness, default=(0.0, 0))
        if best >= _ALIKE:
            yield one.anchor, left.pop(-index)


def _likeness(one: Kept, other: Kept) -> float:
    if one.hash == other.hash or _same_words(one, other):
        return 1.0
    mine, theirs = set(essence(one.text).split()), set(essence(other.text).split())
    return len(mine & theirs) / len(mine | theirs) if mine and theirs else 0.0


def _same_words(one: Kept, other: Kept) -> bool:
    return bool(one.text) and essence(one.text) == essence(other.text)


def news(changes: Iterable[Change], watched: Sequence[str]) -> list[Change]:
    """What a person should hear of: other words, in the sections that are watched (all, where none is named)."""
    return [one for one in changes if one.kind != "renamed" and (not watched or one.anchors.intersection(watched))]


def difference(change: Change, most: int) -> list[str]:
    """The lines that went and came, with a little around them, at most that many."""
    before, after = (_lines(side) for side in (change.before, change.after))
    if change.before and not change.before.text:
        return ["(what it said before is not kept here)"]
    if max(len(before), len(after)) > _MOST_LINES:
        return ["(it is too long to show what changed)"]
    lines = [line for line in difflib.unified_diff(before, after, lineterm="", n=1) if not _is_frame(line)]
    if not lines:
        return ["(only links changed)"]
    return lines if len(lines) <= most else [*lines[:most], f"… and {len(lines) - most} more lines"]


def _is_frame(line: str) -> bool:
    return line in ("--- ", "+++ ") or line.startswith("@@ ")


def _lines(side: Kept | None) -> list[str]:
    return side.text.split("\n") if side and side.text else []
