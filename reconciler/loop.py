"""One pass, top to bottom: take in, follow, finish what was begun, plan, guard, apply, prove, conclude."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler import applying, reviewing, staging, taking_back, watching
from reconciler.commits import policy_in_force, policy_of
from reconciler.core import account, order
from reconciler.core.order import Step
from reconciler.core.plan import ABSENT, Plan, Side
from reconciler.core.target import TargetError
from reconciler.git import ahead
from reconciler.git import main as approvals
from reconciler.git.errors import GitError
from reconciler.git.main import Approval
from reconciler.gitea import reviewing as pull_requests
from reconciler.gitea import vouching
from reconciler.gitea.vouching import Word
from reconciler.kept import keep_again
from reconciler.planned import Planned
from reconciler.planning import mended, plan_main, plan_standing
from reconciler.secrets import without_secrets
from reconciler.world import ACTOR, World
from state import events, views
from state.grants import Grants
from state.log import Entry
from state.model import Address, digest
from state.review import ProposalRecord


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a pass came to: `state` is one word, `said` a sentence for people, `plan` what it was about."""

    state: str  # nothing, applied, held, drift, waiting, refuted, unknown, lost
    said: str
    plan: Plan | None = None
    revision: int = 0

    @property
    def plan_json(self) -> dict[str, Any] | None:
        return account.as_json(self.plan) if self.plan else None

    @property
    def exit_code(self) -> int:
        return {"nothing": 0, "applied": 0, "held": 3, "refuted": 3, "lost": 1}.get(self.state, 2)


def run_pass(world: World) -> Outcome:
    """Make what is live what main says, as far as nothing speaks against it. Looks every time, records only news."""
    outcome = _run(world)
    if not world.read_only:  # what is missed meanwhile is seen in Gitea by the first pass after
        pull_requests.tend(world, outcome)
    return outcome


def _run(world: World) -> Outcome:
    troubles = reviewing.take_in(world)
    for instance in () if world.read_only else world.targets:  # to go on with a write is to write
        applying.resume(world, instance)
    taking_back.take_back(world)
    head = _follow(world)
    if head is None:
        return _watch_only(world)
    vouching.ask_again(world)
    _record_approvals(world, head)
    reviewing.tend(world, head, policy_in_force(world, head))
    if not world.read_only:
        with contextlib.suppress(GitError):
            reviewing.publish(world)
    planned = plan_main(world, head)
    if _lift_quarantine(world, planned):
        planned = plan_main(world, head)
    watching.record_targets(world, planned)
    watching.record_drift(world, planned)
    _record_adopted(world, planned)
    if not world.read_only:
        _wake(world, planned)
    if planned.plan.held:
        return _hold(world, planned.plan)
    _record_deferred(world, planned)
    due_later = {change.address.instance for change in planned.plan.deferred}
    watching.record_given_up(world, planned.plan, {*taking_back.owed(world), *planned.lost, *due_later})
    if world.read_only:
        return Outcome(state="waiting", said="read-only: nothing is applied", plan=planned.plan)
    results = _apply(world, planned)
    if any(cause.commit == head for cause in world.log.view(views.Quarantine).why.values()):
        reviewing.propose_revert(world, head)
    return _troubled(_conclude(world, planned, results), troubles)


def _wake(world: World, planned: Planned) -> None:
    """Only what was proven is served by our doing: a hand edit that a target missed stays missed, and is told."""
    applied = world.log.view(views.Applied)
    for instance, seen in planned.observed.items():
        if not seen.unserved or applying.holding(seen.live) == applying.holding(applied.base(instance)):
            with contextlib.suppress(TargetError):  # what hinders it hinders the next write, and is told then
                world.targets[instance].wake(seen)


def _troubled(outcome: Outcome, troubles: tuple[str, ...]) -> Outcome:
    """The same outcome, with what could not be taken in said beside it: all is not well while that stands."""
    if not troubles:
        return outcome
    state = "waiting" if outcome.state == "nothing" else outcome.state
    return replace(outcome, state=state, said="; ".join((outcome.said, *troubles)))


