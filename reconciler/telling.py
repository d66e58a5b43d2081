"""What happened, told from the log: history of a home or a resource, and why a resource is as it is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

from reconciler.commits import load
from reconciler.core.account import problem_json
from reconciler.core.redact import redact
from reconciler.core.target import Observation
from reconciler.loop import Outcome
from reconciler.secrets import without_secrets
from reconciler.world import World
from state import views
from state.events import ApplyProven, ApplyStarted, CommitApproved, Event
from state.model import Address
from state.outbox import GATEWAY_EVENTS, PEOPLE_EVENTS
from state.record import Anchor, Recorded
from state.review import ProposalRecord


def history(world: World, address: Address | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """The newest events, oldest of them first; of one resource where an address is given."""
    if address is None:
        after = max(0, world.log.head().seq - limit)
        return [told(recorded) for recorded in world.log.read(after)]
    return [told(recorded) for recorded in _at(world, _about(world, address)[-limit:])]


def _about(world: World, address: Address) -> list[int]:
    """The events that name a resource, and those of the proposals and attempts that were about it."""
    seqs = set(world.log.touching(address))
    for recorded in list(_at(world, sorted(seqs))):
        for kind in ("proposal", "attempt"):
            if named := getattr(recorded.event, kind, ""):
                seqs.update(world.log.touching(f"{kind}:{named}"))
    return sorted(seqs)


def told(recorded: Recorded) -> dict[str, Any]:
    """One event as JSON-plain data, secrets covered."""
    event = _covered(recorded.event)
    return {
        "seq": recorded.seq,
        "at": recorded.at.isoformat(timespec="seconds"),
        "stream": recorded.stream,
        "type": recorded.type,
        "actor": recorded.actor,
        "request_id": recorded.request_id,
        "said": sentence(event),
        "data": redact(asdict(event)),
    }


def _covered(event: Event) -> Event:
    """What people wrote enters the log without secrets, but did not always: an old event is for ever."""
    names = _WRITTEN | {"reason"} if type(event) in _OF_PEOPLE else _WRITTEN
    written = {name: value for name in names if (value := getattr(event, name, None))}
    texts = {name: without_secrets(value) for name, value in written.items() if isinstance(value, str)}
    lists = {name: tuple(map(without_secrets, value)) for name, value in written.items() if isinstance(value, tuple)}
    return replace(event, **texts, **lists) if written else event


_WRITTEN = frozenset({"subject", "title", "by", "reviewers", "said"})
_OF_PEOPLE = PEOPLE_EVENTS | GATEWAY_EVENTS
"""Reasons of other events are sentences of ours, and may name a setting whose name tells of a secret."""


def sentence(event: Event) -> str:
    """The event in a line for people."""
    fields = asdict(event)
    subject = next((str(fields[name]) for name in _SUBJECTS if fields.get(name) and not _is_digest(fields[name])), "")
    words = [_words(type(event).__name__), subject]
    if reason := fields.get("reason") or fields.get("evidence"):
        words.append(f"– {reason}")
    line = " ".join(word for word in words if word)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and not value.strip("0123456789abcdef")


_SUBJECTS = ("title", "subject", "address", "proposal", "tool", "what", "file", "stack", "instance", "number", "source")
_LONGEST = 240


def _words(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def why(world: World, address: Address) -> dict[str, Any]:
    """The chain that made a resource as it is: request → commit → approval → plan → apply → live digest.

    A link that nobody recorded is None; an actor that nobody knows is "unknown".
    """
    applied = world.log.view(views.Applied)
    happened = list(_at(world, world.log.touching(address)))
    if not happened:
        raise ValueError(f"nothing is known of {address}: it was never proposed, applied or found here")
    origin = applied.provenance.get(address)
    # Something may have been proven and taken back since: what counts is what made it as it is.
    proven = _last([one for one in happened if one.seq == origin.seq] if origin else happened, ApplyProven)
    started = _last([one for one in happened if proven and one.seq < proven.seq], ApplyStarted)
    commit = origin.commit if origin else proven.event.commit if proven else ""
    approval = _approval(world, address, commit)
    return {
        "resource": str(address),
        "live": origin is not None,
        "request": _request(world, approval.event.proposal) if approval else None,
        "commit": approval.event.commit if approval else commit or None,
        "approval": _told_approval(world, approval),
        "plan": started.event.digest if started else None,
        "applied": told(proven) if proven else None,
        "live_digest": applied.file(address.instance) or None,
        "events": [told(event) for event in happened[-20:]],
    }


_LOOK_BACK = 200
"""Approvals that are looked at for the one that brought a resource's present state."""


