"""A system that lets call after call wait for nothing is left in peace for a moment: the next would wait as long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from reconciler.asking import AskError, Asking, Question, Reply

LONG: Final = 2.0
"""Seconds of silence that a client should not wait for again. A connection that is refused is told at once."""

IN_A_ROW: Final = 3
"""Calls that met with silence: one question may be hard where others are not."""

RESTS: Final = 10.0
"""Seconds for which calls are told what the last one found; then one tries, and the others hear that meanwhile."""


class Resting(Asking):
    """One system, as `Asking` asks it, for the calls of many clients at once."""

    def __init__(
        self, name: str, url: str, ca_file: Path | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(name, url, ca_file)
        self._now = now
        self._lock = Lock()
        self._silent, self._last = 0, ""
        self._until = 0.0

    def ask(self, question: Question) -> Reply:
        """The whole answer. Raises AskError where there is none, and while it rests."""
        with self._counted():
            return super().ask(question)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        began = self._now()
        self._turn_away(began)
        try:
            yield
        except AskError as fault:
            is_silent = fault.retry and not fault.status and self._now() - began >= LONG
            self._heard(str(fault) if is_silent else "")
            raise
        self._heard("")

    def _turn_away(self, now: float) -> None:
        with self._lock:
            if self._silent < IN_A_ROW:
                return
            if now < self._until:
                raise AskError(self._last)
            self._until = now + RESTS  # this one tries

    def _heard(self, silence: str) -> None:
        with self._lock:
            self._silent, self._last = (self._silent + 1 if silence else 0), silence
            self._until = self._now() + RESTS
