"""What the reconciler measures, for Prometheus: read from the log's views at the moment of asking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler.world import World
from state import views

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


def page(world: World) -> bytes:
    """All of it in Prometheus's text format. Raises LogError."""
    registry = CollectorRegistry()
    registry.register(_Views(world))
    return generate_latest(registry)


class _Views(Collector):
    def __init__(self, world: World) -> None:
        self._world = world

    def collect(self) -> Iterator[Metric]:
        yield from self._of_main()
        yield from self._of_targets()
        yield from self._of_people()

    def _of_main(self) -> Iterator[Metric]:
        world = self._world
        main, revisions = world.log.view(views.Main), world.log.view(views.Revisions)
        yield _one("waypost_revision", "Number of the last revision that was applied and proven.", _number(revisions))
        behind = _behind(world, revisions)
        yield _one("waypost_lag_seconds", "How long main has been ahead of what is applied, 0 where it is not.", behind)
        held = float(main.held is not None or main.refused is not None)
        yield _one("waypost_main_held", "Whether a commit on main waits for a person.", held)
        yield _one("waypost_main_lost", "Whether the desired repo cannot be followed.", float(bool(main.source_lost)))
        failed = bool(world.log.view(views.Health).pass_failed)
        yield _one("waypost_pass_failed", "Whether the last pass ended in a fault of its own.", float(failed))
        yield _one("waypost_log_events", "Number of the last event of the log.", world.log.head().seq)

    def _of_targets(self) -> Iterator[Metric]:
        drift, health = self._world.log.view(views.Drift).open, self._world.log.view(views.Health)
        up = GaugeMetricFamily("waypost_target_up", "Whether a target answers.", labels=["instance"])
        drifted = GaugeMetricFamily(
            "waypost_drifted_resources", "Resources that differ from what was applied.", labels=["instance"]
        )
        held = GaugeMetricFamily(
            "waypost_quarantined_resources", "Resources that stay out after a refuted apply.", labels=["instance"]
        )
        quarantine = self._world.log.view(views.Quarantine).held
        for name in self._world.targets:
            up.add_metric([name], float(not health.of(name).lost))
            drifted.add_metric([name], sum(address.instance == name for address in drift))
            held.add_metric([name], sum(address.instance == name for address in quarantine))
        yield from (up, drifted, held)

    def _of_people(self) -> Iterator[Metric]:
        items = self._world.log.view(views.Proposals).items
        waiting = sum(record.status == "open" for record in items.values())
        yield _one("waypost_proposals_open", "Proposals that wait for a person.", waiting)
        yield _alerts(self._world.log.view(views.Alerts).open)


def _alerts(standing: Mapping[str, views.OpenAlert]) -> Metric:
    """How many stand, by how bad they are; a severity without any is told too, so that nobody waits for its end."""
    counted = GaugeMetricFamily("waypost_alerts_open", "Alerts that stand.", labels=["severity"])
    for severity in ("critical", "warning", "info"):
        counted.add_metric([severity], sum(alert.severity == severity for alert in standing.values()))
    return counted


def _number(revisions: views.Revisions) -> int:
    return revisions.latest.number if revisions.latest else 0


def _behind(world: World, revisions: views.Revisions) -> float:
    """Seconds since main got the commit that is not applied yet."""
    head, latest = world.store.head(world.branch), revisions.latest
    if head is None or (latest and latest.commit == head):
        return 0.0
    return max(0.0, (world.clock.now() - world.store.commit(head).at).total_seconds())


def _one(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)
