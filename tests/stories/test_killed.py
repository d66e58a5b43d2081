"""Killed in the middle of a pass: what was acknowledged stays, nothing is half, the next pass finishes it."""

import json
import os
import random
import signal
import subprocess
import sys

import pytest

from reconciler import telling
from reconciler.traefik import render
from state import events


def route(number):
    return {
        "http": {
            "routers": {"hello": {"rule": "Host(`hello.lab`)", "service": "hello", "priority": number}},
            "services": {"hello": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
        }
    }


def pass_in_a_process(house):
    return subprocess.Popen(
        [sys.executable, "-m", "reconciler", "--home", str(house.home.path), "reconcile"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def sound(house):
    """What must hold after any crash: log and anchors verify, our file is whole, the route never went away."""
    with house.world() as world:
        assert world.log.verify(telling.anchors(world)).ok
    render.parse(house.live_file.read_bytes(), "traefik")
    assert house.status("hello.lab") != 404


def test_killed_at_random_moments_a_pass_leaves_nothing_half_and_the_next_one_converges(house):
    house.push({"traefik/hello.yaml": route(1)})
    house.run()
    chance = random.Random(20261120)
    for number in range(2, 10):
        house.push({"traefik/hello.yaml": route(number)})
        process = pass_in_a_process(house)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.9 + chance.random() * 0.9)
            raise subprocess.TimeoutExpired("it was done before", 0)
        process.send_signal(signal.SIGKILL)
        process.wait()
        sound(house)
        assert house.run().state in ("applied", "nothing")
        live = json.loads(house.live_file.read_bytes())
        assert live["http"]["routers"]["hello"]["priority"] == number
    revisions = [made.number for made in house.events(events.RevisionMade)]
    assert revisions == list(range(1, len(revisions) + 1))
    assert len({made.commit for made in house.events(events.RevisionMade)}) == len(revisions)


def test_a_crash_after_the_write_and_before_the_proof_is_proven_by_the_next_pass(house):
    house.push({"traefik/hello.yaml": route(1)})
    with house.world() as world, pytest.raises(KeyboardInterrupt):
        crash(world, "prove")
    assert house.run().state == "nothing"
    (proven,) = [one for one in house.events(events.ApplyProven) if "traefik/http.routers/hello" in one.changes]
    assert proven.attempt == house.events(events.ApplyStarted)[-1].attempt


def test_a_crash_before_the_write_abandons_the_attempt_and_applies_anew(house):
    house.push({"traefik/hello.yaml": route(1)})
    with house.world() as world, pytest.raises(KeyboardInterrupt):
        crash(world, "write")
    assert house.run().state == "applied"
    assert "never carried out" in house.events(events.ApplyAbandoned)[-1].reason
    assert house.status("hello.lab") != 404


def crash(world, at):
    """A pass whose target is cut off at one of its methods, as a crash there would."""
    from reconciler import loop

    class Cut:
        def __init__(self, target):
            self._target = target

        def __getattr__(self, name):
            if name == at:
                raise KeyboardInterrupt
            return getattr(self._target, name)

    targets = {name: Cut(target) for name, target in world.targets.items()}
    loop.run_pass(type(world)(**{**vars(world), "targets": targets}))
