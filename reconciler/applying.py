"""One instance's apply: intention, write, proof, and what follows from the verdict. Every step is an event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from reconciler import evidence
from reconciler.blaming import blame
from reconciler.commits import policy_in_force
from reconciler.core.plan import ABSENT, Change, same
from reconciler.core.target import Attempt, Observation, Target, TargetError, Verdict
from reconciler.planned import Planned
from reconciler.world import World
from state import events, views
from state.log import Entry
from state.model import Address, Snapshot, digest, digest_bytes


@dataclass(frozen=True, kw_only=True)
class Write:
    """One write and what it was for. `fallback` is put back where the target kept no copy of what stood there.

    `undoes` are refuted attempts: what went with them is put back as it was at the last revision.
    """

    attempt: Attempt
    changes: tuple[Change, ...]
    fallback: Snapshot
    undoes: tuple[str, ...] = ()


def apply(world: World, instance: str, planned: Planned, undoes: tuple[str, ...] = ()) -> str:
    """Carry out one instance's changes: proven, refuted, unknown, or waiting (then nothing was written).

    It waits where the target cannot be asked at the moment, or moved since the plan was made; the next pass
    plans again.
    """
    target, observed = world.targets[instance], planned.observed[instance]
    if observed.witness or observed.poison.keys() - {observed.own_file}:
        return "waiting"  # a write that nobody could confirm is not begun; over our own broken file it mends
    if doubtful := world.log.view(views.Attempts).open.get(instance):
        _make_way(world, target, doubtful, observed)
        return "waiting"
    changes, attempt = planned.plan.of(instance).changes, _attempt(world, instance, planned)
    if world.log.view(views.Health).of(instance).write_failed and target.blocked(attempt):
        return "waiting"  # it failed before, that was told, and it would fail again
    if not _seen(world, target):
        return "waiting"
    write = Write(attempt=attempt, changes=changes, fallback=_fallback(world, instance, observed), undoes=undoes)
    started = _started(write, planned.plan.digest)
    _record(world, instance, started, key=f"started:{attempt.id}")
    try:
        target.write(attempt)
    except TargetError as error:
        _record(world, instance, _abandoned(started, f"{error} {error.remedy}".strip(), failed=True))
        return "waiting"
    return _proved(world, target, write)


def _fallback(world: World, instance: str, observed: Observation) -> Snapshot:
    """What is live; of a broken file of ours nobody can say what that is, and nothing is not it."""
    if observed.own_file in observed.poison:
        return world.log.view(views.Applied).base(instance)
    return observed.live


def _make_way(world: World, target: Target, doubtful: views.OpenAttempt, observed: Observation) -> None:
    """Put back what was proven last, before anything newer is written.

    A write in doubt is no ground to build on: were the next one refuted, undoing that would bring back what nobody
    ever proved, and what was proven would be gone.
    """
    if doubtful.state == "refuted":
        return  # it is to be undone already, and was not to be moved just now
    base = world.log.view(views.Applied).base(target.instance)
    evidence.catch_up(world, doubtful.started, observed)  # undone, it says no more what was done before
    attempt = _again(doubtful.started, base, base).attempt
    try:
        back = target.undo(attempt, base)
    except TargetError as error:  # the next pass tries again, as long as the newer one is wanted
        reason = f"something newer is to be written, and it could not be put back before that: {error}"
        _doubt(world, attempt, Verdict(outcome="unknown", evidence=reason, remedy=error.remedy))
        return
    back = evidence.covered(back, evidence.specs_around(world, doubtful.started))
    reason = f"nobody could prove it, and something newer is to be written; {back.evidence}"
    evidence.tell(world, target.instance, back.deeds)
    _record(world, target.instance, _abandoned(doubtful.started, reason, failed=False))


def _abandoned(started: events.ApplyStarted, reason: str, *, failed: bool) -> events.ApplyAbandoned:
    return events.ApplyAbandoned(instance=started.instance, attempt=started.attempt, reason=reason, failed=failed)


def _proved(world: World, target: Target, write: Write) -> str:
    try:
        verdict = target.prove(write.attempt)
    except TargetError as error:
        # It was written, and nobody could say how it went: the attempt stays open for the next pass.
        verdict = Verdict(outcome="unknown", evidence=str(error), remedy=error.remedy)
    return settle(world, target, write, verdict)


def settle(world: World, target: Target, write: Write, verdict: Verdict) -> str:
    """Record the verdict. Only "refuted" puts the last good state back and quarantines."""
    attempt, verdict = write.attempt, evidence.covered(verdict, write.attempt.live.values())
    evidence.tell(world, attempt.instance, verdict.deeds)
    if verdict.outcome == "proven":
        _record(world, attempt.instance, _proven(write, verdict), key=f"proven:{attempt.id}")
    elif verdict.outcome == "refuted":
        refuted = _put_back(write, verdict) if write.undoes else _quarantined(world, write, verdict)
        # One fact: a crash between its parts would let the next pass try the same again.
        world.log.append([Entry(stream=f"target/{event.instance}", event=event, key=key) for key, event in refuted])
        _undo(world, target, write)
    else:
        _doubt(world, attempt, verdict)
    return verdict.outcome


def _doubt(world: World, attempt: Attempt, verdict: Verdict) -> None:
    unknown = events.ApplyUnknown(
        instance=attempt.instance,
        attempt=attempt.id,
        commit=attempt.commit,
        reason=verdict.evidence,
        remedy=verdict.remedy,
    )
    _record(world, attempt.instance, unknown, key=f"unknown:{attempt.id}:{verdict.evidence}")


def resume(world: World, instance: str) -> None:
    """Finish what an earlier pass began and could not conclude: a crash, or a witness that was out."""
    open_attempt = world.log.view(views.Attempts).open.get(instance)
    if open_attempt is None:
        return
    target, started = world.targets[instance], open_attempt.started
    base = world.log.view(views.Applied).base(instance)
    if open_attempt.state == "refuted":
        _undo(world, target, _again(started, base, base))
        return
    try:
        observed = target.observe()
    except TargetError:
        return  # the plan that follows looks again, and records what it does not see
    evidence.catch_up(world, started, observed)
    write = _again(started, observed.live, base)
    if observed.file == started.before:
        put_back = "nothing of it stands there: it was put back, or never carried out"
        reason = put_back if evidence.is_done_of(started, observed) else "the write was never carried out"
        _record(world, instance, _abandoned(started, reason, failed=False))
    elif observed.file != started.after:
        told = _overwritten(started, observed, base)
        world.log.append([Entry(stream=f"target/{instance}", event=event) for event in told])
    elif not observed.witness:
        _proved(world, target, write)


def _overwritten(started: events.ApplyStarted, observed: Observation, base: Snapshot) -> Iterator[events.Event]:
    """Somebody changed the file before it was proven. What of our write still stands there is known to be ours.

    Without that, a route that was new in it and is unwanted by now would be taken for somebody else's, and stay. So
    would what was new in it and was edited since: that drifted from what we wrote.
    """
    yield _abandoned(started, "the write was overwritten by somebody before it was proven", failed=False)
    if started.undoes or observed.own_file in observed.poison:
        return  # what is to be put back is still owed; and of a broken file nobody can say what stands in it
    standing = {
        text: spec
        for text, spec in started.changes.items()
        if same(ABSENT if spec is None else spec, observed.live.get(Address.parse(text), ABSENT))
    }
    if not standing:
        return  # perhaps nothing of it was ever written
    edited = {
        text: spec
        for text, spec in started.changes.items()
        if text not in standing and (address := Address.parse(text)) not in base and address in observed.live
    }
    reason = "it was written, and stands as it was written beside what somebody changed"
    if edited:
        reason += f"; new as it was written, and changed since: {', '.join(edited)}"
    yield events.ResourcesAdopted(
        instance=started.instance, commit=started.commit, resources=standing | edited, reason=reason
    )


def _seen(world: World, target: Target) -> bool:
    """Does the target notice this directory at all? Asked once, before the first real write."""
    health = world.log.view(views.Health).of(target.instance)
    if health.probed(target.place):
        return True
    attempt = world.chance(8).hex()
    try:
        verdict = target.probe(attempt)
    except TargetError as error:
        verdict = Verdict(outcome="unknown", evidence=str(error), remedy=error.remedy)
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
    observed = planned.observed[instance]
    draft = Attempt(
        id=world.chance(8).hex(),
        instance=instance,
        commit=planned.plan.commit,
        live=_without_idle(planned, instance),
        gone=frozenset(observed.live.keys() - planned.after[instance].keys()),
        about=frozenset(change.address for change in planned.plan.of(instance).changes),
        before=observed.file,
        pending=frozenset(_pending(instance, planned)),
    )
    after = digest_bytes(world.targets[instance].render(draft))
    return replace(draft, after=after)


def _without_idle(planned: Planned, instance: str) -> Snapshot:
    """What is to be live; what somebody took down and no change is about stays down."""
    after, changed = planned.after[instance], {one.address.name for one in planned.plan.of(instance).changes}
    down = planned.observed[instance].idle.keys() - changed
    return {address: spec for address, spec in after.items() if address.name not in down} if down else after


def _pending(instance: str, planned: Planned) -> Iterator[Address]:
    after = planned.after[instance]
    for address, spec in planned.desired.snapshot.items():
        if address.instance == instance and not same(spec, after.get(address, ABSENT)):
            yield address


def _again(started: events.ApplyStarted, live: Snapshot, base: Snapshot) -> Write:
    changes = {Address.parse(text): spec for text, spec in started.changes.items()}
    attempt = Attempt(
        id=started.attempt,
        instance=started.instance,
        commit=started.commit,
        live=live,
        gone=frozenset(address for address, spec in changes.items() if spec is None),
        about=frozenset(changes),
        before=started.before,
        after=started.after,
    )
    return Write(attempt=attempt, changes=tuple(_changes(started, base)), fallback=base, undoes=started.undoes)


def _changes(started: events.ApplyStarted, base: Snapshot) -> Iterator[Change]:
    for text, spec in started.changes.items():
        address = Address.parse(text)
        yield Change(
            address=address,
            base=base.get(address, ABSENT),
            want=ABSENT if spec is None else spec,
            live=base.get(address, ABSENT),
            action="delete" if spec is None else "update" if address in base else "create",
        )


def _started(write: Write, digest: str) -> events.ApplyStarted:
    what = "; ".join(str(change) for change in write.changes[:20]) + _more(len(write.changes) - 20)
    return events.ApplyStarted(
        instance=write.attempt.instance,
        attempt=write.attempt.id,
        commit=write.attempt.commit,
        digest=digest,
        before=write.attempt.before,
        after=write.attempt.after,
        changes=_wanted(write.changes),
        reason=f"back as at the last revision: {what}" if write.undoes else what,
        undoes=write.undoes,
    )


def _proven(write: Write, verdict: Verdict) -> events.ApplyProven:
    return events.ApplyProven(
        instance=write.attempt.instance,
        attempt=write.attempt.id,
        commit=write.attempt.commit,
        changes=_wanted(write.changes),
        file=verdict.file or write.attempt.after,
        seconds=round(verdict.seconds, 3),
        evidence=verdict.evidence,
        undoes=write.undoes,
    )


Keyed = Iterator[tuple[str, events.ApplyRefuted | events.ResourcesQuarantined | events.UndoHeld]]


def _quarantined(world: World, write: Write, verdict: Verdict) -> Keyed:
    """What was refuted, and on every target what stays out with it."""
    attempt = write.attempt
    yield f"refuted:{attempt.id}", _refused(attempt, verdict)
    mine = {change.address for change in write.changes}
    culprits = (verdict.suspects | verdict.faults.keys()) & mine
    at_fault = blame(world, attempt.commit, write.changes, culprits)
    held = world.log.view(views.Quarantine).held.keys() - mine
    out = {address: want for address, want in at_fault.resources.items() if address not in held}
    for instance in sorted({attempt.instance, *(address.instance for address in out)}):
        elsewhere = instance != attempt.instance
        reason = f"{attempt.instance} refused its part of the same commit" if elsewhere else verdict.evidence
        yield (
            f"quarantined:{attempt.id}:{instance}",
            events.ResourcesQuarantined(
                instance=instance,
                attempt=attempt.id,
                commit=attempt.commit,
                resources={str(address): want for address, want in out.items() if address.instance == instance},
                # What lifts it is a change of what failed, not of what only went with that.
                culprits=tuple(sorted(map(str, culprits or (mine if elsewhere else ())))),
                commits=at_fault.commits,
                reason=reason,
            ),
        )


def _put_back(write: Write, verdict: Verdict) -> Keyed:
    """It refused what it held at the last revision: what is there stays, and is not tried again as it is."""
    attempt = write.attempt
    yield f"refuted:{attempt.id}", _refused(attempt, verdict)
    yield (
        f"held:{attempt.id}",
        events.UndoHeld(
            instance=attempt.instance,
            resources=tuple(sorted(_wanted(write.changes))),
            digest=holding(attempt.live),
            reason=verdict.evidence,
        ),
    )


def holding(live: Snapshot) -> str:
    """Names all that a target is to hold."""
    return digest({str(address): spec for address, spec in live.items()})


def _refused(attempt: Attempt, verdict: Verdict) -> events.ApplyRefuted:
    return events.ApplyRefuted(
        instance=attempt.instance,
        attempt=attempt.id,
        commit=attempt.commit,
        reason=verdict.evidence,
        faults={str(address): fault for address, fault in verdict.faults.items()},
    )


def _undo(world: World, target: Target, write: Write) -> None:
    attempt = replace(write.attempt, put_back=_puts_back(world, write.attempt))
    try:
        undone = evidence.covered(
            target.undo(attempt, write.fallback), [*attempt.live.values(), *write.fallback.values()]
        )
    except TargetError as error:
        reason = f"it was refused, and could not be undone: {error}"
        _doubt(world, attempt, Verdict(outcome="unknown", evidence=reason, remedy=error.remedy))
        return
    put_back = events.ApplyUndone(
        instance=attempt.instance,
        attempt=attempt.id,
        proven=undone.outcome == "proven",
        file=undone.file,
        reason=undone.evidence,
    )
    evidence.tell(world, attempt.instance, undone.deeds)
    _record(world, attempt.instance, put_back)


def _puts_back(world: World, attempt: Attempt) -> bool:
    """Whether the policy wants what was refused undone, and not left for a person to look at."""
    part = policy_in_force(world, attempt.commit).targets.get(attempt.instance)
    return part is None or part.refused == "undo"


def _wanted(changes: Iterable[Change]) -> dict[str, object]:
    return {str(change.address): None if change.want is ABSENT else change.want for change in changes}


def _more(count: int) -> str:
    return f"; and {count} more" if count > 0 else ""


def _record(world: World, instance: str, event: events.Event, key: str = "") -> None:
    world.log.append(Entry(stream=f"target/{instance}", event=event, key=key))
