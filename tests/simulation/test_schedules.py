"""The whole reconciler in simulation: schedules of people, faults and deaths, and what must hold in each."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation import run
from tests.simulation.ending import kept
from tests.simulation.fate import Violation
from tests.simulation.home import Setting
from tests.simulation.people import CANARY
from tests.simulation.schedule import EVERYTHING, Theatre, drawn, theatre
from tests.simulation.weaknesses import WEAKNESSES, Weakness, caught, sound

PARTS = 2
PART = 500  # a long part works little out twice
LONG = 1000


@pytest.mark.parametrize("part", range(PARTS))
def test_what_must_hold_holds_in_every_schedule(part: int) -> None:
    violations = [violation for _, violation, _ in run.outcomes(range(part * PART, (part + 1) * PART)) if violation]
    assert not violations, "\n\n".join(violations)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(100))
def test_what_must_hold_holds_in_a_hundred_thousand_schedules(part: int, record_property: Callable[..., None]) -> None:
    found = run.outcomes(range(part * LONG, (part + 1) * LONG))
    violations, injected = [violation for _, violation, _ in found if violation], Counter[str]()
    assert not violations, "\n\n".join(violations)
    for _, _, census in found:
        injected.update(census)
    counts = {"schedules": len(found), "violations": len(violations), "faults": injected.total()}
    record_property("counted", counts | dict(sorted(injected.items())))


def test_a_schedule_is_the_same_whenever_it_is_run() -> None:
    seeds = range(1, 13)
    with theatre() as one:
        first = [one.run(drawn(seed)).digest for seed in seeds]
    with theatre() as other:
        again = [other.run(drawn(seed)).digest for seed in reversed(seeds)]
    assert first == again[::-1]


def test_another_process_comes_to_the_same_traces() -> None:
    # In these several alerts end at once, a commit is kept out of two Traefiks, and a log tells of its own place; in
    # the last stacks are deployed as well.
    command = [sys.executable, str(Path(run.__file__)), "--seed", "7", "108", "114", "116", "117", "123"]
    told = [
        subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": hashing}).stdout
        for hashing in ("1", "2")
    ]
    assert told[0].count("holds; trace") == 6
    assert told[0] == told[1]


def test_a_schedule_that_fails_is_told_with_its_seed_and_no_step_too_many() -> None:
    forgotten = next(one for one in WEAKNESSES if one.name == "no quarantine")
    with theatre() as stage, forgotten.planted():
        reports = (stage.run(drawn(seed)) for seed in range(100))
        failed = next(report for report in reports if report.violation)
        least = stage.shrunk(failed)
    assert least.violation.partition(":")[0] == failed.violation.partition(":")[0]
    assert len(least.schedule.steps) <= 3
    assert str(least.schedule).startswith(f"seed {failed.schedule.seed},")


def test_the_command_tells_how_many_schedules_ran_and_which_faults_they_met(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--seeds", "30"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^30 schedules in \d+ s .*, 0 violations$", said, re.MULTILINE)
    assert re.search(r"death in a pass [1-9]", said)


def test_every_deed_and_every_sort_of_fault_is_drawn_within_the_default_schedules() -> None:
    chosen = Counter(step.name for seed in range(PARTS * PART) for step in drawn(seed).steps)
    assert chosen.keys() == EVERYTHING.keys()
    assert min(chosen.values()) > 20


@pytest.mark.parametrize(
    "weakness",
    [pytest.param(one, id=one.name, marks=[] if one.is_quick else pytest.mark.soak) for one in WEAKNESSES],
)
def test_a_safeguard_that_is_missing_is_noticed(weakness: Weakness) -> None:
    after, violation = caught(weakness)
    assert violation, f"nothing noticed: {weakness.name}"
    assert not sound(weakness, after)


def test_a_secret_in_git_is_noticed() -> None:
    with theatre() as place, place.stage(Setting(), 0) as stage:
        stage.people.push({"notes/README.md": CANARY.encode()}, "a slip")
        with pytest.raises(Violation, match="no secret in Git"):
            kept(stage)


@pytest.fixture(scope="module")
def a_theatre() -> object:
    with theatre() as made:
        yield made


def test_schedules_that_share_a_theatre_share_nothing_else(a_theatre: Theatre) -> None:
    alone = a_theatre.run(drawn(3)).digest
    a_theatre.run(drawn(4))
    assert a_theatre.run(drawn(3)).digest == alone
