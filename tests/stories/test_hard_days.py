"""What must not happen on a hard day: silence, half a commit, a revision nobody proved, other routes taken down."""

import errno
import json
import os
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler import app, drifting, founding, home, loop
from reconciler.causes import causes
from reconciler.core.plan import side_hash
from reconciler.ports import Disk
from reconciler.targets.traefik import TraefikTarget
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


@pytest.mark.parametrize("garbage", ["}garbage: [", "{{ not a template of ours"])
def test_a_commit_over_our_own_broken_file_mends_it_and_takes_nobody_down(house, garbage):
    house.push({"traefik/r.yaml": routes("r1", "r2", "r3")})
    house.run()
    house.live_file.write_text(house.live_file.read_text() + garbage)
    house.push({"traefik/r4.yaml": routes("r4")})
    assert house.run().state == "applied"
    house.until(lambda: all(wire(house, "r1", "r2", "r3", "r4")), "all four routes")


def test_what_is_still_served_though_our_file_has_lost_it_is_not_cut_off_unasked(house):
    house.push({"traefik/r.yaml": routes("r1", "r2")})
    house.run()
    house.live_file.write_text("")  # Traefik notices no edit in our folder
    house.push({"traefik/r3.yaml": routes("r3")})
    outcome = house.run()
    assert outcome.state == "held", outcome.said
    assert {loss.address for loss in outcome.plan.losses} >= {f"traefik/http.routers/{name}" for name in ("r1", "r2")}
    assert wire(house, "r1", "r2", "r3") == [True, True, False]


def test_what_main_no_longer_wants_goes_out_of_our_own_broken_file_too(house):
    house.push({"traefik/r.yaml": routes("r1", "r2")})
    assert house.run().state == "applied"
    house.live_file.write_text("{")
    house.push({"traefik/r.yaml": routes("r1")})
    outcome = house.run()
    assert outcome.state == "applied", outcome.said
    assert wire(house, "r1", "r2") == [True, False]


def test_a_commit_that_died_on_its_way_to_a_revision_takes_no_number_with_it(house):
    house.push({"traefik/r.yaml": routes("r1")})
    assert house.run().revision == 2
    lost = house.push({"traefik/r.yaml": routes("r1", "r2")})
    bare = f"--git-dir={house.home.desired_store_path}"
    house.git(bare, "update-ref", "refs/waypost/revisions/3", lost)  # as a pass leaves it that dies before its log
    house.push({"traefik/r.yaml": routes("r1", "r3")})
    assert house.run().revision == 3
    assert house.git(bare, "rev-parse", "refs/waypost/revisions/3") == house.git("rev-parse", "HEAD")


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


def test_a_home_without_a_target_says_what_to_set(tmp_path):
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


class Full:
    """The files of a target on a disk that has room for what is small only."""

    def __init__(self, files, room):
        self._files, self._room = files, room

    def __getattr__(self, name):
        return getattr(self._files, name)

    def write(self, path, content, mode=0o644):
        if len(content) > self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._files.write(path, content, mode)


def test_a_disk_too_full_for_the_whole_file_is_told_once(house):
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    house.push({"traefik/r2.yaml": routes("r2")})
    files, (place,) = Full(Disk(), room=house.live_file.stat().st_size + 10), house.home.settings.places
    with house.world() as world, closing(app.api(house.home, place)) as api:
        target = TraefikTarget(
            "traefik", place.dynamic_dir, api, files=files, clock=world.clock, chance=world.chance
        )  # fmt: skip
        for _ in range(3):
            assert loop.run_pass(replace(world, targets={"traefik": target})).state == "waiting"
    assert ["No space left" in one.reason for one in house.events(events.ApplyAbandoned)] == [True]
    assert house.run().state == "applied"


def test_a_failed_write_is_not_given_up_while_main_cannot_be_read(house):
    house.push({"traefik/r.yaml": routes("r1")})
    failing_write(house)
    house.push({"traefik/broken.yaml": "http: ["})
    assert house.run().state == "held"
    assert not house.events(events.WriteGivenUp)
    house.push({"traefik/broken.yaml": None, "traefik/r.yaml": None})
    assert house.run().state == "nothing"
    assert len(house.events(events.WriteGivenUp)) == 1


