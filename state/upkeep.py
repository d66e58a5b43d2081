"""The view of what a home does for itself: its backups, and whether the last good one is too old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from state.events import BackupFailed, BackupMade, BackupOverdue, HomeCreated, HomeRestored
from state.record import Occasion
from state.view import View, on


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup that was read back and found good; `seq` is how far its log reaches."""

    file: str
    at: datetime
    seq: int


@dataclass
class Backups(View):
    """`begun` is since when there is something to keep; `failed` why the last try came to nothing, "" where it did.

    `tried` is when a backup was last made or failed; `overdue` why a person was told that there is no recent one.
    """

    begun: datetime | None = None
    last: Kept | None = None
    tried: datetime | None = None
    failed: str = ""
    overdue: str = ""

    @on(HomeCreated, HomeRestored)
    def _begin(self, event: HomeCreated | HomeRestored, at: Occasion) -> None:
        self.begun = at.at

    @on(BackupMade)
    def _make(self, event: BackupMade, at: Occasion) -> None:
        self.last = Kept(event.file, at.at, event.seq)
        self.tried = at.at
        self.failed = self.overdue = ""

    @on(BackupFailed)
    def _fail(self, event: BackupFailed, at: Occasion) -> None:
        self.failed = event.reason
        self.tried = at.at

    @on(BackupOverdue)
    def _miss(self, event: BackupOverdue, at: Occasion) -> None:
        self.overdue = event.reason
