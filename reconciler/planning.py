"""Gather the three sides, and make the plan: for main as it stands, and for a proposal on its own. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, NamedTuple

from reconciler import costs, idle
from reconciler.commits import load, policy_in_force, policy_of, touches
from reconciler.core import guard
from reconciler.core.effects import Effects
from reconciler.core.plan import ABSENT, Answers, Change, Drift, Loss, Plan, Refusal, make_plan, outcome, side_hash
from reconciler.core.policy import Policy
from reconciler.core.redact import covered
from reconciler.core.target import Observation, TargetError
from reconciler.deferring import deferred, following, whole
from reconciler.desired import Desired
from reconciler.planned import Planned
from reconciler.recall import Quiet
from reconciler.traefik import exposure
from reconciler.traefik.consequences import Before, consequences
from reconciler.traefik.unnoticed import unnoticed
from reconciler.world import World
from state import views
from state.approvals import Approvals
from state.events import ToolCalled
from state.grants import Grants
from state.model import Address, Problem, Snapshot

_TOLD_BY = {
    "traefik": "set WAYPOST_TRAEFIK_DYNAMIC_DIR in waypost.env",
    "komodo": "set WAYPOST_KOMODO_URL in waypost.env",
    "authentik": "set WAYPOST_AUTHENTIK_URL in waypost.env",
}


@dataclass(frozen=True, kw_only=True)
class _Case:
    """What one plan is made from. `main` is given for a proposal: it is judged on the ground of what main wants."""

    desired: Desired
    observed: Mapping[str, Observation]
    lost: Mapping[str, TargetError]
    policy: Policy
    base: Snapshot
    want: Snapshot
    main: Desired | None = None
    waits: Mapping[Address, str] = field(default_factory=dict)  # address -> the instance that it waits for

    @property
    def live(self) -> Snapshot:
        """What is live, of a proposal only what it is about."""
        if self.main is None and len(self.observed) == 1:
            return self._live(*self.observed.items())
        live = {address: spec for one in self.observed.items() for address, spec in self._live(one).items()}
        if self.main is None:
            return live
        return {address: spec for address, spec in live.items() if address in self.base or address in self.want}

    def _live(self, one: tuple[str, Observation]) -> Snapshot:
        """What an instance holds. Of a broken file of ours nobody can say that: what is to go is still served."""
        instance, seen = one
        if seen.own_file not in seen.poison:
            return seen.live
        unwanted = {a: spec for a, spec in self.base.items() if a.instance == instance and a not in self.want}
        return {**unwanted, **seen.live}


def plan_main(world: World, commit: str) -> Planned:
    """The plan that a pass would carry out for this commit of main; the last one while all it was made from stands."""
    seq, known = world.log.head().seq, world.recall.quiet
    if known and known.commit == commit and _only_calls(world, known.seq) and _unmoved(world, known.planned):
        world.recall.quiet = replace(known, seq=seq)
        return known.planned
    planned = _planned(world, commit)
    world.recall.quiet = Quiet(commit=commit, seq=seq, planned=planned) if _is_quiet(planned) else None
    return planned


def _only_calls(world: World, since: int) -> bool:
    """Whether nothing but calls of tools was recorded since: those are many, and no plan is made from them."""
    return all(type(recorded.event) is ToolCalled for recorded in world.log.read(after=since))


def _is_quiet(planned: Planned) -> bool:
    plan = planned.plan
    return not (plan.pending or plan.drift or plan.adopted or plan.refusals or planned.lost)


def _unmoved(world: World, planned: Planned) -> bool:
    return all(world.targets[name].unmoved(seen) for name, seen in planned.observed.items())


def _planned(world: World, commit: str) -> Planned:
    policy = policy_in_force(world, commit)
    desired = load(world, commit)
    if desired.problems:
        standing = plan_standing(world, commit)
        problems = (*desired.problems, *standing.plan.problems)
        return replace(standing, desired=desired, plan=replace(standing.plan, changes=(), problems=problems))
    observed, lost = observe(world)
    lost |= homeless(world, desired)
    base, want = last_applied(world, observed), _of_instances(desired, observed)
    observed = idle.counted(observed, base, want)
    waits = deferred(world, desired, observed, lost)
    case = _Case(desired=desired, observed=observed, lost=lost, policy=policy, base=base, want=want, waits=waits)
    return _judged(world, case)


def plan_standing(world: World, commit: str) -> Planned:
    """What was last applied against what is live: all that can be said while main says nothing that can be read."""
    observed, lost = observe(world)
    base = last_applied(world, observed)
    nothing = Desired(commit=commit, tree="", resources={}, policy_text=None)
    policy = policy_in_force(world, commit) if commit else Policy()
    return _judged(world, _Case(desired=nothing, observed=observed, lost=lost, policy=policy, base=base, want=base))


def plan_proposal(world: World, commit: str, head: str) -> Planned:
    """The plan of one proposal on its own, as if it stood on today's main: only what it touches."""
    policy = policy_in_force(world, head)
    proposed, parent, main = (load(world, id) for id in (commit, world.store.commit(commit).parents[0], head))
    if proposed.problems:
        plan = Plan(commit=commit, problems=proposed.problems, policy=policy.digest)
        return Planned(plan=plan, desired=proposed, observed={})
    adopting = _adopting(world, commit)
    touched = touches(proposed, parent) | {a for a in proposed.snapshot if a.instance in adopting}
    observed, lost = observe(world, commit)
    base, want = last_applied(world, observed), _of_instances(proposed, observed)
    observed = idle.counted(observed, base, want)
    base = {a: s for a, s in base.items() if a in touched}
    want = {a: s for a, s in want.items() if a in touched}
    case = _Case(desired=proposed, observed=observed, lost=lost, policy=policy, base=base, want=want, main=main)
    planned = _judged(world, case)
    return replace(planned, plan=replace(planned.plan, notes=planned.plan.notes + _overlaps(touched, parent, main)))


