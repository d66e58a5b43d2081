"""One instance's apply: intention, write, proof, and what follows from the verdict. Every step is an event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from reconciler.blaming import Blame, blame
from reconciler.core import redact
from reconciler.core.plan import ABSENT, Change, side_hash
from reconciler.core.target import Attempt, Target, TargetError, Verdict
from reconciler.planning import Planned
from reconciler.world import World
from state import events, views
from state.log import Entry
from state.model import Address, Snapshot, digest_bytes


@dataclass(frozen=True)
class Result:
    """What came of one instance's apply: proven, refuted, unknown, or waiting (then nothing was written)."""

    word: str
    attempt: Attempt | None = None


def apply(world: World, instance: str, planned: Planned) -> Result:
    """Carry out one instance's changes.

    It waits where the target cannot be asked at the moment, or moved since the plan was made; the next pass
    plans again.
    """
    target, observed = world.targets[instance], planned.observed[instance]
    if observed.witness or observed.poison.keys() - {observed.own_file}:
        return Result("waiting")  # a write that nobody could confirm is not begun; over our own broken file it mends
    if world.log.view(views.Health).of(instance).write_failed and target.blocked():
        return Result("waiting")  # it failed before, that was told, and it would fail again
    try:
        if not _seen(world, target):
            return Result("waiting")
        attempt = _attempt(world, instance, planned)
        changes = planned.plan.of(instance).changes
        _record(world, instance, _started(planned, attempt, changes), key=f"started:{attempt.id}")
        target.write(attempt)
    except TargetError as error:
        return _not_written(world, instance, f"{error} {error.remedy}".strip())
    return Result(_proved(world, target, attempt, changes, observed.live), attempt)


def _not_written(world: World, instance: str, reason: str) -> Result:
    attempt = world.log.view(views.Attempts).open.get(instance)
    if attempt:
        abandoned = events.ApplyAbandoned(instance=instance, attempt=attempt.started.attempt, reason=reason)
        _record(world, instance, abandoned)
    return Result("waiting")


def _proved(world: World, target: Target, attempt: Attempt, changes: Iterable[Change], fallback: Snapshot) -> str:
    try:
        return settle(world, target, attempt, changes, target.prove(attempt), fallback)
    except TargetError as error:
        # It was written, and nobody could say how it went: the attempt stays open for the next pass.
        verdict = Verdict(outcome="unknown", evidence=str(error), remedy=error.remedy)
        return settle(world, target, attempt, changes, verdict, fallback)


def settle(
    world: World, target: Target, attempt: Attempt, changes: Iterable[Change], verdict: Verdict, fallback: Snapshot
) -> str:
    """Record the verdict. Only "refuted" puts the last good state back and quarantines."""
    verdict = _covered(verdict, attempt.live)
    if verdict.outcome == "proven":
        _record(world, attempt.instance, _proven(attempt, changes, verdict), key=f"proven:{attempt.id}")
    elif verdict.outcome == "refuted":
        _refuted(world, target, attempt, tuple(changes), verdict, fallback)
    else:
        unknown = events.ApplyUnknown(
            instance=attempt.instance,
            attempt=attempt.id,
            commit=attempt.commit,
            reason=verdict.evidence,
            remedy=verdict.remedy,
        )
        _record(world, attempt.instance, unknown, key=f"unknown:{attempt.id}:{verdict.evidence}")
    return verdict.outcome


def _covered(verdict: Verdict, live: Snapshot) -> Verdict:
    # Traefik quotes what it cannot parse, a password hash for instance; that must not enter the log.
    specs = live.values()
    faults = {address: redact.cover(fault, specs) for address, fault in verdict.faults.items()}
    return replace(verdict, evidence=redact.cover(verdict.evidence, specs), faults=faults)


def resume(world: World, instance: str) -> None:
    """Finish what an earlier pass began and could not conclude: a crash, or a witness that was out."""
    open_attempt = world.log.view(views.Attempts).open.get(instance)
    if open_attempt is None:
        return
    target, started = world.targets[instance], open_attempt.started
    try:
        observed = target.observe()
    except TargetError:
        return  # the plan that follows looks again, and records what it does not see
    if observed.file != started.after:
        what = "was never carried out" if observed.file == started.before else "was overwritten by somebody"
        abandoned = events.ApplyAbandoned(
            instance=instance, attempt=started.attempt, reason=f"the write {what} before it was proven"
        )
        _record(world, instance, abandoned)
    elif not observed.witness:
        base = world.log.view(views.Applied).base(instance)
        _proved(world, target, _again(started, observed.live), _changes(started, base), base)


def compensate(world: World, planned: Planned, results: dict[str, Result], refuted: str) -> None:
    """Take back, newest first, what other instances were given of a commit that one of them refused."""
    reason = f"{refuted} refused its part of the same commit"
    cause = results[refuted].attempt
    for instance, result in reversed(results.items()):
        if result.word != "proven" or result.attempt is None or cause is None:
            continue
        changes = planned.plan.of(instance).changes
        companions = _companions(world, result.attempt, changes, cause.id, reason)
        if not companions.resources:
            continue
        undone = world.targets[instance].undo(result.attempt, planned.observed[instance].live)
        taken_back = events.ApplyUndone(
            instance=instance,
            attempt=result.attempt.id,
            proven=undone.outcome == "proven",
            file=undone.file,
            reason=f"{reason}: {undone.evidence}",
            changes={str(change.address): None if change.live is ABSENT else change.live for change in changes},
        )
        _record(world, instance, taken_back)
        _record(world, instance, companions)


