"""What routers were before the steps of the last day that nobody looked at, so that small losses add up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

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
from state.record import Occasion
from state.view import View, on

WINDOW = timedelta(hours=24)
_ADD_UP = "hostnames"  # the guard whose losses do


class Step(NamedTuple):
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

    def copy(self) -> Lately:
        return Lately(dict(self.routers), dict(self.steps), dict(self.proposals), dict(self.seen))

    @on(PlanShown)
    def _show(self, event: PlanShown, at: Occasion) -> None:
        if event.to_person and _tells(event.losses):
            self.proposals[event.proposal] = True

    @on(ConsentGiven)
    def _consent(self, event: ConsentGiven, at: Occasion) -> None:
        if _tells(event.losses):
            (self.proposals if event.proposal else self.seen)[event.proposal or event.commit] = True

    @on(CommitApproved)
    def _approve(self, event: CommitApproved, at: Occasion) -> None:
        if event.proposal and self.proposals.pop(event.proposal, False):
            self.seen[event.commit] = True

    @on(RevisionMade)
    def _revise(self, event: RevisionMade, at: Occasion) -> None:
        self.seen.pop(event.commit, None)

    @on(ApplyProven)
    def _prove(self, event: ApplyProven, at: Occasion) -> None:
        if event.commit in self.seen:
            self._forget(event.instance, self.steps)
            self._put(_routers(event.changes))
            return
        routers, now = _routers(event.changes), at.at
        outdated = now - WINDOW
        for address, _ in routers:
            step = Step(now, self.routers.get(address))
            before = self.steps.pop(address, None)
            self.steps[address] = (*(each for each in before if each.at > outdated), step) if before else (step,)
        self._forget_until(outdated)
        self._put(routers)

    @on(ApplyUndone)
    def _undo(self, event: ApplyUndone, at: Occasion) -> None:
        self._put(_routers(event.changes))

    @on(ResourcesAdopted)
    def _adopt(self, event: ResourcesAdopted, at: Occasion) -> None:
        self._put(_routers(event.resources))

    @on(TargetEjected)
    def _eject(self, event: TargetEjected, at: Occasion) -> None:
        self._forget(event.instance, self.steps)
        self._forget(event.instance, self.routers)

    def _forget_until(self, moment: datetime) -> None:
        """Forget routers whose last step no longer counts. They stand in the order of that step."""
        outdated = []
        for address, steps in self.steps.items():
            if steps[-1].at > moment:
                break
            outdated.append(address)
        for address in outdated:
            del self.steps[address]

    def _put(self, routers: Iterable[tuple[Address, Spec]]) -> None:
        for address, spec in routers:
            if spec is None:
                self.routers.pop(address, None)
            else:
                self.routers[address] = spec

    @staticmethod
    def _forget(instance: str, table: dict[Address, Any]) -> None:
        for address in [address for address in table if address.instance == instance]:
            del table[address]


def _routers(changes: Json) -> list[tuple[Address, Spec]]:
    return [(address, spec) for text, spec in changes.items() if (address := _router(text))]


@lru_cache(maxsize=1 << 14)
def _router(text: str) -> Address | None:
    """The address of a router, None where it is anything else."""
    address = address_or_none(text)
    return address if address and address.kind.endswith(".routers") else None


def _tells(losses: Iterable[Json]) -> bool:
    return any(loss.get("guard") == _ADD_UP for loss in losses)
