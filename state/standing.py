"""Views of what stands and should not: drift, ill targets, open alerts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from state.events import (
    AlertRaised,
    AlertResolved,
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
    TargetFound,
    TargetLost,
)
from state.mentions import address_or_none
from state.model import Address
from state.record import Recorded
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
    def _find(self, event: DriftFound, at: Recorded) -> None:
        address = address_or_none(event.address)
        if address:
            before = self.open.get(address)
            self.open[address] = OpenDrift(event, before.since if before else at.at, at.seq)

    @on(DriftCleared)
    def _clear(self, event: DriftCleared, at: Recorded) -> None:
        self._forget(self.open, event.address)
        self._forget(self.heal, event.address)

    @on(DriftAccepted)
    def _accept(self, event: DriftAccepted, at: Recorded) -> None:
        address = address_or_none(event.address)
        if address:
            self.accepted[address] = Acceptance(event.live_hash, event.until, at.actor)
            self.heal.pop(address, None)

    @on(DriftHealRequested)
    def _ask_to_heal(self, event: DriftHealRequested, at: Recorded) -> None:
        address = address_or_none(event.address)
        if address:
            self.heal[address] = event.live_hash
            self.accepted.pop(address, None)

    @on(ApplyProven)
    def _prove(self, event: ApplyProven, at: Recorded) -> None:
        self._answered(event.changes)

    @on(ResourcesAdopted)
    def _adopt(self, event: ResourcesAdopted, at: Recorded) -> None:
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

    `lost`: why it cannot be observed. `poison`: file -> what its decoder says. `failure`: why the last probe
    failed, with the remedy. `probes`: directories that the target was seen to read.
    """

    lost: str = ""
    poison: dict[str, str] = field(default_factory=dict)
    restart_losses: tuple[str, ...] = ()
    failure: str = ""
    probes: frozenset[str] = frozenset()

    def probed(self, directory: str) -> bool:
        """Whether the target was seen to read that directory."""
        return directory in self.probes


@dataclass
class Health(View):
    """What ails targets (by instance) and passes (`pass_failed`: why the last one failed, "" where it did not)."""

    instances: dict[str, InstanceHealth] = field(default_factory=dict)
    pass_failed: str = ""

    def of(self, instance: str) -> InstanceHealth:
        """One target's health; a target nobody complained about is well."""
        return self.instances.get(instance, InstanceHealth())

    @on(TargetLost)
    def _lose(self, event: TargetLost, at: Recorded) -> None:
        self._change(event.instance, lost=event.reason)

    @on(TargetFound)
    def _find(self, event: TargetFound, at: Recorded) -> None:
        self._change(event.instance, lost="")

    @on(PoisonFound)
    def _poison(self, event: PoisonFound, at: Recorded) -> None:
        poison = {**self.of(event.instance).poison, event.file: event.reason}
        self._change(event.instance, poison=poison)

    @on(PoisonCleared)
    def _cure(self, event: PoisonCleared, at: Recorded) -> None:
        poison = {file: why for file, why in self.of(event.instance).poison.items() if file != event.file}
        self._change(event.instance, poison=poison)

    @on(RestartLossFound)
    def _risk(self, event: RestartLossFound, at: Recorded) -> None:
        self._change(event.instance, restart_losses=event.routes)

    @on(RestartLossCleared)
    def _secure(self, event: RestartLossCleared, at: Recorded) -> None:
        self._change(event.instance, restart_losses=())

    @on(ProbeSucceeded)
    def _probe(self, event: ProbeSucceeded, at: Recorded) -> None:
        probes = self.of(event.instance).probes | {event.directory}
        self._change(event.instance, probes=probes, failure="")

    @on(ProbeFailed)
    def _miss(self, event: ProbeFailed, at: Recorded) -> None:
        self._change(event.instance, failure=f"{event.reason} {event.remedy}".strip())

    @on(PassFailed)
    def _fail(self, event: PassFailed, at: Recorded) -> None:
        self.pass_failed = event.reason

    @on(PassRecovered)
    def _recover(self, event: PassRecovered, at: Recorded) -> None:
        self.pass_failed = ""

    def _change(self, instance: str, **changes: Any) -> None:
        self.instances[instance] = replace(self.of(instance), **changes)


# ── alerts ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert nobody was told the end of. `last_sent` is None while no message got through."""

    title: str
    since: datetime
    last_sent: datetime | None


@dataclass
class Alerts(View):
    """Alerts that stand, by fingerprint."""

    open: dict[str, OpenAlert] = field(default_factory=dict)

    @on(AlertRaised)
    def _raise(self, event: AlertRaised, at: Recorded) -> None:
        before = self.open.get(event.fingerprint)
        before = before or OpenAlert(event.title, at.at, None)
        sent = at.at if event.delivered else before.last_sent
        self.open[event.fingerprint] = OpenAlert(event.title, before.since, sent)

    @on(AlertResolved)
    def _resolve(self, event: AlertResolved, at: Recorded) -> None:
        self.open.pop(event.fingerprint, None)
