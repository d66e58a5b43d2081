"""Guards count what people lose, not percentages of a file. Pure; every loss is named, and how a person consents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Literal

from reconciler.core.effects import Effect, Effects
from reconciler.core.plan import ABSENT, Change, Loss, Refusal
from reconciler.core.policy import Policy

Level = Literal["allowed", "shown", "consent"]


def losses(
    instance: str, effects: Effects, changes: Iterable[Change], policy: Policy, *, needed: Collection[str] = ()
) -> list[Loss]:
    """All that people would lose by one instance's part of a plan, each loss once.

    `needed` are the addresses of what protected resources need.
    """
    ordinary = [effect for effect in effects.all if not effect.odd]
    found = [
        *_hostnames(effects, policy),
        *_opened(ordinary),
        *_exposed(ordinary, policy),
        *(_reached(one.host, one.route, one.entry_point) for one in effects.reached),
        *_protected(changes, policy, needed),
        *_taken(ordinary, policy),
        *_last(instance, effects),
    ]
    return list({loss.key: loss for loss in reversed(found)}.values())[::-1]


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


def _hostnames(effects: Effects, policy: Policy) -> Iterator[Loss]:
    opened = {effect.host for effect in effects.all if _opens(effect)}
    names = {one.host for one in effects.gone}
    lately = [host for host in effects.lately if host not in names]
    level: Level = "allowed" if _within(len(names) + len(lately), effects.hosts + len(lately), policy) else "shown"
    why = f"after {', '.join(lately)} went since somebody last looked" if lately and level == "shown" else ""
    for one in effects.gone:
        if one.host not in opened:  # that such a host lost its route is only how
            yield Loss(guard="hostnames", address=one.route, lost=one.told, level=level, why=why)


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
            what = effect.host or "some of what it answers for"
            lost = f"{what} may answer without authentication; nobody can tell: {effect.unknown}"
        else:
            lost = f"{effect.host} would answer without authentication, through {_together(effect.after.routes)}"
        yield Loss(guard="authentication", address=asked, lost=lost, level="shown", why=f"as for {effect.told}")


def _together(routes: Iterable[str]) -> str:
    return " or ".join(routes)


# ── what the internet reaches, and what repairs everything else ──────────────────────────────────


def _exposed(effects: Iterable[Effect], policy: Policy) -> Iterator[Loss]:
    """What nobody answered for at a public entry point, and somebody will."""
    public = frozenset(policy.guards.public_entry_points)
    for effect in effects:
        if effect.entry_point in public and not effect.before.routes and effect.after.routes and effect.before.known:
            yield _reached(effect.host, effect.after.routes[0], effect.entry_point)


def _reached(host: str, route: str, entry_point: str) -> Loss:
    lost = f"{host} would newly be reachable on the public entry point {entry_point}"
    return Loss(guard="exposure", address=route, lost=lost, level="shown")


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


def _taken(effects: Iterable[Effect], policy: Policy) -> Iterator[Loss]:
    """Requests of protected routes that others may answer, or nobody. A tie is no protection: chance decides it."""
    for effect in effects:
        for route in filter(policy.protects, effect.before.routes):
            for taker in effect.after.routes:
                if taker not in effect.before.routes:
                    lost = f"it may answer for {effect.host} in place of {route}, which is protected"
                    yield Loss(guard="protected", address=taker, lost=lost, level="consent")
            if not effect.after.routes:
                rest = f"nobody can tell who would: {effect.unknown}" if effect.unknown else "nobody would"
                lost = f"it is protected, and would no longer answer for {effect.host} as it does; {rest}"
                yield Loss(guard="protected", address=route, lost=lost, level="consent")
