"""What happens to stacks in a schedule whose home has a Komodo: commits, deploys that fail or vanish, hands, deaths."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from tests.komodo.fake_komodo import Fate
from tests.simulation.deeds import Deed, Stage, edits_of
from tests.simulation.fate import CHANGE
from tests.simulation.komodo import SimulatedKomodo
from tests.simulation.people import stack_files, text

STACKS: Final = ("db", "media", "wiki")
STACK_DEEDS: Final[dict[str, tuple[int, Deed]]] = {}
"""Name -> how often it is drawn, and what is done."""


def deed(weight: int) -> Callable[[Deed], Deed]:
    def enter(done: Deed) -> Deed:
        STACK_DEEDS[done.__name__.replace("_", " ")] = weight, done
        return done

    return enter


def komodo_of(stage: Stage) -> SimulatedKomodo:
    assert stage.home.komodo is not None
    return stage.home.komodo


def a_stack(random: Random) -> dict[str, bytes | None]:
    return stack_files(random.choice(STACKS), random.randint(1, 3))


@deed(10)
def commit_a_stack(stage: Stage, random: Random) -> None:
    stage.people.push(a_stack(random), "a stack")


@deed(6)
def commit_a_stack_and_a_route(stage: Stage, random: Random) -> None:
    flaw = random.choice(["", "", "refused"])
    stage.people.push({**a_stack(random), **edits_of(stage, random, flaw)}, "a stack and a route")


@deed(6)
def commit_a_stack_that_does_not_come_up(stage: Stage, random: Random) -> None:
    name = random.choice(STACKS)
    komodo_of(stage).fates[name] = [Fate(fails="no such image")]
    stage.home.census["komodo: deploy fails"] += 1
    stage.people.push({**a_stack(random), **stack_files(name, random.randint(4, 6))}, "stacks")


@deed(4)
def commit_fewer_stacks(stage: Stage, random: Random) -> None:
    head = stage.people.main
    files = stage.people.files(head) if head else {}
    gone = random.choice(STACKS)
    stage.people.push({path: None for path in files if path.startswith(f"komodo/{gone}/")}, "fewer stacks")


@deed(5)
def an_update_goes_wrong(stage: Stage, random: Random) -> None:
    """Komodo is busy, forgets what it did or what it was to do, hangs, answers without a name, or takes long."""
    wrong = {
        "busy": Fate(busy=True),
        "forgotten": Fate(vanishes=True),
        "done and forgotten": Fate(vanishes=True, takes=0),
        "hanging": Fate(takes=None, hangs=True),
        "nameless": Fate(nameless=True),
        "long": Fate(takes=40),
    }
    how = random.choice(sorted(wrong))
    komodo_of(stage).fates[random.choice(STACKS)] = [wrong[how]]
    stage.home.census[f"komodo: update {how}"] += 1


@deed(3)
def komodo_goes(stage: Stage, random: Random) -> None:
    komodo = komodo_of(stage)
    komodo.down = random.random() < 0.7
    komodo.slow = not komodo.down
    stage.home.census["komodo: down" if komodo.down else "komodo: slow"] += 1


@deed(4)
def komodo_comes_back(stage: Stage, random: Random) -> None:
    komodo_of(stage).well()


@deed(3)
def a_hand_edits_a_stack(stage: Stage, random: Random) -> None:
    komodo, name = komodo_of(stage), random.choice(STACKS)
    if name in komodo.stacks:
        compose = text({"services": {"web": {"image": f"{name}:by-hand"}}}).decode()
        komodo.edited(name, "ada", file_contents=compose)
        komodo.hands += 1
        stage.home.trace.add("a hand edits stack", name)


@deed(10)
def death_while_stacks_change(stage: Stage, random: Random) -> None:
    random.choice([commit_a_stack, commit_a_stack_that_does_not_come_up, commit_fewer_stacks])(stage, random)
    stage.home.census["death in a pass"] += 1

    def die() -> None:
        assert stage.home.process is not None
        stage.home.process.fate.die()

    stage.home.run({(CHANGE, random.randint(3, 45)): die})
