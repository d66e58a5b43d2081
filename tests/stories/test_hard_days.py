"""What must not happen on a hard day: silence, half a commit, a revision nobody proved, other routes taken down."""

import json
from datetime import UTC, datetime

import pytest

from reconciler import drifting, founding, home
from reconciler.core.plan import side_hash
from state import events, views
from state.model import Address

SERVICE = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}


def routes(*names, **more):
    """Routers for NAME.lab, each with a service of its own."""
    return {
        "http": {
            "routers": {name: {"rule": f"Host(`{name}.lab`)", "service": name, **more} for name in names},
            "services": dict.fromkeys(names, SERVICE),
        }
    }


def wire(house, *names):
    return [house.status(f"{name}.lab") != 404 for name in names]


def test_a_commit_over_our_own_broken_file_mends_it_and_takes_nobody_down(house):
    house.push({"traefik/r.yaml": routes("r1", "r2", "r3")})
    house.run()
    house.live_file.write_text(house.live_file.read_text() + "}garbage: [")
    house.push({"traefik/r4.yaml": routes("r4")})
    assert house.run().state == "applied"
    house.until(lambda: all(wire(house, "r1", "r2", "r3", "r4")), "all four routes")


def test_what_nobody_proved_is_no_revision_however_often_it_is_looked_at(house):
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    revisions = len(house.events(events.RevisionMade))
    house.push({"traefik/r2.yaml": routes("r2")})
    with house.world() as world:
        cut_proof(world, house)
    assert house.run().state == "unknown"
    assert house.run().state == "unknown"
    assert len(house.events(events.RevisionMade)) == revisions
    house.traefik.start()
    house.until(house.traefik.up, "Traefik")
    assert house.run().state == "nothing"
    assert len(house.events(events.RevisionMade)) == revisions + 1
    assert house.events(events.ApplyProven)[-1].attempt == house.events(events.ApplyStarted)[-1].attempt


def cut_proof(world, house):
    """A pass during which Traefik goes away right after the write."""
    from reconciler import loop

    class Leaving:
        def __init__(self, target):
            self._target = target

        def __getattr__(self, name):
            return getattr(self._target, name)

        def prove(self, attempt):
            house.traefik.stop()
            return self._target.prove(attempt)

    targets = {name: Leaving(target) for name, target in world.targets.items()}
    assert loop.run_pass(type(world)(**{**vars(world), "targets": targets})).state == "unknown"


def test_while_traefik_is_away_a_pass_does_not_say_that_all_is_well(house):
    house.traefik.stop()
    assert house.run().state == "waiting"


def test_a_change_to_the_companion_of_a_culprit_alone_stays_out_too(house):
    moved = routes("a", "b")
    house.push({"traefik/r.yaml": moved})
    house.run()
    with house.world() as world:  # refuted earlier: b is the culprit, a came in the same commit
        world.log.append(quarantine(world, "a", "b"))
    changed = json.loads(json.dumps(moved))
    changed["http"]["routers"]["a"]["priority"] = 7
    house.push({"traefik/r.yaml": changed})
    assert house.run().state == "waiting"
    assert "priority" not in json.loads(house.live_file.read_bytes())["http"]["routers"]["a"]
    changed["http"]["routers"]["b"]["priority"] = 8
    house.push({"traefik/r.yaml": changed})
    assert house.run().state == "applied"
    live = json.loads(house.live_file.read_bytes())["http"]["routers"]
    assert (live["a"]["priority"], live["b"]["priority"]) == (7, 8)


def quarantine(world, companion, culprit):
    from state.log import Entry

    base = world.log.view(views.Applied).base("traefik")
    addresses = [Address("traefik", "http.routers", name) for name in (companion, culprit)]
    held = events.ResourcesQuarantined(
        instance="traefik",
        commit=world.store.head(),
        attempt="earlier",
        resources={str(address): side_hash(base[address]) for address in addresses},
        culprits=(str(addresses[1]),),
        reason="Traefik refused it",
    )
    return Entry(stream="target/traefik", event=held)


def test_drift_is_not_called_over_while_main_cannot_be_read(house):
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    house.edit_live("r1.lab", "edited.lab")
    house.run()
    house.push({"traefik/broken.yaml": "http: ["})
    assert house.run().state == "held"
    assert not house.events(events.DriftCleared)


def test_drift_and_poison_are_seen_while_the_desired_repo_is_away(house):
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    heads = house.home.desired_store_path / "refs" / "heads"
    hidden = heads.rename(heads.with_name("hidden"))
    house.edit_live("r1.lab", "edited.lab")
    house.traefik.drop("theirs.yml", "http:\n  routers:\n    x:\n      bogus: 1\n")
    assert house.run().state == "lost"
    assert house.events(events.DriftFound)
    assert house.events(events.PoisonFound)
    hidden.rename(heads)


def test_a_revision_carries_the_policy_of_its_own_commit(house):
    before = house.events(events.RevisionMade)[-1].policy
    house.push({"waypost.yaml": "version: 1\nprotected: []\n"})
    house.run()
    from reconciler.core.policy import parse

    assert house.events(events.RevisionMade)[-1].policy == parse({"protected": []})[0].digest != before


@pytest.fixture
def two(house, start_traefik, tmp_path):
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


def test_two_instances_are_served_from_one_commit(two):
    assert two.edge.get("e1.lab")[0] != 404
    assert two.traefik.get("e1.lab")[0] == 404


