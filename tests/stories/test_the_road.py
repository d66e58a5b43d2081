"""From a commit to a live route and back, on a real Traefik, each story a sentence."""

import json

from reconciler import drifting, reviewing, rolling_back, telling
from state import events, views
from state.log import Entry
from state.model import Address

HELLO = "traefik/http.routers/hello"


def hello(**more):
    return {
        "http": {
            "routers": {"hello": {"rule": "Host(`hello.lab`)", "service": "hello", **more}},
            "services": {"hello": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
        }
    }


def served(house, host="hello.lab"):
    """A router that nobody can reach the backend of answers 502; one that is not there 404."""
    return house.status(host) != 404


def test_a_commit_on_main_becomes_a_proven_route_and_a_plain_revert_takes_it_away(house):
    house.push({"traefik/hello.yaml": hello()})
    applied = house.run()
    assert (applied.state, served(house)) == ("applied", True)
    assert house.events(events.ApplyProven)[-1].changes[HELLO]["rule"] == "Host(`hello.lab`)"
    house.git("revert", "--no-edit", "HEAD")
    house.git("push", "--quiet")
    assert house.run().state == "applied"
    assert not served(house)
    assert [made.number for made in house.events(events.RevisionMade)] == [1, 2, 3]


TOKEN = "ghp_c4n4rycanarycanarycanarycanary012345"


def test_a_token_that_a_person_pastes_into_a_commit_or_a_reason_enters_no_log_and_is_told_by_nobody(house):
    house.push({"traefik/hello.yaml": hello()}, f"Log in, password: {TOKEN}")
    house.run()
    house.edit_live("hello.lab", "edited.lab")
    with house.session() as person:
        drifting.heal(person, Address.parse(HELLO), f"it is {TOKEN}")
    house.run()
    assert house.events(events.CommitApproved)[-1].subject == "Log in, password: •••"
    assert [asked.reason for asked in house.events(events.DriftHealRequested)] == ["•••"]
    kept = [path for path in house.home.path.rglob("*") if path.is_file() and "desired" not in str(path)]
    assert len(kept) > 3 and not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_what_an_older_version_kept_of_a_token_is_told_by_nobody(house):
    house.run()
    old = events.CommitApproved(commit="c" * 40, via="push", by=f"token={TOKEN}", subject=f"Log in, {TOKEN}")
    by = events.CommitApproved(commit="d" * 40, via="push", reviewers=(f"token={TOKEN}", "ada"), subject="Fine")
    with house.world() as world:
        world.log.append([Entry(stream="main", event=one) for one in (old, by)])
        told = telling.history(world)[-2:]
        assert TOKEN not in str(told)
        assert list(told[1]["data"]["reviewers"]) == ["token=•••", "ada"] and told[1]["said"] == "commit approved Fine"


def test_a_pass_with_nothing_to_do_writes_nothing(house):
    before, log = house.live_file.stat().st_mtime_ns, len(house.events())
    assert house.run().state == "nothing"
    assert (house.live_file.stat().st_mtime_ns, len(house.events())) == (before, log)


def test_a_hand_edit_is_reported_once_and_touched_by_nobody(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    house.edit_live("hello.lab", "edited.lab")
    house.until(lambda: served(house, "edited.lab"), "the hand edit")
    assert house.run().state == "drift"
    house.run()
    (found,) = house.events(events.DriftFound)
    assert (found.address, found.fields) == (HELLO, ("rule",))
    assert "edited.lab" in house.live_file.read_text()


def test_a_commit_elsewhere_leaves_a_hand_edit_as_it_is(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    house.edit_live("hello.lab", "edited.lab")
    other = json.loads(json.dumps(hello()).replace("hello", "other"))
    house.push({"traefik/other.yaml": other})
    assert house.run().state == "applied"
    assert served(house, "edited.lab")
    assert served(house, "other.lab")


def test_a_commit_to_what_was_edited_by_hand_is_held_until_a_person_discards_the_edit(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    house.edit_live("hello.lab", "edited.lab")
    house.push({"traefik/hello.yaml": hello(priority=7)})
    assert house.run().state == "held"
    assert house.events(events.PlanHeld)[-1].conflicts == (HELLO,)
    with house.session() as person:
        drifting.heal(person, Address.parse(HELLO), "mine was a mistake")
    assert house.run().state == "applied"
    assert served(house)
    assert house.run().state == "nothing"
    assert house.events(events.DriftCleared)


def test_a_commit_that_traefik_refuses_is_undone_quarantined_and_not_tried_again(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    bad = hello(middlewares=["broken"])
    bad["http"]["middlewares"] = {"broken": {"ipAllowList": {"sourceRange": ["not an address"]}}}
    house.push({"traefik/hello.yaml": bad})
    outcome = house.run()
    assert outcome.state in ("held", "refuted")
    assert served(house)
    again = house.run()
    assert again.state in ("held", "waiting")
    house.push({"traefik/hello.yaml": hello(priority=9)})
    assert house.run().state == "applied"


def test_unreadable_desired_state_leaves_the_last_revision_live_and_names_file_and_line(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    house.push({"traefik/hello.yaml": "http:\n  routers:\n\t- tab\n"})
    assert house.run().state == "held"
    (refused,) = house.events(events.DesiredRefused)
    assert [(p["file"], p["line"]) for p in refused.problems] == [("traefik/hello.yaml", 3)]
    assert served(house)
    house.run()
    assert len(house.events(events.DesiredRefused)) == 1


def test_a_force_push_is_held_until_a_person_consents_to_that_very_plan(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    house.git("reset", "--quiet", "--hard", "HEAD~1")
    house.git("commit", "--quiet", "--allow-empty", "--message", "another past")
    house.git("push", "--quiet", "--force")
    assert house.run().state == "held"
    assert served(house)
    assert house.events(events.HistoryRewritten)
    with house.session() as person:
        person.consent(person.plan().plan)
    assert house.run().state == "applied"
    assert not served(house)


def test_everything_vanishing_from_main_is_held(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    house.git("rm", "--quiet", "-r", "traefik")
    house.git("commit", "--quiet", "--message", "oops")
    house.git("push", "--quiet")
    assert house.run().state == "held"
    assert served(house)
    assert any(refusal["guard"] == "empty" for refusal in house.events(events.PlanHeld)[-1].refusals)


def test_a_newer_proposal_for_the_same_resource_supersedes_the_older(house):
    first = house.propose({"traefik/hello.yaml": hello()})
    second = house.propose({"traefik/hello.yaml": hello(priority=5)})
    house.run()
    with house.session() as person:
        assert (person.proposal(first).status, person.proposal(second).status) == ("superseded", "open")


def test_two_proposals_for_different_resources_are_both_approved_and_one_is_rebased(house):
    other = json.loads(json.dumps(hello()).replace("hello", "other"))
    ids = [house.propose({"traefik/hello.yaml": hello()}), house.propose({"traefik/other.yaml": other})]
    with house.session() as person:
        for id in ids:
            person.merge(person.proposal(id))
    assert house.run().state == "applied"
    assert served(house)
    assert served(house, "other.lab")
    approved = {event.proposal: event.via for event in house.events(events.CommitApproved) if event.proposal}
    assert approved == {ids[0]: "fast-forward", ids[1]: "rebase"}


def test_when_traefik_is_away_nothing_is_written_and_the_next_pass_after_it_is_back_applies(house):
    house.traefik.stop()
    house.push({"traefik/hello.yaml": hello()})
    before = house.live_file.read_bytes()
    assert house.run().state == "waiting"
    assert house.live_file.read_bytes() == before
    assert house.events(events.TargetLost)
    house.traefik.start()
    house.until(house.traefik.up, "Traefik")
    assert house.run().state == "applied"
    assert house.events(events.TargetFound)


def test_a_poison_file_of_somebody_else_is_named_and_is_nobodys_quarantine(house):
    house.traefik.drop("theirs.yml", "http:\n  routers:\n    x:\n      bogus: 1\n")
    house.push({"traefik/hello.yaml": hello()})
    assert house.run().state == "waiting"
    (found,) = house.events(events.PoisonFound)
    assert found.file == "theirs.yml"
    assert not house.events(events.ResourcesQuarantined)
    (house.traefik.directory / "theirs.yml").unlink()
    assert house.run().state == "applied"
    assert house.events(events.PoisonCleared)


def test_rollback_restores_the_tree_of_an_earlier_revision(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    house.push({"traefik/hello.yaml": hello(priority=3)})
    house.run()
    with house.session() as person:
        record = rolling_back.propose(person, 2)
        person.merge(record)
    assert house.run().state == "applied"
    with house.world() as world:
        assert (
            world.store.commit(world.store.head()).tree
            == world.store.commit(world.log.view(views.Revisions).by_number[2].commit).tree
        )


def test_the_log_verifies_against_its_anchors_in_git(house):
    with house.world() as world:
        anchors = telling.anchors(world)
        assert anchors
        assert world.log.verify(anchors).ok


def test_a_foreign_file_that_takes_over_a_name_is_drift_until_it_lets_go(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    theirs = json.dumps(hello()).replace("hello.lab", "theirs.lab")
    house.traefik.drop("aa.yml", theirs)
    house.until(lambda: served(house, "theirs.lab"), "their router")
    house.run()
    found = [one for one in house.events(events.DriftFound) if one.address == HELLO]
    assert [(one.kind, "aa.yml" in one.reason) for one in found] == [("taken over", True)]
    (house.traefik.directory / "aa.yml").unlink()
    house.run()
    assert [one.address for one in house.events(events.DriftCleared)] == [HELLO]


def test_our_file_emptied_by_hand_is_drift_and_all_of_it_can_be_put_back_at_once(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    house.live_file.write_text("")
    assert house.run().state == "drift"
    assert {one.kind for one in house.events(events.DriftFound)} == {"missing"}
    with house.session() as person:
        drifting.heal(person, None, "somebody emptied it")
    assert house.run().state == "applied"
    assert served(house)


def test_our_file_broken_by_hand_poisons_the_directory_and_can_be_put_back(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    house.live_file.write_text("{ not: [valid")
    house.run()
    assert [one.file for one in house.events(events.PoisonFound)] == ["mcp-managed/waypost.yml"]
    with house.session() as person:
        drifting.heal(person, None, "somebody broke it")
    assert house.run().state == "applied"
    assert served(house)


def test_policy_heal_puts_a_hand_edit_back_by_itself(house):
    policy = "version: 1\ntargets:\n  traefik:\n    drift: heal\n"
    house.push({"waypost.yaml": policy, "traefik/hello.yaml": hello()})
    house.run()
    house.edit_live("hello.lab", "edited.lab")
    assert house.run().state == "applied"
    assert served(house)
    assert house.events(events.DriftFound)


def test_a_refuted_commit_gets_a_revert_proposed_once_that_makes_main_say_what_is_live(house):
    house.push({"traefik/hello.yaml": hello()})
    house.run()
    good = house.git("rev-parse", "HEAD^{tree}")
    bad = house.push({"traefik/hello.yaml": hello(priority=4)})
    with house.world() as world:
        reviewing.propose_revert(world, bad)
        reviewing.propose_revert(world, bad)
        (proposed,) = world.log.view(views.Proposals).open()
        assert world.store.commit(proposed.commit).tree == good
    assert [one.commit for one in house.events(events.ProposedRevert)] == [bad]