def _approval(world: World, address: Address, commit: str) -> Any:
    """The approval at or before `commit` whose own commit changed this resource. One pass may apply several."""
    approvals = [one for one in world.log.read(stream="main") if isinstance(one.event, CommitApproved)]
    ids = [one.event.commit for one in approvals]  # type: ignore[attr-defined]
    upto = ids.index(commit) + 1 if commit in ids else 0
    for one in reversed(approvals[max(0, upto - _LOOK_BACK) : upto]):
        if _changed(world, one.event.commit, address):  # type: ignore[attr-defined]
            return one
    return None


def _changed(world: World, commit: str, address: Address) -> bool:
    parents = world.store.commit(commit).parents
    before = load(world, parents[0]).snapshot.get(address) if parents else None
    return bool(load(world, commit).snapshot.get(address) != before)


def _told_approval(world: World, approval: Recorded | None) -> dict[str, Any] | None:
    if approval is None or not isinstance(approval.event, CommitApproved):
        return None
    told_later = world.log.view(views.Approvals).told.get(approval.event.commit, approval.event)
    return {
        "at": approval.at.isoformat(timespec="seconds"),
        "by": told_later.by,
        "via": approval.event.via,
        "subject": without_secrets(approval.event.subject),
        "proposal": approval.event.proposal or None,
    }


def _request(world: World, proposal: str) -> dict[str, Any] | None:
    record = world.log.view(views.Proposals).items.get(proposal)
    if record is None:
        return None
    return {
        "id": record.request_id or proposal,
        "tool": record.tool,
        "client": record.client,
        "proposal": record.id,
        "title": without_secrets(record.title),
        "at": record.made_at.isoformat(timespec="seconds"),
    }


def _last(events: Iterable[Recorded], kind: type[Event]) -> Any:
    return next((recorded for recorded in reversed(list(events)) if isinstance(recorded.event, kind)), None)


def _at(world: World, seqs: Iterable[int]) -> Iterable[Recorded]:
    for seq in seqs:
        yield from world.log.read(seq - 1, until=seq)


def commit_lines(world: World, record: ProposalRecord, *, diff: bool) -> list[str]:
    """What a proposal's commit says and which files it changes; with `diff` also how."""
    commit = world.store.commit(record.commit)
    changed = world.store.changed(commit.parents[0], commit.id)
    lines = [f"commit {commit.id[:12]} on {record.branch}, by {commit.author}"]
    lines += [f"    {line}" for line in commit.message.strip().splitlines()]
    lines += ["files:", *(f"  {path}" for path in changed)]
    if diff:
        for path in changed:
            before, after = (_text(world, id, path) for id in (commit.parents[0], commit.id))
            lines += difflib.unified_diff(before, after, f"a/{path}", f"b/{path}", lineterm="")
    return lines


def _text(world: World, commit: str, path: str) -> list[str]:
    entry = world.store.entry(commit, path)
    return world.store.read(entry.id).decode(errors="replace").splitlines() if entry else []


def why_lines(found: dict[str, Any]) -> list[str]:
    """The chain for people's eyes."""
    request, approval, applied = found["request"], found["approval"], found["applied"]
    state = "is live" if found["live"] else "is not live (any more, or yet)"
    return [
        f"{found['resource']} {state}",
        f"  request:   {request['tool']} by {request['client']} ({request['id']})"
        if request
        else "  request:   none known",
        f"  proposal:  {request['proposal']}: {request['title']}" if request else "  proposal:  none known",
        f"  commit:    {found['commit'] or 'unknown'}{_subject(approval)}",
        f"  approval:  {approval['via']} by {approval['by']}, {approval['at']}" if approval else "  approval:  unknown",
        f"  plan:      {found['plan'] or 'none: it was found so'}",
        f"  applied:   {applied['at']}, {applied['data']['evidence']}" if applied else "  applied:   never proven",
        f"  live file: {found['live_digest'] or 'none'}",
    ]


