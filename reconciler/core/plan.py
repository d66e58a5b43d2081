"""The heart: base, want and live, compared once, by one table, into one plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from reconciler.core.diff import within
from reconciler.core.effects import Effect
from reconciler.core.snapshots import Kept, changed, unlike
from reconciler.core.snapshots import same as same
from state.model import Address, Problem, Snapshot, Spec, digest

Action = Literal["create", "update", "delete", "restore"]
Verdict = Literal["change", "same", "drift", "adopted", "conflict", "foreign"]


class _Absent:
    """There is no such resource on this side; distinct from every spec, None included."""

    def __repr__(self) -> str:
        return "–"


ABSENT: Final = _Absent()
Side = Spec | _Absent


def judge(base: Side, want: Side, live: Side) -> Verdict:
    """The table of ARCHITECTURE.md. Equality decides; ABSENT equals only itself."""
    if same(want, live):
        return "same" if same(want, base) else "adopted"
    if same(base, want):
        return "foreign" if base is ABSENT else "drift"
    return "change" if same(base, live) else "conflict"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One resource whose three sides are not all the same. A side that is not there is ABSENT."""

    address: Address
    base: Side
    want: Side
    live: Side

    @property
    def hashes(self) -> list[str]:
        """Address and the hashes of base, want and live: what a plan's digest covers."""
        return [str(self.address), side_hash(self.base), side_hash(self.want), side_hash(self.live)]


@dataclass(frozen=True, kw_only=True)
class Change(Difference):
    """Something to do. `restore` puts back what a hand edit changed, because a person or the policy says so."""

    action: Action

    def __str__(self) -> str:
        return f"{self.action} {self.address}"


