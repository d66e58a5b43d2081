"""Proposals from arrival to their end: taken in, shown with a plan, superseded, reminded of, closed."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.commits import load, policy_in_force, touches
from reconciler.core import policy as policies
from reconciler.core.plan import Plan
from reconciler.core.policy import Policy
from reconciler.git import proposals
from reconciler.git.bounds import ROOTS
from reconciler.git.errors import GitError, RefMoved
from reconciler.git.ingest import ingest_proposals
from reconciler.git.proposals import ProposalRefused
from reconciler.planned import Planned
from reconciler.planning import plan_proposal
from reconciler.world import ACTOR, World
from state import events, outbox, views
from state.log import Entry
from state.model import digest
from state.review import ProposalRecord
from state.views import Revision

KEPT = timedelta(days=30)
"""How long the branch of a settled proposal stays; the log keeps its commit's id for ever."""


def take_in(world: World) -> tuple[str, ...]:
    """Ingest what the gateway and people wrote to their outboxes, and fetch the commits of new proposals.

    Answers what stands in the way now, a sentence each; what is refused is recorded, each reason once. Whoever comes
    while another thread is at it waits, and finds all of it taken in.
    """
    with world.taking:
        return _taken_in(world)


def _taken_in(world: World) -> tuple[str, ...]:
    clone = world.gateway_clone
    troubles = [
        _fetch_proposals(world, clone) if clone else "",
        _drain(world, world.gateway_outbox, "gateway", outbox.GATEWAY_EVENTS),
        _drain(world, world.people_outbox, "person", outbox.PEOPLE_EVENTS),
    ]
    if world.remote is None:  # elsewhere the branches are people's, and would come back with the next fetch
        _remove_settled(world)
    return tuple(filter(None, troubles))


def arrived(world: World, record: ProposalRecord) -> bool:
    """Is a proposal's commit here? While it is open the branch tells: it comes last, after all of the commit."""
    if world.store.head(record.branch) == record.commit:
        return True
    return record.status != "open" and world.store.has(record.commit)


def _fetch_proposals(world: World, clone: Path) -> str:
    try:
        roots = [part.directory for part in _policy(world).targets.values()]
    except GitError:
        return ""  # main cannot be read, and the pass says so; what is proposed stays where it is
    found = ingest_proposals(
        world.store,
        clone,
        branch=world.branch,
        known=_decided(world),
        roots=[*ROOTS, *roots],
        secrets=world.secrets,
    )
    refused = {f"proposal {id}": reason for id, reason in found.refused.items()}
    if found.trouble:
        refused["proposals"] = found.trouble
    world.log.append([outbox.refusal("gateway", what, reason, what) for what, reason in refused.items()])
    return found.trouble


def _drain(world: World, path: Path | None, source: str, allowed: frozenset[type[events.Event]]) -> str:
    """Take an outbox in; answers why it could not be read on, "" where it could (or can soon, by itself)."""
    if path is None:
        return ""
    intake = outbox.drain(world.log, path, source=source, allowed=allowed)
    if intake.passing or not intake.problem:
        return ""
    read = world.log.cursor(source)
    world.log.append(outbox.refusal(source, "outbox", intake.problem, read.outbox if read else "unread"))
    return intake.problem


def _remove_settled(world: World) -> None:
    """Take away branches of proposals that were settled long ago, so that their number does not only grow."""
    items = world.log.view(views.Proposals).items
    for id, commit in proposals.proposals(world.store).items():
        record, now = items.get(id), world.clock.now()
        if record and record.commit == commit and record.settled_at and now - record.settled_at > KEPT:
            with contextlib.suppress(GitError):  # tried again at the next pass
                world.store.remove(f"refs/heads/{record.branch}")


def _policy(world: World) -> Policy:
    head = world.store.head(world.branch)
    return policy_in_force(world, head) if head else Policy()


def _decided(world: World) -> frozenset[str]:
    items = world.log.view(views.Proposals).items.values()
    return frozenset(item.id for item in items if item.status != "open")


def tend(world: World, head: str, policy: Policy) -> None:
    """Supersede, remind, close: what becomes of proposals without anybody approving them."""
    waiting = open_proposals(world)
    newest = _newest(world, waiting)
    for record in waiting:
        if newer := newest.get(record.id):
            reason = f"{newer} proposes for the same resource, and came later"
            _say(world, record.id, events.ProposalSuperseded(proposal=record.id, by=newer, reason=reason))
        else:
            _age(world, record, policy, world.clock.now())
            if not record.shown:  # the gateway could not wait for its plan
                show(world, record, head)
    here = {record.id for record in waiting}
    for record in world.log.view(views.Proposals).open():
        if record.id not in here:
            _age(world, record, policy, world.clock.now())


def show(world: World, record: ProposalRecord, head: str) -> Planned:
    """Plan a proposal for the log, or for a model that asked; the same plan is recorded once. No person saw it."""
    planned = plan_proposal(world, record.commit, head)
    world.log.append(shown(record, planned.plan))
    return planned


def shown(record: ProposalRecord, plan: Plan, *, to_person: bool = False) -> Entry:
    """What to record of a plan that was shown. Only what a person saw agrees to its losses once it is merged."""
    event = events.PlanShown(
        proposal=record.id,
        commit=record.commit,
        digest=plan.digest,
        changes=tuple(map(str, plan.changes)),
        losses=tuple(loss.as_json() for loss in plan.losses),
        refusals=tuple(map(str, (*plan.refusals, *plan.errors))),
        to_person=to_person,
    )
    # Not the digest alone: what is refused also hangs on what a person has agreed to, and that is not in it.
    return Entry(stream=f"proposal/{record.id}", event=event, key=f"shown:{digest(asdict(event))}")


