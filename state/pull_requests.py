"""The view of what stands in Gitea: the pull requests of proposals, and the marks beside commits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from state.events import (
    DriftCleared,
    DriftFound,
    DriftHealRequested,
    GiteaFound,
    GiteaLost,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestShown,
    StatusSet,
)
from state.record import Occasion
from state.view import View, on


class Review(NamedTuple):
    """The pull request of one proposal. `shown` is the digest of the plan that stands there, planned against `main`.

    `main` is "" again where something else moved that a plan is made from: it has to be made anew.
    """

    number: int
    address: str
    shown: str = ""
    main: str = ""
    closed: bool = False


@dataclass
class PullRequests(View):
    """`items`: proposal -> its review; `statuses`: "commit context" -> what stands beside the commit; `lost`: why
    Gitea cannot be spoken to, "" where it can."""

    version = 2

    items: dict[str, Review] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    lost: str = ""

    def open(self) -> dict[str, Review]:
        """The reviews that have not ended, by proposal."""
        return {proposal: review for proposal, review in self.items.items() if not review.closed}

    @on(PullRequestOpened)
    def _open(self, event: PullRequestOpened, at: Occasion) -> None:
        self.items[event.proposal] = Review(event.number, event.address)

    @on(PullRequestShown)
    def _show(self, event: PullRequestShown, at: Occasion) -> None:
        if known := self.items.get(event.proposal):
            self.items[event.proposal] = known._replace(shown=event.digest, main=event.main)

    @on(DriftFound, DriftCleared, DriftHealRequested)
    def _move(self, event: DriftFound | DriftCleared | DriftHealRequested, at: Occasion) -> None:
        """A proposal may be in conflict now that was not, or no longer."""
        self.items |= {proposal: review._replace(main="") for proposal, review in self.open().items()}

    @on(PullRequestClosed)
    def _close(self, event: PullRequestClosed, at: Occasion) -> None:
        if known := self.items.get(event.proposal):
            self.items[event.proposal] = known._replace(closed=True)

    @on(StatusSet)
    def _mark(self, event: StatusSet, at: Occasion) -> None:
        self.statuses[f"{event.commit} {event.context}"] = f"{event.state}: {event.description}"

    @on(GiteaLost)
    def _lose(self, event: GiteaLost, at: Occasion) -> None:
        self.lost = event.reason

    @on(GiteaFound)
    def _find(self, event: GiteaFound, at: Occasion) -> None:
        self.lost = ""
