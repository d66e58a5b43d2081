"""What the last looks at watched pages saw, kept on disk. Not history: what is lost here is looked at again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
from pydantic import TypeAdapter

from reconciler.documentation.comparing import Change, Kept
from reconciler.ports import Disk
from state.model import digest_bytes

if TYPE_CHECKING:
    from reconciler import schedule
else:
    from state import lazily

    schedule = lazily.module("reconciler.schedule")  # it brings a scheduler along, and a watch of files

AGAIN: Final = timedelta(hours=1)
"""How soon a page that could not be read is tried again, where its own time is not sooner."""

SETTLED: Final = timedelta(minutes=10)
"""How long a change must stand: sites are published piece by piece, and serve two versions meanwhile."""

_MOST_LOOKS: Final = 4
"""Looks in a row at what seems to change; a section that is another every time is no news, and no reason to hurry."""


@dataclass(frozen=True)
class Sighting:
    """A difference that was seen, and is believed when it still stands later. `sections`: anchor -> hash."""

    at: datetime
    looks: int = 1
    sections: Mapping[str, str] = field(default_factory=dict)
    gone: str = ""  # why, where nothing was there
    moved_to: str = ""

    def confirms(self, change: Change, now: datetime) -> bool:
        """Whether the same change was there long enough ago."""
        stood = self.sections.get(change.after.anchor) == change.after.hash if change.after else self._lacks(change)
        return stood and not self.gone and now - self.at >= SETTLED

    def _lacks(self, change: Change) -> bool:
        return change.one.anchor not in self.sections


@dataclass(frozen=True)
class Record:
    """A page: when it was tried and read last, its sections as they were recorded, what may have changed since."""

    page: str
    tried: datetime
    read: datetime | None = None
    failed: bool = False
    sections: tuple[Kept, ...] = ()
    seen: Sighting | None = None


def is_due(record: Record | None, every: str, asked: datetime | None, now: datetime) -> bool:
    """Whether a page is to be looked at now; `asked` is when a person wanted that."""
    if record is None or record.tried > now or (asked is not None and record.tried < asked):
        return True
    if record.seen and record.seen.looks < _MOST_LOOKS:
        return now >= record.tried + SETTLED
    usual = schedule.next_time(every, record.tried)
    return now >= (min(usual, record.tried + AGAIN) if record.failed else usual)


@dataclass(frozen=True)
class Ledger:
    """Records by the address of the page, a file each."""

    directory: Path

    def get(self, page: str) -> Record | None:
        """The record of a page; None where there is none that can be read."""
        try:
            content = Disk().read(self._path(page))
            found = _RECORD.validate_json(content) if content else None
        except (OSError, ValueError):
            return None
        return found if found and found.page == page else None

    def put(self, record: Record) -> None:
        """Keep a record. Where the disk does not take it the page is looked at again sooner than it need be."""
        path = self._path(record.page)
        with contextlib.suppress(OSError):
            Disk().make_directory(self.directory, 0o700)
            Disk().write(path.with_suffix(".new"), orjson.dumps(asdict(record)), 0o600)
            Disk().replace(path.with_suffix(".new"), path)

    def keep_only(self, pages: tuple[str, ...]) -> None:
        wanted = {self._path(page).name for page in pages}
        with contextlib.suppress(OSError):
            for path in self.directory.glob("*.json"):
                if path.name not in wanted:
                    path.unlink(missing_ok=True)

    def _path(self, page: str) -> Path:
        return self.directory / f"{digest_bytes(page.encode())[:40]}.json"


_RECORD = TypeAdapter(Record)
