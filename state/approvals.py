"""The view of who approved what is not a revision yet, and of whom nobody could say at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from state.events import ApproverAwaited, ApproverTold, CommitApproved, RevisionMade
from state.record import Occasion
from state.view import View, on

MOST_TOLD: Final = 200
"""Of how many commits it is kept who was told later. Of one before them it is told what was known at once."""


class Approved(NamedTuple):
    """A commit on main, and those who are known to have said yes to it: `system:name`, where a system vouches."""

    subject: str
    people: tuple[str, ...]
    proposal: str = ""


class Awaited(NamedTuple):
    """Since when somebody is asked who brought a commit to main, and the proposal that it came from, "" for none."""

    since: datetime
    proposal: str


class Told(NamedTuple):
    """What was told later of a commit: who brought it to main, and who else approved it."""

    by: str
    reviewers: tuple[str, ...]


@dataclass
class Approvals(View):
    """`waiting`: commit -> who approved it, of every commit that came to main since the last revision. `awaited`:
    commit -> since when somebody is asked who that was; `told`: commit -> what came of asking again, of the last."""

    version = 3

    waiting: dict[str, Approved] = field(default_factory=dict)
    awaited: dict[str, Awaited] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)

    @on(CommitApproved)
    def _approve(self, event: CommitApproved, at: Occasion) -> None:
        self.waiting[event.commit] = Approved(event.subject, _people(event.by, event.reviewers), event.proposal)

    @on(ApproverAwaited)
    def _await(self, event: ApproverAwaited, at: Occasion) -> None:
        approved = self.waiting.get(event.commit)
        self.awaited[event.commit] = Awaited(at.at, approved.proposal if approved else "")

    @on(ApproverTold)
    def _tell(self, event: ApproverTold, at: Occasion) -> None:
        self.awaited.pop(event.commit, None)
        if not event.by:
            return
        self.told[event.commit] = Told(event.by, event.reviewers)
        if len(self.told) > MOST_TOLD:
            del self.told[next(iter(self.told))]
        if approved := self.waiting.get(event.commit):
            # In the place of what was known, not beside it: one person may have a name in either system.
            self.waiting[event.commit] = approved._replace(people=_people(event.by, event.reviewers))

    @on(RevisionMade)
    def _revise(self, event: RevisionMade, at: Occasion) -> None:
        self.waiting.clear()


def _people(by: str, reviewers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(_is_vouched_for, (by, *reviewers))))


def _is_vouched_for(who: str) -> bool:
    # `Name <address>` is what a commit says of itself: anybody may write `gitea:alice` there. Nor is our own account,
    # of which that is said in this form, a person.
    return "<" not in who and ":" in who.partition(" ")[0]
