"""Which losses people have agreed to: seen in the plan of a proposal they approved, or consented to by digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from state.events import ApplyProven, CommitApproved, ConsentGiven, Json, PlanShown, RevisionMade
from state.record import Recorded
from state.view import View, on


@dataclass
class Grants(View):
    """Agreement to a loss holds until that very loss has happened, so that an old yes is never a new one."""

    plans: dict[str, dict[str, tuple[Json, ...]]] = field(default_factory=dict)  # proposal -> digest -> losses
    seen: dict[str, str] = field(default_factory=dict)  # key of a loss -> address
    consents: dict[str, str] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)  # proposal -> who consented to its plan, until approved
    pending: dict[str, bool] = field(default_factory=dict)  # commit on main, not yet a revision -> was a plan shown?

    @property
    def shown(self) -> frozenset[str]:
        """Keys of losses that stood in a plan whose proposal was then approved."""
        return frozenset(self.seen)

    @property
    def consented(self) -> frozenset[str]:
        """Keys of losses that a person consented to in so many words."""
        return frozenset(self.consents)

    @property
    def all_shown(self) -> bool:
        """Whether every commit that waits to become a revision came with a plan that somebody saw."""
        return bool(self.pending) and all(self.pending.values())

    @on(PlanShown)
    def _show(self, event: PlanShown, at: Recorded) -> None:
        self.plans[event.proposal] = {**self.plans.get(event.proposal, {}), event.digest: event.losses}

    @on(CommitApproved)
    def _approve(self, event: CommitApproved, at: Recorded) -> None:
        plans = self.plans.pop(event.proposal, {}) if event.proposal else {}
        self.people.pop(event.proposal, None)
        self.pending[event.commit] = bool(plans)
        for losses in plans.values():
            self.seen.update(_keys(losses))

    @on(ConsentGiven)
    def _consent(self, event: ConsentGiven, at: Recorded) -> None:
        self.consents.update(_keys(event.losses))
        if event.proposal:
            self.people[event.proposal] = at.actor

    @on(ApplyProven)
    def _happen(self, event: ApplyProven, at: Recorded) -> None:
        whole = f"{event.instance}/*/*"
        for granted in (self.seen, self.consents):
            for key in [key for key, address in granted.items() if address in event.changes or address == whole]:
                del granted[key]

    @on(RevisionMade)
    def _revise(self, event: RevisionMade, at: Recorded) -> None:
        if event.commit in self.pending:
            for commit in list(self.pending):
                del self.pending[commit]
                if commit == event.commit:
                    break
        # What concerns the branch as a whole has no resource that could be proven: it has happened by now.
        for key in [key for key, address in self.consents.items() if "/" not in address]:
            del self.consents[key]


def _keys(losses: Iterable[Json]) -> dict[str, str]:
    """Key -> address. A loss without them grants nothing: a view must be able to fold whatever the log holds."""
    return {str(loss["key"]): str(loss["address"]) for loss in losses if "key" in loss and "address" in loss}
