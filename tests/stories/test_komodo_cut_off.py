"""Stacks make way, are taken down, are put back, and the process dies in between: it is done once, and told once."""

import copy
import shutil
from collections import Counter
from dataclasses import replace

import pytest

from reconciler import loop
from reconciler.ports import Disk
from reconciler.targets.komodo import KomodoTarget
from state import events
from tests.komodo.fake_komodo import Fate
from tests.stories.mortal import Died, Life
from tests.stories.test_komodo import compose, house, serving, stack

__all__ = ["house", "serving"]


CHANGING = {
    "log.append", "disk.replace", "api.create", "api.configure", "api.deploy", "api.destroy", "api.delete",
}  # fmt: skip
ASKING = CHANGING | {
    f"api.{name}" for name in ("stack", "stacks", "updates", "update", "at_work", "servers", "services", "version")
}


def passes(house, names, at):
    """A pass in a process that dies at the n-th of these; whether it did."""
    life = Life(at, names)
    with house.world() as world:
        api, files = life.of("api", world.targets["komodo"]._api), life.of("disk", Disk())
        record = house.home.path / "targets" / "komodo.json"
        mortal = KomodoTarget("komodo", api, clock=world.clock, deadline=1.0, record=record, files=files)
        try:
            targets = {"komodo": life.of("target", mortal)}
            loop.run_pass(replace(world, log=life.of("log", world.log), targets=targets))
        except Died:
            return True
    return False


def stacks(db, media):
    return {
        "komodo/db/stack.toml": stack("db"), "komodo/db/compose.yaml": compose(db),
        "komodo/media/stack.toml": stack("media", "db"), "komodo/media/compose.yaml": compose(media),
    }  # fmt: skip


def rewinding(house, place):
    """The house and its Komodo as they are now, as often as one asks for them."""
    shutil.copytree(house.home.path, place)
    then = copy.deepcopy((house.komodo.stacks, house.komodo.updates, house.komodo.at_work, house.komodo.fates))

    def again():
        shutil.rmtree(house.home.path)
        shutil.copytree(place, house.home.path)
        komodo = house.komodo
        komodo.stacks, komodo.updates, komodo.at_work, komodo.fates = copy.deepcopy(then)
        return house

    return again


@pytest.fixture
def doubtful(house, tmp_path):
    """db is deployed anew, media stays busy, and something newer is wanted by now; as often as one asks for it."""
    house.push(stacks("db:1", "media:1"))
    assert house.run().state == "applied"
    house.komodo.at_work["media"] = 100_000
    house.push(stacks("db:2", "media:2"))
    assert house.run().state == "unknown"
    house.push(stacks("db:3", "media:3"))
    return rewinding(house, tmp_path / "then")


def told(house):
    return Counter((one.stack, one.deed, one.reason, one.commit) for one in house.events(events.StackDeployed))


def ends(house):
    """Passes until all is as it is wanted; what is told then."""
    for _ in range(3):
        if not house.events(events.ApplyAbandoned):
            house.run()
    house.komodo.at_work["media"] = 0
    for _ in range(3):
        if house.run().state == "nothing":
            break
    assert '"db:3"' in house.komodo.stacks["db"].deployed
    assert '"media:3"' in house.komodo.stacks["media"].deployed
    return told(house)


def cut_off(house, names, at):
    """Whether the process died there; whatever it did of it is told once, and asked of Komodo once."""
    died = passes(house, names, at)
    found = ends(house)
    assert sorted(found.values()) == [1] * 6, (at, found)  # two at first, db, db put back, and both anew
    assert house.komodo.done("db") == ["DeployStack db"] * 4, at
    return died


@pytest.mark.parametrize("where", ["api.deploy", "target.undo"])
def test_a_deploy_that_makes_way_is_told_once_wherever_the_process_dies(doubtful, where):
    assert cut_off(doubtful(), {where}, 1)


def test_why_something_newer_waits_for_what_cannot_be_put_back_is_told_once(doubtful):
    house = doubtful()
    house.komodo.at_work["db"] = 100_000
    for _ in range(2):
        assert house.run().state in ("waiting", "unknown")
    reasons = [one.reason for one in house.events(events.ApplyUnknown)]
    assert len([one for one in reasons if "it could not be put back before that: stack 'db'" in one]) == 1
    house.komodo.at_work["db"] = 0
    assert sorted(ends(house).values()) == [1] * 6


