"""One commit, two Traefiks: what one of them refuses is taken back from the other, whatever comes in between."""

import json
from dataclasses import replace

import pytest

from reconciler import drifting, home, loop, telling
from reconciler.core.target import TargetError, Verdict
from reconciler.git.errors import GitError
from state import events, views
from state.model import Address
from tests.stories.test_hard_days import routes

ROUTER = Address("traefik", "http.routers", "a")


class Acting:
    """A real target, some of whose methods do something else first."""

    def __init__(self, target, methods):
        self._target = target
        self.__dict__.update({name: method(getattr(target, name)) for name, method in methods.items()})

    def __getattr__(self, name):
        return getattr(self._target, name)


def acting(world, **instances):
    """The same world with other methods of its targets: instance -> name -> (real method -> method)."""
    targets = {name: Acting(target, instances.get(name, {})) for name, target in world.targets.items()}
    return replace(world, targets=targets)


def refusing(instance, culprit="e2"):
    def prove(real):
        def refuse(attempt):
            proven = real(attempt)
            return Verdict(
                outcome="refuted", evidence="no", faults={Address(instance, "http.routers", culprit): "no"},
                file=proven.file,
            )  # fmt: skip

        return refuse

    return {"prove": prove}


def failing(error, *, when=lambda *arguments: True, after=False):
    """A method that raises, before or after it has done what it does."""

    def method(real):
        def fail(*arguments):
            if not when(*arguments):
                return real(*arguments)
            if after:
                real(*arguments)
            raise error

        return fail

    return method


def out(real):
    """A look at a target whose witness is out."""
    return lambda: replace(real(), witness="it is out")


@pytest.fixture
def two(house, start_traefik):
    """The house with a second Traefik, `zedge`, in the same home."""
    edge = start_traefik()
    (house.home.path / "targets.toml").write_text(
        f'[zedge]\nkind = "traefik"\napi_url = "{edge.url}"\ndynamic_dir = "{edge.directory}"\ndeadline = "5s"\n'
    )
    house.home = home.open(house.home.path, {})
    house.edge = edge
    policy = {"version": 1, "targets": {"traefik": {}, "zedge": {"directory": "edge"}}}
    house.push({"waypost.yaml": json.dumps(policy), "edge/e.yaml": routes("e1")})
    assert house.run().state == "applied"
    return house


def push_bad(two, **more):
    """A commit whose part on `zedge` is going to be refused."""
    return two.push({"traefik/a.yaml": routes("a"), "edge/e.yaml": routes("e1", "e2"), **more}, "bad")


def run(two, **instances):
    with two.world() as world:
        return loop.run_pass(acting(world, **instances))


def refuse(two, instance="zedge", culprit="e2", undo=None, **others):
    """A pass in which that instance's Traefik refuses what it is given."""
    acts = refusing(instance, culprit) | ({"undo": undo} if undo else {})
    outcome = run(two, **{instance: acts}, **others)
    assert outcome.state == "refuted"
    return outcome


def away(two):
    """A pass during which `zedge` cannot be asked, so that only the other one is written to."""
    assert run(two, zedge={"observe": out}).state == "waiting"


def live(two, *names):
    return [two.status(f"{name}.lab") != 404 for name in names]


# ── which commits ────────────────────────────────────────────────────────────────────────────────


def test_two_instances_are_served_from_one_commit(two):
    assert two.edge.get("e1.lab")[0] != 404
    assert two.traefik.get("e1.lab")[0] == 404


def test_an_instance_that_cannot_be_seen_does_not_keep_the_other_from_its_change(two):
    two.edge.directory.rename(two.edge.directory.with_name("gone"))
    two.push({"traefik/a.yaml": routes("a")})
    assert two.run().state == "waiting"
    assert live(two, "a") == [True]


def test_what_one_instance_refuses_is_taken_back_from_the_other(two):
    push_bad(two)
    refuse(two)
    assert live(two, "a") == [False]
    assert two.edge.get("e1.lab")[0] != 404
    assert two.run().state == "waiting"
    assert live(two, "a") == [False]
    two.push({"edge/e.yaml": routes("e1", "e2", priority=5)})
    assert two.run().state == "applied"
    assert live(two, "a") == [True]


def test_what_another_instance_was_not_given_yet_stays_out_too(two):
    push_bad(two)
    refuse(two, "traefik", "a")
    assert two.run().state == "waiting"
    assert two.edge.get("e2.lab")[0] == 404