def homeless(world: World, desired: Desired) -> dict[str, TargetError]:
    """Targets with desired resources of which this home does not say where they are."""
    named = desired.instances - world.targets.keys()
    return {
        name: TargetError(
            f"this home does not say where '{name}' is; {_TOLD_BY.get(name, 'describe it in targets.toml')}",
            retry=False,
        )
        for name in named
    }


def observe(world: World, proposal: str = "") -> tuple[dict[str, Observation], dict[str, TargetError]]:
    """Look at every target. One that cannot be observed takes no part in the plan; the others go on.

    Nor does one that was ejected, except for the commit of the `proposal` that adopts it again.
    """
    observed: dict[str, Observation] = {}
    lost: dict[str, TargetError] = {}
    adopting, handover = _adopting(world, proposal), world.log.view(views.Handover)
    for instance, target in world.targets.items():
        if not handover.is_ours(instance) and instance not in adopting:
            continue
        try:
            observed[instance] = target.observe()
        except TargetError as error:
            lost[instance] = error
    return observed, lost


ALONE: Final = "ejected, so it is left alone, whatever main says; to come back: waypost adopt-traefik DIR"


def _left_alone(world: World, case: _Case) -> list[str]:
    """The ejected instances that this plan says nothing about."""
    ejected = world.log.view(views.Handover).ejected
    return [name for name in world.targets if name in ejected and name not in case.observed]


def _adopting(world: World, commit: str) -> frozenset[str]:
    """The ejected instances that are ours again once this commit of a proposal is approved."""
    items = world.log.view(views.Proposals).items
    awaited = world.log.view(views.Handover).awaited
    return frozenset(name for id, name in awaited.items() if id in items and items[id].commit == commit)


def last_applied(world: World, observed: Mapping[str, Observation]) -> Snapshot:
    """`base`: what was last proven; and what was written but not yet proven, where its file still stands."""
    applied, attempts = world.log.view(views.Applied), world.log.view(views.Attempts)
    if len(observed) == 1 and not attempts.open:
        return applied.bases.get(next(iter(observed)), {})
    base: dict[Address, object] = {}
    for instance, observation in observed.items():
        base.update(applied.base(instance))
        attempt = attempts.open.get(instance)
        if attempt and attempt.started.after == observation.file:
            for text, spec in attempt.started.changes.items():
                _overlay(base, Address.parse(text), spec)
    return base


