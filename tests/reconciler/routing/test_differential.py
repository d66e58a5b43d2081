"""The evaluator and a real Traefik agree, on random rules and on requests that are anything but ordinary.

A seed asks the same questions again: DIFFERENTIAL_SEED=123 pytest tests/reconciler/routing/test_differential.py
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.reconciler.routing.differential import Report, compare, compare_doors
from tests.reconciler.routing.entrances import DOORS, doors_of
from tests.reconciler.routing.real_traefik import binary_of, release_of

VERSIONS = ("3.3.6", "3.4.3", "3.5.3", "3.6.15", "3.7.15")
"""The newest of each minor release in the package index."""
ROUNDS = 9
"""Rounds for each version in the soak: with VERSIONS more than a million pairs."""


def seed(number: int) -> int:
    return int(os.environ.get("DIFFERENTIAL_SEED", number))


def test_twenty_thousand_pairs_are_judged_as_the_real_traefik_judges_them(traefik_binary: Path) -> None:
    report = compare(traefik_binary, seed(1))
    assert not report.differences, report
    assert report.pairs >= 20_000
    assert report.matches > report.pairs / 10
    assert report.validities > 300
    assert report.tied > 10
    assert report.winners > report.tied


def test_the_options_of_an_entry_point_change_what_rules_see_as_in_the_real_traefik(traefik_binary: Path) -> None:
    doors = doors_of(release_of(traefik_binary))
    report = compare_doors(traefik_binary, seed(2), doors, rules=40, requests=40)
    assert not report.differences, report
    assert report.pairs > 35 * 30 * len(doors)


@pytest.mark.soak
@pytest.mark.parametrize("version", VERSIONS)
def test_a_million_pairs_over_five_versions_are_judged_alike(version: str) -> None:
    binary = binary_of(version)
    reports: list[Report] = []
    fresh = seed(random.randrange(10**9))  # every soak asks something new, and says what it asked
    for number in range(ROUNDS):
        reports.append(compare(binary, fresh + number, rules=160, requests=180))
        assert not reports[-1].differences, reports[-1]
    assert sum(report.pairs for report in reports) > 1_000_000 / len(VERSIONS)


@pytest.mark.soak
@pytest.mark.parametrize("version", VERSIONS)
def test_the_options_of_an_entry_point_change_the_same_in_every_version(version: str) -> None:
    report = compare_doors(binary_of(version), seed(3), DOORS, rules=60, requests=60)
    assert not report.differences, report
