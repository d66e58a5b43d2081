"""A deploy makes way for a newer one, and the process dies in the middle of that: what was done is told once."""

import copy
import shutil
from collections import Counter
from dataclasses import replace

import pytest

from reconciler import loop
from reconciler.targets.komodo import KomodoTarget
from state import events
from tests.stories.test_komodo import compose, house, serving, stack

__all__ = ["house", "serving"]


class Died(BaseException):
    """The process ends here."""


class Mortal:
    """Some of what another does; whoever does the n-th of it dies, and it has happened."""

    def __init__(self, inner, names, count, at):
        self._inner, self._names, self._count, self._at = inner, names, count, at

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if name not in self._names:
            return found

        def done(*arguments, **named):
            answer = found(*arguments, **named)
            self._count.append(name)
            if len(self._count) == self._at:
                raise Died
            return answer

        return done


CHANGING = {"append", "configure", "deploy"}
ASKING = CHANGING | {"stack", "stacks", "updates", "update", "at_work", "servers", "services", "version"}


def passes(house, names, at):
    """A pass in a process that dies at the n-th of these; whether it did."""
    count = []
    with house.world() as world:
        target = world.targets["komodo"]
        api = Mortal(target._api, names, count, at)
        record = house.home.path / "targets" / "komodo.json"
        mortal = KomodoTarget("komodo", api, clock=world.clock, deadline=1.0, record=record)
        targets = {"komodo": Mortal(mortal, names, count, at)}
        try:
            loop.run_pass(replace(world, log=Mortal(world.log, names, count, at), targets=targets))
        except Died:
            return True
    return False


def stacks(db, media):
    return {
        "komodo/db/stack.toml": stack("db"), "komodo/db/compose.yaml": compose(db),
        "komodo/media/stack.toml": stack("media", "db"), "komodo/media/compose.yaml": compose(media),
    }  # fmt: skip


@pytest.fixture
def doubtful(house, tmp_path):
    """db is deployed anew, media stays busy, and something newer is wanted by now; as often as one asks for it."""
    house.push(stacks("db:1", "media:1"))
    assert house.run().state == "applied"
    house.komodo.at_work["media"] = 100_000
    house.push(stacks("db:2", "media:2"))
    assert house.run().state == "unknown"
    house.push(stacks("db:3", "media:3"))
    shutil.copytree(house.home.path, tmp_path / "then")
    then = copy.deepcopy((house.komodo.stacks, house.komodo.updates))

    def again():
        shutil.rmtree(house.home.path)
        shutil.copytree(tmp_path / "then", house.home.path)
        house.komodo.stacks, house.komodo.updates = copy.deepcopy(then)
        house.komodo.at_work["media"] = 100_000
        return house

    return again


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


@pytest.mark.parametrize("where", ["deploy", "undo"])
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
