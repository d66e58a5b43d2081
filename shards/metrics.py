"""What the gateway measures, for Prometheus: calls by shard, tool and outcome, and how each shard is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shards.registry import Standing

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts calls. Names of tools are those that are offered, so there are never more than a person declared."""

    def __init__(self, standings: Callable[[], Mapping[str, Standing]]) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "waypost_tool_calls", "Tool calls by outcome.", ["shard", "tool", "outcome"], registry=self._registry
        )
        self._seconds = Histogram(
            "waypost_tool_call_duration_seconds",
            "How long tool calls took.",
            ["shard", "tool"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._running = Gauge(
            "waypost_tool_calls_running", "Tool calls that run or wait now.", ["shard", "tool"], registry=self._registry
        )
        self._registry.register(_Shards(standings))

    @contextmanager
    def running(self, shard: str, tool: str) -> Iterator[None]:
        gauge = self._running.labels(shard, tool)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    def ended(self, shard: str, tool: str, outcome: str, seconds: float) -> None:
        self._calls.labels(shard, tool, outcome).inc()
        self._seconds.labels(shard, tool).observe(seconds)

    def page(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)


class _Shards(Collector):
    """How each shard is at the moment of asking."""

    def __init__(self, standings: Callable[[], Mapping[str, Standing]]) -> None:
        self._standings = standings

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("waypost_shard_up", "Whether a shard answers.", labels=["shard"])
        tools = GaugeMetricFamily("waypost_shard_tools", "How many tools a shard offers.", labels=["shard"])
        resting = GaugeMetricFamily(
            "waypost_shard_breaker_open", "Whether calls of a shard are held back after failures.", labels=["shard"]
        )
        for name, standing in self._standings().items():
            up.add_metric([name], float(standing.state == "up"))
            tools.add_metric([name], standing.tools)
            resting.add_metric([name], float(standing.breaker == "open"))
        yield from (up, tools, resting)
