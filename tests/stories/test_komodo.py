"""Stacks go the same road as routes: proposed, approved, deployed by Komodo, and proven by what it reads back."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from datetime import UTC, datetime

import pytest

from reconciler import founding, home, reports
from reconciler.causes import unanswered
from reconciler.setting import Secret
from shards.komodo_at import KomodoAt
from state import events
from tests.komodo.fake_komodo import KEY, SECRET, FakeKomodo, Fate, HungUp, Serving
from tests.stories.at_work import at_work
from tests.stories.conftest import House


def stack(name, *after, more=""):
    waits = ", ".join(f'"{one}"' for one in after)
    return f'[[stack]]\nname = "{name}"\nafter = [{waits}]\n[stack.config]\nserver = "nas"\n{more}\n'


def compose(image, **more):
    return {"services": {"web": {"image": image, **more}}}


def media(image="jellyfin:10", **more):
    return {"komodo/media/stack.toml": stack("media"), "komodo/media/compose.yaml": compose(image, **more)}


TODAY, LATER = (datetime.now(UTC).strftime(f"%Y-%m-%dT%H:%M:{second}Z") for second in ("05", "55"))


def request(do="restart", at=TODAY):
    return {"komodo/media/request.yaml": {"do": do, "at": at, "reason": "it is stuck"}}


@pytest.fixture(scope="module")
def serving():
    serving = Serving(FakeKomodo())
    yield serving
    serving.close()


@pytest.fixture
def house(tmp_path, serving, until):
    """A home whose only target is a Komodo."""
    komodo = serving.komodo = FakeKomodo()
    for name, text in (("key", KEY), ("secret", SECRET)):
        (tmp_path / name).write_text(text)
    made = founding.create(
        tmp_path / "home",
        chosen={
            "WAYPOST_KOMODO_URL": serving.url,
            "WAYPOST_KOMODO_KEY": f"file:{tmp_path / 'key'}",
            "WAYPOST_KOMODO_SECRET": f"file:{tmp_path / 'secret'}",
            "WAYPOST_KOMODO_DEADLINE": "1s",
            "WAYPOST_APPROVE_WITHOUT_TERMINAL": "true",
        },
        environ={},
        now=lambda: datetime.now(UTC),
    )
    house = House(home.open(made.path, {}), None, tmp_path / "clone", until)
    house.komodo, house.komodo_url = komodo, serving.url
    subprocess.run(["git", "clone", "--quiet", str(made.desired_source), str(house.clone)], check=True)
    house.git("rm", "--quiet", "-r", "traefik")
    house.push({"README.md": "a home with a Komodo and nothing else"})
    assert house.run().state == "nothing"
    yield house
    assert komodo.faults == []


def give(house, files):
    house.push(files)
    outcome = house.run()
    assert outcome.state == "applied", outcome.said


def test_a_proposal_is_shown_approved_deployed_and_proven(house, waypost):
    id = house.propose(media(ports=["8096:8096"]), "Media for the living room")
    told = json.loads(waypost("show", id, "--json")[1])
    assert [one["address"] for one in told["plan"]["changes"]] == ["komodo/compose/media", "komodo/stack/media"]
    assert house.komodo.done() == []
    code, said = waypost("approve", id, "--plan", told["plan"]["digest"][:12])
    assert code == 0, said
    assert house.komodo.done() == ["DeployStack media"]
    [proven] = house.events(events.ApplyProven)
    assert "media: deployed because it is new: 1 services up" in proven.evidence
    assert house.run().state == "nothing"
    code, said = waypost("why", "komodo/compose/media")
    assert "test by test" in said


def test_stacks_are_deployed_one_after_the_other_and_only_those_that_change(house, waypost):
    db = {"komodo/db/stack.toml": stack("db"), "komodo/db/compose.yaml": compose("postgres:17")}
    give(house, {**media(), **db, "komodo/media/stack.toml": stack("media", "db")})
    assert house.komodo.done() == ["DeployStack db", "DeployStack media"]
    give(house, {"komodo/media/compose.yaml": compose("jellyfin:11")})
    assert house.komodo.done()[2:] == ["DeployStack media"]
    evidence = house.events(events.ApplyProven)[-1].evidence
    assert "media: deployed because compose.yaml changes (services.web.image)" in evidence
    assert house.run().state == "nothing"
    told = [(one.stack, one.reason, one.commit) for one in house.events(events.StackDeployed)]
    first, second = [one.commit for one in house.events(events.RevisionMade)][-2:]
    assert told == [
        ("db", "it is new", first),
        ("media", "it is new", first),
        ("media", "compose.yaml changes (services.web.image)", second),
    ]
    [skipped] = house.events(events.StacksSkipped)
    assert skipped.resources == {"komodo/stack/db": f"nothing of it changes since commit {first[:12]} was deployed"}
    assert "stack deployed media – compose.yaml changes" in waypost("history", "komodo/compose/media")[1]
    assert "stacks skipped" in waypost("history", "komodo/stack/db")[1]


def test_what_somebody_configured_by_hand_and_never_deployed_is_deployed(house):
    house.komodo.has_idle("media", file_contents=json.dumps(compose("jellyfin:10")))
    give(house, media())
    assert house.komodo.done() == ["DeployStack media"]
    assert house.run().state == "nothing"


def test_what_komodo_runs_already_is_taken_over_without_a_deploy(house):
    house.komodo.has("media", file_contents=json.dumps(compose("jellyfin:10")))
    house.push(media())
    assert house.run().state == "nothing"
    assert house.komodo.done() == []
    assert house.events(events.ResourcesAdopted)[-1].resources.keys() == {"komodo/stack/media", "komodo/compose/media"}


def test_one_that_was_taken_over_and_is_taken_down_by_somebody_is_drift_until_it_is_deployed(house, waypost):
    stack = house.komodo.has("media", file_contents=json.dumps(compose("jellyfin:10")))
    house.push(media())
    assert house.run().state == "nothing"
    stack.state, stack.containers = "down", {}
    assert house.run().state == "drift"
    assert {one.kind for one in house.events(events.DriftFound)} == {"missing"}
    assert waypost("drift", "--heal", "all")[0] == 0
    assert house.komodo.done() == ["DeployStack media"]


def taken_over_and_down(house):
    stack = house.komodo.has("media", file_contents=json.dumps(compose("jellyfin:10")))
    house.push(media())
    assert house.run().state == "nothing"
    stack.state, stack.containers = "down", {}


def test_one_that_was_taken_over_and_taken_down_is_deployed_as_soon_as_something_newer_is_wanted(house):
    taken_over_and_down(house)
    house.komodo.fates["media"] = [Fate(fails="no such image: jellyfin:11")]
    house.push(media("jellyfin:11"))
    assert house.run().state == "refuted"
    give(house, media("jellyfin:12"))
    assert house.komodo.done() == ["DeployStack media", "DestroyStack media", "DeployStack media"]
    reasons = {one.reason for one in house.events(events.StackDeployed) if one.good and one.deed == "deploy"}
    assert reasons == {"it is configured in Komodo, and nothing of it is there"}
    assert house.run().state == "nothing"


def test_one_that_was_taken_over_and_that_somebody_configured_otherwise_stays_a_conflict(house):
    taken_over_and_down(house)
    house.komodo.edited("media", "ada", file_contents=json.dumps(compose("mine:1")))
    house.push(media("jellyfin:11"))
    assert [str(one.address) for one in house.run().plan.conflicts] == ["komodo/compose/media"]
    assert "DeployStack media" not in house.komodo.done()


def test_a_failed_deploy_is_undone_and_stays_out_until_it_is_wanted_otherwise(house):
    give(house, media())
    house.komodo.fates["media"] = [Fate(fails="no such image: jellyfin:11")]
    house.push(media("jellyfin:11"))
    assert house.run().state == "refuted"
    assert "no such image" in house.events(events.ApplyRefuted)[-1].reason
    assert house.events(events.ApplyUndone)[-1].proven
    assert '"jellyfin:10"' in house.komodo.stacks["media"].deployed
    failed, back = house.events(events.StackDeployed)[1:]
    assert (failed.good, "no such image" in failed.said) == (False, True)
    assert (back.good, back.attempt, back.reason) == (True, failed.attempt, "all that went with it is put back")
    assert house.run().state != "applied"
    assert house.komodo.done() == ["DeployStack media"] * 3
    give(house, media("jellyfin:12"))


def test_one_that_somebody_took_down_stays_down_while_others_are_deployed(house):
    one = house.komodo.has("media", file_contents=json.dumps(compose("jellyfin:10")))
    house.push({**media(), "komodo/db/stack.toml": stack("db"), "komodo/db/compose.yaml": compose("postgres:17")})
    house.run()
    one.state, one.containers = "down", {}
    house.run()
    house.komodo.fates["media"] = [Fate(fails="no such image: jellyfin:11")]
    house.push(media("jellyfin:11"))
    assert house.run().state == "refuted"
    before = len(house.komodo.done())
    house.push({"komodo/db/compose.yaml": compose("postgres:18")})
    house.run()
    assert house.komodo.done()[before:] == ["DeployStack db"]


def test_what_was_refused_and_a_person_then_started_is_live(house):
    house.push({"waypost.yaml": "version: 1\ntargets:\n  komodo: {refused: leave}\n"})
    house.run()
    house.komodo.fates["media"] = [Fate(fails="the registry is away")]
    house.push(media("jellyfin:11"))
    assert house.run().state == "refuted"
    one = house.komodo.stacks["media"]
    one.state, one.deployed = "running", one.config["file_contents"]
    one.containers = {"web": ("running", "Up 2 hours")}
    house.run()
    assert [sorted(map(str, adopted.resources)) for adopted in house.events(events.ResourcesAdopted)] == [
        ["komodo/compose/media", "komodo/stack/media"]
    ]


def test_containers_that_do_not_stay_up_undo_a_deploy_that_komodo_calls_a_success(house):
    give(house, media())
    house.komodo.fates["media"] = [Fate(containers={"web": ("restarting", "Restarting (1) 1 second ago")})]
    house.push(media("jellyfin:11"))
    assert house.run().state == "refuted"
    assert '"jellyfin:10"' in house.komodo.stacks["media"].deployed


def test_a_busy_komodo_is_waited_for_and_nobody_is_told_that_it_failed(house):
    give(house, media())
    house.komodo.at_work["media"] = 10_000
    house.push(media("jellyfin:11"))
    assert house.run().state == "unknown"
    house.komodo.at_work["media"] = 0
    assert house.run().state in ("applied", "nothing")
    assert house.komodo.done() == ["DeployStack media"] * 2
    assert house.events(events.ApplyRefuted) == []


def test_a_deploy_that_takes_longer_than_a_pass_waits_is_concluded_by_a_later_one(house):
    house.komodo.fates["media"] = [Fate(takes=None)]
    house.push(media())
    assert house.run().state == "unknown"
    assert house.run().state == "unknown"
    house.komodo.updates[-1].left = 1
    assert house.run().state in ("applied", "nothing")
    assert house.komodo.done() == ["DeployStack media"]
    assert len(house.events(events.ApplyProven)) == 1


def test_a_vanished_update_is_asked_for_again(house):
    house.komodo.fates["media"] = [Fate(vanishes=True)]
    give(house, media())
    assert house.komodo.asked.count("execute/DeployStack") == 2


@pytest.mark.parametrize("where", ["CreateStack", "DeployStack", "GetUpdate", "ListStackServices"])
def test_a_crash_in_the_middle_is_finished_by_the_next_pass(house, where):
    died = []

    def die(asked, params):
        if asked == where and not died:
            died.append(asked)
            raise HungUp

    house.komodo.after = die
    house.push(media())
    assert house.run().state == "unknown"
    assert house.run().state in ("applied", "nothing")
    assert house.komodo.done() == ["DeployStack media"]
    assert house.run().state == "nothing"


def test_a_restart_is_a_commit_with_a_reason_and_happens_once(house):
    give(house, media())
    give(house, request())
    assert house.komodo.done() == ["DeployStack media", "RestartStack media"]
    assert f"asked for at {TODAY}: it is stuck" in house.events(events.ApplyProven)[-1].evidence
    assert house.run().state == "nothing"
    give(house, media("jellyfin:11"))
    assert house.komodo.done()[2:] == ["DeployStack media"]
    give(house, request(at=LATER))
    assert house.komodo.done()[3:] == ["RestartStack media"]


def test_what_a_model_asks_for_by_a_tool_happens_once_and_tells_its_reason(house, waypost):
    give(house, media())
    keys = {name: Secret(f"file:{house.home.path.with_name(name)}") for name in ("key", "secret")}
    done = ["DeployStack media"]
    with at_work(house, komodo=(KomodoAt(url=house.komodo_url, **keys),)) as gateway:
        for do, reason in (("deploy", "an image that was rebuilt"), ("restart", "its cache is stuck")):
            proposed = gateway.answer(f"komodo_{do}_stack", stack="media", reason=reason)
            assert house.komodo.done() == done  # before a person says so nothing is done
            code, said = waypost("approve", proposed["proposal"], "--plan", proposed["plan"]["digest"])
            assert code in (0, 2), said
            house.until(lambda: waypost("reconcile")[0] == 0, "a pass with nothing to do")
            done.append(f"{do.title()}Stack media")
            assert house.komodo.done() == done
            why = gateway.answer("why", resource="komodo/request/media")
            assert (why["request"]["tool"], why["commit"]) == (f"komodo_{do}_stack", proposed["commit"])
            assert reason in why["applied"]["said"]
            history = gateway.answer("history", resource="komodo/stack/media")["events"]
            deployed = [one["data"] for one in history if one["type"] == "StackDeployed"][-1]
            assert (deployed["deed"], deployed["reason"].endswith(f": {reason}")) == (do, True)
    assert house.run().state == "nothing"  # a reconciler that was started anew
    assert house.komodo.done() == done


def test_a_restart_of_a_time_to_come_is_refused_as_none_before_it_would_happen(house):
    give(house, media())
    house.push(request(at="2999-01-01T00:00:00Z"))
    outcome = house.run()
    assert outcome.state == "held"
    assert "2999-01-01T00:00:00Z is yet to come" in str(outcome.plan.errors)
    give(house, request())
    assert house.komodo.done() == ["DeployStack media", "RestartStack media"]


def test_what_reaches_the_host_needs_a_persons_word_on_this_very_plan(house):
    house.push(media(privileged=True, volumes=["/etc:/host"]))
    outcome = house.run()
    assert outcome.state == "held"
    told = [str(refusal) for refusal in outcome.plan.refusals]
    assert any("all rights on the host" in one for one in told)
    assert any("a path of the host (/etc at /host)" in one for one in told)
    assert house.komodo.done() == []
    with house.session() as person:
        person.consent(person.plan().plan)
    assert house.run().state == "applied"
    give(house, media(privileged=True, volumes=["/etc:/host"], ports=["8096:8096"]))
    house.push(media("evil:1", privileged=True, volumes=["/etc:/host"], ports=["8096:8096"]))
    assert house.run().state == "held"


def test_a_variable_that_leads_to_the_host_is_agreed_to_with_what_it_is(house):
    house.push(media(volumes=["${DATA}:/data"]))
    assert house.run().state == "held"
    with house.session() as person:
        person.consent(person.plan().plan)
    assert house.run().state == "applied"
    house.push({"komodo/media/stack.toml": stack("media", more='environment = "DATA=/"')})
    outcome = house.run()
    assert outcome.state == "held"
    assert any("a path of the host (${DATA} at /data)" in str(one) for one in outcome.plan.refusals)
    with house.session() as person:
        person.consent(person.plan().plan)
    assert house.run().state == "applied"


def test_removing_a_stack_needs_a_word_and_leaves_its_volumes(house):
    give(house, media())
    house.push(dict.fromkeys(media()))
    assert house.run().state == "held"
    with house.session() as person:
        person.consent(person.plan().plan)
    assert house.run().state == "applied"
    assert house.komodo.done()[1:] == ["DestroyStack media"]


def test_an_edit_by_hand_is_drift_and_its_secret_enters_no_log(house, waypost):
    give(house, media())
    stack = house.komodo.stacks["media"]
    stack.config = {**stack.config, "environment": "TOKEN = hunter2\n"}
    assert house.run().state == "drift"
    code, said = waypost("drift")
    assert "komodo/stack/media" in said
    code, exported = waypost("log", "export")
    assert "hunter2" not in said + exported


@pytest.mark.parametrize(
    "asked",
    [request("deploy"), {"komodo/media/stack.toml": stack("media", more='links = ["http://nas"]')}],
    ids=["a deploy as it is", "another file of it"],
)
def test_what_somebody_edited_by_hand_is_deployed_with_nothing_else_unasked(house, waypost, asked):
    give(house, media())
    house.komodo.edited("media", by="eve", file_contents=json.dumps(compose("other:1")))
    house.push(asked)
    outcome = house.run()
    assert outcome.state == "held"
    [refused] = [str(one) for one in outcome.plan.refusals]
    assert "komodo/compose/media: somebody changed it by hand, and it would be deployed like that" in refused
    assert house.komodo.done("media") == ["DeployStack media", "UpdateStack media"]
    assert waypost("drift", "--heal", "komodo/compose/media")[0] in (0, 2)
    assert house.run().state in ("applied", "nothing")
    assert "jellyfin:10" in house.komodo.stacks["media"].deployed
    assert house.komodo.done("media")[2:] == ["DeployStack media"]


def test_what_somebody_edited_by_hand_hinders_no_restart(house):
    give(house, media())
    house.komodo.edited("media", by="eve", file_contents=json.dumps(compose("other:1")))
    give(house, request())
    assert house.komodo.done("media")[2:] == ["RestartStack media"]


def test_who_edited_by_hand_is_told_by_event_command_and_report_whose_commands_run(house, waypost):
    give(house, media())
    house.komodo.edited("media", "ada", environment="TZ = UTC")
    assert house.run().state == "drift"
    assert {one.by for one in house.events(events.DriftFound)} == {"ada"}
    assert "komodo/stack/media was changed by ada" in waypost("drift")[1]
    told = json.loads(waypost("drift", "--json")[1])["drift"]
    assert [(one["address"], one["by"]) for one in told] == [("komodo/stack/media", "ada")]
    with house.world() as world:
        drifted = {address: one for found in unanswered(world).values() for address, one in found.items()}
        report = reports.page(drifted, world.clock.now())
    assert "- by: `ada`" in report.splitlines()
    [accept] = re.findall("`waypost (drift --accept .+)`", report)
    assert waypost(*shlex.split(accept))[0] == 0
    assert len(house.events(events.DriftAccepted)) == 1


def test_a_komodo_that_is_away_holds_up_nothing_else_and_is_told_once(house):
    house.komodo.down = True
    house.push(media())
    assert house.run().state == "waiting"
    house.run()
    house.komodo.down = False
    assert house.run().state == "applied"


def test_where_policy_says_so_a_failed_deploy_is_left_for_a_person_to_look_at(house):
    policy = "version: 1\ntargets:\n  komodo: {refused: leave}\n"
    give(house, {**media(), "waypost.yaml": policy})
    house.komodo.fates["media"] = [Fate(fails="no such image: jellyfin:11")]
    house.push(media("jellyfin:11"))
    assert house.run().state == "refuted"
    house.run()
    assert house.komodo.done() == ["DeployStack media"] * 2
    assert '"jellyfin:11"' in house.komodo.stacks["media"].config["file_contents"]
    undone = house.events(events.ApplyUndone)[-1]
    assert (undone.proven, "left as it failed" in undone.reason) == (False, True)
    give(house, media("jellyfin:12"))
    assert '"jellyfin:12"' in house.komodo.stacks["media"].deployed