def _watch_only(world: World) -> Outcome:
    """main cannot be followed: what was applied last is still watched."""
    latest = world.log.view(views.Revisions).latest
    if latest:
        with contextlib.suppress(GitError):
            planned = plan_standing(world, latest.commit)
            watching.record_targets(world, planned)
            watching.record_drift(world, planned)
    return Outcome(state="lost", said=world.log.view(views.Main).source_lost)


def _follow(world: World) -> str | None:
    """The head of main, fetched if it lives elsewhere; None, with the reason recorded, where it cannot be followed.

    What a person approved here while it was out of reach is main until it is back.
    """
    lost = world.log.view(views.Main).source_lost
    if world.remote and world.read_only and (ours := ahead.pending(world.store)):
        return ours  # to follow would bring it there
    try:
        if world.remote:
            ahead.follow(world.remote, world.store, world.branch, world.clock.now())
            keep_again(world)
        head = world.store.head(world.branch)
        if head is None:
            raise GitError(f"there is no branch '{world.branch}' in {world.source}; push one")
        if not world.store.has(head):  # asked of the repository each time: what is remembered may be gone from it
            raise GitError(f"commit {head}, the head of '{world.branch}', is not in {world.store.path} any more")
    except GitError as error:
        if lost != str(error):
            _say(world, "main", events.SourceLost(source=world.source, reason=str(error)))
        return ahead.pending(world.store) if world.remote else None
    if lost:
        _say(world, "main", events.SourceFound(source=world.source, commit=head))
    return head


def _record_approvals(world: World, head: str) -> None:
    """What is on main is approved, however it came there; who brought it is recorded, or that nobody knows."""
    was = world.log.view(views.Main).head
    if was == head:
        return
    entries: list[Entry] = []
    if was and not world.store.is_ancestor(was, head):
        reason = "the branch was force-pushed or replaced; revisions that were applied are kept"
        rewritten = events.HistoryRewritten(was=was, now=head, reason=reason)
        entries.append(Entry(stream="main", event=rewritten, actor=ACTOR))
    known = {item.id: item.commit for item in world.log.view(views.Proposals).items.values() if _believed(world, item)}
    people = world.log.view(Grants).people
    for approval, word in vouching.of(world, approvals.approvals(world.store, was, head, known)):
        entries += [Entry(stream="main", event=event) for event in _approved(approval, word, people)]
    world.log.append(entries)  # at once: from then on main is known to be there, and nobody looks again


def _approved(approval: Approval, word: Word, people: Mapping[str, str]) -> Iterator[events.Event]:
    claimed = people.get(approval.proposal, approval.by) if approval.by == "unknown" else approval.by
    yield events.CommitApproved(
        commit=approval.commit,
        via=approval.via,
        proposal=approval.proposal,
        by=without_secrets(word.merge.by or claimed),
        subject=without_secrets(approval.subject),
        reviewers=tuple(map(without_secrets, word.merge.reviewers)),
    )
    if word.doubt:
        yield events.ApproverAwaited(commit=approval.commit, reason=word.doubt)


def _believed(world: World, record: ProposalRecord) -> bool:
    """Is this commit really that proposal's? The gateway's word alone is not enough to say who asked for it."""
    if record.status == "approved":
        return False
    return bool(record.shown) or world.store.head(record.branch) == record.commit


def _record_adopted(world: World, planned: Planned) -> None:
    """Live already is as desired, and only that is to be known."""
    found = ((one.address, one.want, planned.plan.commit) for one in planned.plan.adopted)
    _adopt(world, found, "live already is as desired")


def _lift_quarantine(world: World, planned: Planned) -> bool:
    """Write down what the plan let out of quarantine, because its culprit is wanted otherwise now.

    True where some of it turned out to be ours by that: then there is another plan to make.
    """
    freed = mended(world, planned.desired)
    if not freed:
        return False
    left = list(taking_back.never_put_back(world, planned, freed))
    _adopt(world, left, "it was written and refused, and stands as it was written: it could not be put back")
    reason = "what is wanted of what failed has changed"
    lifted = events.QuarantineLifted(addresses=tuple(sorted(map(str, freed))), reason=reason)
    _say(world, "main", lifted)
    return bool(left)


