"""The check-up of a deployment as it is: every part tried, every failure with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from reconciler.config import ENVIRON, Place, Settings
from reconciler.core.target import Verdict
from reconciler.doctor import channels as doctor_channels
from reconciler.doctor import containers as doctor_containers
from reconciler.doctor import documentation as doctor_documentation
from reconciler.doctor import heartbeat as doctor_heartbeat
from reconciler.doctor import home as doctor_home
from reconciler.doctor import intake as doctor_intake
from reconciler.doctor import machine as doctor_machine
from reconciler.doctor import reading as doctor_reading
from reconciler.doctor import systems as doctor_systems
from reconciler.doctor import target as doctor_target
from reconciler.doctor import vault as doctor_vault
from reconciler.doctor import webhooks as doctor_webhooks
from reconciler.doctor.finding import Finding
from reconciler.doctor.target import Binary, Witness
from reconciler.documentation.fetching import Fetcher
from reconciler.home import Home
from reconciler.ports import Clock

__all__ = ["Binary", "Deployment", "Finding", "Witness", "examine", "worst"]


SYSTEMS: Final[tuple[Callable[[Settings], Iterator[Finding]], ...]] = (
    doctor_systems.examine,
    doctor_reading.examine,
    doctor_webhooks.examine,
    doctor_containers.examine,
    doctor_vault.examine,
)
"""Who looks at the systems beside Traefik. Each says nothing of what is not configured, and never raises."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What is examined, introduced by whoever built it.

    `witnesses` holds the API of each instance by name. `probe` writes a marker into an instance's directory and
    asks whether it is seen; without it (nobody consented) nothing is written that Traefik could notice. Only with
    `tell` every alert channel gets a message, to try it. `fetcher` is how official documentation is looked for;
    without it nobody out in the world is asked.
    """

    home: Home
    clock: Clock
    witnesses: Mapping[str, Witness] = field(default_factory=dict)
    binary: Binary | None = None
    probe: Callable[[Place], Verdict] | None = None
    tell: bool = False
    fetcher: Fetcher | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: ENVIRON)


def examine(deployment: Deployment) -> Iterator[Finding]:
    """Every finding as it is made, the machine first, then the home, then each target. Never raises."""
    home, settings = deployment.home, deployment.home.settings
    yield doctor_machine.python()
    yield doctor_machine.sqlite()
    yield doctor_machine.account()
    yield doctor_machine.clock_is_set(deployment.clock)
    yield doctor_machine.space("home", home.path)
    yield from doctor_home.examine(home, deployment.clock, deployment.environ)
    yield from doctor_intake.examine(home, deployment.clock)
    if not settings.places:
        yield doctor_target.none_configured()
    for place in settings.places:
        yield from doctor_target.examine(
            place, deployment.witnesses.get(place.name), deployment.binary, deployment.probe
        )
    for system in SYSTEMS:
        yield from system(settings)
    yield from doctor_documentation.examine(home, deployment.clock, deployment.fetcher)
    yield from doctor_channels.examine(home, deployment.clock, tell=deployment.tell)
    yield from doctor_heartbeat.examine(settings, tell=deployment.tell)


def worst(findings: list[Finding]) -> str:
    """The level of the whole: "fail" if anything fails, else "warn" if anything warns, else "ok"."""
    levels = {finding.level for finding in findings}
    return next((level for level in ("fail", "warn") if level in levels), "ok")
