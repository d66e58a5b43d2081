"""Killed at moments of chance, over and over: each pass finds what the one before it left when it died."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable

import pytest

from reconciler.git import trees
from reconciler.git.store import WAYPOST, Store
from state import events
from tests.durability.scene import HELLO, Scene, edit_by_hand, now, route, take_back_by_hand

LONGEST = 0.35
"""Seconds after which a pass is killed at the latest: longer than most take."""


def wanted(scene: Scene, priority: int) -> None:
    """Main asks for another priority of the one route."""
    store = Store.open(scene.home.desired_store_path)
    store.sweep_stale_locks()  # as the next start would
    was = store.head() or ""
    content = str(store.repository.create_blob(json.dumps(route(HELLO, priority)).encode()))
    change = {f"traefik/{HELLO}.yaml": trees.Leaf(content, trees.BLOB)}
    tree = trees.rooted(store.repository, store.commit(was).tree, change)
    signature = WAYPOST.signed(now())
    commit = store.write_commit(tree=tree, parents=(was,), author=signature, committer=signature, text="another")
    store.move("refs/heads/main", commit, was=was)


def killed_after(scene: Scene, seconds: float) -> bool:
    """A pass that lives for so long; whether it was killed before its end."""
    child = scene.server.fork(scene.passing())
    child.go()
    time.sleep(seconds)  # the moment is what this test is about
    child.kill()
    return child.wait() < 0


def told_once(scene: Scene, edits: int, taken_back: int) -> None:
    """Each edit by hand raised one alert; of it, and of its end, somebody heard once, or that is in doubt."""
    raised, doubted = scene.events(events.AlertRaised), scene.events(events.AlertDoubted)
    assert len(raised) == edits, [one.title for one in raised]
    (title,) = {one.title for one in raised}
    for words, recovery, happened in (("", False, edits), ("resolved: ", True, taken_back)):
        heard = scene.receiver.titles.count(f"Waypost: {words}{title}")
        in_doubt = sum(one.recovery == recovery for one in doubted)
        assert heard <= happened <= heard + in_doubt, f"{happened} times {words}{title}: {scene.receiver.titles}"


def kill_passes(scene: Scene, count: int, seed: int) -> int:
    """So many passes, each for a change of its own; every fifth time the next one may live, and must have it all.

    Now and then somebody edits a route by hand, or makes it again what it was: there is something to tell."""
    chance, killed, edits, taken_back = random.Random(seed), 0, 0, 0
    for number in range(2, count + 2):
        if number % 20 == 2:
            edit_by_hand(scene)
            edits += 1
        elif number % 20 == 12:
            take_back_by_hand(scene)
            taken_back += 1
        wanted(scene, number)
        scene.said_path.unlink(missing_ok=True)
        killed += killed_after(scene, chance.random() * LONGEST)
        scene.require_sound()
        if number % 5 == 1 or number == count + 1:
            scene.passes()
            scene.require_settled(priority=number)
            told_once(scene, edits, taken_back)
    scene.require_quiet()
    return killed


@pytest.mark.parametrize("count", [50, pytest.param(2_000, marks=pytest.mark.soak)])
def test_killed_at_any_moment_a_pass_leaves_nothing_half_and_the_next_one_converges(
    scene: Scene, count: int, record_property: Callable[..., None]
) -> None:
    killed = kill_passes(scene, count, seed=20261120)
    record_property("counted", {"passes": count, "killed": killed})
    assert killed > count / 3, "most of them were done before they were killed: this test proves nothing"
