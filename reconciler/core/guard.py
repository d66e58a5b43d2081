"""Guards count what people lose, not percentages of a file. Pure; every loss is named, and how a person consents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal

from reconciler.core.plan import ABSENT, Change, Loss, Refusal
from reconciler.core.policy import Policy
from reconciler.core.route import Nearby, Route

__all__ = ["Level", "Route", "emptied", "losses", "refusals"]

Level = Literal["allowed", "shown", "consent"]


def losses(
    before: Sequence[Route],
    after: Sequence[Route],
    changes: Iterable[Change],
    policy: Policy,
    *,
    earlier: Sequence[Route] = (),
    needed: Collection[str] = (),
) -> list[Loss]:
    """All that people would lose by going from `before` to `after`.

    `earlier` are routes as they were before the steps that nobody looked at: small losses add up. `needed` are
    the addresses of what protected resources need.
    """
    opened = list(_opened(before, after))
    return [
        *_hostnames(before, after, policy, earlier, told={host for host, _ in opened}),
        *(loss for _, loss in opened),
        *_exposure(before, after, policy),
        *_protected(tuple(changes), policy, needed),
        *_outranked(before, after, policy),
        *_last(before, after, earlier),
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


# ── hosts that nobody serves any more ────────────────────────────────────────────────────────────


def _hostnames(
    before: Sequence[Route], after: Sequence[Route], policy: Policy, earlier: Sequence[Route], told: Collection[str]
) -> Iterator[Loss]:
    """`told` are hosts that are open from now on: that they lost their route is only how."""
    served = {host for route in _unswallowed(before, after) for host in route.hosts}
    owners = {host: route for route in reversed(before) for host in sorted(route.hosts)}
    gone = sorted(owners.keys() - served)
    lately = sorted({host for route in earlier for host in route.hosts} - served - owners.keys())
    level: Level = "allowed" if _within(len(gone) + len(lately), len(owners) + len(lately), policy) else "shown"
    why = f"after {', '.join(lately)} went since somebody last looked" if lately and level == "shown" else ""
    broad = [route for route in after if route.broad and not route.swallows]
    for host in gone:
        if host not in told:
            lost = _unserved(host, owners[host], broad)
            yield Loss(guard="hostnames", address=owners[host].address, lost=lost, level=level, why=why)


def _within(gone: int, served: int, policy: Policy) -> bool:
    # A share alone would refuse the only route of a small home, or wave through 8 of 9: the count speaks first.
    limit = policy.guards.hostnames_removed
    return gone <= limit.max and (gone <= 1 or gone <= limit.share * served)


def _unserved(host: str, owner: Route, broad: Iterable[Route]) -> str:
    others = (one for one in broad if host != owner.rule and one.beside(owner) and one.part(host).paths)
    other = next(others, None)
    if other:
        return f"{host} would have no route of its own any more; {other.address} would answer for it"
    return f"{host} would no longer be served"


def _unswallowed(before: Iterable[Route], after: Sequence[Route]) -> Iterator[Route]:
    """Without the routes that can no longer be reached, because a new one takes every connection before them."""
    known = {route.shape for route in before if route.swallows}
    greedy = [route for route in after if route.swallows and route.shape not in known]
    for route in after:
        if route.swallows or not any(_covers(one, route) and one.beside(route) for one in greedy):
            yield route


def _covers(greedy: Route, route: Route) -> bool:
    return not (greedy.entry_points and route.entry_points) or route.entry_points <= greedy.entry_points


def _last(before: Sequence[Route], after: Sequence[Route], earlier: Sequence[Route]) -> Iterator[Loss]:
    if before and not after and len({route.address for route in (*before, *earlier)}) > 1:
        instance = before[0].address.partition("/")[0]
        lost = f"the last route of '{instance}' would be removed, and there were others not long ago"
        yield Loss(guard="empty", address=f"{instance}/*/*", lost=lost, level="consent")


# ── hosts that answer without asking who is there ────────────────────────────────────────────────


def _opened(before: Sequence[Route], after: Sequence[Route]) -> Iterator[tuple[str, Loss]]:
    """Each host that would answer without authentication where it asked for it, with the loss."""
    asking = Nearby(route for route in after if route.authenticated)
    seen: set[tuple[str, str]] = set()
    for asked, way in _suspects(before, after):
        for host in asked.common(way) if asked.beside(way) else ():
            if (asked.address, host) not in seen and not _still_asked(asked, way, host, asking):
                seen.add((asked.address, host))
                lost = f"{host} ({asked.rule}) would answer without authentication, through {way.address}"
                yield host, Loss(guard="authentication", address=asked.address, lost=lost, level="shown")


def _suspects(before: Sequence[Route], after: Sequence[Route]) -> Iterator[tuple[Route, Route]]:
    """A route that asked, and an open one that may get its requests now: one of the two is not as it was."""
    asked, still = _split(before)[0], {route.shape for route in _split(after)[0]}
    ways, known = _split(after)[1], {route.shape for route in _split(before)[1]}
    fresh = [way for way in ways if way.shape not in known]
    nearby = Nearby(asked)
    yield from ((one, way) for way in fresh for one in nearby.of(way))
    gone = [one for one in asked if one.shape not in still]
    nearby = Nearby(ways) if gone else Nearby(())
    for one in gone:
        # An open way that was there and had precedence had those requests before.
        yield from ((one, way) for way in nearby.of(one) if not (way.shape in known and way.outranks(one)))


def _split(routes: Iterable[Route]) -> tuple[list[Route], list[Route]]:
    asking, open_ways = list[Route](), list[Route]()
    for route in routes:
        (asking if route.authenticated else open_ways).append(route)
    return asking, open_ways


def _still_asked(asked: Route, way: Route, host: str, asking: Nearby) -> bool:
    """Does a route that asks come before the open one, for all that was asked for?"""
    return any(
        one.outranks(way) and _listens(one, asked, way) and (one.rule == asked.rule or one.part(host).whole)
        for one in asking.at(host)
    )


def _listens(one: Route, asked: Route, way: Route) -> bool:
    """Is it at every entry point where both others may be?"""
    if one.entry_points == asked.entry_points:
        return True
    return any(route.entry_points and route.entry_points <= one.entry_points for route in (asked, way))


# ── what the internet reaches, and what repairs everything else ──────────────────────────────────


def _exposure(before: Sequence[Route], after: Sequence[Route], policy: Policy) -> Iterator[Loss]:
    public = frozenset(policy.guards.public_entry_points)
    known = {pair for route in before for pair in _reachable(route, public)}
    for route in after:
        fresh = sorted(set(_reachable(route, public)) - known)
        for host in dict.fromkeys(host for host, _ in fresh):
            doors = ", ".join(door for other, door in fresh if other == host)
            lost = f"{host} would newly be reachable on the public entry point {doors}"
            yield Loss(guard="exposure", address=route.address, lost=lost, level="shown")


def _reachable(route: Route, public: frozenset[str]) -> list[tuple[str, str]]:
    # A router that names no entry point listens on the default ones, the public ones among them.
    doors = (route.entry_points or public) & public
    return [(host, door) for host in route.hosts for door in doors]


def _protected(changes: Iterable[Change], policy: Policy, needed: Collection[str]) -> Iterator[Loss]:
    for change in changes:
        address = str(change.address)
        if change.action not in ("update", "delete"):
            continue
        what = "removed" if change.want is ABSENT else "changed"
        if policy.protects(address):
            yield Loss(guard="protected", address=address, lost=f"it is protected and would be {what}", level="consent")
        elif address in needed:
            lost = f"something protected needs it, and it would be {what}"
            yield Loss(guard="protected", address=address, lost=lost, level="consent")


def _outranked(before: Sequence[Route], after: Sequence[Route], policy: Policy) -> Iterator[Loss]:
    """New ways that may get the requests of protected routes. A tie is no protection: it is decided by chance."""
    protected = Nearby(route for route in before if policy.protects(route.address))
    known: dict[object, set[str]] = {}
    for route in before:
        known.setdefault(route.shape, set()).add(route.address)
    for way in after:
        for route in protected.of(way):
            is_new = not known.get(way.shape, set()) - {route.address} and way.address != route.address
            for host in way.common(route) if is_new and _may_precede(way, route) else ():
                lost = f"it may answer for {host} in place of {route.address}, which is protected"
                yield Loss(guard="protected", address=way.address, lost=lost, level="consent")


def _may_precede(way: Route, route: Route) -> bool:
    return way.priority >= route.priority and way.beside(route)