@dataclass(frozen=True, kw_only=True)
class Drift(Difference):
    """Live differs and nobody asked for it. `accepted` until a date, where a person said so."""

    accepted: str = ""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What people lose by a plan, as a guard counted it.

    `level`: "allowed" is within the policy's limits; "shown" must have stood in a plan that a reviewer saw;
    "consent" needs a person's word on this exact plan. `why` is what makes the level, where that needs telling; it
    is no part of the key, for it may change while the loss stays the same. `hosts` are all others that are
    meant, where `lost` may only count them, and `stake` is a digest of all that causes the loss: they are part of the
    key, for who agrees agrees to these.
    """

    guard: str
    address: str
    lost: str
    level: Literal["allowed", "shown", "consent"]
    why: str = ""
    hosts: tuple[str, ...] = ()
    stake: str = ""

    @property
    def key(self) -> str:
        return digest([self.guard, self.address, self.lost, *self.hosts, self.stake])

    def __str__(self) -> str:
        return f"{self.guard}: {self.address}: {self.told}"

    @property
    def told(self) -> str:
        """What is lost, in words for a person."""
        return f"{self.lost}, {self.why}" if self.why else self.lost

    def as_json(self) -> dict[str, str]:
        return {
            "guard": self.guard,
            "address": self.address,
            "lost": self.told,
            "level": self.level,
            "key": self.key,
        }


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A loss that nobody has agreed to yet, and how a person does."""

    loss: Loss
    consent: str

    def __str__(self) -> str:
        return f"{self.loss}. {self.consent}"

    def as_json(self) -> dict[str, str]:
        return {**self.loss.as_json(), "consent": self.consent}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The result of comparing last applied, desired and live: all there is to do, and all that speaks against it."""

    commit: str
    changes: tuple[Change, ...] = ()
    drift: tuple[Drift, ...] = ()
    adopted: tuple[Difference, ...] = ()
    conflicts: tuple[Difference, ...] = ()
    quarantined: tuple[Change, ...] = ()
    deferred: tuple[Change, ...] = ()  # each waits for another target that has its turn before it
    effects: tuple[Effect, ...] = ()  # which requests it treats differently, what matters most first
    losses: tuple[Loss, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    taken_over: tuple[str, ...] = ()  # ours, but a neighbour's file has the name too and is read first
    policy: str = ""  # digest of the policy it was judged by
    renderers: tuple[tuple[str, str], ...] = ()  # (instance, version of its renderer)

    @property
    def digest(self) -> str:
        """Names this exact plan: each change with its pre-image, the policy and the renderer, not the commit.

        And what people lose by it, for that also hangs on what neighbours serve: who names the plan agrees to that.
        """
        changes, losses = sorted(change.hashes for change in self.changes), sorted(loss.key for loss in self.losses)
        return digest([changes, losses, self.policy, sorted(self.renderers)])

    @property
    def code(self) -> str:
        """The short form of the digest that a person types."""
        return self.digest[:6]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def held(self) -> str:
        """Why it must not be applied, or "" where nothing speaks against it."""
        reasons = (
            (self.errors, "invalid"),
            (self.conflicts, "in conflict with changes made by hand"),
            (self.refusals, "refused by a guard"),
        )
        return ", ".join(word for items, word in reasons if items)

    @property
    def pending(self) -> bool:
        """Is there anything for a person or the reconciler to look at?"""
        drifted = self.open_drift or self.conflicts or self.taken_over
        return bool(self.changes or drifted or self.quarantined or self.deferred or self.errors)

    @property
    def open_drift(self) -> tuple[Drift, ...]:
        return tuple(drift for drift in self.drift if not drift.accepted)

    def of(self, instance: str) -> Plan:
        """The part that concerns one instance's changes."""
        return replace(self, changes=tuple(change for change in self.changes if change.address.instance == instance))


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What people said about differences, as far as it still holds.

    `heal` is keyed by address, its value the hash of the live state the person saw ("*" heals whatever is
    there: the policy's word). `accepted` maps an address to (live hash, until). `quarantine` holds what stays
    out, whatever is wanted of it: what was refuted, with everything of the same commit. `deferred` waits for others.
    """

    heal: Mapping[Address, str] = field(default_factory=dict)
    heal_instances: frozenset[str] = frozenset()
    accepted: Mapping[Address, tuple[str, str]] = field(default_factory=dict)
    quarantine: frozenset[Address] = frozenset()
    deferred: frozenset[Address] = frozenset()


def make_plan(
    commit: str,
    base: Snapshot,
    want: Snapshot,
    live: Snapshot,
    *,
    answers: Answers | None = None,
    scoped: bool = False,
    settled: Settled | None = None,
) -> Plan:
    """Compare three snapshots. `scoped` looks only at the fields that base or want mention (servers add their own).

    `settled` remembers what was the same, from one plan to the next.
    """
    answers = answers or Answers()
    sorted_out: dict[str, list[Any]] = {
        "change": [],
        "drift": [],
        "adopted": [],
        "conflict": [],
        "quarantined": [],
        "deferred": [],
    }
    for difference in _differences(base, want, live, scoped, settled or Settled()):
        kind, item = _sort_out(difference, answers)
        sorted_out.setdefault(kind, []).append(item)
    return Plan(
        commit=commit,
        changes=tuple(sorted_out["change"]),
        drift=tuple(sorted_out["drift"]),
        adopted=tuple(sorted_out["adopted"]),
        conflicts=tuple(sorted_out["conflict"]),
        quarantined=tuple(sorted_out["quarantined"]),
        deferred=tuple(sorted_out["deferred"]),
    )


def _differences(
    base: Snapshot, want: Snapshot, live: Snapshot, scoped: bool, settled: Settled
) -> Iterable[Difference]:
    # What stands equal on all three sides is dropped before sorting: cost follows what changed.
    for address in sorted(settled.differing(base, want, live)):
        one, two, three = (side.get(address, ABSENT) for side in (base, want, live))
        if scoped and three is not ABSENT:
            three = within(three, one, two)
        yield Difference(address=address, base=one, want=two, live=three)


class Settled:
    """Remembers the three sides compared last, and where they differed: what is as it was needs no second look."""

    def __init__(self) -> None:
        self._last: tuple[Snapshot, Snapshot, Snapshot, frozenset[Address]] = ({}, {}, {}, frozenset())

    def differing(self, base: Snapshot, want: Snapshot, live: Snapshot) -> frozenset[Address]:
        """The addresses of what base or want has and that is not the same on all three sides."""
        *before, still = self._last
        sides = base, want, live
        moved = frozenset().union(*(unlike(one, was) for one, was in zip(sides, before, strict=True)))
        found = frozenset(one for one in moved | still if _differs(*(side.get(one, ABSENT) for side in sides)))
        self._last = base, want, live, found
        return found


def _differs(base: Side, want: Side, live: Side) -> bool:
    if base is ABSENT and want is ABSENT:
        return False  # somebody else's
    return not (same(base, want) and same(want, live))


def _sort_out(difference: Difference, answers: Answers) -> tuple[str, Difference]:
    sides = {name: getattr(difference, name) for name in ("address", "base", "want", "live")}
    verdict = judge(difference.base, difference.want, difference.live)
    if verdict in ("drift", "conflict") and _healed(difference, answers, verdict):
        verdict = "change"
    if verdict == "change":
        change = Change(**sides, action=_action(difference))
        return _kept_back(change.address, answers) or "change", change
    if verdict == "drift":
        return verdict, Drift(**sides, accepted=_accepted_until(difference, answers))
    return verdict, difference


def _kept_back(address: Address, answers: Answers) -> str:
    if address in answers.quarantine:
        return "quarantined"
    return "deferred" if address in answers.deferred else ""


def _action(difference: Difference) -> Action:
    if difference.want is ABSENT:
        return "delete"
    if same(difference.base, difference.want):
        return "restore"
    return "create" if difference.live is ABSENT else "update"


def _healed(difference: Difference, answers: Answers, verdict: Verdict) -> bool:
    if verdict == "drift" and difference.address.instance in answers.heal_instances:
        return not _accepted_until(difference, answers)
    return answers.heal.get(difference.address) == side_hash(difference.live)


def _accepted_until(difference: Difference, answers: Answers) -> str:
    live_hash, until = answers.accepted.get(difference.address, ("?", ""))
    return until if live_hash == side_hash(difference.live) else ""


def side_hash(side: Side) -> str:
    """The hash of a spec; "" for a side that is not there."""
    return "" if side is ABSENT else digest(side)


def outcome(live: Snapshot, changes: Iterable[Change]) -> Kept:
    """What will be live once the changes are made: hand edits that nobody decided on stay as they are."""
    wanted = {change.address: change.want for change in changes}
    gone = frozenset(address for address, want in wanted.items() if want is ABSENT)
    return changed(live, {address: want for address, want in wanted.items() if address not in gone}, gone)
