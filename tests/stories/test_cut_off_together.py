"""A whole house, and the process dies while things go or are taken back: all of it ends as if nobody had died."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from reconciler import loop
from reconciler.ports import Disk
from reconciler.targets.authentik import AuthentikTarget
from reconciler.targets.komodo import KomodoTarget
from state import events
from tests.stories.mortal import Died, Life
from tests.stories.test_authentik import APPLICATION, PROXY, blueprint
from tests.stories.test_komodo import compose
from tests.stories.test_taken_back import acting
from tests.stories.test_together import (
    ORDER,
    everything,
    guard,
    guarded,
    is_there,
    losing_guard,
    proven,
    servers,
    whole,
)

__all__ = ["servers", "whole"]

CHANGING = {
    "log.append", "disk.replace", "traefik.write", "traefik.undo",
    *(f"komodo.{name}" for name in ("create", "configure", "deploy", "destroy", "delete")),
    *(f"authentik.{name}" for name in ("create", "change", "delete", "apply")),
}  # fmt: skip
MOST = 35
"""Things that are done in one of these passes, and a few."""


def dies(whole, life, **instances):
    """A pass of a process with this life; whether it died."""
    with whole.world() as world:
        real, record = world.targets, whole.home.path / "targets" / "komodo.json"
        komodo, authentik = (life.of(name, real[name]._api) for name in ("komodo", "authentik"))
        kept = {"record": record, "files": life.of("disk", Disk())}
        targets = {
            "traefik": life.of("traefik", real["traefik"]),
            "komodo": KomodoTarget("komodo", komodo, clock=world.clock, deadline=4.0, **kept),
            "authentik": AuthentikTarget("authentik", authentik, clock=world.clock, deadline=20.0),
        }
        mortal = replace(world, log=life.of("log", world.log), targets=targets)
        try:
            loop.run_pass(acting(mortal, **instances))
        except Died:
            real["traefik"]._owned.release()  # what a process holds it does not hold any longer than it lives
            return True
    return False


def goes_on(whole, until, **there):
    """Passes until it is as it has to be: what the pass says, and of applications whether they are there."""
    expected = (until, [[is_live] * 3 for is_live in there.values()])
    for _ in range(8):
        outcome = whole.run()
        found = (outcome.state, [is_there(whole, name) for name in there])
        if found == expected:
            return
    assert found == expected, outcome.said


def told(whole):
    return Counter((one.stack, one.deed, one.attempt) for one in whole.events(events.StackDeployed))


# ── what goes ────────────────────────────────────────────────────────────────────────────────────


def removed(whole, life):
    """Of two applications one goes, in a process that has such a life; whether it died."""
    whole.push({**everything(), **everything("old")})
    goes_on(whole, "applied", old=True, wiki=True)
    before, stays = len(proven(whole)), whole.authentik.one(PROXY, name="wiki")["pk"]
    whole.push(dict.fromkeys(everything("old")))
    goes_on(whole, "held")
    with whole.session() as person:
        person.consent(person.plan().plan)
    died = dies(whole, life)
    goes_on(whole, "nothing", old=False, wiki=True)
    assert whole.authentik.one(PROXY, name="old") is None
    assert whole.authentik.one(PROXY, name="wiki")["pk"] == stays
    assert list(whole.authentik.ours()) == ["Waypost authentik: wiki"]
    assert whole.komodo.done("old") == ["DeployStack old", "DestroyStack old"]
    assert sorted(told(whole).values()) == [1, 1, 1]
    assert proven(whole)[before:] == ORDER[::-1]
    assert [one.number for one in whole.events(events.RevisionMade)] == [1, 2, 3]
    return died


@pytest.mark.parametrize("last", ["authentik.apply", "komodo.delete"])
def test_what_goes_is_gone_once_though_the_process_dies_in_the_middle(whole, last):
    assert removed(whole, Life(1, {last}))


@pytest.mark.soak
@pytest.mark.parametrize("lasts", range(MOST + 1))
def test_what_goes_is_gone_once_whatever_was_done_last(whole, lasts):
    died = removed(whole, Life(lasts, CHANGING))
    assert not (died and lasts == MOST), "a pass does more than that"


# ── what is taken back ───────────────────────────────────────────────────────────────────────────


def taken_back(whole, life):
    """Traefik refuses the route of a commit that changes one application and brings another; whether the process died.

    Its life counts from when Traefik can no longer take the route.
    """
    guard(whole)
    whole.push(everything())
    goes_on(whole, "applied", wiki=True)
    before, there = len(proven(whole)), whole.authentik.one(APPLICATION, slug="wiki")["pk"]
    changed = {
        "komodo/wiki/compose.yaml": compose("wiki:2"),
        "authentik/wiki.yaml": blueprint("wiki", title="Another"),
        "traefik/wiki.yaml": guarded("wiki"),
    }
    whole.push({**changed, **everything("news")})
    died = dies(whole, life, traefik={"prove": losing_guard(whole, life.begins)})
    goes_on(whole, "waiting", news=False, wiki=True)
    assert '"wiki:1"' in whole.komodo.stacks["wiki"].deployed
    application = whole.authentik.one(APPLICATION, slug="wiki")
    assert (application["name"], application["pk"]) == ("Wiki", there)
    assert whole.authentik.one(PROXY, name="news") is None
    tried = "Waypost itself (authentik): trial"  # one that a death left changes nothing, and is swept later
    assert [name for name in whole.authentik.ours() if not name.startswith(tried)] == ["Waypost authentik: wiki"]
    assert whole.komodo.done("wiki") == ["DeployStack wiki"] * 3
    assert whole.komodo.done("news") == ["DeployStack news", "DestroyStack news"]
    assert sorted(told(whole).values()) == [1] * 5
    assert proven(whole)[before:] == ["komodo", "authentik", "authentik", "komodo"]
    assert [one.instance for one in whole.events(events.ApplyProven) if one.undoes] == ["authentik", "komodo"]
    assert [(one.instance, one.proven) for one in whole.events(events.ApplyUndone)] == [("traefik", True)]
    assert [one.number for one in whole.events(events.RevisionMade)] == [1, 2]
    return died


@pytest.mark.parametrize("last", ["authentik.apply", "komodo.deploy"])
def test_what_traefik_refuses_is_taken_back_once_though_the_process_dies_in_the_middle(whole, last):
    assert taken_back(whole, Life(1, {last}, begun=False))


@pytest.mark.soak
@pytest.mark.parametrize("lasts", range(MOST + 1))
def test_what_traefik_refuses_is_taken_back_once_whatever_was_done_last(whole, lasts):
    died = taken_back(whole, Life(lasts, CHANGING, begun=False))
    assert not (died and lasts == MOST), "a pass does more than that"
