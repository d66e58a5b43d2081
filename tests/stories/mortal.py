"""Processes that die in the middle of a pass: what they did has happened, and they do nothing more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any


class Died(BaseException):
    """The process ends here."""


@dataclass
class Life:
    """It ends with the n-th thing that is done in it of those that `counts` names: as `log.append`."""

    lasts: int
    counts: Collection[str]
    begun: bool = True  # nothing counts before
    done: list[str] = field(default_factory=list)

    def begins(self) -> None:
        self.begun = True

    def of(self, who: str, inner: Any) -> Any:
        """The same, as long as this life lasts."""
        return _Mortal(self, who, inner)

    def die_if_over(self) -> None:
        if self.begun and len(self.done) >= self.lasts:
            raise Died


class _Mortal:
    def __init__(self, life: Life, who: str, inner: Any) -> None:
        self._life, self._who, self._inner = life, who, inner

    def __getattr__(self, name: str) -> Any:
        found, what = getattr(self._inner, name), f"{self._who}.{name}"
        if what not in self._life.counts:
            return found

        def done(*arguments: Any, **named: Any) -> Any:
            self._life.die_if_over()
            answer = found(*arguments, **named)
            if self._life.begun:
                self._life.done.append(what)
            self._life.die_if_over()
            return answer

        return done
