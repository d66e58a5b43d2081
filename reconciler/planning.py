"""Gather the three sides, and make the plan: for main as it stands, and for a proposal on its own. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler import desired as desired_state
from reconciler.core import guard
from reconciler.core.effects import Effects
from reconciler.core.plan import ABSENT, Answers, Loss, Plan, Refusal, make_plan, outcome, side_hash
from reconciler.core.policy import Policy
from reconciler.core.redact import cover
from reconciler.core.snapshots import unlike
from reconciler.core.target import Observation, TargetError
from reconciler.desired import Desired, Instance
from reconciler.planned import Planned
from reconciler.recall import Quiet
from reconciler.traefik import exposure
from reconciler.traefik.consequences import Before, consequences
from reconciler.world import World
from state import views
from state.approvals import Approvals
from state.events import ToolCalled
from state.grants import Grants
from state.model import Address, Problem, Snapshot


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

    @property
    def live(self) -> Snapshot:
        """What is live, of a proposal only what it is about."""
        if self.main is None and len(self.observed) == 1:
            return next(iter(self.observed.values())).live
        live = {address: spec for one in self.observed.values() for address, spec in one.live.items()}
        if self.main is None:
            return live
        return {address: spec for address, spec in live.items() if address in self.base or address in self.want}


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
    return _judged(world, _Case(desired=desired, observed=observed, lost=lost, policy=policy, base=base, want=want))


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
    base = {a: s for a, s in last_applied(world, observed).items() if a in touched}
    want = {a: s for a, s in _of_instances(proposed, observed).items() if a in touched}
    case = _Case(desired=proposed, observed=observed, lost=lost, policy=policy, base=base, want=want, main=main)
    planned = _judged(world, case)
    return replace(planned, plan=replace(planned.plan, notes=planned.plan.notes + _overlaps(touched, parent, main)))


def touches(one: Desired, other: Desired) -> frozenset[Address]:
    """The addresses in which two desired states differ: what a commit is about."""
    candidates = unlike(one.snapshot, other.snapshot)
    return frozenset(a for a in candidates if one.snapshot.get(a) != other.snapshot.get(a))


def load(world: World, commit: str) -> Desired:
    """The desired state of a commit, read with the targets that this very commit declares."""
    policy, problems = desired_state.policy(world.store, commit)
    desired = desired_state.load(world.store, commit, instances(policy))
    return replace(desired, problems=(*desired.problems, *problems)) if problems else desired


def homeless(world: World, desired: Desired) -> dict[str, TargetError]:
    """Targets with desired resources of which this home does not say where they are."""
    named = desired.instances - world.targets.keys()
    where = "set WAYPOST_TRAEFIK_DYNAMIC_DIR in waypost.env", "describe it in targets.toml"
    return {
        name: TargetError(f"this home does not say where '{name}' is; {where[name != 'traefik']}", retry=False)
        for name in named
    }


def instances(policy: Policy) -> list[Instance]:
    return [Instance(name, part.kind, part.directory) for name, part in policy.targets.items()]


def policy_in_force(world: World, commit: str) -> Policy:
    """The policy of the last applied revision; before the first one, the commit's own."""
    latest = world.log.view(views.Revisions).latest
    return policy_of(world, latest.commit if latest else commit)


def policy_of(world: World, commit: str) -> Policy:
    """A commit's own policy; the default one where it cannot be read."""
    return desired_state.policy(world.store, commit)[0]


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
        notes=tuple(f"{name}: not looked at: {error}" for name, error in case.lost.items()),
    )
    after = {name: outcome(before[name], plan.of(name).changes) for name in observed}
    plan = _validated(world, case, plan, after)
    plan = _guarded(world, case, plan, before, after)
    return Planned(plan=plan, desired=case.desired, observed=observed, lost=case.lost, after=after)


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


