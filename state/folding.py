"""Views kept between looks at them, and put away between starts: what is folded once need not be folded again."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from state import tables
from state.errors import LogError
from state.events import PayloadRedacted
from state.storage import Storage
from state.tables import Slice
from state.view import View, fold_together

V = TypeVar("V", bound=View)

CHECKPOINT_EVERY = 500
"""Events between two times that a view is put away."""


@dataclass
class _Folded(Generic[V]):
    """A view's state after the event `seq`, and the event up to which it was put away."""

    state: V
    seq: int = 0
    saved: int = 0


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """States grow and hold no circles: Python need not look through all of them, again and again, for garbage.

    Nor at the end, when all is new to it: by then what stays is as old as what was there before.
    """
    looking = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # else what somebody froze would thaw with it
            gc.freeze()
            gc.unfreeze()
        if looking:
            gc.enable()


class Folding:
    """The views of one log."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._folded: dict[type[View], _Folded[Any]] = {}

    def view(self, view: type[V]) -> V:
        """The state of a view now. It is shared and will not change: read it, do not write into it."""
        with self._storage.lock:
            folded: _Folded[V] = self._folded.get(view) or self._taken_up(view)
            last = self._storage.head().seq
            if folded.seq != last:
                folded = self._advanced(view, folded, last)
            self._folded[view] = folded
            self._put_away(view, least=CHECKPOINT_EVERY)
            return folded.state

    def replayed(self, views: Sequence[type[View]]) -> dict[type[View], View]:
        """These views, folded from the first event on, whatever was put away; each event is read once."""
        states = [view.empty() for view in views]
        types = {event.__name__ for view in views for event in view.handlers}
        wanted = Slice(until=self._storage.head().seq, types=tuple(sorted(types)))
        with _undisturbed():
            fold_together(states, tables.happened(self._storage.page, wanted))
        return dict(zip(views, states, strict=True))

    def misremembered(self, views: Sequence[type[View]]) -> list[type[View]]:
        """Those that were put away otherwise than their events add up to; of all others the state is known now."""
        with self._storage.lock:
            last, wrong = self._storage.head().seq, list[type[View]]()
            for view, state in self.replayed(views).items():
                if not self._taken_up(view).seq:  # nothing of it was kept that could be wrong
                    self._folded[view] = _Folded(state, last)
                elif self.view(view).encode() != state.encode():
                    wrong.append(view)
            return wrong

    def renew(self, views: Sequence[type[View]]) -> None:
        """Fold these views again from the first event on, and put them away."""
        with self._storage.lock:
            last = self._storage.head().seq
            for view, state in self.replayed(views).items():
                self._folded[view] = _Folded(state, last)
                self._put_away(view, least=1)

    def forget(self) -> None:
        """What is kept no longer holds: it is folded again when it is asked for."""
        self._folded.clear()

    def put_all_away(self) -> None:
        for view in self._folded:
            self._put_away(view, least=1)

    def _advanced(self, view: type[V], folded: _Folded[V], last: int) -> _Folded[V]:
        if folded.seq and self._redacted_since(folded.seq):
            folded = _Folded(view.empty())
        types = tuple(event.__name__ for event in view.handlers)
        news = tables.walk(self._storage.page, Slice(after=folded.seq, until=last, types=types))
        return _Folded(folded.state.copy().fold_all(news), last, folded.saved)

    def _redacted_since(self, seq: int) -> bool:
        return bool(self._storage.page(Slice(after=seq, types=(PayloadRedacted.__name__,))))

    def _taken_up(self, view: type[V]) -> _Folded[V]:
        with self._storage.reading:
            found = tables.checkpoint(self._storage.database, view.name)
        if found and found.version == view.version and self._storage.hash_at(found.seq) == found.hash:
            # What cannot be read is folded again: a checkpoint only saves time.
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                return _Folded(view.decode(found.state), found.seq, found.seq)
        return _Folded(view.empty())

    def _put_away(self, view: type[View], *, least: int) -> None:
        folded = self._folded[view]
        if self._storage.readonly or folded.seq - folded.saved < least:
            return
        with contextlib.suppress(LogError), self._storage.writing:  # a checkpoint only saves time
            tables.put_away(self._storage.database, view.name, view.version, folded.seq, folded.state.encode())
            folded.saved = folded.seq
