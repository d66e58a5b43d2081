"""A command that was killed beside the running reconciler leaves a lock: it stands in nobody's way for long."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime

import pytest

from reconciler.git.left_locked import LeftLocked
from reconciler.ports import SystemClock
from reconciler.serve import Reconciler
from tests.stories.test_hard_days import routes


@dataclass
class Ahead:
    """The clock of this machine, some seconds ahead where it only counts."""

    seconds: float = 0.0
    real: SystemClock = SystemClock()

    def now(self) -> datetime:
        return self.real.now()

    def monotonic(self) -> float:
        return self.real.monotonic() + self.seconds

    def sleep(self, seconds: float) -> None:
        self.real.sleep(seconds)


def test_a_lock_that_a_killed_command_left_is_gone_before_anybody_starts_anew(house):
    house.push({"traefik/r1.yaml": routes("r1")})
    clock = Ahead()
    with house.world() as world:
        reconciler = Reconciler(house.home, replace(world, clock=clock))
        (house.home.desired_store_path / "refs" / "heads" / "main.lock").touch()
        assert reconciler.pass_now().state == "applied"
        with pytest.raises(AssertionError, match=r"main\.lock"):
            house.push({"traefik/r2.yaml": routes("r2")})
        clock.seconds += 61
        reconciler.pass_now()
        house.push({"traefik/r3.yaml": routes("r3")})
        assert reconciler.pass_now().state == "applied"
    assert house.status("r2.lab") != 404


def test_a_lock_that_somebody_holds_is_left_alone(tmp_path):
    clock = Ahead()
    left = LeftLocked(tmp_path, clock)
    held = tmp_path / "refs" / "heads" / "proposals" / "a.lock"
    held.parent.mkdir(parents=True)
    held.touch()
    for writer in range(3):
        os.utime(held, (writer, writer))
        assert left.sweep() == []
        clock.seconds += 59
        assert left.sweep() == []
        clock.seconds += 0.5
    clock.seconds += 1
    assert left.sweep() == [held]
    assert left.sweep() == []
