"""The power goes: nothing acknowledged is lost, nothing is half, and the next start works.

The write path of the real libraries is recorded, and played up to points of chance; see power.py for the rules.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.durability import surviving, trials
from tests.durability.trials import Finding
from tests.durability.warm import Server

MODES = {
    "as it is": (),
    "moved to the file often": ("tests.durability.mutations:small_wal",),
    "with an old SQLite": ("tests.durability.mutations:rollback_journal",),
}


Judged = Callable[[Finding, int], None]


@pytest.fixture
def judged(record_property: Callable[..., None]) -> Judged:
    """All of so many losses of power were found sound; `make soak` shows how many."""

    def judge(found: Finding, count: int) -> None:
        assert found == Finding(count)
        record_property("counted", {"losses of power": count})

    return judge


def log_losses(
    server: Server, place: Path, mode: str, judged: Judged, *, records: int, each: int, first: int = 0
) -> None:
    for seed in range(first, first + records):
        recorded = trials.record(server, place, "log", seed, 2, 8, mutations=MODES[mode])
        judged(trials.power_losses(recorded, surviving.log, each, seed), each)


@pytest.mark.parametrize(
    ("mode", "records"), [("as it is", 4), ("moved to the file often", 3), ("with an old SQLite", 3)]
)
def test_the_log_and_an_outbox_keep_what_they_acknowledged(
    server: Server, memory: Path, judged: Judged, mode: str, records: int
) -> None:
    log_losses(server, memory / "record", mode, judged, records=records, each=100)


@pytest.mark.soak
@pytest.mark.parametrize("mode", MODES)
def test_the_log_and_an_outbox_keep_what_they_acknowledged_ten_thousand_times(
    server: Server, memory: Path, judged: Judged, mode: str
) -> None:
    log_losses(server, memory / "record", mode, judged, records=34, each=100, first=100)


@pytest.mark.parametrize(("records", "each"), [(2, 40), pytest.param(20, 100, marks=pytest.mark.soak)])
def test_what_is_sealed_is_as_safe_as_what_is_live(
    server: Server, memory: Path, judged: Judged, records: int, each: int
) -> None:
    for seed in range(records):
        recorded = trials.record(server, memory / "record", "sealing", seed)
        judged(trials.power_losses(recorded, surviving.log, each, seed), each)


@pytest.mark.parametrize("each", [25, pytest.param(1_000, marks=pytest.mark.soak)])
def test_a_backup_that_was_found_good_and_a_home_that_was_restored_stay(
    server: Server, memory: Path, judged: Judged, each: int
) -> None:
    made = trials.record(server, memory / "record", "backing_up", prepare="home")
    for late in (False, True):
        judged(trials.power_losses(made, surviving.backup, each, seed=1, late=late), each)
    restored = trials.record(server, memory / "record", "restoring", prepare="backed_up")
    for late in (False, True):
        judged(trials.power_losses(restored, surviving.restored, each, seed=1, late=late), each)


def test_our_file_is_one_whole_plan_in_every_state_that_a_crash_may_leave(server: Server, memory: Path) -> None:
    recorded = trials.record(server, memory / "record", "apply")
    found = trials.every_state(recorded, surviving.one_whole_plan)
    assert not found.caught
    assert found.after > 100


@pytest.mark.parametrize("count", [150, pytest.param(1_000, marks=pytest.mark.soak)])
def test_git_keeps_proposals_approvals_revisions_and_anchors(
    server: Server, memory: Path, judged: Judged, count: int
) -> None:
    recorded = trials.record(server, memory / "record", "git", prepare="repository")
    judged(trials.power_losses(recorded, surviving.git, count, seed=1), count)