def _companions(
    world: World, attempt: Attempt, changes: Iterable[Change], cause: str, reason: str
) -> events.ResourcesQuarantined:
    why = world.log.view(views.Quarantine).why
    culprits = frozenset(address for address, one in why.items() if one.attempt == cause and one.culprit)
    at_fault = blame(world, attempt.commit, changes, culprits)
    return _quarantined(attempt, at_fault, changes, culprits, cause=cause, reason=reason)


def _quarantined(
    attempt: Attempt,
    at_fault: Blame,
    changes: Iterable[Change],
    culprits: Iterable[Address],
    *,
    cause: str,
    reason: str,
) -> events.ResourcesQuarantined:
    return events.ResourcesQuarantined(
        instance=attempt.instance,
        attempt=cause,
        commit=attempt.commit,
        resources={str(one.address): side_hash(one.want) for one in changes if one.address in at_fault.addresses},
        culprits=tuple(sorted(map(str, culprits))),
        commits=at_fault.commits,
        reason=reason,
    )


def _seen(world: World, target: Target) -> bool:
    """Does the target notice this directory at all? Asked once, before the first real write."""
    health = world.log.view(views.Health).of(target.instance)
    if health.probed(target.place):
        return True
    attempt = world.chance(8).hex()
    verdict = target.probe(attempt)
    if verdict.outcome == "proven":
        _record(
            world,
            target.instance,
            events.ProbeSucceeded(
                instance=target.instance, attempt=attempt, seconds=round(verdict.seconds, 3), directory=target.place
            ),
        )
        return True
    if health.failure != f"{verdict.evidence} {verdict.remedy}".strip():
        failed = events.ProbeFailed(instance=target.instance, reason=verdict.evidence, remedy=verdict.remedy)
        _record(world, target.instance, failed)
    return False


def _attempt(world: World, instance: str, planned: Planned) -> Attempt:
    observed, live = planned.observed[instance], planned.after[instance]
    draft = Attempt(
        id=world.chance(8).hex(),
        instance=instance,
        commit=planned.plan.commit,
        live=live,
        gone=frozenset(observed.live.keys() - live.keys()),
        before=observed.file,
    )
    after = digest_bytes(world.targets[instance].render(draft))
    return replace(draft, after=after)


def _again(started: events.ApplyStarted, live: Snapshot) -> Attempt:
    gone = frozenset(Address.parse(text) for text, spec in started.changes.items() if spec is None)
    return Attempt(
        id=started.attempt,
        instance=started.instance,
        commit=started.commit,
        live=live,
        gone=gone,
        before=started.before,
        after=started.after,
    )


def _changes(started: events.ApplyStarted, base: Snapshot) -> list[Change]:
    return [
        Change(
            address=(address := Address.parse(text)),
            base=base.get(address, ABSENT),
            want=ABSENT if spec is None else spec,
            live=base.get(address, ABSENT),
            action="delete" if spec is None else "update" if address in base else "create",
        )
        for text, spec in started.changes.items()
    ]


def _started(planned: Planned, attempt: Attempt, changes: Iterable[Change]) -> events.ApplyStarted:
    changes = tuple(changes)
    return events.ApplyStarted(
        instance=attempt.instance,
        attempt=attempt.id,
        commit=attempt.commit,
        digest=planned.plan.digest,
        before=attempt.before,
        after=attempt.after,
        changes=_wanted(changes),
        reason="; ".join(str(change) for change in changes[:20]) + _more(len(changes) - 20),
    )


def _proven(attempt: Attempt, changes: Iterable[Change], verdict: Verdict) -> events.ApplyProven:
    return events.ApplyProven(
        instance=attempt.instance,
        attempt=attempt.id,
        commit=attempt.commit,
        changes=_wanted(changes),
        file=verdict.file or attempt.after,
        seconds=round(verdict.seconds, 3),
        evidence=verdict.evidence,
    )


def _refuted(
    world: World,
    target: Target,
    attempt: Attempt,
    changes: tuple[Change, ...],
    verdict: Verdict,
    fallback: Snapshot,
) -> None:
    # Refutation and quarantine are one fact: a crash between them would let the next pass try the same again.
    common = {"instance": attempt.instance, "attempt": attempt.id, "commit": attempt.commit}
    refuted = events.ApplyRefuted(
        **common, reason=verdict.evidence, faults={str(address): fault for address, fault in verdict.faults.items()}
    )
    culprits = (verdict.suspects | verdict.faults.keys()) & {change.address for change in changes}
    at_fault = blame(world, attempt.commit, changes, culprits)
    quarantined = _quarantined(attempt, at_fault, changes, culprits, cause=attempt.id, reason=verdict.evidence)
    stream = f"target/{attempt.instance}"
    world.log.append(
        [
            Entry(stream=stream, event=refuted, key=f"refuted:{attempt.id}"),
            Entry(stream=stream, event=quarantined, key=f"quarantined:{attempt.id}"),
        ]
    )
    undone = target.undo(attempt, fallback)
    _record(
        world,
        attempt.instance,
        events.ApplyUndone(
            instance=attempt.instance,
            attempt=attempt.id,
            proven=undone.outcome == "proven",
            file=undone.file,
            reason=undone.evidence,
        ),
    )


def _wanted(changes: Iterable[Change]) -> dict[str, object]:
    return {str(change.address): None if change.want is ABSENT else change.want for change in changes}


def _more(count: int) -> str:
    return f"; and {count} more" if count > 0 else ""


def _record(world: World, instance: str, event: events.Event, key: str = "") -> None:
    world.log.append(Entry(stream=f"target/{instance}", event=event, key=key))
