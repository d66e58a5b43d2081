"""Clocks that jump, and notice that never comes: nothing is lost by it, nothing done twice."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from functools import partial

from freezegun import freeze_time

from reconciler import founding, home, telling
from reconciler.causes import causes
from reconciler.doctor import home as doctor
from reconciler.ports import SystemClock
from reconciler.serve import Reconciler
from state import events
from tests.stories.conftest import House
from tests.stories.test_hard_days import routes, wire


def _served(house: House, names: tuple[str, ...]) -> bool:
    return all(wire(house, *names))


def test_a_clock_that_jumps_back_and_forth_loses_no_event_and_holds_nothing_up(house):
    house.push({"traefik/r0.yaml": routes("r0")})
    house.run()
    for number, (days, steps_back) in enumerate(((-400, True), (+40, False), (-3, True), (0, False)), 1):
        with freeze_time(datetime.now(UTC) + timedelta(days=days), tick=True):
            said = doctor.log(house.home, SystemClock())  # what stands in the log already is later than now, or not
            assert (said.level, "later than now" in said.found) == (("fail", True) if steps_back else ("ok", False))
            house.push({f"traefik/r{number}.yaml": routes(f"r{number}")})
            assert house.run().state == "applied", days
            house.edit_live(f"r{number}.lab", "edited.lab")
            assert house.run().state == "drift"
            house.edit_live("edited.lab", f"r{number}.lab")
            assert house.run().state == "nothing"
        both = ("r0", f"r{number}")
        house.until(partial(_served, house, both), "Traefik's look at what was edited back")
    with house.world() as world:
        assert world.log.verify(telling.anchors(world)).ok
        assert [recorded.seq for recorded in world.log.read()] == list(range(1, world.log.head().seq + 1))
        assert not causes(world)
    assert len(house.events(events.DriftFound)) == len(house.events(events.DriftCleared)) == 4
    assert [made.number for made in house.events(events.RevisionMade)] == list(range(1, 7))


def test_a_traefik_that_hears_of_no_change_is_explained_and_nothing_is_quarantined(start_traefik, tmp_path, until):
    traefik = start_traefik(static={"providers": {"file": {"watch": False}}})
    chosen = {
        "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(traefik.directory),
        "WAYPOST_TRAEFIK_API_URL": traefik.url,
        "WAYPOST_TRAEFIK_DEADLINE": "1s",
    }
    made = founding.create(tmp_path / "home", chosen=chosen, environ={}, now=lambda: datetime.now(UTC))
    house = House(home.open(made.path, {}), traefik, tmp_path / "clone", until)
    subprocess.run(["git", "clone", "--quiet", str(made.desired_source), str(house.clone)], check=True)
    house.push({"traefik/r1.yaml": routes("r1")})
    assert [house.run().state for _ in range(2)] == ["waiting"] * 2
    assert len(house.events(events.ProbeFailed)) == 1
    assert not house.events(events.ResourcesQuarantined) and not house.events(events.RevisionMade)
    with house.world() as world:
        (cause,) = causes(world)
    assert "does not see our directory" in cause.title and "watch" in cause.body


def test_where_no_notice_of_changes_arrives_the_schedule_finds_them_all_the_same(house, monkeypatch, until):
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "true")  # as over a network: nobody is told of anything,
    monkeypatch.setenv("WATCHFILES_POLL_DELAY_MS", "3600000")  # and nobody looks for an hour
    house.push({"waypost.yaml": "version: 1\nschedules: {reconcile: 1s, drift: 1s}\n"})
    house.run()
    with house.world() as world, Reconciler(house.home, world).running():
        house.push({"traefik/r1.yaml": routes("r1")})
        until(lambda: wire(house, "r1") == [True], "the new route")
        house.edit_live("r1.lab", "edited.lab")
        until(lambda: world.log.view(telling.views.Drift).open, "the drift")