def test_commits_that_came_with_a_refused_one_are_applied_without_it(two):
    first = two.push({"traefik/a.yaml": routes("a")}, "good")
    bad = two.push({"edge/e.yaml": routes("e1", "e2"), "traefik/b.yaml": routes("b")}, "bad")
    last = two.push({"traefik/c.yaml": routes("c"), "edge/f.yaml": routes("f")}, "good, too")
    refuse(two)
    assert two.run().state == "waiting"
    assert live(two, "a", "b", "c") == [True, False, True]
    assert two.edge.get("f.lab")[0] != 404
    assert two.edge.get("e2.lab")[0] == 404
    assert {one.commits for one in two.events(events.ResourcesQuarantined)} == {(bad,)}
    with two.world() as world:
        (proposed,) = world.log.view(views.Proposals).open()
        assert world.store.changed(proposed.commit, last) == ["edge/e.yaml", "traefik/b.yaml"]
        assert first and world.store.is_ancestor(first, proposed.commit)


def test_a_refused_commit_takes_those_with_it_that_touch_the_same_resource(two):
    push_bad(two)
    two.push({"edge/e.yaml": routes("e1", "e2", priority=3)})
    two.push({"traefik/b.yaml": routes("b")})
    refuse(two)
    assert two.run().state == "waiting"
    assert live(two, "a", "b") == [False, True]