def _subject(approval: dict[str, Any] | None) -> str:
    return f"  {approval['subject']}" if approval and approval["subject"] else ""


def proposal(record: ProposalRecord) -> dict[str, Any]:
    """A proposal as JSON-plain data."""
    return {
        "id": record.id,
        "status": record.status,
        "reason": without_secrets(record.reason),
        "title": without_secrets(record.title),
        "branch": record.branch,
        "commit": record.commit,
        "tool": record.tool,
        "client": record.client,
        "resources": list(record.resources),
        "request_id": record.request_id,
        "made_at": record.made_at.isoformat(timespec="seconds"),
        "shown": record.shown,
        "refusals": list(record.refusals),
        "losses": [dict(loss) for loss in record.losses],
    }


def status(world: World, outcome: Outcome) -> dict[str, Any]:
    """How things stand, from the log."""
    main, health = world.log.view(views.Main), world.log.view(views.Health)
    latest = world.log.view(views.Revisions).latest
    return {
        "state": outcome.state,
        "said": outcome.said,
        "revision": latest.number if latest else 0,
        "commit": latest.commit if latest else None,
        "main": main.head,
        "source_lost": main.source_lost,
        "pass_failed": health.pass_failed,
        "read_only": world.read_only,
        "targets": {name: _target_status(health.of(name)) for name in world.targets},
        "drift": [str(address) for address in world.log.view(views.Drift).open],
        "quarantined": [str(address) for address in world.log.view(views.Quarantine).held],
        "proposals_open": len(world.log.view(views.Proposals).open()),
        "log_degraded": world.log.degraded,
    }


def _target_status(health: views.InstanceHealth) -> dict[str, Any]:
    return {
        "lost": health.lost,
        "poison": dict(health.poison),
        "restart_losses": list(health.restart_losses),
        "disabled": dict(health.disabled),
        "unserved": health.unserved,
        "write_failed": health.write_failed,
        "failure": health.failure,
    }


def drift(world: World) -> dict[str, Any]:
    """Open drift as the last pass found it; values stay out."""
    known = world.log.view(views.Drift)
    return {
        "drift": [
            {
                "address": str(address),
                "kind": standing.found.kind,
                "fields": list(standing.found.fields),
                "since": standing.since.isoformat(timespec="seconds"),
                "by": standing.found.by,
                "accepted_until": known.accepted[address].until if address in known.accepted else "",
            }
            for address, standing in known.open.items()
        ]
    }


def live(observed: Observation) -> dict[str, Any]:
    """What a target serves: ours with specs (secrets covered), others' by name and origin."""
    return {
        "ours": {str(address): redact(spec) for address, spec in sorted(observed.live.items())},
        "foreign": {str(address): origin for address, origin in sorted(observed.foreign.items())},
        "services": dict(_services(observed)),
        "witness": observed.witness,
        "version": observed.version,
        "problems": [problem_json(problem) for problem in observed.problems],
    }


def _services(observed: Observation) -> Iterator[tuple[str, Any]]:
    """Services that the target itself lists, with their servers and what its own health check says of each."""
    for name, item in observed.served.get("http.services", {}).items():
        balancer, status = item.spec.get("loadBalancer"), item.spec.get("serverStatus")
        servers = balancer.get("servers") if isinstance(balancer, dict) else None
        listed = servers if isinstance(servers, list) else []
        urls = [str(server.get("url", "")) for server in listed if isinstance(server, dict)]
        status = status if isinstance(status, dict) else {}  # whoever answers as a Traefik may write anything
        if plain := {url: str(status.get(url, "")) for url in urls if url and redact(url) == url}:
            yield name, {"servers": plain}


def anchors(world: World) -> list[Anchor]:
    """The heads of the log as Git remembers them."""
    return [Anchor(one.seq, one.hash) for one in world.store.anchors()]
