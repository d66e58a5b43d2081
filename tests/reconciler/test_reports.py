"""The drift report: on time to the channels, and in one issue that says how it is now."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler import alerts, reports
from reconciler.git.store import Store
from reconciler.gitea.address import Repository
from reconciler.gitea.api import Gitea
from reconciler.world import World
from state import events, views
from state.log import Entry, EventLog
from tests.gitea.fake_gitea import FakeGitea, HungUp, Serving

BEGAN = datetime(2026, 3, 2, 5, tzinfo=UTC)  # a Monday, an hour before the report
WEEKLY = "0 6 * * mon"
ROUTER, ODD = "traefik/http.routers/git", "traefik/http.routers/a%60b %27c"


@dataclass
class Clock:
    hours: float = 0.0

    def now(self) -> datetime:
        return BEGAN + timedelta(hours=self.hours)

    def monotonic(self) -> float:
        return self.hours * 3600

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


@dataclass
class House:
    clock: Clock
    world: World
    gitea: FakeGitea

    def drift(self, address: str = ROUTER, live_hash: str = "l1", by: str = "") -> None:
        sides = {"base_hash": "b", "live_hash": live_hash}
        self.say(events.DriftFound(address=address, kind="changed", fields=("rule",), reason="by hand", by=by, **sides))

    def clear(self, address: str = ROUTER) -> None:
        self.say(events.DriftCleared(address=address, reason="as it was"))

    def say(self, event: events.Event) -> None:
        self.world.log.append(Entry(stream="test", event=event))

    def after(self, hours: float, schedule: str = WEEKLY) -> list[events.DriftReported]:
        """The reports that are made by then."""
        self.clock.hours, before = hours, self.world.log.head().seq
        reports.tend(self.world, schedule)
        heard = (one.event for one in self.world.log.read(before))
        return [one for one in heard if isinstance(one, events.DriftReported)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A home whose Gitea is there."""
    clock, gitea = Clock(), FakeGitea(tmp_path / "none.git")
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(contextlib.closing(EventLog.open(tmp_path / "log.db", now=clock.now, create=True)))
        served = stack.enter_context(contextlib.closing(Serving(gitea)))
        client = stack.enter_context(
            contextlib.closing(Gitea(served.url, Repository("house", "desired"), token=lambda: "right"))
        )
        store = Store.create(tmp_path / "desired.git")
        targets: dict[str, Any] = dict.fromkeys(("traefik", "komodo"))
        yield House(
            clock, World(log=log, store=store, targets=targets, clock=clock, chance=os.urandom, gitea=client), gitea
        )
    assert gitea.faults == []


# ── on time ──────────────────────────────────────────────────────────────────────────────────────


def test_it_comes_when_it_is_due_and_not_again(house: House) -> None:
    house.drift()
    assert [len(house.after(hours)) for hours in (0, 0.9, 1.1, 1.2, 100, 169.1, 170)] == [0, 0, 1, 0, 0, 1, 0]


def test_where_nothing_drifted_nothing_is_said_and_nothing_comes_late(house: House) -> None:
    assert [house.after(hours) for hours in (0, 1.1)] == [[], []]
    house.drift()
    assert [len(house.after(hours)) for hours in (2, 100, 169.1)] == [0, 0, 1]


def test_who_wants_none_gets_none(house: House) -> None:
    house.drift()
    assert [house.after(hours, "never") for hours in (0, 200, 400)] == [[], [], []]


def test_a_clock_that_ran_ahead_stops_no_report(house: House) -> None:
    house.after(10_000)
    house.drift()
    assert [len(house.after(hours)) for hours in (0, 1.1)] == [0, 1]


def test_it_says_what_since_when_by_whom_and_the_three_answers(house: House) -> None:
    house.drift()
    house.drift(ODD)
    house.after(0)
    (report,) = house.after(1.1)
    assert report.title == "drift report: 2 resources have drifted" and set(report.resources) == {ROUTER, ODD}
    for line in (
        "- what: by hand (`rule`)",
        "- since: 2026-03-02 05:00 UTC",
        "- by: unknown; what was changed by hand bears no name",
        f"- put back what was applied: `waypost drift --heal {ROUTER}`",
        f"- make it what is wanted: `waypost drift --adopt {ROUTER}`",
        f"- leave it until a day: `waypost drift --accept {ROUTER} --until 2026-03-09`",
        f"- make it what is wanted: `waypost drift --adopt '{ODD}'`",
    ):
        assert line in report.body.splitlines(), report.body


