"""Killed at every system call that changes anything: of a proposal, of an approval, of a pass, and of what follows.

Each run is a process of the real product on a real home beside a real Traefik; `strace` kills it at the entry of one
call. The next pass must find nothing lost, nothing half, nothing locked, and finish without doing anything twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from state import events, views
from tests.durability import scene as scenes
from tests.durability import strace
from tests.durability.scene import HELLO, Scene
from tests.durability.strace import Call
from tests.durability.warm import Work


@dataclass(frozen=True)
class Step:
    """A step of the road: how to come before it, the process that takes it, and what must come of it in the end."""

    name: str
    prepare: Callable[[Scene], None]
    work: Callable[[Scene], Work]
    finish: Callable[[Scene], None]


def before_a_proposal(scene: Scene) -> None:
    scenes.edit_by_hand(scene)


def finish_a_proposal(scene: Scene) -> None:
    scene.gateway_starts()
    scene.passes()
    with scene.log() as log:
        known = log.view(views.Proposals).items
    answered = {words[1] for words in scene.said if words[0] == "answered"}
    assert answered <= known.keys(), "a proposal that was answered is lost"
    assert len(known) <= 1, "one call, one proposal"
    scene.require_settled(priority=1)


def before_an_approval(scene: Scene) -> None:
    scene.do(scene.proposing())
    scene.passes()
    scenes.edit_by_hand(scene)


def approving(scene: Scene) -> Work:
    (record,) = waiting(scene)
    shown = scene.events(events.PlanShown)[-1]
    return scene.command("approve", record.id, "--plan", shown.digest)


def waiting(scene: Scene) -> list[views.ProposalRecord]:
    with scene.log() as log:
        return [one for one in log.view(views.Proposals).items.values() if one.status == "open"]


def finish_an_approval(scene: Scene) -> None:
    scene.passes()
    for record in waiting(scene):  # it never came to main: the person tries again
        digest = scene.events(events.PlanShown)[-1].digest
        scene.do(scene.command("approve", record.id, "--plan", digest))
    scene.require_settled(priority=1)
    assert b"new.lab" in scene.live_path.read_bytes()


def before_a_pass(scene: Scene) -> None:
    scene.do(scene.proposing())
    scene.push((HELLO, 2))
    scenes.edit_by_hand(scene)


def finish_a_pass(scene: Scene) -> None:
    scene.passes()
    assert len(waiting(scene)) == 1
    scene.require_settled(priority=2)


STEPS = (
    Step("a proposal", before_a_proposal, Scene.proposing, finish_a_proposal),
    Step("an approval", before_an_approval, approving, finish_an_approval),
    Step("a pass", before_a_pass, lambda scene: scene.command("reconcile", "--once"), finish_a_pass),
)


def prepared(scene: Scene, step: Step) -> tuple[Work, list[Call]]:
    """The scene before the step, to be put back to; the process, and the calls at which it can be killed."""
    scene.put_back(scenes.BEGINNING)
    step.prepare(scene)
    scene.keep(step.name)
    work = step.work(scene)
    for _ in range(2):  # the first run loads what is loaded late
        scene.put_back(step.name)
        calls, child = strace.traced(scene.server, work, scene.place / "trace")
        assert child.code in (0, 2), child.said
    step.finish(scene)
    scene.require_quiet()
    return work, strace.points(calls, scene.home.path, scene.folder)


def kill(scene: Scene, step: Step, work: Work, point: Call) -> int:
    """From the beginning of the step up to its death, then what must hold at once; how many alerts are owed."""
    scene.put_back(step.name)
    strace.killed(scene.server, work, point.name, point.number)
    scene.require_sound()
    return owed(scene)


def recover(scene: Scene, step: Step, again: int) -> None:
    """The next pass and all that belongs to it; then what must hold in the end. So many alerts are told again."""
    step.finish(scene)
    assert len(scene.receiver.titles) == len(set(scene.receiver.titles)) + again, scene.receiver.titles


def owed(scene: Scene) -> int:
    """Alerts that a receiver took and nobody could write down any more: they are told again, word for word.

    Nothing else is possible over a network that answers after the deed; a lost alert would be the other choice.
    """
    written = [one.title for one in scene.events(events.AlertDelivered)]
    return sum(not any(title.endswith(one) for one in written) for title in set(scene.receiver.titles))


def strided(points: Sequence[Call], count: int, *, seed: int) -> list[Call]:
    """So many of them, spread evenly, begun at one of chance."""
    stride = max(1, len(points) // count)
    return list(points[random.Random(seed).randrange(stride) :: stride])


def test_killed_here_and_there_nothing_is_lost_or_half_or_locked_or_done_twice(scene: Scene) -> None:
    """What `make soak` does at every call; about eight of each step cost ten seconds in all."""
    for step in STEPS:
        work, points = prepared(scene, step)
        for point in strided(points, 8, seed=20261121):
            recover(scene, step, kill(scene, step, work, point))


@pytest.mark.soak
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_killed_at_every_call_nothing_is_lost_or_half_or_locked_or_done_twice(scene: Scene, step: Step) -> None:
    work, points = prepared(scene, step)
    for point in points:
        recover(scene, step, kill(scene, step, work, point))
    print(f"{step.name}: killed at {len(points)} calls")  # noqa: T201 - `make soak` shows it


@pytest.mark.soak
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_killed_while_it_recovers_from_being_killed_it_recovers_all_the_same(scene: Scene, step: Step) -> None:
    """Every eighth call of the step, and of the pass after it three that chance names: all pairs would take days."""
    work, points = prepared(scene, step)
    chance, nested = random.Random(20261121), 0
    for point in points[::8]:
        kill(scene, step, work, point)
        again = scene.command("reconcile", "--once")
        calls, _ = strace.traced(scene.server, again, scene.place / "trace")
        inner = strace.points(calls, scene.home.path, scene.folder)
        for within in chance.sample(inner, min(3, len(inner))):
            told = kill(scene, step, work, point)
            strace.killed(scene.server, again, within.name, within.number)
            scene.require_sound()
            recover(scene, step, told + owed(scene))
            nested += 1
    print(f"{step.name}: killed at {nested} pairs of calls")  # noqa: T201