def _overlay(base: dict[Address, object], address: Address, spec: object) -> None:
    if spec is None:
        base.pop(address, None)
    else:
        base[address] = spec


def _judged(world: World, case: _Case) -> Planned:
    observed, before = case.observed, _grounds(world, case)
    problems = () if case.main else tuple(_standing(one) for seen in observed.values() for one in seen.problems)
    plan = replace(
        make_plan(
            case.desired.commit,
            case.base,
            case.want,
            case.live,
            answers=_answers(world, case),
            settled=world.recall.settled if case.main is None else None,
        ),
        policy=case.policy.digest,
        renderers=tuple((name, world.targets[name].renderer) for name in sorted(observed)),
        problems=problems,
        taken_over=tuple(f"{a}: {file}" for seen in observed.values() for a, file in sorted(seen.taken_over.items())),
        notes=(
            *(f"{name}: not looked at: {error}" for name, error in case.lost.items()),
            *(f"{name}: {ALONE}" for name in _left_alone(world, case)),
        ),
    )
    plan, waits = whole(plan, case.waits, partial(_errors, world, case, before))
    further = following(world, case.desired, sorted(waits.keys() - case.waits.keys()))
    if further.keys() - waits.keys():
        return _judged(world, replace(case, waits={**further, **waits}))
    told = (f"{address} waits for {instance}, which has its turn first" for address, instance in waits.items())
    plan = replace(plan, notes=(*plan.notes, *told))
    after = {name: outcome(before[name], plan.of(name).changes) for name in observed}
    plan, silent = _validated(world, case, plan, after)
    plan = _guarded(world, case, plan, before, after)
    lost = {**case.lost, **silent}
    return Planned(plan=plan, desired=case.desired, observed=observed, lost=lost, after=after, waits=waits)


def _errors(
    world: World, case: _Case, before: Mapping[str, Snapshot], instance: str, changes: Sequence[Change]
) -> frozenset[str]:
    """The addresses ("" where it is all) that a target would not take; none while it cannot be asked."""
    try:
        found = world.targets[instance].validate(outcome(before[instance], changes), case.observed[instance])
    except TargetError:
        return frozenset()
    return frozenset(problem.address for problem in found.problems if problem.severity == "error")


def _standing(problem: Problem) -> Problem:
    # What is wrong already is shown beside a plan; only what the plan would make wrong holds it.
    return replace(problem, severity="warning")


def _grounds(world: World, case: _Case) -> dict[str, Snapshot]:
    """What a write to each instance starts from; for a proposal with all that main wants, applied yet or not."""
    grounds = {name: _ground(world, name, one) for name, one in case.observed.items()}
    if case.main is None:
        return grounds
    return {name: {**_awaited(case.main, name), **ground} for name, ground in grounds.items()}


def _ground(world: World, instance: str, observed: Observation) -> Snapshot:
    """Where our own file cannot be read the target still serves what was last applied.

    That, and not the nothing that is readable, is what people would lose.
    """
    if observed.own_file in observed.poison:
        return last_applied(world, {instance: observed})
    return observed.live


def _awaited(main: Desired, instance: str) -> dict[Address, object]:
    return {a: s for a, s in main.snapshot.items() if a.instance == instance}


def _validated(
    world: World, case: _Case, plan: Plan, after: Mapping[str, Snapshot]
) -> tuple[Plan, dict[str, TargetError]]:
    """The plan with what its targets have against it, and those that could not be asked.

    What main wants of those is left out until they answer; of a proposal it is shown, with a note.
    """
    silent: dict[str, TargetError] = {}
    for instance, wanted in after.items():
        if plan.of(instance).changes:
            try:
                found = world.targets[instance].validate(wanted, case.observed[instance])
            except TargetError as error:
                silent[instance] = error
                continue
            placed = tuple(_placed(problem, case.desired) for problem in _covered(found.problems, wanted))
            plan = replace(plan, problems=plan.problems + placed, notes=plan.notes + found.notes)
    notes = tuple(f"{name}: it could not be asked whether it takes this: {error}" for name, error in silent.items())
    kept = plan.changes if case.main else tuple(one for one in plan.changes if one.address.instance not in silent)
    return replace(plan, changes=kept, notes=plan.notes + notes), silent