def test_who_did_it_is_told_where_somebody_knows(house: House) -> None:
    house.drift("komodo/stack/media", by="ada `x`")
    house.after(0)
    (report,) = house.after(1.1)
    assert "- by: `` ada `x` ``" in report.body.splitlines(), report.body
    alerts.decide(house.world)
    raised = [one.event for one in house.world.log.read() if isinstance(one.event, events.AlertRaised)]
    assert any("since 2026-03-02 05:00 UTC, by ada `x`" in one.body for one in raised)


@pytest.mark.parametrize("hours", [0.0, 1.0, 18.9, 24.0, 100.0, 162.9])
def test_the_day_until_which_a_drift_is_left_is_a_monday_to_come_so_that_the_issue_changes_weekly(
    house: House, hours: float
) -> None:
    house.drift()
    now = BEGAN + timedelta(hours=hours)
    page = reports.page(house.world.log.view(views.Drift).open, now)
    [found] = re.findall(r"--until (\S+)`", page)
    day = datetime.fromisoformat(found).replace(tzinfo=UTC)
    assert day.weekday() == 0 and timedelta(days=6) <= day - now <= timedelta(days=14)


def test_what_was_accepted_is_left_out_until_its_date(house: House) -> None:
    house.drift()
    until = (BEGAN + timedelta(days=2)).isoformat()
    house.say(events.DriftAccepted(address=ROUTER, live_hash="l1", until=until, reason="holiday"))
    assert [len(house.after(hours)) for hours in (0, 1.1, 169.1)] == [0, 0, 1]


def test_it_goes_to_the_channels_as_an_alert_without_an_end(house: House) -> None:
    house.drift()
    house.after(0)
    house.after(1.1)
    alerts.decide(house.world)
    raised = [one.event for one in house.world.log.read() if isinstance(one.event, events.AlertRaised)]
    assert [(one.title, one.severity, one.ends) for one in raised if one.fingerprint.startswith("report/")] == [
        ("drift report: 1 resource has drifted", "info", False)
    ]


# ── the issue ────────────────────────────────────────────────────────────────────────────────────


def test_one_issue_is_opened_with_the_report_kept_up_to_date_and_closed(house: House) -> None:
    house.drift()
    house.after(0)
    assert house.gitea.issues == {}
    house.after(1.1)
    (issue,) = house.gitea.issues.values()
    assert issue["state"] == "open" and ROUTER in issue["body"]
    house.drift(ODD)
    house.after(2)
    assert ODD in issue["body"]
    asked = len(house.gitea.asked)
    house.after(3)
    assert len(house.gitea.asked) == asked
    house.clear()
    house.clear(ODD)
    house.after(4)
    assert issue["state"] == "closed" and "Nothing differs" in issue["body"]
    house.drift()
    house.after(5)
    assert issue["state"] == "closed"
    house.after(169.1)
    assert issue["state"] == "open" and len(house.gitea.issues) == 1


def test_while_the_kill_switch_is_on_the_issue_stays_as_it_is(house: House) -> None:
    house.drift()
    house.after(0)
    house.world = replace(house.world, read_only=True)
    assert len(house.after(1.1)) == 1
    assert house.gitea.asked == []
    house.world = replace(house.world, read_only=False)
    house.after(1.2)
    assert len(house.gitea.issues) == 1


def test_while_gitea_is_away_nothing_is_lost(house: House) -> None:
    house.drift()
    house.after(0)
    house.gitea.down = True
    assert len(house.after(1.1)) == 1
    house.gitea.down = False
    house.after(1.2)
    assert len(house.gitea.issues) == 1


def test_an_issue_that_a_crash_left_unrecorded_is_found_again(house: House) -> None:
    house.drift()
    house.after(0)

    def hang_up(asked: str) -> None:
        if asked.startswith("POST"):
            raise HungUp

    house.gitea.after = hang_up
    house.after(1.1)
    assert house.world.log.view(views.Reports).issue is None
    house.gitea.after = lambda asked: None
    house.after(1.2)
    assert len(house.gitea.issues) == 1 and house.world.log.view(views.Reports).issue


def test_an_issue_that_somebody_deleted_is_opened_anew(house: House) -> None:
    house.drift()
    house.after(0)
    house.after(1.1)
    house.gitea.issues.clear()
    house.drift(live_hash="l2")
    house.drift(ODD)
    house.after(2)
    assert [ODD in issue["body"] for issue in house.gitea.issues.values()] == [True]


def test_without_a_gitea_there_is_no_issue(house: House) -> None:
    house.drift()
    alone = House(house.clock, replace(house.world, gitea=None), house.gitea)
    assert [len(alone.after(hours)) for hours in (0, 1.1)] == [0, 1]
    assert house.gitea.asked == []