@pytest.mark.soak
@pytest.mark.parametrize(("names", "most"), [(CHANGING, 12), (ASKING, 40)], ids=["changing", "asking"])
def test_a_deploy_that_makes_way_is_told_once_whatever_was_done_last(doubtful, names, most):
    at = 1
    while cut_off(doubtful(), names, at):
        at += 1
    assert at > most


def test_a_deploy_that_was_never_begun_is_told_as_that_whatever_was_deployed_before_it(house):
    house.push(stacks("db:1", "media:1"))
    assert house.run().state == "applied"
    house.push(stacks("db:2", "media:2"))
    assert passes(house, {"target.write"}, 0)
    assert house.run().state == "applied"
    assert [one.reason for one in house.events(events.ApplyAbandoned)] == ["the write was never carried out"]


# ── taken down ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def unwanted(house, tmp_path):
    """Both stacks are to be taken down, and a person has said so."""
    house.push(stacks("db:1", "media:1"))
    assert house.run().state == "applied"
    house.push(dict.fromkeys(stacks("db:1", "media:1")))
    assert house.run().state == "held"
    with house.session() as person:
        person.consent(person.plan().plan)
    return rewinding(house, tmp_path / "then")


def taken_down(house, names, at):
    """Whether the process died there; each stack is taken down once and told of once, and the revision is made."""
    died = passes(house, names, at)
    for _ in range(8):
        if house.run().state == "nothing":
            break
    assert house.komodo.stacks == {}, at
    assert house.komodo.done()[2:] == ["DestroyStack media", "DestroyStack db"], at
    assert sorted(told(house).values()) == [1] * 4, at
    assert [one.number for one in house.events(events.RevisionMade)][-1] == 3, at
    assert house.run().state == "nothing"
    return died


def test_a_stack_is_taken_down_once_though_the_process_dies_as_it_is_gone(unwanted):
    assert taken_down(unwanted(), {"api.delete"}, 1)


# ── put back ─────────────────────────────────────────────────────────────────────────────────────

BOOKS = {"komodo/books/stack.toml": stack("books"), "komodo/books/compose.yaml": compose("books:1")}


@pytest.fixture
def failing(house, tmp_path):
    """A commit brings one stack, changes two, and the last of them will not come up."""
    house.push(stacks("db:1", "media:1"))
    assert house.run().state == "applied"
    house.push({**stacks("db:2", "media:2"), **BOOKS})
    house.komodo.fates["media"] = [Fate(fails="no such image")]
    return rewinding(house, tmp_path / "then")


def put_back(house, names, at):
    """Whether the process died there; what stood before stands again, put there once and told of once."""
    died = passes(house, names, at)
    for _ in range(8):
        if house.run().state == "waiting" and house.events(events.ApplyUndone):
            break
    komodo = house.komodo
    assert komodo.stacks.keys() == {"db", "media"}, at
    assert all(f'"{name}:1"' in one.deployed for name, one in komodo.stacks.items()), at
    assert komodo.done("db") == ["DeployStack db"] * 3, at
    assert komodo.done("media") == ["DeployStack media"] * 3, at
    assert komodo.done("books") == ["DeployStack books", "DestroyStack books"], at
    assert sorted(told(house).values()) == [1] * 8, at  # two at first, three of which one failed, and three back
    assert [one.proven for one in house.events(events.ApplyUndone)] == [True], at
    assert house.run().state == "waiting"
    return died


def test_what_a_failed_deploy_takes_back_is_put_back_once_though_the_process_dies_before_it_tells(failing):
    assert put_back(failing(), {"target.undo"}, 1)


# ── wherever ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.soak
@pytest.mark.parametrize(("names", "most"), [(CHANGING, 10), (ASKING, 30)], ids=["changing", "asking"])
@pytest.mark.parametrize(("then", "cut_off"), [("unwanted", taken_down), ("failing", put_back)])
def test_whatever_was_done_last_it_is_done_once(request, then, cut_off, names, most):
    again, at = request.getfixturevalue(then), 1
    while cut_off(again(), names, at):
        at += 1
    assert at > most
