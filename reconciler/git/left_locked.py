"""Locks that who was killed left behind, swept while others work: a command dies beside a reconciler that runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reconciler.ports import Clock

NOBODY_TAKES_SO_LONG = 60.0
"""Seconds; a lock is held for a few system calls, and the hooks of a push."""

_Seen = tuple[int, int, float]


class LeftLocked:
    """Remembers the locks of branches, and removes the one that stands there unchanged for a minute.

    Counted from when it was seen first, by the clock that only counts: nobody's clock on the wall can make it old.
    """

    def __init__(self, place: Path, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self._seen: dict[Path, _Seen] = {}

    def sweep(self) -> list[Path]:
        """Remove those; the paths. What cannot be removed is tried again."""
        self._seen = dict(self._looked())
        return [path for path, (_, _, since) in self._seen.items() if self._is_old(since) and _removed(path)]

    def _looked(self) -> Iterator[tuple[Path, _Seen]]:
        for path in (*self._place.glob("*.lock"), *(self._place / "refs" / "heads").rglob("*.lock")):
            with suppress(OSError):
                status = path.lstat()
                now = (status.st_ino, status.st_mtime_ns, self._clock.monotonic())
                before = self._seen.get(path, now)
                yield path, before if before[:2] == now[:2] else now

    def _is_old(self, since: float) -> bool:
        return self._clock.monotonic() - since >= NOBODY_TAKES_SO_LONG


def _removed(path: Path) -> bool:
    with suppress(OSError):
        path.unlink()
        return True
    return False
