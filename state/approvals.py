"""The view of who approved what is not a revision yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from state.events import CommitApproved, RevisionMade
from state.record import Occasion
from state.view import View, on


class Approved(NamedTuple):
    """A commit on main, and those who are known to have said yes to it: `system:name`, where a system vouches."""

    subject: str
    people: tuple[str, ...]


@dataclass
class Approvals(View):
    """Commit -> who approved it, of every commit that came to main since the last revision."""

    waiting: dict[str, Approved] = field(default_factory=dict)

    @on(CommitApproved)
    def _approve(self, event: CommitApproved, at: Occasion) -> None:
        people = dict.fromkeys(one for one in (event.by, *event.reviewers) if ":" in one.partition(" ")[0])
        self.waiting[event.commit] = Approved(event.subject, tuple(people))

    @on(RevisionMade)
    def _revise(self, event: RevisionMade, at: Occasion) -> None:
        self.waiting.clear()
