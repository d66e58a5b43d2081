"""Views of what stands and should not: drift, ill targets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from state.events import (
    ApplyAbandoned,
    ApplyProven,
    DriftAccepted,
    DriftCleared,
    DriftFound,
    DriftHealRequested,
    PassFailed,
    PassRecovered,
    PoisonCleared,
    PoisonFound,
    ProbeFailed,
    ProbeSucceeded,
    ResourcesAdopted,
    RestartLossCleared,
    RestartLossFound,
    ServingLost,
    ServingRestored,
    TargetFound,
    TargetLost,
    WriteGivenUp,
)
from state.mentions import address_or_none
from state.model import Address
from state.record import Occasion
from state.view import View, on

# ── drift ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OpenDrift:
    """A drift as it was found last, and since when the resource has drifted."""

    found: DriftFound
    since: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A person accepted that live state (its hash) until a moment (ISO 8601, UTC)."""

    live_hash: str
    until: str
    by: str


@dataclass
class Drift(View):
    """Open drifts, and what people answered: accepted until a date, or to be healed (hash of the live state)."""

    open: dict[Address, OpenDrift] = field(default_factory=dict)
    accepted: dict[Address, Acceptance] = field(default_factory=dict)
    heal: dict[Address, str] = field(default_factory=dict)

    @on(DriftFound)
    def _find(self, event: DriftFound, at: Occasion) -> None:
        address = address_or_none(event.address)
        if address:
            before = self.open.get(address)
            self.open[address] = OpenDrift(event, before.since if before else at.at, at.seq)

    @on(DriftCleared)
    def _clear(self, event: DriftCleared, at: Occasion) -> None:
        self._forget(self.open, event.address)
        self._forget(self.heal, event.address)

    @on(DriftAccepted)
    def _accept(self, event: DriftAccepted, at: Occasion) -> None:
        address = address_or_none(event.address)
        if address:
            self.accepted[address] = Acceptance(event.live_hash, event.until, at.actor)
            self.heal.pop(address, None)

    @on(DriftHealRequested)
    def _ask_to_heal(self, event: DriftHealRequested, at: Occasion) -> None:
        address = address_or_none(event.address)
        if address:
            self.heal[address] = event.live_hash
            self.accepted.pop(address, None)

    @on(ApplyProven)
    def _prove(self, event: ApplyProven, at: Occasion) -> None:
        self._answered(event.changes)

    @on(ResourcesAdopted)
    def _adopt(self, event: ResourcesAdopted, at: Occasion) -> None:
        self._answered(event.resources)

    def _answered(self, addresses: Iterable[str]) -> None:
        """An answer was about the state that drifted; now another one is live."""
        if self.heal or self.accepted:
            for text in addresses:
                self._forget(self.heal, text)
                self._forget(self.accepted, text)

    @staticmethod
    def _forget(answers: dict[Address, Any], text: str) -> None:
        address = address_or_none(text)
        if address:
            answers.pop(address, None)


# ── targets and passes ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class InstanceHealth:
    """What ails one target. Empty means well.

    `lost`: why it cannot be observed, `lost_since` since when. `poison`: file -> what its decoder says; `own_poison`:
    which of them is the file that we write. `failure`: why the last probe failed, with the remedy. `probes`:
    directories that the target was seen to read. `disabled`: resource of ours that is not served -> the target's
    words; `unserved`: why our file as it stands is not served. `write_failed`: why the last write did not come about.
    `since`: what of `disabled`, `restart_losses` and `unserved` (as "") stands now -> seq of the event that it stands
    since.
    """

    lost: str = ""
    poison: dict[str, str] = field(default_factory=dict)
    own_poison: str = ""
    restart_losses: tuple[str, ...] = ()
    failure: str = ""
    probes: frozenset[str] = frozenset()
    disabled: dict[str, str] = field(default_factory=dict)
    unserved: str = ""
    write_failed: str = ""
    since: dict[str, int] = field(default_factory=dict)
    lost_since: datetime | None = None

    def probed(self, directory: str) -> bool:
        """Whether the target was seen to read that directory."""
        return directory in self.probes


