"""What routers were before the steps of the last day that nobody looked at, so that small losses add up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from state.events import (
    ApplyProven,
    ApplyUndone,
    CommitApproved,
    ConsentGiven,
    Json,
    PlanShown,
    ResourcesAdopted,
    RevisionMade,
    TargetEjected,
)
from state.mentions import address_or_none
from state.model import Address, Spec
from state.record import Recorded
from state.view import View, on

WINDOW = timedelta(hours=24)
_ADD_UP = "hostnames"  # the guard whose losses do


@dataclass(frozen=True, slots=True)
class Step:
    """What a router was until then; None where there was none."""

    at: datetime
    was: Any


@dataclass
class Lately(View):
    """Steps count from when a person last saw, or consented to, lost host names; and for a day at most."""

    version = 2

    routers: dict[Address, Spec] = field(default_factory=dict)
    steps: dict[Address, tuple[Step, ...]] = field(default_factory=dict)  # oldest first, and so are the addresses
    proposals: dict[str, bool] = field(default_factory=dict)  # whose plan showed such a loss
    seen: dict[str, bool] = field(default_factory=dict)  # commits of main, not yet revisions, whose losses were seen

    def before(self, instance: str, now: datetime) -> dict[Address, Spec]:
        """The routers that have changed since, as they were then."""
        first = {
            address: next((step.was for step in steps if step.at > now - WINDOW), None)
            for address, steps in self.steps.items()
            if address.instance == instance
        }
        return {address: was for address, was in first.items() if was is not None}

    @on(PlanShown)
    def _show(self, event: PlanShown, at: Recorded) -> None:
        if event.to_person and _tells(event.losses):
            self.proposals[event.proposal] = True

    @on(ConsentGiven)
    def _consent(self, event: ConsentGiven, at: Recorded) -> None:
        if _tells(event.losses):
            (self.proposals if event.proposal else self.seen)[event.proposal or event.commit] = True

    @on(CommitApproved)
    def _approve(self, event: CommitApproved, at: Recorded) -> None:
        if event.proposal and self.proposals.pop(event.proposal, False):
            self.seen[event.commit] = True

    @on(RevisionMade)
    def _revise(self, event: RevisionMade, at: Recorded) -> None:
        self.seen.pop(event.commit, None)

    @on(ApplyProven)
    def _prove(self, event: ApplyProven, at: Recorded) -> None:
        if event.commit in self.seen:
            self._forget(event.instance, self.steps)
            self._put(event.changes)
            return
        for address, _ in _routers(event.changes):
            recent = tuple(step for step in self.steps.pop(address, ()) if step.at > at.at - WINDOW)
            self.steps[address] = (*recent, Step(at.at, self.routers.get(address)))
        self._outdate(at.at)
        self._put(event.changes)

    @on(ApplyUndone)
    def _undo(self, event: ApplyUndone, at: Recorded) -> None:
        self._put(event.changes)

    @on(ResourcesAdopted)
    def _adopt(self, event: ResourcesAdopted, at: Recorded) -> None:
        self._put(event.resources)

    @on(TargetEjected)
    def _eject(self, event: TargetEjected, at: Recorded) -> None:
        self._forget(event.instance, self.steps)
        self._forget(event.instance, self.routers)

    def _outdate(self, now: datetime) -> None:
        """Forget routers whose last step no longer counts. They stand in the order of that step."""
        outdated = takewhile(lambda address: self.steps[address][-1].at <= now - WINDOW, self.steps)
        for address in list(outdated):
            del self.steps[address]

    def _put(self, changes: Json) -> None:
        for address, spec in _routers(changes):
            if spec is None:
                self.routers.pop(address, None)
            else:
                self.routers[address] = spec

    @staticmethod
    def _forget(instance: str, table: dict[Address, Any]) -> None:
        for address in [address for address in table if address.instance == instance]:
            del table[address]


def _routers(changes: Json) -> Iterable[tuple[Address, Spec]]:
    for text, spec in changes.items():
        address = address_or_none(text)
        if address is not None and address.kind.endswith(".routers"):
            yield address, spec


def _tells(losses: Iterable[Json]) -> bool:
    return any(loss.get("guard") == _ADD_UP for loss in losses)
