"""Proposals from arrival to their end: taken in, shown with a plan, superseded, reminded of, closed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from reconciler.core import policy as policies
from reconciler.core.plan import Plan
from reconciler.core.policy import Policy
from reconciler.git import proposals
from reconciler.git.bounds import ROOTS
from reconciler.git.ingest import ingest_proposals
from reconciler.git.proposals import ProposalRefused
from reconciler.planning import Planned, load, plan_proposal, policy_in_force, touches
from reconciler.world import ACTOR, World
from state import events, outbox, views
from state.log import Entry
from state.model import digest
from state.review import ProposalRecord


def take_in(world: World) -> None:
    """Ingest what the gateway and people wrote to their outboxes, and fetch the commits of new proposals."""
    if world.gateway_clone and world.gateway_clone.exists():
        _fetch_proposals(world, world.gateway_clone)
    if world.gateway_outbox and world.gateway_outbox.exists():
        outbox.ingest(world.log, world.gateway_outbox, source="gateway", allowed=outbox.GATEWAY_EVENTS)
    if world.people_outbox and world.people_outbox.exists():
        outbox.ingest(world.log, world.people_outbox, source="person", allowed=outbox.PEOPLE_EVENTS)


def _fetch_proposals(world: World, clone: Path) -> None:
    roots = [part.directory for part in _policy(world).targets.values()]
    found = ingest_proposals(world.store, clone, branch=world.branch, known=_decided(world), roots=[*ROOTS, *roots])
    refused = [
        Entry(
            stream="gateway",
            event=events.IntakeRefused(source="gateway", what=f"proposal {id}", reason=reason),
            key=f"refused:{id}:{digest(reason)[:16]}",
        )
        for id, reason in found.refused.items()
    ]
    world.log.append(refused)


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
    """Propose that main say again what is true: the state of the last revision, after what followed was refuted."""
    latest = world.log.view(views.Revisions).latest
    if latest is None or latest.commit == head:
        return
    id = f"revert-{head[:12]}"
    title = f"Revert {head[:12]}: Traefik refused what it asks for"
    try:
        commit = proposals.revert_to(
            world.store,
            latest.commit,
            parent=head,
            id=id,
            title=title,
            body=f"It was undone; revision {latest.number} is live. This makes main say so.",
            trailers={"Waypost-Request": id, "Waypost-Tool": "reconciler", "Waypost-Client": ACTOR},
            author=f"Waypost <{ACTOR}@localhost>",
            at=world.clock.now(),
        )
    except ProposalRefused:
        return  # proposed before
    made = events.ProposalMade(
        proposal=id,
        branch=proposals.branch(id),
        commit=commit,
        parent=head,
        tool="reconciler",
        client=ACTOR,
        title=title,
        resources=tuple(sorted(map(str, touches(load(world, latest.commit), load(world, head))))),
    )
    proposed = events.ProposedRevert(commit=head, proposal=id, reason="its apply was refuted and undone")
    stream = f"proposal/{id}"
    world.log.append(
        [Entry(stream=stream, event=made, key=f"made:{id}"), Entry(stream=stream, event=proposed, key=f"revert:{id}")]
    )


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
