"""How one kind of target stands in the desired repo, file by file: what a target's module tells the reader. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from state.model import Problem, Spec


@dataclass(frozen=True)
class Content:
    """One file by itself, whichever instance it belongs to: its resources, and everything that is wrong with it."""

    resources: tuple[tuple[str, str, Spec, int], ...] = ()  # kind, name, spec, line
    problems: tuple[Problem, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


class Unwritable(ValueError):
    """What is live is so in a way that no file can say; the message says in which."""


@dataclass(frozen=True)
class Language:
    """What is read of an instance's directory, and how.

    `reads` tells, from a path inside that directory, whether the file says what should be; others may stand beside
    it. `parse` gets the whole path, for its messages, and the bytes. `strict`: no file of the directory may be marked
    executable, for all of them are the system's own. `written` makes a file of one resource, with a comment above it,
    where a file is one resource and a person would write it so; it raises Unwritable.
    """

    reads: Callable[[str], bool]
    parse: Callable[[str, bytes], Content]
    strict: bool = False
    written: Callable[[Spec, str], bytes] | None = None
