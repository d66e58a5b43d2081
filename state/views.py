"""What the facts add up to: pure folds over the log. Each class is a view; its instances are its states.

Here are the views of what is applied; `mainline`, `review`, `standing` and others hold the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from state.alerts import Alerts, EndedAlert, Missed, MissedAlert, OpenAlert, missed_by
from state.approvals import Approvals
from state.documentation import Documentation
from state.events import (
    ApplyAbandoned,
    ApplyProven,
    ApplyRefuted,
    ApplyStarted,
    ApplyUndone,
    ApplyUnknown,
    Json,
    QuarantineLifted,
    ResourcesAdopted,
    ResourcesQuarantined,
    RevisionMade,
    UndoHeld,
)
from state.expiring import Expiring
from state.grants import Grants
from state.handover import Handover
from state.lately import Lately
from state.mainline import HeldPlan, Main, RefusedCommit, Revision, Revisions
from state.mentions import address_or_none
from state.model import Address, Spec, canonical
from state.pull_requests import PullRequests
from state.record import Occasion
from state.registry import Shards
from state.reports import Reports
from state.review import ProposalRecord, Proposals
from state.standing import Acceptance, Drift, Health, InstanceHealth, OpenDrift
from state.tokens import Tokens
from state.upkeep import Backups
from state.view import View, on

__all__ = [
    "ALL",
    "Acceptance",
    "Alerts",
    "Applied",
    "Approvals",
    "Attempts",
    "Backups",
    "Before",
    "Cause",
    "Documentation",
    "Drift",
    "EndedAlert",
    "Expiring",
    "Grants",
    "Handover",
    "Health",
    "HeldPlan",
    "InstanceHealth",
    "Lately",
    "Main",
    "Missed",
    "MissedAlert",
    "OpenAlert",
    "OpenAttempt",
    "OpenDrift",
    "ProposalRecord",
    "Proposals",
    "PullRequests",
    "Provenance",
    "Quarantine",
    "RefusedCommit",
    "Reports",
    "Revision",
    "Revisions",
    "Shards",
    "Tokens",
    "View",
    "missed_by",
]


# ── what is applied ──────────────────────────────────────────────────────────────────────────────


class Provenance(NamedTuple):
    """Which commit, which write (`attempt`, "" where it was found so) and which event made a resource as it is."""

    commit: str
    attempt: str
    seq: int


class Before(NamedTuple):
    """What a resource was at the last revision, and what had made it so: both None where there was no such one."""

    spec: Spec
    origin: Provenance | None


@dataclass
class Applied(View):
    """What was last applied and proven, or found already so: the `base` of the comparison.

    `before` holds what was written and proven since the last revision, as it was then.
    """

    version = 3

    bases: dict[str, dict[Address, Spec]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    provenance: dict[Address, Provenance] = field(default_factory=dict)
    before: dict[Address, Before] = field(default_factory=dict)

    def base(self, instance: str) -> dict[Address, Spec]:
        """What that target last was proven to hold."""
        return dict(self.bases.get(instance, {}))

    def file(self, instance: str) -> str:
        """Digest of the owned file as it was last proven, "" before the first proof."""
        return self.files.get(instance, "")

    def copy(self) -> Applied:
        own = {instance: dict(base) for instance, base in self.bases.items()}
        return Applied(own, dict(self.files), dict(self.provenance), dict(self.before))

    @on(ApplyProven)
    def _prove(self, event: ApplyProven, at: Occasion) -> None:
        self.files[event.instance] = event.file
        base, changes = self.bases.get(event.instance, {}), _by_address(event.changes)
        for address, _ in changes:
            if address not in self.before:
                self.before[address] = Before(base.get(address), self.provenance.get(address))
        origin = Provenance(event.commit, event.attempt, at.seq)
        self._record(event.instance, changes, origin, back=bool(event.undoes))

    @on(ApplyUndone)
    def _undo(self, event: ApplyUndone, at: Occasion) -> None:
        if event.changes:  # older versions took back so what had been proven, and another target refused its part
            self.files[event.instance] = event.file
            origin = Provenance("", event.attempt, at.seq)
            self._record(event.instance, _by_address(event.changes), origin, back=True)

    @on(ResourcesAdopted)
    def _adopt(self, event: ResourcesAdopted, at: Occasion) -> None:
        origin = Provenance(event.commit, "", at.seq)
        self._record(event.instance, _by_address(event.resources), origin, back=not event.commit)

    @on(RevisionMade)
    def _revise(self, event: RevisionMade, at: Occasion) -> None:
        self.before.clear()

    def _record(
        self, instance: str, changes: Sequence[tuple[Address, Spec]], origin: Provenance, *, back: bool
    ) -> None:
        """`back`: these are put back as they were; what made them so then is what made them so now."""
        base = self.bases.setdefault(instance, {})
        for address, spec in changes:
            before = self.before.get(address)
            if before and _same(before.spec, spec):
                del self.before[address]
            else:
                before = None
            if spec is None:
                base.pop(address, None)
                self.provenance.pop(address, None)
            else:
                base[address] = spec
                self.provenance[address] = before.origin if back and before and before.origin else origin


def _same(one: Spec, other: Spec) -> bool:
    # Python alone would let true equal 1.
    return bool(one == other) and canonical(one) == canonical(other)


def _by_address(changes: Json) -> list[tuple[Address, Spec]]:
    return [(address, spec) for text, spec in changes.items() if (address := address_or_none(text))]


class OpenAttempt(NamedTuple):
    """A write whose end is not known yet: "started", "unknown" or "refuted" (and not undone)."""

    started: ApplyStarted
    state: str
    at: datetime
    seq: int
    reason: str = ""
    remedy: str = ""


@dataclass
class Attempts(View):
    """Writes that were begun and neither proven, undone nor abandoned: at most one per target."""

    version = 2

    open: dict[str, OpenAttempt] = field(default_factory=dict)

    @on(ApplyStarted)
    def _start(self, event: ApplyStarted, at: Occasion) -> None:
        self.open[event.instance] = OpenAttempt(event, "started", at.at, at.seq)

    @on(ApplyUnknown, ApplyRefuted)
    def _doubt(self, event: ApplyUnknown | ApplyRefuted, at: Occasion) -> None:
        attempt = self._of(event.instance, event.attempt)
        if attempt:
            state = "refuted" if isinstance(event, ApplyRefuted) else "unknown"
            remedy = "" if isinstance(event, ApplyRefuted) else event.remedy
            self.open[event.instance] = attempt._replace(state=state, reason=event.reason, remedy=remedy)

    @on(ApplyProven, ApplyUndone, ApplyAbandoned)
    def _end(self, event: ApplyProven | ApplyUndone | ApplyAbandoned, at: Occasion) -> None:
        if self._of(event.instance, event.attempt):
            del self.open[event.instance]

    def _of(self, instance: str, attempt: str) -> OpenAttempt | None:
        found = self.open.get(instance)
        return found if found and found.started.attempt == attempt else None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a resource is quarantined; `culprit` if the target complained of it, or could not say of which."""

    commit: str
    attempt: str
    reason: str
    seq: int
    culprit: bool = True
    commits: tuple[str, ...] = ()  # those of main that brought it; empty where nobody can say