def _adopt(world: World, found: Iterable[tuple[Address, Side, str]], reason: str) -> None:
    """Record what is live as ours: an event for each target and commit that it came with."""
    together: dict[tuple[str, str], dict[str, object]] = {}
    for address, live, commit in found:
        together.setdefault((address.instance, commit), {})[str(address)] = None if live is ABSENT else live
    for (instance, commit), resources in together.items():
        adopted = events.ResourcesAdopted(instance=instance, commit=commit, resources=resources, reason=reason)
        _say(world, f"target/{instance}", adopted)


def _record_deferred(world: World, planned: Planned) -> None:
    """Write down what waits for another target, once for each commit and reason."""
    waits = {str(change.address): planned.waits[change.address] for change in planned.plan.deferred}
    if waits:
        reason = "what the same commits bring there has its turn first, and could not be written and proven yet"
        deferred = events.ChangesDeferred(commit=planned.plan.commit, resources=waits, reason=reason)
        _say(world, "main", deferred, key=f"deferred:{digest([planned.plan.commit, waits])}")


def _hold(world: World, plan: Plan) -> Outcome:
    """Record why a plan is not applied, if that is news."""
    if plan.errors and not plan.changes:
        problems = tuple(
            {"file": p.file, "line": p.line, "column": p.column, "message": p.message, "where": str(p)}
            for p in plan.errors
        )
        refused = world.log.view(views.Main).refused
        is_news = not refused or (refused.commit, refused.problems) != (plan.commit, problems)
        news: events.Event = events.DesiredRefused(commit=plan.commit, problems=problems)
    else:
        held = world.log.view(views.Main).held
        news = events.PlanHeld(
            commit=plan.commit,
            digest=plan.digest,
            refusals=tuple(refusal.as_json() for refusal in plan.refusals),
            conflicts=tuple(str(conflict.address) for conflict in plan.conflicts),
            problems=tuple({"where": str(p), "message": p.message} for p in plan.errors),
            quarantined=tuple(str(change.address) for change in plan.quarantined),
            reason=plan.held,
        )
        is_news = not held or held.plan != news
    if is_news:
        _say(world, "main", news)
    return Outcome(state="held", said=f"held: {plan.held}", plan=plan)


def _apply(world: World, planned: Planned) -> dict[str, str]:
    """Apply what there is to change, step by step: instance -> what came of it, the worst where it had two steps.

    What one step could not prove nothing later is built on; the next pass plans again. A refusal ends it, and what
    other instances were given of the same commit is taken back.
    """
    plan, results = planned.plan, dict[str, str]()
    if plan.changes:
        _say_plan(world, plan)
    steps = order.steps(plan.changes, {name: target.kind for name, target in world.targets.items()})
    for number, beside in enumerate(steps):
        came_of_it = _take(world, planned, beside, again=results.keys())
        results |= came_of_it
        if "refuted" in came_of_it.values():
            taking_back.take_back(world)
            break
        if set(came_of_it.values()) != {"proven"}:
            results |= {step.instance: "waiting" for later in steps[number + 1 :] for step in later}
            break
    return results


def _take(world: World, planned: Planned, beside: list[Step], again: Collection[str]) -> dict[str, str]:
    results = dict[str, str]()
    for step in beside:
        part = staging.part_of(world, planned, step, again=step.instance in again)
        results[step.instance] = applying.apply(world, step.instance, part) if part else "waiting"
        if results[step.instance] == "refuted":
            break
    return results


def _say_plan(world: World, plan: Plan) -> None:
    if world.log.view(views.Main).planned == f"{plan.commit}:{plan.digest}":
        return
    made = events.PlanMade(
        commit=plan.commit,
        digest=plan.digest,
        changes=tuple(map(str, plan.changes)),
        losses=tuple(loss.as_json() for loss in plan.losses),
        reason=f"main is at {plan.commit[:12]}",
    )
    _say(world, "main", made)


