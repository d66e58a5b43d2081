"""Guards count what people lose, not percentages of a file. Pure; every loss is named, and how a person consents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from reconciler.core.plan import ABSENT, Change, Loss, Refusal
from reconciler.core.policy import Policy

Level = Literal["allowed", "shown", "consent"]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way in, as people see it: the hosts it answers for, whether it asks who they are, and where it listens.

    A route without a literal host stands with its whole rule in `hosts`. `entry_points` empty means the default ones.
    """

    address: str
    hosts: frozenset[str]
    rule: str
    authenticated: bool
    entry_points: frozenset[str] = frozenset()


def losses(before: Sequence[Route], after: Sequence[Route], changes: Iterable[Change], policy: Policy) -> list[Loss]:
    """All that people would lose by going from `before` to `after`."""
    changes = tuple(changes)
    return [
        *_hostnames(before, after, policy),
        *_authentication(before, after),
        *_exposure(before, after, policy),
        *_protected(changes, policy),
    ]


def emptied(instance: str, before: Collection[object], after: Collection[object]) -> list[Loss]:
    """The loss of everything: an instance that had resources and would have none."""
    if not before or after:
        return []
    what = f"all {len(before)} resources of '{instance}' would be removed, and nothing would be left"
    return [Loss(guard="empty", address=f"{instance}/*/*", lost=what, level="consent")]


def refusals(
    found: Iterable[Loss], *, shown: Collection[str], consented: Collection[str], digest: str, commit: str, strict: bool
) -> tuple[Refusal, ...]:
    """The losses that nobody has agreed to. `shown` and `consented` are keys of losses.

    `strict` is for commits whose every plan was shown: then even a loss within the limits must have been in it.
    """
    consent = f"If that is meant: waypost approve {commit[:12]} --plan {digest[:12]}"
    return tuple(
        Refusal(loss=loss, consent=consent)
        for loss in found
        if loss.key not in consented and not _agreed(loss, shown, strict)
    )


def _agreed(loss: Loss, shown: Collection[str], strict: bool) -> bool:
    if loss.level == "consent":
        return False
    return loss.key in shown or (loss.level == "allowed" and not strict)


def _hostnames(before: Sequence[Route], after: Sequence[Route], policy: Policy) -> Iterator[Loss]:
    served = {host for route in after for host in route.hosts}
    owners = {host: route.address for route in reversed(before) for host in sorted(route.hosts)}
    gone = sorted(owners.keys() - served)
    limit = policy.guards.hostnames_removed
    # A share alone would refuse the only route of a small home, or wave through 8 of 9: the count speaks first.
    within = len(gone) <= limit.max and (len(gone) <= 1 or len(gone) <= limit.share * len(owners))
    for host in gone:
        yield Loss(
            guard="hostnames",
            address=owners[host],
            lost=f"{host} would no longer be served",
            level="allowed" if within else "shown",
        )


def _authentication(before: Sequence[Route], after: Sequence[Route]) -> Iterator[Loss]:
    # By host and rule, not by name: a deleted router with authentication falls through to a broader one without.
    asked = {(host, route.rule) for route in after if route.authenticated for host in route.hosts}
    open_now = {host: route for route in reversed(after) if not route.authenticated for host in sorted(route.hosts)}
    for route in before:
        for host in sorted(route.hosts if route.authenticated else ()):
            if host in open_now and (host, route.rule) not in asked:
                lost = f"{host} ({route.rule}) would answer without authentication, through {open_now[host].address}"
                yield Loss(guard="authentication", address=route.address, lost=lost, level="shown")


def _exposure(before: Sequence[Route], after: Sequence[Route], policy: Policy) -> Iterator[Loss]:
    public = frozenset(policy.guards.public_entry_points)
    old = {route.address: _reachable(route, public) for route in before}
    for route in after:
        if fresh := sorted(_reachable(route, public) - old.get(route.address, frozenset())):
            lost = f"it would newly be reachable on the public entry point {', '.join(fresh)}"
            yield Loss(guard="exposure", address=route.address, lost=lost, level="shown")


def _reachable(route: Route, public: frozenset[str]) -> frozenset[str]:
    # A router that names no entry point listens on the default ones, the public ones among them.
    return (route.entry_points or public) & public


def _protected(changes: Iterable[Change], policy: Policy) -> Iterator[Loss]:
    for change in changes:
        address = str(change.address)
        if change.action in ("update", "delete") and any(fnmatchcase(address, rule) for rule in policy.protected):
            lost = "it is protected and would be " + ("removed" if change.want is ABSENT else "changed")
            yield Loss(guard="protected", address=address, lost=lost, level="consent")
