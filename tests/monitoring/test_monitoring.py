"""What is shipped for watching Waypost: rules, dashboard, logs, runbook; nothing in them names what is not there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
import yaml
from prometheus_client.parser import text_string_to_metric_families

from reconciler import metrics
from reconciler.cli.group import waypost
from reconciler.git.store import Store
from reconciler.ports import SystemClock
from reconciler.running import log_to_stderr
from reconciler.world import World
from shards.metrics import Metrics
from shards.registry import Standing
from state.log import EventLog

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ROOT / "monitoring"
RULES = [rule for group in yaml.safe_load((SHIPPED / "rules.yaml").read_text())["groups"] for rule in group["rules"]]
PANELS = json.loads((SHIPPED / "grafana.json").read_text())["panels"]
RUNBOOK = (SHIPPED / "runbook.md").read_text()
QUERIES = [*(rule["expr"] for rule in RULES), *(target["expr"] for panel in PANELS for target in panel["targets"])]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every sample that the two pages really have, with its labels."""
    place, clock = tmp_path_factory.mktemp("measured"), SystemClock()
    store = Store.create(place / "desired.git")
    with contextlib.closing(EventLog.open(place / "log.db", now=clock.now, create=True)) as log:
        targets: Any = {"traefik": None}  # only its name is asked for
        reconciler = metrics.page(World(log=log, store=store, targets=targets, clock=clock, chance=os.urandom))
    gateway = Metrics(lambda: {"weather": cast(Standing, _Up())})
    with gateway.running("traefik", "list_routes"):
        gateway.ended("traefik", "list_routes", "ok", 0.1)
    found: dict[str, set[str]] = {}
    for page in (reconciler, gateway.page()):
        for family in text_string_to_metric_families(page.decode()):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


class _Up:
    state, tools, breaker = "up", 3, "closed"


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_asks_for_what_is_measured(query: str, samples: dict[str, set[str]]) -> None:
    named = re.findall(r"(waypost_\w+)(?:\{([^}]*)\})?", query)
    assert named
    for name, selector in named:
        assert name in samples, name
        assert set(re.findall(r"(\w+)\s*=", selector)) <= samples[name], name
    grouped = {label for found in re.findall(r"by \(([^)]*)\)", query) for label in re.split(r",\s*", found)}
    assert grouped <= set().union(*(samples[name] for name, _ in named)) | {"le"}


def test_every_legend_names_a_label_that_there_is(samples: dict[str, set[str]]) -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            labels = set().union(*(samples[name] for name in re.findall(r"waypost_\w+", target["expr"])))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels


def test_no_panel_of_the_dashboard_lies_on_another() -> None:
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in PANELS)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    assert all(panel["description"] for panel in PANELS)


@pytest.mark.parametrize(
    "arguments",
    [["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"], ["check", "config", "prometheus.yaml"]],
)
def test_promtool_has_nothing_to_say_against_it(arguments: list[str]) -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("there is no promtool here (Debian package prometheus)")
    done = subprocess.run([promtool, *arguments], cwd=SHIPPED, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# ── the runbook ──────────────────────────────────────────────────────────────────────────────────

SECTIONS = set(re.findall(r"^### (\S+)$", RUNBOOK, re.MULTILINE))


def kinds() -> Iterator[str]:
    """The kinds of alerts that Waypost raises, by the beginnings of their fingerprints."""
    for path in (ROOT / "state/alerts.py", ROOT / "reconciler/causes.py", *(ROOT / "reconciler/alerting").glob("*.py")):
        text = path.read_text()
        yield from re.findall(r'Cause\(\s*f?"([a-z-]+)', text)
        yield from re.findall(r'(?:return|fingerprint =) f"([a-z-]+)/', text)


def test_the_runbook_knows_every_alert_and_no_other() -> None:
    assert {*kinds(), *(rule["alert"] for rule in RULES)} == SECTIONS


def test_every_rule_says_how_bad_it_is_what_it_means_and_where_to_read_on() -> None:
    for rule in RULES:
        told = rule["annotations"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info") and told["summary"] and told["description"]
        assert told["runbook"] == f"monitoring/runbook.md#{rule['alert'].lower()}"


def test_every_command_of_the_runbook_is_one() -> None:
    named = set(re.findall(r"`waypost ([a-z-]+)", RUNBOOK))
    assert named and named <= set(waypost.commands)
    assert not [
        link for link in re.findall(r"\]\(#([\w-]+)\)", RUNBOOK) if link not in {one.lower() for one in SECTIONS}
    ]


# ── logs ─────────────────────────────────────────────────────────────────────────────────────────


def test_loki_finds_time_and_level_in_what_waypost_says(capsys: pytest.CaptureFixture[str]) -> None:
    written = re.search(r'expression = "(.*)"', (SHIPPED / "loki.alloy").read_text())
    assert written
    pattern = re.compile(written[1].replace("\\\\", "\\").replace('\\"', '"'))
    log_to_stderr()
    structlog.get_logger("reconciler").warning("alert address 1 takes no messages")
    said = capsys.readouterr().err
    found = next(filter(None, map(pattern.match, said.splitlines())), None)
    assert found, said
    assert found["level"] == "warning" and re.fullmatch(r"[\d-]+T[\d:.]+Z", found["at"])


def test_the_examples_are_whole() -> None:
    alloy = (SHIPPED / "loki.alloy").read_text()
    assert alloy.count("{") == alloy.count("}")
    for component in re.findall(r"= \[?([\w.]+)\.(?:targets|output|receiver)\]?", alloy):
        assert re.search(rf'{re.escape(component.rpartition(".")[0])} "{component.rpartition(".")[2]}" \{{', alloy)
