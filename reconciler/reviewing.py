"""Proposals from arrival to their end: taken in, shown with a plan, superseded, reminded of, closed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.core import policy as policies
from reconciler.core.plan import Plan
from reconciler.core.policy import Policy
from reconciler.git import proposals
from reconciler.git.bounds import ROOTS
from reconciler.git.errors import GitError
from reconciler.git.ingest import ingest_proposals
from reconciler.git.proposals import ProposalRefused
from reconciler.planning import Planned, load, plan_proposal, policy_in_force, touches
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

    Answers what stands in the way now, a sentence each; what is refused is recorded, each reason once.
    """
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
    found = ingest_proposals(world.store, clone, branch=world.branch, known=_decided(world), roots=[*ROOTS, *roots])
    refused = {f"proposal {id}": reason for id, reason in found.refused.items()}
    if found.trouble:
        refused["proposals"] = found.trouble
    _refuse(world, "gateway", refused)
    return found.trouble


def _drain(world: World, path: Path | None, source: str, allowed: frozenset[type[events.Event]]) -> str:
    """Take an outbox in; answers why it could not be read on, "" where it could (or can soon, by itself)."""
    if path is None:
        return ""
    before = world.log.cursor(source)
    intake = outbox.drain(world.log, path, source=source, allowed=allowed)
    read = before or world.log.cursor(source)
    refused = dict(row.split(": ", 1) for row in intake.reasons)
    if intake.refused > len(intake.reasons):
        refused["further rows"] = "they are refused like these"
    if intake.restarted:
        refused["outbox"] = f"{path} is not the file that was read before; what only that one held is not here"
    problem = "" if intake.passing else intake.problem
    if problem:
        refused["outbox"] = problem
    _refuse(world, source, refused, read.outbox if read else "unread")
    return problem


def _refuse(world: World, source: str, refused: Mapping[str, str], outbox_id: str = "") -> None:
    """Record what was not taken in: what -> reason. The same reason is news once (for each outbox)."""
    entries = [
        Entry(
            stream=outbox.REFUSALS,
            event=events.IntakeRefused(source=source, what=what, reason=reason),
            key=f"refused:{source}:{outbox_id or what}:{digest(reason)[:16]}",
            actor=ACTOR,
        )
        for what, reason in refused.items()
    ]
    if entries:
        world.log.append(entries)


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
    for record in open_proposals(world):
        if newer := _superseded_by(world, record):
            reason = f"{newer.id} proposes for the same resource, and came later"
            _say(world, record.id, events.ProposalSuperseded(proposal=record.id, by=newer.id, reason=reason))
        else:
            _age(world, record, policy, world.clock.now())
            if not record.shown:  # the gateway could not wait for its plan
                show(world, record, head)
    for record in world.log.view(views.Proposals).open():
        if not arrived(world, record):
            _age(world, record, policy, world.clock.now())


def show(world: World, record: ProposalRecord, head: str) -> Planned:
    """Plan a proposal, and record the plan's digest as shown, once for each digest."""
    planned = plan_proposal(world, record.commit, head)
    shown = _shown(record, planned.plan)
    world.log.append(Entry(stream=f"proposal/{record.id}", event=shown, key=f"shown:{record.id}:{planned.plan.digest}"))
    return planned


def publish(world: World) -> None:
    """Copy open proposals to where people review, if that is elsewhere. What fails is tried at the next pass."""
    waiting = open_proposals(world)
    if world.remote and waiting:
        there = world.remote.heads(world.store)
        for record in waiting:
            if there.get(f"refs/heads/{record.branch}") != record.commit:
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
        "at": world.clock.now(),
    }
    if blamed:
        with contextlib.suppress(ProposalRefused):
            body = "They were undone; what came with them on main is live. This makes main say so."
            return proposals.take_back(world.store, blamed, body=body, **common)
    body = f"It was undone; revision {latest.number} is live. This makes main say so."
    return proposals.revert_to(world.store, latest.commit, body=body, **common)


def open_proposals(world: World) -> list[ProposalRecord]:
    """Open proposals whose commit has arrived here, oldest first."""
    items = world.log.view(views.Proposals).items.values()
    # The branch comes last: where it points to the commit, all of the commit is here.
    waiting = [item for item in items if item.status == "open" and world.store.head(item.branch) == item.commit]
    return sorted(waiting, key=lambda item: item.seq)


def _superseded_by(world: World, record: ProposalRecord) -> ProposalRecord | None:
    """The newest other open proposal that touches one of this one's resources and was made after it."""
    later = [other for other in open_proposals(world) if other.seq > record.seq]
    mine = _resources(world, record)
    return next((other for other in reversed(later) if mine & _resources(world, other)), None)


def _resources(world: World, record: ProposalRecord) -> frozenset[str]:
    # Read from the commit: what the gateway's record claims is only a claim.
    parents = world.store.commit(record.commit).parents
    touched = touches(load(world, record.commit), load(world, parents[0])) if parents else frozenset()
    return frozenset(map(str, touched)) or frozenset(record.resources)


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


def _shown(record: ProposalRecord, plan: Plan) -> events.PlanShown:
    return events.PlanShown(
        proposal=record.id,
        commit=record.commit,
        digest=plan.digest,
        changes=tuple(map(str, plan.changes)),
        losses=tuple(loss.as_json() for loss in plan.losses),
        refusals=tuple(map(str, _against(plan))),
    )


def _against(plan: Plan) -> Iterable[object]:
    yield from plan.refusals
    yield from plan.errors


def _say(world: World, proposal: str, event: events.Event) -> None:
    world.log.append(Entry(stream=f"proposal/{proposal}", event=event))
