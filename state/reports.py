"""The view of reports: the last one about drift, and the issue in which people find it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from state.events import DriftIssueShown, DriftReported
from state.record import Occasion
from state.view import View, on


class Report(NamedTuple):
    """One report; `seq` is that of its event."""

    at: datetime
    seq: int
    title: str
    body: str


class Issue(NamedTuple):
    """The issue about drift, and the digest of what stands there."""

    number: int
    address: str
    digest: str
    is_open: bool


@dataclass
class Reports(View):
    """The last report of drift, and its issue; `issue_seq` is of the event that said last how that is."""

    drift: Report | None = None
    issue: Issue | None = None
    issue_seq: int = 0

    @on(DriftReported)
    def _report(self, event: DriftReported, at: Occasion) -> None:
        self.drift = Report(at.at, at.seq, event.title, event.body)

    @on(DriftIssueShown)
    def _show(self, event: DriftIssueShown, at: Occasion) -> None:
        self.issue = Issue(event.number, event.address, event.digest, event.is_open)
        self.issue_seq = at.seq