def test_what_one_instance_refuses_is_taken_back_from_the_other(two):
    with two.world() as world:
        two.push({"traefik/a.yaml": routes("a"), "edge/e.yaml": routes("e1", "e2")})
        refuse(world, "zedge")
    assert two.status("a.lab") == 404
    assert two.edge.get("e1.lab")[0] != 404
    assert two.run().state == "waiting"
    assert two.status("a.lab") == 404
    two.push({"edge/e.yaml": routes("e1", "e2", priority=5)})
    assert two.run().state == "applied"
    assert two.status("a.lab") != 404


def test_commits_that_came_with_a_refused_one_are_applied_without_it(two):
    with two.world() as world:
        first = two.push({"traefik/a.yaml": routes("a")}, "good")
        bad = two.push({"edge/e.yaml": routes("e1", "e2"), "traefik/b.yaml": routes("b")}, "bad")
        last = two.push({"traefik/c.yaml": routes("c"), "edge/f.yaml": routes("f")}, "good, too")
        refuse(world, "zedge")
    assert two.run().state == "waiting"
    assert [two.status(f"{name}.lab") == 404 for name in "abc"] == [False, True, False]
    assert two.edge.get("f.lab")[0] != 404
    assert two.edge.get("e2.lab")[0] == 404
    assert {one.commits for one in two.events(events.ResourcesQuarantined)} == {(bad,)}
    with two.world() as world:
        (proposed,) = world.log.view(views.Proposals).open()
        assert world.store.changed(proposed.commit, last) == ["edge/e.yaml", "traefik/b.yaml"]
        assert first and world.store.is_ancestor(first, proposed.commit)


def test_a_refused_commit_takes_those_with_it_that_touch_the_same_resource(two):
    with two.world() as world:
        two.push({"traefik/a.yaml": routes("a"), "edge/e.yaml": routes("e1", "e2")})
        two.push({"edge/e.yaml": routes("e1", "e2", priority=3)})
        two.push({"traefik/b.yaml": routes("b")})
        refuse(world, "zedge")
    assert two.run().state == "waiting"
    assert [two.status(f"{name}.lab") == 404 for name in "ab"] == [True, False]


def refuse(world, instance):
    """A pass in which one instance's Traefik refuses what it is given."""
    from reconciler import loop
    from reconciler.core.target import Verdict

    class Refusing:
        def __init__(self, target):
            self._target = target

        def __getattr__(self, name):
            return getattr(self._target, name)

        def prove(self, attempt):
            proven = self._target.prove(attempt)
            culprit = Address(instance, "http.routers", "e2")
            return Verdict(outcome="refuted", evidence="no", faults={culprit: "no"}, file=proven.file)

    targets = {name: Refusing(one) if name == instance else one for name, one in world.targets.items()}
    assert loop.run_pass(type(world)(**{**vars(world), "targets": targets})).state == "refuted"


def test_an_instance_that_cannot_be_seen_does_not_keep_the_other_from_its_change(two):
    two.edge.directory.rename(two.edge.directory.with_name("gone"))
    two.push({"traefik/a.yaml": routes("a")})
    assert two.run().state == "waiting"
    assert two.status("a.lab") != 404


def test_a_home_without_a_target_says_what_to_set(tmp_path):
    from reconciler import app, loop

    made = founding.create(tmp_path / "home", environ={}, now=lambda: datetime.now(UTC))
    with app.locked(home.open(made.path, {})) as world:
        outcome = loop.run_pass(world)
    assert outcome.state == "waiting"
    assert "WAYPOST_TRAEFIK_DYNAMIC_DIR" in outcome.said


def test_accepting_drift_ends_with_its_date(house, freezer_like=datetime(2030, 1, 1, tzinfo=UTC)):
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    house.edit_live("r1.lab", "edited.lab")
    with house.session() as person:
        drifting.accept(person, Address.parse("traefik/http.routers/r1"), freezer_like, "for a while")
        person.run_pass()
        assert not person.plan().plan.open_drift
        assert person.plan().plan.drift


def test_a_write_that_cannot_be_made_is_told_once_and_made_when_it_can(house):
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    house.live_file.unlink()
    house.live_file.mkdir()
    (house.live_file / "x").touch()  # a folder with something in it cannot be replaced by a file
    house.push({"traefik/r2.yaml": routes("r2")})
    for _ in range(3):
        assert house.run().state in ("waiting", "held")
    assert len(house.events(events.ApplyAbandoned)) <= 1
    (house.live_file / "x").unlink()
    house.live_file.rmdir()
    assert house.run().state == "applied"
    assert wire(house, "r2") == [True]


def test_a_crash_between_keeping_and_recording_a_revision_leaves_no_gap(house):
    last = house.events(events.RevisionMade)[-1].number
    commit = house.push({"traefik/r.yaml": routes("r1")})
    with house.world() as world:
        world.store.keep(last + 1, commit)
    house.run()
    assert [made.number for made in house.events(events.RevisionMade)] == [*range(1, last + 2)]


def test_a_home_whose_log_is_new_counts_on_after_what_git_keeps(house):
    with house.world() as world:
        world.store.keep(41, world.store.head())
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    assert house.events(events.RevisionMade)[-1].number == 42


def test_a_crash_between_a_revision_and_its_anchor_is_made_good_by_the_next_pass(house):
    with house.world() as world:
        world.store.remove("refs/notes/waypost")
        assert not world.store.anchors()
    assert house.run().state == "nothing"
    with house.world() as world:
        (anchor,) = world.store.anchors()
        assert (anchor.seq, anchor.hash) == (world.log.head().seq, world.log.head().hash)
