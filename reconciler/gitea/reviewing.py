"""Keeps Gitea in step with the proposals: a pull request each, its plan up to date, marks beside commits.

The log says what stands there, so a pass asks for little and says nothing twice; what a crash left unsaid is found
there again. Gitea may be gone for days: proposals wait as branches and go there when it is back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler import reviewing
from reconciler.gitea import pages
from reconciler.gitea.api import Gitea, GiteaError
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
    _hear(world, gitea)
    _end_settled(world, gitea)
    head = world.store.head(world.branch)
    if head is None:
        return
    for record in reviewing.open_proposals(world):
        _bring_up_to_date(world, gitea, record, head)
    if outcome.plan and outcome.plan.commit == head:
        _mark(world, gitea, head, APPLY, pages.outcome(outcome.state, outcome.said, outcome.revision))


def _hear(world: World, gitea: Gitea) -> None:
    """Pull requests that people closed without merging: the proposal is rejected. A merge is told by main itself."""
    items = world.log.view(views.Proposals).items
    for proposal, review in world.log.view(views.PullRequests).open().items():
        if items[proposal].status != "open":
            continue
        there = gitea.pull(review.number)
        if there.state == "closed" and not there.merged:
            reason = f"pull request {review.number} was closed in Gitea"
            rejected = events.ProposalRejected(proposal=proposal, reason=reason)
            _say(world, f"proposal/{proposal}", rejected, actor="unknown")  # Gitea does not say who closed it
            _ended(world, proposal, review, reason)


def _end_settled(world: World, gitea: Gitea) -> None:
    """Close what was settled elsewhere, so that nobody reviews it any more."""
    items = world.log.view(views.Proposals).items
    for proposal, review in world.log.view(views.PullRequests).open().items():
        record = items[proposal]
        if record.status == "open":
            continue
        if gitea.pull(review.number).state == "open":
            gitea.comment(review.number, pages.settled(record))
            gitea.close_pull(review.number)
        _ended(world, proposal, review, f"the proposal is {record.status}")


def _bring_up_to_date(world: World, gitea: Gitea, record: ProposalRecord, head: str) -> None:
    known = world.log.view(views.PullRequests).items.get(record.id)
    if known and (known.closed or known.main == head):
        return
    plan = plan_proposal(world, record.commit, head).plan
    if known is None:
        known = _opened(world, gitea, record, pages.body(record, plan, _reason(world, record)))
        text = ""  # the body says it
    else:
        text = pages.follow_up(record, plan, head)
    said = digest_bytes("\n".join((plan.digest, plan.held, *map(str, plan.losses))).encode())
    if text and said != known.shown:
        _comment(gitea, known.number, text)
    _mark(world, gitea, record.commit, PLAN, pages.verdict(plan))
    stands = events.PullRequestShown(proposal=record.id, number=known.number, digest=said, main=head)
    # A person who merges there has this plan before their eyes.
    shown = reviewing.shown(record, plan, to_person=True)
    world.log.append([Entry(stream=f"proposal/{record.id}", event=stands), shown])


def _opened(world: World, gitea: Gitea, record: ProposalRecord, body: str) -> Review:
    """The pull request of a proposal: one that a crash left unrecorded, or a new one."""
    found = gitea.pull_between(world.branch, record.branch)
    pull = found or gitea.open_pull(base=world.branch, head=record.branch, title=pages.title(record), body=body)
    opened = events.PullRequestOpened(proposal=record.id, number=pull.number, address=pull.html_url)
    _say(world, f"proposal/{record.id}", opened)
    return Review(pull.number, pull.html_url)


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


def _ended(world: World, proposal: str, review: Review, reason: str) -> None:
    closed = events.PullRequestClosed(proposal=proposal, number=review.number, reason=reason)
    _say(world, f"proposal/{proposal}", closed)


def _say(world: World, stream: str, event: events.Event, actor: str = "waypost") -> None:
    world.log.append(Entry(stream=stream, event=event, actor=actor))
