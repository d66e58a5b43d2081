"""What is news about the live side: drift, neighbours' poison, targets gone and back. Transitions only, never ticks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from reconciler.core import diff
from reconciler.core.plan import ABSENT, Change, Difference, Plan, same, side_hash
from reconciler.core.redact import covered
from reconciler.core.target import Observation, TargetError
from reconciler.planned import Planned
from reconciler.world import World
from state import events, views
from state.log import Entry
from state.model import Address
from state.views import InstanceHealth


def record_targets(world: World, planned: Planned) -> None:
    """What is new of each target: it cannot be asked, files poison it, it serves less of ours than it should."""
    health = world.log.view(views.Health)
    for instance in world.targets:
        known = health.of(instance)
        if error := planned.lost.get(instance):
            news = list(_lost(instance, known, str(error)))
        elif seen := planned.observed.get(instance):
            news = list(_seen(instance, known, seen))
        else:
            continue
        world.log.append([Entry(stream=f"target/{instance}", event=event) for event in news])


def _seen(instance: str, known: InstanceHealth, seen: Observation) -> Iterator[events.Event]:
    yield from _lost(instance, known, seen.witness)
    yield from _poison(instance, known, seen)
    if not seen.witness:  # a target that says nothing takes nothing back either
        yield from _serving(instance, known, seen)
        yield from _restart_losses(instance, known, seen)


def record_given_up(world: World, plan: Plan, owed: Collection[str]) -> None:
    """Writes that failed and that nobody wants any more. `owed` names where more may be due than the plan says."""
    health = world.log.view(views.Health)
    for instance in world.targets:
        if health.of(instance).write_failed and instance not in owed and not plan.of(instance).changes:
            given_up = events.WriteGivenUp(instance=instance, reason="nothing is left to write")
            world.log.append(Entry(stream=f"target/{instance}", event=given_up))


def record_drift(world: World, planned: Planned) -> None:
    """Drift that is new or different, and drift that is gone."""
    known, plan = world.log.view(views.Drift).open, planned.plan
    taken = {a: file for seen in planned.observed.values() for a, file in seen.taken_over.items()}
    # What is about to be put back, now or when its turn comes, has drifted too until it is proven to be back.
    wanted = (*plan.changes, *plan.deferred, *plan.quarantined)
    drifted = (*plan.drift, *plan.conflicts, *(change for change in wanted if _edited(change)))
    now = {difference.address: difference for difference in drifted}
    by = planned.by
    found = [_found(one, by.get(address, "")) for address, one in now.items() if address not in taken]
    found += [_taken(address, file) for address, file in sorted(taken.items())]
    _say(world, [one for one in found if _is_news(one, known.get(Address.parse(one.address)))])
    looked_at = {address for address in known if address.instance in planned.observed}
    _clear(world, looked_at - now.keys() - taken.keys(), "live is as it was applied again")


def record_healed(world: World, changes: Iterable[Change]) -> None:
    """What ended because what is wanted was put there and proven: drift, and whatever else it mended."""
    changed, known = {change.address for change in changes}, world.log.view(views.Drift).open
    _clear(world, changed & known.keys(), "it was put back, and proven")
    for instance in sorted({address.instance for address in changed}):
        _look_again(world, instance)


def _look_again(world: World, instance: str) -> None:
    # What ailed it was seen before the write: an alert about that, sent now, could be false already.
    known = world.log.view(views.Health).of(instance)
    if not (known.poison or known.disabled or known.unserved or known.restart_losses):
        return
    try:
        seen = world.targets[instance].observe()
    except TargetError:
        return  # the next pass looks again, and records what it does not see
    world.log.append([Entry(stream=f"target/{instance}", event=event) for event in _seen(instance, known, seen)])


def _edited(change: Change) -> bool:
    return not same(change.base, change.live)


def _clear(world: World, addresses: Iterable[Address], reason: str) -> None:
    _say(world, [events.DriftCleared(address=str(address), reason=reason) for address in sorted(addresses)])


def _say(world: World, news: Iterable[events.DriftFound | events.DriftCleared]) -> None:
    world.log.append([Entry(stream=_stream(event.address), event=event) for event in news])


def _is_news(found: events.DriftFound, known: views.OpenDrift | None) -> bool:
    return known is None or (known.found.live_hash, known.found.kind) != (found.live_hash, found.kind)


def _taken(address: Address, file: str) -> events.DriftFound:
    return events.DriftFound(
        address=str(address),
        kind="taken over",
        base_hash="",
        live_hash=file,
        fields=(),
        reason=f"{file} has a resource of this name too, and Traefik reads it first: rename or remove it there",
    )


def _found(difference: Difference, by: str) -> events.DriftFound:
    gone = difference.live is ABSENT
    fields = [change.path or "all of it" for change in diff.explain(difference.base, difference.live)]
    return events.DriftFound(
        address=str(difference.address),
        kind="missing" if gone else "changed",
        base_hash=side_hash(difference.base),
        live_hash=side_hash(difference.live),
        fields=() if gone else tuple(fields[:50]),
        reason="it is gone from the live file" if gone else "the live file was changed, and no commit asked for it",
        by=by,
    )


def _lost(instance: str, known: InstanceHealth, reason: str) -> Iterator[events.Event]:
    if reason and reason != known.lost:
        yield events.TargetLost(instance=instance, reason=reason)
    elif not reason and known.lost:
        yield events.TargetFound(instance=instance, reason="it answers again")


def _poison(instance: str, known: InstanceHealth, seen: Observation) -> Iterator[events.Event]:
    for file, reason in seen.poison.items():
        if known.poison.get(file) != reason:
            yield events.PoisonFound(instance=instance, file=file, reason=reason, ours=file == seen.own_file)
    for file in known.poison.keys() - seen.poison.keys():
        yield events.PoisonCleared(instance=instance, file=file, reason="the file is gone or can be loaded again")


def _serving(instance: str, known: InstanceHealth, seen: Observation) -> Iterable[events.Event]:
    if seen.own_file in seen.poison:
        return  # what it should serve cannot be read; that is news of its own
    # The target quotes what it dislikes, a password hash for instance; that must not enter the log.
    specs = seen.live.values()
    told = {str(address): words for address, words in sorted(seen.disabled.items())}
    disabled, unserved = covered([told, seen.unserved], specs) if told or seen.unserved else ({}, "")
    if (disabled, unserved) == (known.disabled, known.unserved):
        return
    if disabled or unserved:
        reason = unserved or f"it is in our file, but the target does not serve it: {', '.join(disabled)}"
        yield events.ServingLost(instance=instance, resources=disabled, unserved=unserved, reason=reason)
    else:
        yield events.ServingRestored(instance=instance, reason="all of our file is served again")


def _restart_losses(instance: str, known: InstanceHealth, seen: Observation) -> Iterable[events.Event]:
    losses = tuple(sorted(seen.restart_losses))
    if losses and losses != tuple(known.restart_losses):
        reason = f"a restart would lose {len(losses)} routes that are served now"
        yield events.RestartLossFound(instance=instance, routes=losses, reason=reason)
    elif known.restart_losses and not losses:
        yield events.RestartLossCleared(instance=instance, reason="all that is served would come back after a restart")


def explain(world: World, word: str) -> str:
    """Why a pass ended as it did, in a sentence, from what the log knows."""
    health, attempts = world.log.view(views.Health), world.log.view(views.Attempts).open
    reasons = [f"{name}: {reason}" for name in world.targets for reason in _reasons(health.of(name))]
    reasons += [f"{name}: {doubt(one)}" for name, one in attempts.items() if one.state == "unknown"]
    quarantine = world.log.view(views.Quarantine)
    reasons += [f"{name}: {one.reason}" for name, one in quarantine.stuck.items()]
    if held := quarantine.held:
        reasons.append(f"quarantined until what is wanted of them changes: {', '.join(sorted(map(str, held)))}")
    return f"{word}: " + ("; ".join(reasons) or "see waypost history")


def _reasons(health: InstanceHealth) -> Iterator[str]:
    if health.lost:
        yield health.lost
    for file, reason in health.poison.items():
        yield f"{file} keeps Traefik from loading anything: {reason}"
    if health.failure:
        yield health.failure
    if health.write_failed:
        yield f"the last write did not come about: {health.write_failed}"
    if health.unserved:
        yield health.unserved
    for address, words in health.disabled.items():
        yield f"{address} is not served: {words}"


def doubt(attempt: views.OpenAttempt) -> str:
    """Why nobody knows how a write went, and what to do."""
    return f"nobody could say whether the last write is served: {attempt.reason} {attempt.remedy}".strip()


def _stream(address: str) -> str:
    return f"target/{Address.parse(address).instance}"
