"""What Prometheus reads from the reconciler: lag, drift, what is held, in its own text format and by its own rules."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler import metrics
from reconciler.core.target import Target
from reconciler.git.starter import plant
from reconciler.git.store import Store
from reconciler.ports import SystemClock
from reconciler.world import World
from state.events import DriftFound
from state.log import Entry, EventLog
from tests import prometheus

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A main that nobody applied yet, and an instance that drifted."""
    store = Store.create(tmp_path / "desired.git")
    plant(store, {"waypost.yaml": b"version: 1\n"}, branch="main", subject="first", at=LONG_AGO)
    targets: dict[str, Any] = {"traefik": cast(Target, None)}  # only its name is asked for
    clock = SystemClock()
    with contextlib.closing(EventLog.open(tmp_path / "log.db", now=clock.now, create=True)) as log:
        yield World(log=log, store=store, targets=targets, clock=clock, chance=os.urandom)


@pytest.fixture
def page(world: World) -> str:
    return metrics.page(world).decode()


def values(page: str) -> dict[str, float]:
    return {
        sample.name + "".join(f"/{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_it_says_how_far_behind_it_is_and_what_drifted(world: World) -> None:
    drift = DriftFound(
        address="traefik/http.routers/gitea",
        kind="changed",
        base_hash="1" * 64,
        live_hash="0" * 64,
        fields=("rule",),
        reason="by hand",
    )
    world.log.append(Entry(stream="target/traefik", event=drift))
    found = values(metrics.page(world).decode())
    assert found["waypost_lag_seconds"] > 0 and found["waypost_revision"] == 0
    assert found["waypost_drifted_resources/traefik"] == 1 and found["waypost_target_up/traefik"] == 1
    assert found["waypost_log_events"] == 1


def test_the_page_is_as_prometheus_asks_for_it(page: str) -> None:
    assert prometheus.faults(page) == []


def test_promtool_has_nothing_to_say_about_it(page: str) -> None:
    assert prometheus.checked(page) == ""


@pytest.mark.parametrize(
    "page, fault",
    [
        ("# HELP a_b A.\n# TYPE a_b counter\na_b 1\n", "a counter that does not end with _total"),
        ("# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n", "an ending that is reserved"),
        ("# TYPE a_b gauge\na_b 1\n", "no help"),
        ("# HELP a_b A.\na_b 1\n", "no type"),
        ("# HELP aB A.\n# TYPE aB gauge\naB 1\n", "not in snake case"),
        ("# HELP a_milliseconds A.\n# TYPE a_milliseconds gauge\na_milliseconds 1\n", "not in a base unit"),
        ("# HELP a_gauge A.\n# TYPE a_gauge gauge\na_gauge 1\n", "its type in its name"),
        ('# HELP a_b A.\n# TYPE a_b gauge\na_b{userName="x"} 1\n', "label userName"),
    ],
)
def test_the_rules_find_what_promtool_would(page: str, fault: str) -> None:
    assert any(one.endswith(fault) for one in prometheus.faults(page))
