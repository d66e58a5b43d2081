"""Guards count what people lose, not percentages of a file. Pure; every loss is named, and how a person consents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Literal

from reconciler.core.effects import Effect, Effects, LetIn, Reached, Taken
from reconciler.core.plan import ABSENT, Change, Loss, Refusal, side_hash
from reconciler.core.policy import Policy
from state.model import digest

Level = Literal["allowed", "shown", "consent"]


def losses(
    instance: str, effects: Effects, changes: Iterable[Change], policy: Policy, *, needed: Collection[str] = ()
) -> list[Loss]:
    """All that people would lose by one instance's part of a plan, each loss once.

    `needed` are the addresses of what protected resources need.
    """
    ordinary = [effect for effect in effects.all if not effect.odd]
    opened = frozenset(host for effect in ordinary if _opens(effect) for host in effect.hosts)
    found = [
        *_hostnames(effects, opened, policy),
        *_opened(ordinary),
        *_let_in(effects.let_in),
        *_exposed(ordinary, effects.reached, policy),
        *_protected(changes, policy, needed),
        *_taken(ordinary, policy),
        *_taken_over(effects.taken, opened),
        *_last(instance, effects),
    ]
    return _once(found)


def _once(found: Iterable[Loss]) -> list[Loss]:
    """What is told in the same words is one loss, with all that causes it."""
    told: dict[str, list[Loss]] = {}
    for loss in found:
        told.setdefault(replace(loss, stake="").key, []).append(loss)
    return [replace(alike[0], stake=_together_at_stake(alike)) for alike in told.values()]


def _together_at_stake(alike: Iterable[Loss]) -> str:
    stakes = sorted({loss.stake for loss in alike})
    return digest(stakes) if len(stakes) > 1 else stakes[0]


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


def _hostnames(effects: Effects, opened: Collection[str], policy: Policy) -> Iterator[Loss]:
    names = {one.host for one in effects.gone}
    lately = [host for host in effects.lately if host not in names]
    level: Level = "allowed" if _within(len(names) + len(lately), effects.hosts + len(lately), policy) else "shown"
    why = f"after {', '.join(lately)} went since somebody last looked" if lately and level == "shown" else ""
    for one in effects.gone:
        if one.host not in opened:  # that such a host lost its route is only how
            # The limits are for one's own routes: nobody asked for those of others to go.
            counts: Level = "shown" if one.theirs else level
            yield Loss(guard="hostnames", address=one.route, lost=one.told, level=counts, why=why, stake=one.stake)


def _within(gone: int, served: int, policy: Policy) -> bool:
    # A share alone would refuse the only route of a small home, or wave through 8 of 9: the count speaks first.
    limit = policy.guards.hostnames_removed
    return gone <= limit.max and (gone <= 1 or gone <= limit.share * served)


def _last(instance: str, effects: Effects) -> Iterator[Loss]:
    if effects.routes > 1 and not effects.left:
        lost = f"the last route of '{instance}' would be removed, and there were others not long ago"
        yield Loss(guard="empty", address=f"{instance}/*/*", lost=lost, level="consent")


# ── requests that are answered without asking who is there ───────────────────────────────────────


def _opens(effect: Effect) -> bool:
    return bool(effect.before.routes) and effect.before.asks and effect.after.is_open


def _opened(effects: Iterable[Effect]) -> Iterator[Loss]:
    for effect in filter(_opens, effects):
        asked = effect.before.routes[0]
        if effect.unknown:
            lost = f"{effect.host} may answer without authentication; nobody can tell: {effect.unknown}"
        else:
            lost = f"{effect.host} would answer without authentication, through {_together(effect.after.routes)}"
        yield Loss(
            guard="authentication", address=asked, lost=lost, level="shown", hosts=effect.hosts[1:], stake=effect.stake
        )


def _let_in(found: Iterable[LetIn]) -> Iterator[Loss]:
    for one in found:
        yield Loss(
            guard="authentication", address=one.address, lost=one.told, level="shown", hosts=one.hosts, stake=one.stake
        )


def _together(routes: Iterable[str]) -> str:
    return " or ".join(routes)


# ── what the internet reaches, and what repairs everything else ──────────────────────────────────


def _exposed(effects: Iterable[Effect], reached: Iterable[Reached], policy: Policy) -> Iterator[Loss]:
    """What the internet did not reach, and will; a host of which some path is told is not told once more."""
    public, told = frozenset(policy.guards.public_entry_points), set[tuple[str, str]]()
    for effect in effects:
        if effect.entry_point in public and effect.exposed:
            route = effect.after.routes[0]
            told.update((effect.entry_point, key) for host in effect.exposed for key in (host.partition("/")[0], route))
            for host in effect.exposed:
                yield _reached(host, route, effect.entry_point, "would", effect.stake)
    for one in reached:
        by_name = " " not in one.host
        if (one.entry_point, one.host if by_name else one.route) not in told:
            yield _reached(one.host, one.route, one.entry_point, "would" if one.certain else "may", one.stake)


def _reached(host: str, route: str, entry_point: str, certainty: str, stake: str) -> Loss:
    lost = f"{host} {certainty} newly be reachable on the public entry point {entry_point}"
    return Loss(guard="exposure", address=route, lost=lost, level="shown", stake=stake)


def touched(changes: Iterable[Change], policy: Policy) -> Iterator[Loss]:
    """Protected resources that a plan touches: of a target whose resources serve no requests themselves."""
    return _protected(changes, policy, ())


def _protected(changes: Iterable[Change], policy: Policy, needed: Collection[str]) -> Iterator[Loss]:
    for change in changes:
        address = str(change.address)
        if change.action not in ("update", "delete"):
            continue
        what, stake = "removed" if change.want is ABSENT else "changed", side_hash(change.want)
        if policy.protects(address):
            lost = f"it is protected and would be {what}"
            yield Loss(guard="protected", address=address, lost=lost, level="consent", stake=stake)
        elif address in needed:
            lost = f"something protected needs it, and it would be {what}"
            yield Loss(guard="protected", address=address, lost=lost, level="consent", stake=stake)


def _taken(effects: Iterable[Effect], policy: Policy) -> Iterator[Loss]:
    """Requests of protected routes that others may answer, or nobody. A tie is no protection: chance decides it."""
    for effect in effects:
        for route in filter(policy.protects, effect.before.routes):
            for taker in effect.after.routes:
                if taker not in effect.before.routes:
                    lost = f"it may answer for {effect.host} in place of {route}, which is protected"
                    yield Loss(guard="protected", address=taker, lost=lost, level="consent", stake=effect.stake)
            if not effect.after.routes:
                rest = f"nobody can tell who would: {effect.unknown}" if effect.unknown else "nobody would"
                lost = f"it is protected, and would no longer answer for {effect.host} as it does; {rest}"
                yield Loss(guard="protected", address=route, lost=lost, level="consent", stake=effect.stake)


def _taken_over(taken: Iterable[Taken], opened: Collection[str]) -> Iterator[Loss]:
    for one in taken:
        if all(host in opened for host in one.hosts):
            continue  # that nobody asks any more is told as such
        address, other = (one.winner, one.loser) if one.by_ours else (one.loser, one.winner)
        does = f"take all requests of {other}, which is somebody else's" if one.by_ours else f"lose all to {other}"
        lost = f"it would {does}: {one.told}"
        yield Loss(guard="takeover", address=address, lost=lost, level="shown", hosts=one.hosts, stake=one.stake)
