"""Keeps Gitea in step with the proposals: a pull request each, its plan up to date, marks beside commits.

The log says what stands there, so a pass asks for little and says nothing twice; what a crash left unsaid is found
there again. Gitea may be gone for days: proposals wait as branches and go there when it is back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler import reviewing
from reconciler.core.plan import Plan
from reconciler.gitea import pages, vouching
from reconciler.gitea.api import Gitea, GiteaError, PullRequest
from reconciler.planning import plan_proposal
from reconciler.world import World
from state import events, views
from state.log import Entry
from state.model import digest_bytes
from state.pull_requests import Review
from state.review import ProposalRecord

if TYPE_CHECKING:
    from reconciler.loop import Outcome

PLAN = "waypost/plan"
APPLY = "waypost/apply"


def tend(world: World, outcome: Outcome) -> None:
    """Say in Gitea what is new, and hear what people did there. Gitea's outage is one event, and its end another."""
    if world.gitea is None:
        return
    lost = world.log.view(views.PullRequests).lost
    try:
        _tend(world, world.gitea, outcome)
    except GiteaError as error:
        if lost != str(error):
            _say(world, "main", events.GiteaLost(reason=str(error)))
        return
    if lost:
        _say(world, "main", events.GiteaFound(reason="it does what it is asked again"))


def _tend(world: World, gitea: Gitea, outcome: Outcome) -> None:
    faults = _Faults()
    items, merging = world.log.view(views.Proposals).items, vouching.merging(world)
    for proposal, review in world.log.view(views.PullRequests).open().items():
        record = items[proposal]
        with faults.kept():
            if record.status == "open":
                _hear(world, gitea, record, review)
            else:
                _end_settled(world, gitea, record, review, merging=proposal in merging)
    if head := world.store.head(world.branch):
        for record in reviewing.open_proposals(world):
            with faults.kept():
                _bring_up_to_date(world, gitea, record, head)
        if outcome.plan and outcome.plan.commit == head:
            came = pages.outcome(outcome.plan, outcome.state, outcome.said, outcome.revision)
            _mark(world, gitea, head, APPLY, came)
    if faults.first:
        raise faults.first


class _Faults:
    """One pull request that Gitea fails at keeps no other from its turn. One that is silent is not asked any more."""

    first: GiteaError | None = None

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        try:
            yield
        except GiteaError as error:
            if error.is_silent:
                raise
            self.first = self.first or error


def _hear(world: World, gitea: Gitea, record: ProposalRecord, review: Review) -> None:
    """One that people closed without merging: the proposal is rejected. A merge is told by main itself."""
    there = _found(world, gitea, record, review)
    if there is None or (there.state == "closed" and not there.merged):
        number, became = (there.number, "closed") if there else (review.number, "deleted")
        reason = f"pull request {number} was {became} in Gitea"
        rejected = events.ProposalRejected(proposal=record.id, reason=reason)
        _say(world, f"proposal/{record.id}", rejected, actor="unknown")  # Gitea does not say who closed it
        _ended(world, record.id, there or review, reason)


def _end_settled(world: World, gitea: Gitea, record: ProposalRecord, review: Review, *, merging: bool) -> None:
    """Close what was settled elsewhere, so that nobody reviews it any more."""
    there = _found(world, gitea, record, review)
    if there and there.state == "open":
        if merging:
            return  # one that is closed in the middle of its merge never counts as merged
        gitea.comment(there.number, pages.settled(record))
        gitea.close_pull(there.number)
    _ended(world, record.id, there or review, f"the proposal is {record.status}")


def _found(world: World, gitea: Gitea, record: ProposalRecord, review: Review) -> PullRequest | None:
    """The pull request of a proposal, None where it was deleted.

    In a Gitea that was put back from a copy its number may be nobody's by now, or another one's: its branch finds it.
    """
    there = gitea.pull(review.number)
    if there and there.is_of(record.branch):
        return there
    found = gitea.pull_between(world.branch, record.branch)
    if found and found.number != review.number:
        _say_opened(world, record, found)
    return found


def _say_opened(world: World, record: ProposalRecord, pull: PullRequest) -> None:
    opened = events.PullRequestOpened(proposal=record.id, number=pull.number, address=pull.html_url)
    _say(world, f"proposal/{record.id}", opened)


def _bring_up_to_date(world: World, gitea: Gitea, record: ProposalRecord, head: str) -> None:
    known = world.log.view(views.PullRequests).items.get(record.id)
    if known and (known.closed or known.main == head):
        return
    plan = plan_proposal(world, record.commit, head).plan
    page = pages.follow_up(record, plan, head)
    said = _digest(plan, page)
    stands_there = known.shown if known else ""
    if known is None:
        first = pages.body(record, plan, _reason(world, record))
        known, is_new = _opened(world, gitea, record, first.text)
        if is_new:
            page, stands_there = first, _digest(plan, first)
            said = stands_there
    if said != stands_there:
        _comment(gitea, known.number, page.text)
    _mark(world, gitea, record.commit, PLAN, pages.verdict(plan))
    stands = events.PullRequestShown(proposal=record.id, number=known.number, digest=said, main=head)
    # A person who merges there has this plan before their eyes, as far as it was not cut off.
    shown = reviewing.shown(record, plan, to_person=page.whole)
    world.log.append([Entry(stream=f"proposal/{record.id}", event=stands), shown])


def _digest(plan: Plan, page: pages.Page) -> str:
    """Names what people can read there of a plan: one that was cut off says less than the same one whole."""
    return digest_bytes("\n".join((str(page.whole), plan.digest, *pages.told(plan))).encode())


def _opened(world: World, gitea: Gitea, record: ProposalRecord, body: str) -> tuple[Review, bool]:
    """The pull request of a proposal, and whether it is new: one that a crash left unrecorded tells an old plan."""
    found = gitea.pull_between(world.branch, record.branch)
    pull = found or gitea.open_pull(base=world.branch, head=record.branch, title=pages.title(record), body=body)
    _say_opened(world, record, pull)
    return Review(pull.number, pull.html_url), found is None


def _comment(gitea: Gitea, number: int, text: str) -> None:
    """Our one comment, written anew."""
    me = gitea.me().login
    ours = [one for one in gitea.comments(number) if pages.MARK in one.body and one.user and one.user.login == me]
    if ours:
        gitea.edit_comment(ours[0].id, text)
    else:
        gitea.comment(number, text)


def _mark(world: World, gitea: Gitea, commit: str, context: str, verdict: tuple[str, str]) -> None:
    state, description = verdict
    if world.log.view(views.PullRequests).statuses.get(f"{commit} {context}") == f"{state}: {description}":
        return
    gitea.set_status(commit, context=context, state=state, description=description)
    mark = events.StatusSet(commit=commit, context=context, state=state, description=description)
    _say(world, "main", mark)


def _reason(world: World, record: ProposalRecord) -> str:
    """What the one who proposed gave as the reason: the commit's message without its title and trailers."""
    message = world.store.commit(record.commit).message.strip()
    paragraphs = message.split("\n\n")[1:]
    return "\n\n".join(part for part in paragraphs if not part.startswith("Waypost-"))


def _ended(world: World, proposal: str, review: Review | PullRequest, reason: str) -> None:
    closed = events.PullRequestClosed(proposal=proposal, number=review.number, reason=reason)
    _say(world, f"proposal/{proposal}", closed)


def _say(world: World, stream: str, event: events.Event, actor: str = "waypost") -> None:
    world.log.append(Entry(stream=stream, event=event, actor=actor))