def test_what_was_agreed_to_for_another_commit_holds_on(two):
    asked, opened = routes("app", middlewares=["auth"]), routes("app")
    for one in (asked, opened):  # a server of its own: what leads to another one's is a way round
        one["http"]["services"]["app"] = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:8"}]}}
    asked["http"]["middlewares"] = {"auth": {"basicAuth": {"users": ["a:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]}}}
    two.push({"traefik/app.yaml": asked})
    assert two.run().state == "applied"
    two.push({"traefik/app.yaml": opened}, "nobody is asked any more")
    with two.session() as person:
        person.consent(person.plan().plan)
    push_bad(two)
    refuse(two)
    assert two.run().state == "waiting"
    assert (two.status("app.lab"), live(two, "a")) == (502, [False])


# ── whatever comes in between ────────────────────────────────────────────────────────────────────


def test_it_is_taken_back_when_the_refusal_comes_in_a_later_pass(two):
    push_bad(two)
    assert run(two, zedge={"prove": failing(TargetError("the witness is out"), after=True)}).state == "unknown"
    assert live(two, "a") == [True]
    assert run(two, zedge=refusing("zedge")).state == "waiting"
    assert live(two, "a") == [False]


def test_what_was_proven_there_since_of_other_commits_stays(two):
    push_bad(two)
    away(two)
    two.push({"traefik/b.yaml": routes("b")})
    away(two)
    assert live(two, "a", "b") == [True, True]
    refuse(two)
    assert live(two, "a", "b") == [False, True]
    assert two.run().state == "waiting"
    assert live(two, "a", "b") == [False, True]


def test_a_disk_that_is_full_at_that_moment_only_delays_it_even_while_main_is_broken(two):
    push_bad(two)
    away(two)
    refuse(two, traefik={"write": failing(TargetError("the disk is full"))})
    assert live(two, "a") == [True]
    two.push({"traefik/broken.yaml": "http: ["})
    assert two.run().state == "held"
    assert live(two, "a") == [False]
    assert len(two.events(events.ApplyAbandoned)) == 1


@pytest.mark.parametrize("moment", ["write", "prove"])
def test_after_a_crash_on_the_way_it_is_done_and_is_nobodys_drift(two, moment):
    push_bad(two)
    away(two)
    with pytest.raises(KeyboardInterrupt):
        refuse(two, traefik={moment: failing(KeyboardInterrupt)})
    for _ in range(2):
        assert two.run().state == "waiting"
    assert live(two, "a") == [False]
    assert not two.events(events.DriftFound)
    back = two.events(events.ApplyProven)[-1]
    refused = two.events(events.ApplyRefuted)[-1]
    assert (back.changes[str(ROUTER)], back.undoes) == (None, (refused.attempt,))


def test_a_hand_edit_of_it_is_for_a_person_to_discard_and_nothing_refused_comes_back(two):
    push_bad(two)
    away(two)
    two.edit_live("a.lab", "edited.lab")
    refuse(two)
    for _ in range(2):
        outcome = two.run()
        assert (outcome.state, "changed by hand" in outcome.said) == ("waiting", True)
    assert len(two.events(events.UndoHeld)) == 1
    with two.session() as person:
        drifting.heal(person, ROUTER, "mine was a mistake")
    assert two.run().state == "waiting"
    assert live(two, "a", "edited") == [False, False]


def test_what_a_later_commit_needs_stays_until_that_one_does_without_it(two):
    middleware = {"http": {"middlewares": {"m": {"compress": {}}}}}
    push_bad(two, **{"traefik/m.yaml": middleware})
    away(two)
    two.push({"traefik/f.yaml": routes("f", middlewares=["m"])})
    away(two)
    refuse(two)
    for _ in range(2):
        assert "needed by what came later" in two.run().said
    assert len(two.events(events.UndoHeld)) == 1
    assert live(two, "f") == [True]
    two.push({"traefik/f.yaml": routes("f")})
    for _ in range(2):
        assert two.run().state == "waiting"
    assert live(two, "a", "f") == [False, True]


def test_a_target_that_refuses_to_be_put_back_is_not_asked_again(two):
    push_bad(two)
    away(two)
    refuse(two, traefik=refusing("traefik", "hello"))
    assert live(two, "a") == [True]
    two.run()
    known = len(two.events())
    assert two.run().state == "waiting"
    assert len(two.events()) == known
    assert str(ROUTER) in two.events(events.UndoHeld)[-1].resources


def test_what_is_refused_while_git_cannot_be_read_is_undone_all_the_same(two):
    push_bad(two)
    objects = two.home.desired_store_path / "objects"
    hidden = objects.with_name("hidden")

    def prove(real):
        def refuse(attempt):
            objects.rename(hidden)
            return refusing("zedge")["prove"](real)(attempt)

        return refuse

    try:
        with pytest.raises(GitError):
            run(two, zedge={"prove": prove})
    finally:
        hidden.rename(objects)
    assert two.edge.get("e2.lab")[0] == 404
    assert live(two, "a") == [False]
    assert two.run().state == "waiting"


# ── the undo of the one that refused ─────────────────────────────────────────────────────────────


def test_a_crash_between_the_undo_and_its_record_is_nobodys_overwriting(two):
    push_bad(two)
    with pytest.raises(KeyboardInterrupt):
        run(two, zedge={**refusing("zedge"), "undo": failing(KeyboardInterrupt, after=True)})
    assert two.run().state == "waiting"
    assert not two.events(events.ApplyAbandoned)
    assert two.events(events.ApplyUndone)[-1].proven
    assert (two.edge.get("e2.lab")[0], live(two, "a")) == (404, [False])


def test_an_undo_that_fails_is_told_and_tried_again(two):
    push_bad(two)
    run(two, zedge={**refusing("zedge"), "undo": failing(TargetError("the disk is full"))})
    assert two.edge.get("e2.lab")[0] != 404
    assert "the disk is full" in two.events(events.ApplyUnknown)[-1].reason
    run(two, zedge=refusing("zedge"))
    assert (two.edge.get("e2.lab")[0], live(two, "a")) == (404, [False])


@pytest.mark.parametrize("more", [{"priority": 5}, None], ids=["wanted otherwise", "wanted no longer"])
def test_what_a_hand_edit_kept_from_being_put_back_is_ours_and_follows_main(two, more):
    file = two.edge.directory / "mcp-managed" / "waypost.yml"

    def undo(real):
        def edited(*arguments):
            live = json.loads(file.read_bytes())
            live["http"]["routers"]["mine"] = {"rule": "Host(`mine.lab`)", "service": "noop@internal"}
            file.write_text(json.dumps(live))
            return real(*arguments)

        return edited

    push_bad(two)
    refuse(two, undo=undo)
    assert "e2" in json.loads(file.read_bytes())["http"]["routers"]
    two.push({"edge/e.yaml": routes("e1", "e2", **more) if more else routes("e1")})
    assert two.run().state == "applied"
    routers = json.loads(file.read_bytes())["http"]["routers"]
    assert (routers.get("e2", {}).get("priority"), "mine" in routers) == (5 if more else None, True)
    assert ("e2" in routers) == bool(more)


# ── telling ──────────────────────────────────────────────────────────────────────────────────────


def test_why_names_the_commit_that_stands_after_a_later_one_was_taken_back(two):
    good = two.push({"traefik/a.yaml": routes("a")}, "good")
    assert two.run().state == "applied"
    two.push({"traefik/a.yaml": routes("a", priority=7), "edge/e.yaml": routes("e1", "e2")}, "bad")
    refuse(two)
    with two.world() as world:
        found = telling.why(world, ROUTER)
    assert "priority" not in json.loads(two.live_file.read_bytes())["http"]["routers"]["a"]
    assert (found["commit"], found["approval"]["subject"]) == (good, "good")
    assert found["applied"]["data"]["commit"] == good


def test_a_route_that_moves_to_another_target_goes_once_that_one_has_it(two):
    two.push({"traefik/a.yaml": routes("a", "b")})
    assert two.run().state == "applied"
    two.edge.stop()
    two.push({"traefik/a.yaml": routes("b"), "edge/a.yaml": routes("a")})
    with two.session() as person:
        person.consent(person.plan().plan)
    for _ in range(2):
        assert two.run().state == "waiting"
        assert live(two, "a", "b") == [True, True]
    deferred = two.events(events.ChangesDeferred)[-1].resources
    assert deferred == {f"traefik/http.{kind}/a": "zedge" for kind in ("routers", "services")}
    two.edge.start()
    two.until(two.edge.up, "the other Traefik")
    with two.session() as person:
        person.consent(person.plan().plan)
    outcome = two.run()
    assert outcome.state == "applied", outcome.said
    assert live(two, "a", "b") == [False, True]
    assert two.edge.get("a.lab")[0] != 404
