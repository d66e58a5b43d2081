"""What was live when, and from which commits: revisions with who approved what is new in them."""

from __future__ import annotations

from typing import Any

from reconciler.secrets import without_secrets
from reconciler.world import World
from state import views
from state.events import CommitApproved


def deployed(world: World, limit: int) -> dict[str, Any]:
    """The newest revisions, newest first, each with the commits that came with it: JSON-plain."""
    known = world.log.view(views.Revisions).by_number
    newest = [known[number] for number in sorted(known, reverse=True)[: limit + 1]]
    since = [*(one.seq for one in newest[1:]), 0]
    made = [_told(world, one, after) for one, after in zip(newest, since, strict=True)]
    return {"revisions": made[:limit]}


def _told(world: World, revision: views.Revision, after: int) -> dict[str, Any]:
    events = (one.event for one in world.log.read(after=after, stream="main", until=revision.seq))
    return {
        "number": revision.number,
        "commit": revision.commit,
        "at": revision.at.isoformat(timespec="seconds"),
        "commits": [_commit(world, event) for event in events if isinstance(event, CommitApproved)],
    }


def _commit(world: World, approved: CommitApproved) -> dict[str, Any]:
    review = world.log.view(views.PullRequests).items.get(approved.proposal)
    told = world.log.view(views.Approvals).told.get(approved.commit, approved)
    return {
        "commit": approved.commit,
        "subject": without_secrets(approved.subject),
        "by": told.by,
        "reviewers": list(told.reviewers),
        "proposal": approved.proposal,
        "review": review.address if review else "",
    }