def publish(world: World) -> None:
    """Copy open proposals to where people review, if that is elsewhere. What fails is tried at the next pass."""
    waiting = open_proposals(world)
    if world.remote and waiting:
        there = world.remote.heads(world.store)
        for record in waiting:
            if there.get(f"refs/heads/{record.branch}") != record.commit:
                with contextlib.suppress(RefMoved):  # somebody wrote it anew there: that is theirs to settle
                    world.remote.push(world.store, record.branch)


def propose_revert(world: World, head: str) -> None:
    """Propose that main say again what is true, after some of it was refuted and undone."""
    latest = world.log.view(views.Revisions).latest
    id = f"revert-{head[:12]}"
    if latest is None or latest.commit == head or id in world.log.view(views.Proposals).items:
        return
    causes = world.log.view(views.Quarantine).why.values()
    blamed = max((cause.commits for cause in causes if cause.commit == head), key=len, default=())
    title = f"Revert {', '.join(commit[:12] for commit in blamed or (head,))}: Traefik refused what it asks for"
    try:
        commit = _reverted(world, latest, head, blamed, id, title)
    except ProposalRefused:
        return  # main says so already
    resources = touches(load(world, commit), load(world, head))
    made = events.ProposalMade(
        proposal=id,
        branch=proposals.branch(id),
        commit=commit,
        parent=head,
        tool="reconciler",
        client=ACTOR,
        title=title,
        resources=tuple(sorted(map(str, resources))),
    )
    proposed = events.ProposedRevert(commit=head, proposal=id, reason="its apply was refuted and undone")
    stream = f"proposal/{id}"
    world.log.append(
        [Entry(stream=stream, event=made, key=f"made:{id}"), Entry(stream=stream, event=proposed, key=f"revert:{id}")]
    )


def _reverted(world: World, latest: Revision, head: str, blamed: Sequence[str], id: str, title: str) -> str:
    """The commit of a proposal without the commits to blame, or, where they cannot be told apart, of the revision."""
    common: dict[str, Any] = {
        "parent": head,
        "id": id,
        "title": title,
        "trailers": {"Waypost-Request": id, "Waypost-Tool": "reconciler", "Waypost-Client": ACTOR},
        "author": f"Waypost <{ACTOR}@localhost>",
        "at": _failed_at(world, head),
    }
    if blamed:
        with contextlib.suppress(ProposalRefused):
            body = "They were undone; what came with them on main is live. This makes main say so."
            return proposals.take_back(world.store, blamed, body=body, **common)
    body = f"It was undone; revision {latest.number} is live. This makes main say so."
    return proposals.revert_to(world.store, latest.commit, body=body, **common)


def _failed_at(world: World, head: str) -> datetime:
    """When some of a commit was first quarantined. Not now: whoever died between the branch of a revert and its record
    makes the same commit again, and so finds that branch to be its own."""
    seqs = [cause.seq for cause in world.log.view(views.Quarantine).why.values() if cause.commit == head]
    found = world.log.read(min(seqs) - 1, until=min(seqs)) if seqs else iter(())
    return next((recorded.at for recorded in found), world.clock.now())


def open_proposals(world: World) -> list[ProposalRecord]:
    """Open proposals whose commit has arrived here, oldest first."""
    items = world.log.view(views.Proposals).items.values()
    # The branch comes last: where it points to the commit, all of the commit is here.
    waiting = [item for item in items if item.status == "open" and world.store.head(item.branch) == item.commit]
    return sorted(waiting, key=lambda item: item.seq)


def _newest(world: World, waiting: Sequence[ProposalRecord]) -> dict[str, str]:
    """Proposal -> the newest of those (given oldest first) that came after it and touch one of its resources."""
    newest: dict[str, str] = {}
    position: dict[str, int] = {}  # resource -> the newest proposal that touches it
    for number in reversed(range(len(waiting))):
        resources = _resources(world, waiting[number])
        if later := [position[resource] for resource in resources if resource in position]:
            newest[waiting[number].id] = waiting[max(later)].id
        position.update(dict.fromkeys(resources - position.keys(), number))
    return newest


_MOST_KNOWN = 1000
_touched: OrderedDict[str, frozenset[str]] = OrderedDict()
"""Commit -> what it touches, for those looked at last. A commit never changes, so neither does this."""


def _resources(world: World, record: ProposalRecord) -> frozenset[str]:
    # Read from the commit: what the gateway's record claims is only a claim.
    if record.commit not in _touched:
        parents = world.store.commit(record.commit).parents
        found = touches(load(world, record.commit), load(world, parents[0])) if parents else frozenset()
        _touched[record.commit] = frozenset(map(str, found))
        while len(_touched) > _MOST_KNOWN:
            _touched.popitem(last=False)
    return _touched[record.commit] or frozenset(record.resources)


def _age(world: World, record: ProposalRecord, policy: Policy, now: datetime) -> None:
    age = now - record.made_at
    if age >= _length(policy.proposals.close_after):
        reason = f"nobody approved it within {policy.proposals.close_after}"
        _say(world, record.id, events.ProposalClosed(proposal=record.id, reason=reason))
    elif age >= _length(policy.proposals.remind_after) and not record.reminded:
        reason = f"it has waited for {policy.proposals.remind_after}"
        _say(world, record.id, events.ProposalReminded(proposal=record.id, reason=reason))


def _length(text: str) -> timedelta:
    return policies.interval(text) or timedelta.max


def _say(world: World, proposal: str, event: events.Event) -> None:
    world.log.append(Entry(stream=f"proposal/{proposal}", event=event))