def _validated(world: World, case: _Case, plan: Plan, after: Mapping[str, Snapshot]) -> Plan:
    for instance, wanted in after.items():
        if plan.of(instance).changes:
            found = world.targets[instance].validate(wanted, case.observed[instance])
            placed = tuple(_placed(_covered(problem, wanted), case.desired) for problem in found.problems)
            plan = replace(plan, problems=plan.problems + placed, notes=plan.notes + found.notes)
    return plan


def _covered(problem: Problem, wanted: Snapshot) -> Problem:
    # A decoder quotes what it cannot parse; a secret must not reach log or review that way.
    return replace(problem, message=cover(problem.message, wanted.values()))


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
    for instance, wanted in after.items():
        if changes := plan.of(instance).changes:
            done = _effects(world, case, instance, before[instance], wanted)
            # What protected resources need matters only where something that is there changes.
            edited = any(change.action in ("update", "delete") for change in changes)
            needed = exposure.needed(before[instance], case.policy.protects) if edited else frozenset()
            found += guard.losses(instance, done, changes, case.policy, needed=needed)
            found += guard.emptied(instance, before[instance], wanted)
            placed = (_placed(problem, case.desired) for problem in done.problems)
            plan = replace(
                plan,
                effects=(*plan.effects, *done.all),
                problems=(*plan.problems, *placed),
                notes=(*plan.notes, *done.notes),
            )
    return replace(plan, losses=tuple(found), refusals=_refusals(world, case, plan, found))


def _refusals(world: World, case: _Case, plan: Plan, found: list[Loss]) -> tuple[Refusal, ...]:
    grants = world.log.view(Grants)
    return guard.refusals(
        found,
        # A proposal's own plan is what shows these losses; only what needs a person's word is refused there.
        shown={loss.key for loss in found} if case.main else grants.shown,
        consented=grants.consented,
        digest=plan.digest,
        commit=plan.commit,
        strict=case.main is None and grants.all_shown,
    )


def _effects(world: World, case: _Case, instance: str, before: Snapshot, after: Snapshot) -> Effects:
    """What going from one state to the other does to requests, and what went before without anybody looking."""
    earlier = world.log.view(views.Lately).before(instance, world.clock.now())
    seen, guards = case.observed[instance], case.policy.guards
    sides = Before(before, earlier)
    resident = world.recall.of(instance)
    return consequences(instance, sides, after, seen, guards.authentication, guards.public_entry_points, resident)


def _rewritten(world: World, commit: str) -> Iterable[Loss]:
    latest = world.log.view(views.Revisions).latest
    if latest and not world.store.is_ancestor(latest.commit, commit):
        lost = f"the branch was rewritten: revision {latest.number} ({latest.commit[:12]}) is no longer in its history"
        yield Loss(guard="history", address=world.branch, lost=lost, level="consent")


def _approved_by_few(world: World, plan: Plan, policy: Policy) -> Iterable[Loss]:
    """Commits of main to which fewer people said yes than the policy asks for."""
    needed = policy.guards.approvals
    if needed < 2 or not plan.changes:
        return
    for commit, approved in world.log.view(Approvals).waiting.items():
        if len(approved.people) < needed:
            who = ", ".join(approved.people) or "nobody whom a system vouches for"
            lost = f"{commit[:12]} ({approved.subject}) was approved by {who}; the policy asks for {needed} people"
            yield Loss(guard="approvals", address=world.branch, lost=lost, level="consent")


def _answers(world: World, case: _Case) -> Answers:
    """What people said about drift and quarantine, as far as it still holds at this moment."""
    drift, now = world.log.view(views.Drift), world.clock.now().isoformat()
    held = world.log.view(views.Quarantine).held
    return Answers(
        heal=dict(drift.heal),
        heal_instances=frozenset(name for name, part in case.policy.targets.items() if part.drift == "heal"),
        accepted={a: (one.live_hash, one.until) for a, one in drift.accepted.items() if one.until > now},
        quarantine=frozenset(held) - mended(world, case.desired),
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