@dataclass
class Health(View):
    """What ails targets (by instance) and passes (`pass_failed`: why the last one failed, "" where it did not)."""

    version = 4

    instances: dict[str, InstanceHealth] = field(default_factory=dict)
    pass_failed: str = ""

    def of(self, instance: str) -> InstanceHealth:
        """One target's health; a target nobody complained about is well."""
        return self.instances.get(instance) or InstanceHealth()

    @on(TargetLost)
    def _lose(self, event: TargetLost, at: Occasion) -> None:
        self._change(event.instance, lost=event.reason, lost_since=self.of(event.instance).lost_since or at.at)

    @on(TargetFound)
    def _find(self, event: TargetFound, at: Occasion) -> None:
        self._change(event.instance, lost="", lost_since=None)

    @on(PoisonFound)
    def _poison(self, event: PoisonFound, at: Occasion) -> None:
        known = self.of(event.instance)
        own = event.file if event.ours else known.own_poison
        self._change(event.instance, poison={**known.poison, event.file: event.reason}, own_poison=own)

    @on(PoisonCleared)
    def _cure(self, event: PoisonCleared, at: Occasion) -> None:
        known = self.of(event.instance)
        poison = {file: why for file, why in known.poison.items() if file != event.file}
        self._change(event.instance, poison=poison, own_poison=known.own_poison if known.own_poison in poison else "")

    @on(RestartLossFound)
    def _risk(self, event: RestartLossFound, at: Occasion) -> None:
        self._stand(event.instance, at, restart_losses=event.routes)

    @on(RestartLossCleared)
    def _secure(self, event: RestartLossCleared, at: Occasion) -> None:
        self._stand(event.instance, at, restart_losses=())

    @on(ServingLost)
    def _lose_serving(self, event: ServingLost, at: Occasion) -> None:
        disabled = {address: str(words) for address, words in event.resources.items()}
        self._stand(event.instance, at, disabled=disabled, unserved=event.unserved)

    @on(ServingRestored)
    def _serve(self, event: ServingRestored, at: Occasion) -> None:
        self._stand(event.instance, at, disabled={}, unserved="")

    @on(ApplyAbandoned)
    def _fail_to_write(self, event: ApplyAbandoned, at: Occasion) -> None:
        if event.failed:
            self._change(event.instance, write_failed=event.reason)

    @on(ApplyProven, WriteGivenUp)
    def _write(self, event: ApplyProven | WriteGivenUp, at: Occasion) -> None:
        known = self.instances.get(event.instance)
        if known and known.write_failed:
            self._change(event.instance, write_failed="")

    @on(ProbeSucceeded)
    def _probe(self, event: ProbeSucceeded, at: Occasion) -> None:
        probes = self.of(event.instance).probes | {event.directory}
        self._change(event.instance, probes=probes, failure="")

    @on(ProbeFailed)
    def _miss(self, event: ProbeFailed, at: Occasion) -> None:
        self._change(event.instance, failure=f"{event.reason} {event.remedy}".strip())

    @on(PassFailed)
    def _fail(self, event: PassFailed, at: Occasion) -> None:
        self.pass_failed = event.reason

    @on(PassRecovered)
    def _recover(self, event: PassRecovered, at: Occasion) -> None:
        self.pass_failed = ""

    def _stand(self, instance: str, at: Occasion, **changes: Any) -> None:
        """A change of what stands: what stood before stands since then, and a relapse since now."""
        self._change(instance, **changes)
        now = self.of(instance)
        standing = (*now.disabled, *now.restart_losses, *([""] if now.unserved else []))
        self._change(instance, since={one: now.since.get(one, at.seq) for one in standing})

    def _change(self, instance: str, **changes: Any) -> None:
        self.instances[instance] = replace(self.of(instance), **changes)