def _covered(problems: Sequence[Problem], wanted: Snapshot) -> list[Problem]:
    # A decoder quotes what it cannot parse; a secret must not reach log or review that way.
    words = covered([problem.message for problem in problems], wanted.values()) if problems else []
    return [replace(problem, message=message) for problem, message in zip(problems, words, strict=True)]


def _placed(problem: Problem, desired: Desired) -> Problem:
    # A target speaks of addresses; a person wants the file and the line.
    if problem.file or not problem.address:
        return problem
    resource = desired.resources.get(Address.parse(problem.address))
    return replace(problem, file=resource.file, line=resource.line) if resource else problem


def _guarded(
    world: World, case: _Case, plan: Plan, before: Mapping[str, Snapshot], after: Mapping[str, Snapshot]
) -> Plan:
    """The plan with what it does to requests, what people would lose by it, and which loss nobody agreed to."""
    found = [] if case.main else [*_rewritten(world, plan.commit), *_approved_by_few(world, plan, case.policy)]
    by_labels = _by_labels(world, case, before, after)
    for instance, wanted in after.items():
        changes = plan.of(instance).changes
        if changes or instance in by_labels:
            weigh = _weighed_routes if world.targets[instance].kind == "traefik" else _weighed_systems
            drift = tuple(one for one in plan.drift if one.address.instance == instance)
            step = _Step(instance, before[instance], wanted, changes, drift, by_labels.get(instance))
            weight = weigh(world, case, step)
            found += weight.losses
            found += guard.emptied(instance, before[instance], wanted)
            placed = (_placed(problem, case.desired) for problem in weight.done.problems)
            plan = replace(
                plan,
                effects=(*plan.effects, *weight.done.all),
                problems=(*plan.problems, *placed),
                notes=(*plan.notes, *weight.done.notes),
            )
    plan = replace(plan, losses=tuple(found))
    return replace(plan, refusals=_refusals(world, case, plan))


def _by_labels(
    world: World, case: _Case, before: Mapping[str, Snapshot], after: Mapping[str, Snapshot]
) -> Mapping[str, Observation]:
    """The Traefiks that will say something else of others' part, because labels of stacks change."""
    kinds = {name: world.targets[name].kind for name in after}
    if "komodo" not in kinds.values():
        return {}
    # Only a home that has one needs it: a command would start later.
    from reconciler.komodo.foreseen import of_all

    return of_all(kinds, case.observed, before, after)


class _Step(NamedTuple):
    """What a plan does to one instance."""

    instance: str
    before: Snapshot
    after: Snapshot
    changes: tuple[Change, ...]
    drift: tuple[Drift, ...] = ()
    foreseen: Observation | None = None  # what it will say of others' part, where the plan changes that too


class _Weight(NamedTuple):
    """What a step costs people, and what it does to requests."""

    losses: list[Loss]
    done: Effects = Effects()


def _weighed_routes(world: World, case: _Case, step: _Step) -> _Weight:
    observed = case.observed[step.instance]
    served = unnoticed(observed, last_applied(world, {step.instance: observed}))
    if served:  # else it stays the very state of the last plan, of which much is remembered
        step = step._replace(before={**served, **step.before})
    done = _effects(world, case, step, served)
    # What protected resources need matters only where something that is there changes.
    edited = any(change.action in ("update", "delete") for change in step.changes)
    needed = exposure.needed(step.before, case.policy.protects) if edited else frozenset()
    return _Weight(guard.losses(step.instance, done, step.changes, case.policy, needed=needed), done)


def _weighed_systems(world: World, case: _Case, step: _Step) -> _Weight:
    kind = world.targets[step.instance].kind
    losses, along = costs.of(kind), costs.along(kind)
    return _Weight(
        [
            *guard.touched(step.changes, case.policy),
            *along(step.drift, step.changes),
            *losses(step.instance, step.before, step.after, step.changes, case.policy),
        ]
    )