def _conclude(world: World, planned: Planned, results: dict[str, str]) -> Outcome:
    """A revision is made once main is applied and proven whole; anything less says what is missing."""
    plan = planned.plan
    if word := _unfinished(world, planned, results):
        return Outcome(state=word, said=watching.explain(world, word), plan=plan)
    if planned.lost or plan.quarantined or plan.deferred:
        left_out = "; ".join((*(f"{name}: {error}" for name, error in planned.lost.items()), *_waits(plan)))
        said = f"left out: {left_out}" if left_out else watching.explain(world, "left out")
        return Outcome(state="waiting", said=said, plan=plan)
    watching.record_healed(world, plan.changes)
    number = _make_revision(world, plan)
    state, said = _said(plan, bool(results))
    beside = "".join(f"; {note}" for note in plan.notes)
    return Outcome(state=state, said=f"{said} (revision {number}){beside}", plan=plan, revision=number)


def _waits(plan: Plan) -> tuple[str, ...]:
    names = ", ".join(str(change.address) for change in plan.deferred)
    return (f"{names} waits for another target, which has its turn first",) if names else ()


def _unfinished(world: World, planned: Planned, results: dict[str, str]) -> str:
    """Why nobody may say yet that main is live: the worst result, an open attempt, something that is not served."""
    for word in ("refuted", "unknown", "waiting"):
        if word in results.values():
            return word
    if world.log.view(views.Attempts).open.keys() & world.targets.keys():  # of what is no longer here nobody can say
        return "unknown"
    if taking_back.owed(world) or any(_unserved(world, planned, name, name in results) for name in planned.observed):
        return "waiting"
    return ""


def _unserved(world: World, planned: Planned, instance: str, proven: bool) -> bool:
    """Does an instance leave out anything that main wants, or can it not be asked?

    A proof is about what was written: what was disabled before that may be so still.
    """
    seen, wanted = planned.observed[instance], planned.desired.snapshot
    if not proven:
        return bool(seen.witness or seen.unserved or seen.disabled.keys() & wanted.keys())
    if not seen.disabled.keys() & wanted.keys():
        return False
    try:
        return bool(world.targets[instance].observe().disabled.keys() & wanted.keys())
    except TargetError:
        return True


def _said(plan: Plan, applied: bool) -> tuple[str, str]:
    if applied:
        return "applied", f"applied and proven: {len(plan.changes)} changes"
    if drifted := len(plan.open_drift) + len(plan.taken_over):
        return "drift", f"{drifted} resources drifted, see waypost drift"
    return "nothing", "live is as main says"


def _make_revision(world: World, plan: Plan) -> int:
    latest = world.log.view(views.Revisions).latest
    if latest and latest.commit == plan.commit:
        if not world.store.anchored(plan.commit):  # a crash came between the revision and its anchor
            _anchor(world, plan.commit, latest.number)
        return latest.number
    number = _next_number(world, latest.number if latest else 0, plan.commit)
    own_policy = policy_of(world, plan.commit)
    # The ref first: a revision that the log knows of can always be found again.
    world.store.keep(number, plan.commit)
    made = events.RevisionMade(
        number=number,
        commit=plan.commit,
        tree=world.store.commit(plan.commit).tree,
        policy=own_policy.digest,
        reason="applied and proven" if plan.changes else "live already was as this commit says",
    )
    _say(world, "main", made, key=f"revision:{number}")
    _anchor(world, plan.commit, number)
    return number


def _anchor(world: World, commit: str, revision: int) -> None:
    """Note the log's head in Git: a chain alone cannot show that its tail is gone."""
    head = world.log.head()
    world.store.anchor(commit, head.seq, head.hash, revision)
    if world.remote:
        world.remote.push_own(world.store)


def _next_number(world: World, last: int, commit: str) -> int:
    """A home whose log was lost goes on after what Git still keeps; a crash after `keep` goes on with that number.

    Nor does a commit hold a number that it never had: who died there left no anchor, which every revision has.
    """
    kept = world.store.revisions()
    highest = max((last, *kept))
    if highest == last:
        return last + 1
    if kept[highest] != commit and highest == last + 1 and not world.store.anchored(kept[highest]):
        world.store.forget(highest)
        return highest
    return highest if kept[highest] == commit else highest + 1


def _say(world: World, stream: str, event: events.Event, key: str = "") -> None:
    world.log.append(Entry(stream=stream, event=event, key=key, actor=ACTOR))
