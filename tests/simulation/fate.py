"""What befalls one run of the reconciler: its n-th deed is its last, or meets something that others do meanwhile."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Happening = Callable[[], None]
Due = Mapping[tuple[str, int | str], Happening]

CHANGE: Final = "change"
LOOK: Final = "look"


class Died(BaseException):
    """The process is gone. From here on nothing that it still runs (`finally`, `with`) has any effect."""


class Violation(BaseException):
    """Something that must always hold does not. Nothing between here and the schedule may catch it."""


def require(condition: object, invariant: str, *details: object) -> None:
    if not condition:
        raise Violation(f"{invariant}: {' '.join(map(str, details))}")


@dataclass
class Trace:
    """All that happened, in order: a digest to compare two runs by, and the last lines to read."""

    lines: list[str] = field(default_factory=list)

    def add(self, *words: Any) -> None:
        self.lines.append(" ".join(map(str, words)))

    @property
    def digest(self) -> str:
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()[:16]


class Fate:
    """Counts what a process does to the world (`change`) and asks of it (`look`), and lets happen what is due then."""

    def __init__(self, trace: Trace, due: Due | None = None) -> None:
        self.trace = trace
        self.dead = False
        self.counted: Counter[str] = Counter()
        self._due = dict(due or {})

    def expect(self, due: Due) -> None:
        """From now on counted anew: at the n-th deed of a sort that is about to be done, something happens first.

        In place of a number there may be the words of a change: then at the first that is called so.
        """
        self.counted.clear()
        self._due = dict(due)

    def change(self, what: str) -> None:
        """The process is about to change the world outside."""
        if not self.dead:
            self.trace.lines.append(what)
        self._reach(CHANGE)
        if happening := self._due.pop((CHANGE, what), None):
            happening()

    def look(self) -> None:
        """The process is about to ask, or to wait."""
        self._reach(LOOK)

    def die(self) -> None:
        self.dead = True
        raise Died

    def _reach(self, sort: str) -> None:
        if self.dead:
            raise Died
        self.counted[sort] += 1
        if self._due and (happening := self._due.pop((sort, self.counted[sort]), None)):
            happening()
