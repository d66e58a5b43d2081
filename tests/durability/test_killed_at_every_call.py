"""Killed at every system call that changes anything: of a proposal, of an approval, of a pass, and of what follows.

Each run is a process of the real product on a real home beside a real Traefik; `strace` kills it at the entry of one
call. The next pass must find nothing lost, nothing half, nothing locked, and finish without doing anything twice.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from state import events, views
from tests.durability import scene as scenes
from tests.durability import strace
from tests.durability.scene import HELLO, Scene
from tests.durability.strace import Call
from tests.durability.warm import Child, Work

Point = TypeVar("Point")

SEED = "NESTED_SEED"
"""Says which calls are killed at in pairs; in its absence the date does, and eight days in a row come to every call."""

NTH = 8
"""Of so many calls one is killed at in a run, where each takes a recovery to trace and three more to kill."""


DEATHS = 0.95
"""The share of all kills that must have been deaths at least, or a loop that kills nobody would prove as much. (All of
them were, as long as nothing but the process decided how often a call is made; other threads and waiting may, too.)"""


@dataclass(frozen=True)
class Step:
    """A step of the road: how to come before it, the process that takes it, the one that mends what it left, and what
    must come of it in the end. `whole` is of how many of its deaths that one is killed at every call."""

    name: str
    prepare: Callable[[Scene], None]
    work: Callable[[Scene], Work]
    recovery: Callable[[Scene], Work]
    finish: Callable[[Scene], None]
    whole: int


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
    # A start of the gateway asks for little: many of them take as long as one pass.
    Step("a proposal", before_a_proposal, Scene.proposing, Scene.starting_gateway, finish_a_proposal, whole=6),
    Step("an approval", before_an_approval, approving, Scene.passing, finish_an_approval, whole=1),
    Step("a pass", before_a_pass, Scene.passing, Scene.passing, finish_a_pass, whole=1),
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


def kill(scene: Scene, step: Step, work: Work, point: Call) -> bool:
    """From the beginning of the step up to its death, then what must hold at once; whether it died there."""
    scene.put_back(step.name)
    child = strace.killed(scene.server, work, point)
    scene.require_sound()
    return died(child)


def died(child: Child) -> bool:
    """Killed, as was meant; or it never came to that call, and went to its end."""
    assert child.code in (-signal.SIGKILL, 0, 2), f"{child.code}: {child.said}"
    return child.code == -signal.SIGKILL


def mostly(deaths: Sequence[bool]) -> int:
    """How many of the kills were deaths: nearly all."""
    assert sum(deaths) >= DEATHS * len(deaths), f"only {sum(deaths)} of {len(deaths)} died: this proves nothing"
    return sum(deaths)


def recover(scene: Scene, step: Step) -> None:
    """The next pass and all that belongs to it; then what must hold in the end."""
    step.finish(scene)
    told_once(scene)


def told_once(scene: Scene) -> None:
    """Nobody hears the same twice; and what nobody heard is recorded as being in doubt."""
    titles = [title.removeprefix("Waypost: ") for title in scene.receiver.titles]
    assert len(titles) == len(set(titles)), titles
    raised = {event.title for event in scene.events(events.AlertRaised)}
    doubted = {event.title for event in scene.events(events.AlertDoubted)}
    assert raised <= {*titles, *doubted}, "an alert is lost"


def strided(points: Sequence[Call], count: int, *, seed: int) -> list[Call]:
    """So many of them, spread evenly, begun at one of chance."""
    stride = max(1, len(points) // count)
    return list(points[random.Random(seed).randrange(stride) :: stride])


def seed_of_the_day() -> int:
    return int(os.environ.get(SEED) or datetime.now(UTC).date().toordinal())


def every_nth(points: Sequence[Point], seed: int) -> Sequence[Point]:
    """One of NTH, begun where the seed says: as many seeds in a row leave none out."""
    return points[seed % NTH :: NTH]


def test_seeds_that_follow_each_other_come_to_every_call() -> None:
    calls, today = range(61), seed_of_the_day()
    parts = [every_nth(calls, today + day) for day in range(NTH)]
    assert sorted(call for part in parts for call in part) == list(calls)
    assert {len(part) for part in parts} == {7, 8}


def test_killed_here_and_there_nothing_is_lost_or_half_or_locked_or_done_twice(scene: Scene) -> None:
    """What `make soak` does at every call; about eight of each step cost ten seconds in all."""
    for step in STEPS:
        work, points = prepared(scene, step)
        deaths = []
        for point in strided(points, 8, seed=20261121):
            deaths.append(kill(scene, step, work, point))
            recover(scene, step)
        mostly(deaths)


def test_killed_between_an_alert_and_its_answer_nobody_is_told_twice_and_the_doubt_is_recorded(scene: Scene) -> None:
    scenes.edit_by_hand(scene)
    child = scene.server.fork(scene.passing())
    scene.receiver.answer = child.kill
    child.go()
    assert child.wait() < 0
    scene.receiver.answer = int

    scene.passes()

    assert len(scene.receiver.titles) == 1
    (doubted,) = scene.events(events.AlertDoubted)
    assert scene.receiver.titles[0].endswith(doubted.title)
    assert "may have arrived or not" in doubted.reason
    scene.require_quiet()


@pytest.mark.soak
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_killed_at_every_call_nothing_is_lost_or_half_or_locked_or_done_twice(scene: Scene, step: Step) -> None:
    work, points = prepared(scene, step)
    deaths = []
    for point in points:
        deaths.append(kill(scene, step, work, point))
        recover(scene, step)
    print(f"{step.name}: died at {mostly(deaths)} of {len(points)} calls")  # noqa: T201 - `make soak` shows it


@pytest.mark.soak
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_killed_while_it_recovers_from_being_killed_it_recovers_all_the_same(scene: Scene, step: Step) -> None:
    """Every eighth call of the step, and three that chance names of what mends it; of a few, all of them. All pairs
    would take days.

    Each day others. What was found once is found again with the seed that is printed, also where it is found wanting.
    """
    seed = seed_of_the_day()
    print(f"{step.name}: {SEED}={seed}")  # noqa: T201 - a failure shows it, and `make soak`
    work, points = prepared(scene, step)
    chance, again, deaths = random.Random(seed), step.recovery(scene), list[bool]()
    outer = every_nth(points, seed)
    whole = chance.sample(outer, step.whole)
    for point in outer:
        kill(scene, step, work, point)
        calls, _ = strace.traced(scene.server, again, scene.place / "trace")
        inner = strace.points(calls, scene.home.path, scene.folder)
        for within in inner if point in whole else chance.sample(inner, min(3, len(inner))):
            first = kill(scene, step, work, point)
            deaths.append(first and died(strace.killed(scene.server, again, within)))
            scene.require_sound()
            recover(scene, step)
    print(f"{step.name}: died at {mostly(deaths)} of {len(deaths)} pairs of calls")  # noqa: T201
