"""The running reconciler is asked, and fails, in ways that nobody planned: it answers, and says so once."""

from contextlib import closing
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from reconciler import app, web
from reconciler.core.target import Attempt
from reconciler.ports import Disk
from reconciler.serve import Reconciler
from reconciler.targets.traefik import TraefikTarget
from state import events
from state.model import Address


@pytest.fixture
def world(house):
    with house.world() as world:
        yield world


@pytest.fixture
def client(house, world):
    return TestClient(web.build(Reconciler(house.home, world), hosts=["testserver"]), raise_server_exceptions=False)


def test_while_the_directory_is_gone_a_question_about_it_says_so(house, client):
    house.traefik.directory.rename(house.traefik.directory.with_name("gone"))
    answer = client.get("/query/live")
    assert (answer.status_code, "cannot list" in answer.json()["error"]) == (503, True)


def test_while_the_desired_repo_is_damaged_a_question_about_it_says_so(house, client):
    objects = house.home.desired_store_path / "objects"
    hidden = objects.rename(objects.with_name("hidden"))
    answer = client.get("/query/plan")
    hidden.rename(objects)
    assert (answer.status_code, bool(answer.json()["error"])) == (503, True)


def test_a_question_in_between_hides_no_restart_from_a_proof(house, world):
    """Right after a restart other providers may still be loading: a fault counts no earlier than at the deadline."""
    (place,) = house.home.settings.places
    with closing(app.api(house.home, place)) as api:
        target = TraefikTarget(
            "traefik", place.dynamic_dir, api, files=Disk(), clock=world.clock, chance=world.chance, deadline=2.0
        )
        before = target.observe().file
        house.traefik.stop()
        house.traefik.start()
        house.until(house.traefik.up, "Traefik")
        Reconciler(house.home, replace(world, targets={"traefik": target})).live("traefik")
        broken = {Address("traefik", "http.routers", "b"): {"rule": "Host(`b.lab`)", "service": "nowhere"}}
        attempt = Attempt(id="a1", instance="traefik", commit="c", live=broken, before=before)
        target.write(attempt)
        verdict = target.prove(attempt)
        target.undo(attempt, {})
    assert (verdict.outcome, verdict.seconds >= 2.0) == ("refuted", True)


class Broken:
    """A log that fails in a way nobody foresaw when a pass asks it how far it has read."""

    def __init__(self, log):
        self._log = log
        self.asked = 0

    def __getattr__(self, name):
        return getattr(self._log, name)

    def cursor(self, source):
        self.asked += 1
        raise KeyError(source)


def test_a_fault_that_nobody_foresaw_is_recorded_once_and_so_is_its_end(house, world):
    broken = Broken(world.log)
    running = Reconciler(house.home, replace(world, log=broken))
    with running.running():
        house.until(lambda: running.wake() or broken.asked > 3, "a few passes")
        assert "KeyError" in running.status()["said"]
    running = Reconciler(house.home, world)
    with running.running():
        house.until(lambda: running.wake() or running.status()["passes"] > 1, "a few passes more")
    told = [one.event for one in world.log.read() if isinstance(one.event, events.PassFailed | events.PassRecovered)]
    assert [type(one).__name__ for one in told] == ["PassFailed", "PassRecovered"]
    assert "KeyError" in told[0].reason
