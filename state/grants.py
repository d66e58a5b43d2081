"""Which losses people have agreed to: seen in the plan of a proposal they approved, or consented to by digest."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from state.events import (
    ApplyProven,
    CommitApproved,
    ConsentGiven,
    HistoryRewritten,
    Json,
    PlanMade,
    PlanShown,
    ProposalClosed,
    ProposalRejected,
    ProposalSuperseded,
    ProposalWithdrawn,
    ResourcesQuarantined,
    RevisionMade,
)
from state.record import Occasion
from state.view import View, on


@dataclass(frozen=True, slots=True)
class Grant:
    """What people agreed to for one commit. `shown` and `consented` are keys of losses -> their addresses.

    `seen`: a person saw a plan of it before it was approved. `made`: it is a revision already. `by`: who consented.
    """

    seen: bool = False
    made: bool = False
    by: str = ""
    shown: dict[str, str] = field(default_factory=dict)
    consented: dict[str, str] = field(default_factory=dict)

    def without(self, instance: str, but: Collection[str] = ()) -> Grant:
        """Less what was agreed to for one instance, `but` of these addresses."""
        if not self.shown and not self.consented:
            return self
        mine = f"{instance}/"
        shown, consented = (
            {key: address for key, address in losses.items() if not address.startswith(mine) or address in but}
            for losses in (self.shown, self.consented)
        )
        return replace(self, shown=shown, consented=consented)


_NONE, _SEEN, _MADE = Grant(), Grant(seen=True), Grant(made=True)


@dataclass
class Grants(View):
    """Agreement belongs to one commit, and is spent with it: applied, refuted, or overtaken. An old yes is no new one.

    A proposal's waits with the proposal until that is approved, whatever becomes a revision meanwhile; so does a
    consent to a commit of main that was not taken notice of yet.
    """

    version = 5

    proposed: dict[str, Grant] = field(default_factory=dict)  # proposal -> grant, until it is approved
    early: dict[str, Grant] = field(default_factory=dict)  # commit that is not known to be on main yet -> grant
    line: dict[str, Grant] = field(default_factory=dict)  # commits of main from the last revision on, oldest first
    ahead: frozenset[str] = frozenset()  # addresses of the last plan that were not carried out yet

    @property
    def shown(self) -> frozenset[str]:
        """Keys of losses that stood in a plan whose proposal was approved and waits to become a revision."""
        return frozenset(key for grant in self.line.values() for key in grant.shown)

    @property
    def consented(self) -> frozenset[str]:
        """Keys of losses that a person consented to in so many words, for what is on main now."""
        return frozenset(key for grant in self.line.values() for key in grant.consented)

    @property
    def all_shown(self) -> bool:
        """Whether every commit that waits to become a revision came with a plan that somebody saw."""
        waiting = [grant.seen for grant in self.line.values() if not grant.made]
        return bool(waiting) and all(waiting)

    @property
    def people(self) -> dict[str, str]:
        """Proposal -> who consented to its plan, until it is approved."""
        return {proposal: grant.by for proposal, grant in self.proposed.items() if grant.by}

    @on(PlanShown)
    def _show(self, event: PlanShown, at: Occasion) -> None:
        if not event.to_person:
            return  # a plan that was made and that nobody looked at is no agreement
        grant = self.proposed.get(event.proposal, _NONE)
        self.proposed[event.proposal] = replace(grant, seen=True, shown=grant.shown | _keys(event.losses))

    @on(ConsentGiven)
    def _consent(self, event: ConsentGiven, at: Occasion) -> None:
        holder, name = self._holder(event)
        grant = holder.get(name, _NONE)
        holder[name] = replace(grant, by=at.actor, consented=grant.consented | _keys(event.losses))

    def _holder(self, event: ConsentGiven) -> tuple[dict[str, Grant], str]:
        if event.proposal:
            return self.proposed, event.proposal
        return (self.line if event.commit in self.line else self.early), event.commit

    @on(ProposalClosed, ProposalRejected, ProposalSuperseded, ProposalWithdrawn)
    def _settle(
        self, event: ProposalClosed | ProposalRejected | ProposalSuperseded | ProposalWithdrawn, at: Occasion
    ) -> None:
        # Whoever puts it on main all the same has seen the plan; the consent was to something else.
        if event.proposal in self.proposed:
            self.proposed[event.proposal] = replace(self.proposed[event.proposal], by="", consented={})

    @on(CommitApproved)
    def _approve(self, event: CommitApproved, at: Occasion) -> None:
        proposed = self.proposed.pop(event.proposal, _NONE) if event.proposal else _NONE
        # After a rewrite the new head stands here already; what comes before it on main is approved before it.
        known = self.line.pop(event.commit, None) or self._taken_up(event.commit)
        if known is _SEEN and not proposed.by:
            self.line[event.commit] = proposed  # nothing was agreed to but with the proposal, nearly always
            return
        # One merge can bring several proposals: it was seen if all of them were.
        self.line[event.commit] = Grant(
            known.seen and proposed.seen,
            known.made,
            known.by,
            known.shown | proposed.shown,
            known.consented | proposed.consented,
        )

    def _taken_up(self, commit: str) -> Grant:
        """What was agreed to for a commit before it was known to be on main."""
        early = self.early.pop(commit, None)
        return replace(early, seen=True) if early else _SEEN

    @on(HistoryRewritten)
    def _rewrite(self, event: HistoryRewritten, at: Occasion) -> None:
        # What was agreed to for commits that are gone does not hold for others; the new head may be agreed to already.
        kept = self.line.get(event.now) or self._taken_up(event.now)
        self.line.clear()
        self.line[event.now] = kept

    @on(PlanMade)
    def _plan(self, event: PlanMade, at: Occasion) -> None:
        self.ahead = frozenset(change.partition(" ")[2] for change in event.changes)

    @on(ApplyProven, ResourcesQuarantined)
    def _happen(self, event: ApplyProven | ResourcesQuarantined, at: Occasion) -> None:
        """The losses of one instance have happened, or were undone: either way the agreement is used up.

        What of it has its turn in a later step of the plan is still to happen, as it was agreed to. Commits that are
        not to blame for what was undone are tried again, as they were agreed to.
        """
        refuted = isinstance(event, ResourcesQuarantined)
        blamed = event.commits if isinstance(event, ResourcesQuarantined) else ()
        if isinstance(event, ApplyProven):
            self.ahead = self.ahead.difference(event.changes)
        for commit in self._up_to(event.commit):
            grant = self.line[commit]
            if not (refuted or grant.shown or grant.consented):
                continue  # nothing to use up, nearly always
            if not blamed or commit in blamed:
                grant = grant.without(event.instance, () if refuted else self.ahead)
                self.line[commit] = replace(grant, seen=False) if refuted else grant

    @on(RevisionMade)
    def _revise(self, event: RevisionMade, at: Occasion) -> None:
        overtaken = self._up_to(event.commit) or self.line
        later = {commit: grant for commit, grant in self.line.items() if commit not in overtaken}
        self.line = {event.commit: _MADE, **later}
        self.ahead = frozenset()

    def _up_to(self, commit: str) -> list[str]:
        """This commit of main and those before it that wait with it; nothing where it does not wait."""
        if commit not in self.line:
            return []
        line = list(self.line)
        return line if line[-1] == commit else line[: line.index(commit) + 1]


def _keys(losses: Iterable[Json]) -> dict[str, str]:
    """Key -> address. A loss without them grants nothing: a view must be able to fold whatever the log holds."""
    return {str(loss["key"]): str(loss["address"]) for loss in losses if "key" in loss and "address" in loss}
