"""A change in words for a message: before → after, whether it was proven or undone, and where to look at it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from reconciler.commits import load
from reconciler.core import account
from reconciler.core.plan import ABSENT, Change, Plan, Side
from reconciler.world import World
from state import events, views
from state.model import Address, Snapshot


def taken_back(world: World, why: views.Cause, addresses: Iterable[Address]) -> list[str]:
    """A change that a target refused: what it said, and for each resource what is, and what was wanted instead."""
    started = _started(world, why.attempt)
    lines = [why.reason, "Undone: what stood before is served again."]
    for address in sorted(addresses):
        base = world.log.view(views.Applied).base(address.instance)
        if started and str(address) in started.changes:
            wanted = started.changes[str(address)]
            lines += _told(address, _side(base, address), ABSENT if wanted is None else wanted)
        else:
            lines.append(str(address))
    return lines


def _started(world: World, attempt: str) -> events.ApplyStarted | None:
    about = (one.event for one in world.log.about(f"attempt:{attempt}"))
    return next((event for event in about if isinstance(event, events.ApplyStarted)), None)


def changed(world: World, before: str, after: str) -> tuple[list[str], list[Address]]:
    """What two commits of the desired repo differ in, as lines and as addresses."""
    was, now = load(world, before).snapshot, load(world, after).snapshot
    addresses = sorted(one for one in was.keys() | now.keys() if was.get(one) != now.get(one))
    lines = ["Proven: the target itself lists it."]
    for address in addresses:
        lines += _told(address, _side(was, address), _side(now, address))
    return lines, addresses


def _told(address: Address, was: Side, now: Side) -> list[str]:
    """One change as every plan tells it, secrets covered."""
    action: Literal["create", "delete", "update"]
    action = "create" if was is ABSENT else "delete" if now is ABSENT else "update"
    change = Change(address=address, base=was, want=now, live=was, action=action)
    return [line.removeprefix("  ") for line in account.lines(Plan(commit="", changes=(change,)))[1:]]


def _side(resources: Snapshot, address: Address) -> Side:
    return resources.get(address, ABSENT)


def looked_at(world: World, commit: str) -> list[str]:
    """Where a person finds more of what a commit brought: its pull request where there is one, else a command."""
    if not commit:
        return []
    about = (one.event for one in world.log.about(f"commit:{commit}"))
    proposal = next((event.proposal for event in about if isinstance(event, events.CommitApproved)), "")
    review = world.log.view(views.PullRequests).items.get(proposal)
    if review and review.address:
        return [f"Look at {review.address}"]
    return [f"Look at it: {f'waypost show {proposal}' if proposal else f'git show {commit[:12]}'}"]