@dataclass
class Quarantine(View):
    """Resources that stay out: address -> hash of the want that was refuted, and why.

    `stuck`: instance -> why what went with them could not be taken back there.
    """

    version = 3

    held: dict[Address, str] = field(default_factory=dict)
    why: dict[Address, Cause] = field(default_factory=dict)
    stuck: dict[str, UndoHeld] = field(default_factory=dict)

    @on(ResourcesQuarantined)
    def _hold(self, event: ResourcesQuarantined, at: Occasion) -> None:
        for text, want_hash in event.resources.items():
            address = address_or_none(text)
            if address:
                self.held[address] = want_hash
                culprit = not event.culprits or text in event.culprits
                self.why[address] = Cause(event.commit, event.attempt, event.reason, at.seq, culprit, event.commits)

    @on(QuarantineLifted)
    def _lift(self, event: QuarantineLifted, at: Occasion) -> None:
        for address in filter(None, map(address_or_none, event.addresses)):
            self.held.pop(address, None)
            self.why.pop(address, None)
        kept_out = {address.instance for address in self.held}
        self.stuck = {instance: one for instance, one in self.stuck.items() if instance in kept_out}

    @on(UndoHeld)
    def _stick(self, event: UndoHeld, at: Occasion) -> None:
        self.stuck[event.instance] = event

    @on(ApplyProven, ResourcesAdopted)
    def _take_back(self, event: ApplyProven | ResourcesAdopted, at: Occasion) -> None:
        if event.undoes if isinstance(event, ApplyProven) else not event.commit:
            self.stuck.pop(event.instance, None)


ALL: tuple[type[View], ...] = (
    Applied,
    Attempts,
    Quarantine,
    Proposals,
    Revisions,
    Main,
    Drift,
    Health,
    Alerts,
    Handover,
    Grants,
    Lately,
    Backups,
    Shards,
    Documentation,
    Tokens,
    PullRequests,
    Approvals,
    Expiring,
    Reports,
)
"""Every view the log keeps checkpoints of."""
