"""Views of main: which of its commits are revisions, and what keeps the newest one from being live."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from state.events import (
    ApplyStarted,
    CommitApproved,
    DesiredRefused,
    HistoryRewritten,
    Json,
    PlanHeld,
    PlanMade,
    RevisionMade,
    SourceFound,
    SourceLost,
)
from state.record import Occasion
from state.view import View, on


class Revision(NamedTuple):
    """A commit that was applied and proven; `policy` is the digest of its waypost.yaml."""

    number: int
    commit: str
    tree: str
    policy: str
    at: datetime
    seq: int


@dataclass
class Revisions(View):
    """Every revision of this home."""

    by_number: dict[int, Revision] = field(default_factory=dict)
    by_commit: dict[str, Revision] = field(default_factory=dict)
    latest: Revision | None = None

    @on(RevisionMade)
    def _make(self, event: RevisionMade, at: Occasion) -> None:
        made = Revision(event.number, event.commit, event.tree, event.policy, at.at, at.seq)
        self.by_number[made.number] = self.by_commit[made.commit] = self.latest = made


@dataclass(frozen=True, slots=True)
class HeldPlan:
    """A plan that was not applied, with everything that speaks against it."""

    plan: PlanHeld
    at: datetime
    seq: int

    @property
    def commit(self) -> str:
        return self.plan.commit

    @property
    def digest(self) -> str:
        return self.plan.digest


@dataclass(frozen=True, slots=True)
class RefusedCommit:
    """A commit whose desired state could not be read; `problems` are {file, line, column, message}."""

    commit: str
    problems: tuple[Json, ...]
    at: datetime
    seq: int


@dataclass
class Main(View):
    """Where main is, and what keeps its newest commit from being live. `planned` is commit:digest of the last plan."""

    version = 2

    head: str = ""
    planned: str = ""
    held: HeldPlan | None = None
    refused: RefusedCommit | None = None
    source_lost: str = ""

    @on(CommitApproved)
    def _approve(self, event: CommitApproved, at: Occasion) -> None:
        self.head = event.commit
        self._settle()

    @on(HistoryRewritten)
    def _rewrite(self, event: HistoryRewritten, at: Occasion) -> None:
        # Where main went back to an earlier commit nothing new is approved, yet that is where it is.
        self.head = event.now
        self._settle()

    @on(RevisionMade)
    def _revise(self, event: RevisionMade, at: Occasion) -> None:
        self._settle()

    def _settle(self) -> None:
        # Both are about one commit's plan: whatever follows it needs a verdict of its own.
        self.held = self.refused = None

    @on(PlanMade)
    def _plan(self, event: PlanMade, at: Occasion) -> None:
        self.planned = f"{event.commit}:{event.digest}"
        self.refused = None
        if self.held and self.held.digest != event.digest:
            self.held = None

    @on(PlanHeld)
    def _hold(self, event: PlanHeld, at: Occasion) -> None:
        self.held = HeldPlan(event, at.at, at.seq)

    @on(ApplyStarted)
    def _apply(self, event: ApplyStarted, at: Occasion) -> None:
        if self.held and self.held.commit == event.commit:
            self.held = None

    @on(DesiredRefused)
    def _refuse(self, event: DesiredRefused, at: Occasion) -> None:
        self.refused = RefusedCommit(event.commit, event.problems, at.at, at.seq)

    @on(SourceLost)
    def _lose(self, event: SourceLost, at: Occasion) -> None:
        self.source_lost = event.reason

    @on(SourceFound)
    def _find(self, event: SourceFound, at: Occasion) -> None:
        self.source_lost = ""
