"""Cut off between two steps of a pass: the next pass finishes it. (tests/durability kills real processes.)"""

import pytest

from state import events


def route(number):
    return {
        "http": {
            "routers": {"hello": {"rule": "Host(`hello.lab`)", "service": "hello", "priority": number}},
            "services": {"hello": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
        }
    }


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