def _refusals(world: World, case: _Case, plan: Plan) -> tuple[Refusal, ...]:
    grants = world.log.view(Grants)
    return guard.refusals(
        plan.losses,
        # A proposal's own plan is what shows these losses; only what needs a person's word is refused there.
        shown={loss.key for loss in plan.losses} if case.main else grants.shown,
        consented=grants.consented,
        digest=plan.digest,
        commit=plan.commit,
        strict=case.main is None and grants.all_shown,
    )


def _effects(world: World, case: _Case, step: _Step, served: Snapshot) -> Effects:
    """What going from one state to the other does to requests, and what went before without anybody looking.

    `served` is ours too, though our file has lost it.
    """
    observed = case.observed[step.instance]
    if served:
        observed = replace(observed, live={**served, **observed.live})
    earlier = world.log.view(views.Lately).before(step.instance, world.clock.now())
    return consequences(
        step.instance,
        Before(step.before, earlier),
        step.after,
        observed,
        case.policy.guards.authentication,
        case.policy.guards.public_entry_points,
        world.recall.of(step.instance),
        step.foreseen,
    )


def _rewritten(world: World, commit: str) -> Iterable[Loss]:
    latest = world.log.view(views.Revisions).latest
    if latest and not world.store.is_ancestor(latest.commit, commit):
        lost = f"the branch was rewritten: revision {latest.number} ({latest.commit[:12]}) is no longer in its history"
        yield Loss(guard="history", address=world.branch, lost=lost, level="consent")


def _approved_by_few(world: World, plan: Plan, policy: Policy) -> Iterable[Loss]:
    """Commits of main to which fewer people said yes than the policy asks for.

    What changes the policy alone is no exception: it says how many are asked for what comes next.
    """
    needed = policy.guards.approvals
    if needed < 2 or not (plan.changes or policy_of(world, plan.commit).digest != policy.digest):
        return
    known = world.log.view(Approvals)
    for commit, approved in known.waiting.items():
        # One that was taken off main again wants nothing any more.
        if len(approved.people) < needed and world.store.is_ancestor(commit, plan.commit):
            who = ", ".join(approved.people) or "nobody whom a system vouches for"
            lost = f"{commit[:12]} ({approved.subject}) was approved by {who}; the policy asks for {needed} people"
            why = "Gitea has not said yet who approved it, and is asked again" if commit in known.awaited else ""
            yield Loss(guard="approvals", address=world.branch, lost=lost, level="consent", why=why)


def _answers(world: World, case: _Case) -> Answers:
    """What people said about drift and quarantine, as far as it still holds at this moment."""
    drift, now = world.log.view(views.Drift), world.clock.now().isoformat()
    held = world.log.view(views.Quarantine).held
    return Answers(
        heal=dict(drift.heal),
        heal_instances=frozenset(name for name, part in case.policy.targets.items() if part.drift == "heal"),
        accepted={a: (one.live_hash, one.until) for a, one in drift.accepted.items() if one.until > now},
        quarantine=frozenset(held) - mended(world, case.desired),
        deferred=frozenset(case.waits),
    )


def mended(world: World, desired: Desired) -> frozenset[Address]:
    """Quarantined resources whose culprit is no longer wanted as it was: with it comes all of its attempt."""
    quarantine = world.log.view(views.Quarantine)
    if desired.problems:
        return frozenset()
    attempts = {
        quarantine.why[address].attempt
        for address, kept_out in quarantine.held.items()
        if quarantine.why[address].culprit and side_hash(desired.snapshot.get(address, ABSENT)) != kept_out
    }
    return frozenset(address for address in quarantine.held if quarantine.why[address].attempt in attempts)


def _overlaps(touched: frozenset[Address], parent: Desired, main: Desired) -> tuple[str, ...]:
    both = sorted(touched & touches(main, parent))
    return tuple(
        f"main changed {address} too since this was proposed; this plan shows the proposal's" for address in both
    )


def _of_instances(desired: Desired, observed: Mapping[str, Observation]) -> Snapshot:
    if desired.instances <= observed.keys():
        return desired.snapshot
    return {address: spec for address, spec in desired.snapshot.items() if address.instance in observed}
