"""A token that comes to its end is told of in time, once, and once more when its client is locked out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler import alerts, housekeeping
from reconciler.git.store import Store
from reconciler.world import World
from state import events, views
from state.log import Entry, EventLog

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Days:
    """A clock that a test moves by days."""

    passed: float = 0.0

    def now(self) -> datetime:
        return BEGAN + timedelta(days=self.passed)

    def monotonic(self) -> float:
        return self.passed * 86_400

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


@dataclass
class Home:
    days: Days
    world: World

    def make(self, token: str, lasts: float | None, replaces: tuple[str, ...] = ()) -> None:
        expires = (self.days.now() + timedelta(days=lasts)).isoformat() if lasts else ""
        made = events.TokenMade(token=token, name=token, role="read", expires=expires, replaces=replaces)
        self.world.log.append(Entry(stream="tokens", event=made))

    def after(self, days: float) -> list[str]:
        """What is announced by then that was not announced before."""
        self.days.passed = days
        before = self.world.log.head().seq
        housekeeping.notice_ending_tokens(self.world)
        alerts.decide(self.world)
        heard = (one.event for one in self.world.log.read(before))
        return [
            f"{'over: ' if isinstance(one, events.AlertResolved) else ''}{one.title}"
            for one in heard
            if isinstance(one, events.AlertRaised | events.AlertResolved)
        ]

    def warnings(self) -> list[str]:
        heard = (one.event for one in self.world.log.read())
        return [one.token for one in heard if isinstance(one, events.TokenEndsSoon)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    days = Days()
    with contextlib.closing(EventLog.open(tmp_path / "log.db", now=days.now, create=True)) as log:
        store = Store.create(tmp_path / "desired.git")
        yield Home(days, World(log=log, store=store, targets={}, clock=days, chance=os.urandom))


def test_a_week_before_its_end_it_is_told_once(home: Home) -> None:
    home.make("claude", 90)
    assert home.after(82.9) == []
    assert home.after(83.1) == ["the token 'claude' ends soon"]
    assert [home.after(84), home.after(89)] == [[], []]
    assert home.warnings() == ["claude"]


def test_who_is_locked_out_is_told_and_forgotten_after_a_week(home: Home) -> None:
    home.make("claude", 90)
    home.after(85)
    assert home.after(90.1) == ["the token 'claude' has ended"]
    assert home.after(95) == []
    assert home.after(98) == ["over: the token 'claude' has ended"]
    assert home.warnings() == ["claude"]


def test_one_that_was_replaced_or_revoked_is_no_matter_any_more(home: Home) -> None:
    home.make("old", 10)
    home.make("sold", 10)
    assert len(home.after(8)) == 2
    home.make("new", 90, replaces=("old",))
    gone = events.TokenRevoked(token="sold", name="sold", reason="laptop sold")
    home.world.log.append(Entry(stream="tokens", event=gone))
    assert sorted(home.after(8.5)) == ["over: the token 'old' ends soon", "over: the token 'sold' ends soon"]
    assert home.after(11) == []


def test_one_for_a_day_is_told_of_in_its_last_hours(home: Home) -> None:
    home.make("guest", 1)
    assert home.after(0.1) == []
    assert home.after(0.8) == ["the token 'guest' ends soon"]


def test_one_that_ended_while_nobody_looked_is_told_of_all_the_same(home: Home) -> None:
    home.make("claude", 10)
    assert home.after(12) == ["the token 'claude' has ended"]


def test_one_without_an_end_and_one_with_nonsense_for_it_are_never_told_of(home: Home) -> None:
    home.make("always", None)
    odd = events.TokenMade(token="odd", name="odd", role="read", expires="soon")
    home.world.log.append(Entry(stream="tokens", event=odd))
    assert home.after(1_000) == [] and home.world.log.view(views.Tokens).lasting == {}