def failing_write(house):
    """A pass whose write does not come about, because a folder stands there."""
    aside = house.live_file.rename(house.live_file.with_name("aside"))
    house.live_file.mkdir()
    (house.live_file / "x").touch()
    house.run()
    (house.live_file / "x").unlink()
    house.live_file.rmdir()
    aside.rename(house.live_file)


def edited_before_its_proof(house):
    """A write whose proof was cut off, and that somebody edited before it was gone on with."""
    house.push({"traefik/r.yaml": routes("r1")})
    with house.world() as world:
        cut_proof(world, house)
    house.edit_live("r1.lab", "edited.lab")
    house.traefik.start()
    house.until(house.traefik.up, "Traefik")
    house.run()


def test_a_write_that_somebody_wrote_over_is_no_write_that_failed(house):
    edited_before_its_proof(house)
    (abandoned,) = house.events(events.ApplyAbandoned)
    assert "overwritten by somebody" in abandoned.reason
    with house.world() as world:
        assert "traefik cannot be written" not in [cause.title for cause in causes(world)]


def test_what_was_new_in_a_write_that_somebody_edited_before_its_proof_is_no_thing_of_somebody_elses(house):
    edited_before_its_proof(house)
    assert [one.address for one in house.events(events.DriftFound)] == ["traefik/http.routers/r1"]
    house.push({"traefik/r.yaml": None})
    assert house.run().state == "held"  # in conflict with the edit, and not left for good
    with house.session() as person:
        drifting.heal(person, None, "it goes")
    assert house.run().state == "applied"
    assert house.status("edited.lab") == 404


def test_a_directory_that_cannot_be_written_at_all_is_told_with_its_reason_once(traefik, tmp_path):
    chosen = {"WAYPOST_TRAEFIK_DYNAMIC_DIR": str(traefik.directory), "WAYPOST_TRAEFIK_API_URL": traefik.url}
    made = founding.create(tmp_path / "home", chosen=chosen, environ={}, now=lambda: datetime.now(UTC))
    (tmp_path / "elsewhere").mkdir()
    (traefik.directory / "mcp-managed").symlink_to(tmp_path / "elsewhere")
    with app.locked(home.open(made.path, {})) as world:
        for _ in range(2):
            outcome = loop.run_pass(world)
            assert (outcome.state, "is a link" in outcome.said) == ("waiting", True)
        failed = [one.event for one in world.log.read() if isinstance(one.event, events.ProbeFailed)]
    assert ["is a link" in one.reason for one in failed] == [True]


def test_a_router_that_is_disabled_keeps_main_from_being_a_revision(house):
    revisions = len(house.events(events.RevisionMade))
    broken = {"http": {"routers": {"b": {"rule": "Host(`b.lab`)", "service": "nowhere"}}}}
    live = json.loads(house.live_file.read_bytes())
    live["http"]["routers"] = broken["http"]["routers"]
    house.live_file.write_text(json.dumps(live))
    os.utime(house.live_file.parent)
    house.until(lambda: "b@file" in house.traefik.names("routers"), "the broken router")
    house.push({"traefik/b.yaml": broken})
    for _ in range(2):
        outcome = house.run()
        assert (outcome.state, "b is not served" in outcome.said) == ("waiting", True)
    assert len(house.events(events.RevisionMade)) == revisions


class Dying:
    """A log whose process ends right after a force-push was recorded."""

    def __init__(self, log):
        self._log = log

    def __getattr__(self, name):
        return getattr(self._log, name)

    def append(self, entries, **more):
        recorded = self._log.append(entries, **more)
        if any(isinstance(one.event, events.HistoryRewritten) for one in recorded):
            raise KeyboardInterrupt
        return recorded


def test_a_crash_while_a_force_push_is_taken_notice_of_loses_no_approval(house):
    base = house.git("rev-parse", "HEAD")
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    house.git("reset", "--quiet", "--hard", base)
    house.git("commit", "--quiet", "--allow-empty", "--message", "another past")
    house.git("push", "--quiet", "--force")
    with house.world() as world, pytest.raises(KeyboardInterrupt):
        loop.run_pass(replace(world, log=Dying(world.log)))
    house.run()
    assert house.events(events.CommitApproved)[-1].commit == house.git("rev-parse", "HEAD")


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
