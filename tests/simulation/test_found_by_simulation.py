"""What the simulation found, told one by one."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.git import proposals
from reconciler.traefik import render as rendering
from state import events, views
from state.model import Address
from tests.simulation import plays
from tests.simulation.deeds import Stage
from tests.simulation.fate import CHANGE, LOOK, Died
from tests.simulation.home import Setting
from tests.simulation.people import document, text
from tests.simulation.schedule import theatre

LIVE = "/traefik/mcp-managed/waypost.yml"


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A home whose first commit is live: app0, app1 behind authentication, and gitea, which is protected."""
    with theatre() as place, place.stage(Setting(), 0) as made:
        yield made


def told(stage: Stage, kind: type[events.Event]) -> list[Any]:
    return [one.event for one in stage.home.usable().log.events if isinstance(one.event, kind)]


def live(stage: Stage) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stage.home.disk.content(LIVE) or b"{}")
    return found.get("http", {})


def test_what_is_missing_from_a_live_file_that_cannot_be_read_counts_as_removed_by_nobody(stage: Stage) -> None:
    content = stage.home.disk.content(LIVE)
    assert content is not None
    stage.people.write_live("traefik", content[:-40])
    stage.people.push({"traefik/gitea.yaml": None})

    assert stage.home.run() is not None

    assert not told(stage, events.ResourcesAdopted)
    base = stage.home.usable().log.view(views.Applied).base("traefik")
    assert Address("traefik", "http.routers", "gitea") in base


def test_a_protected_route_is_not_lost_by_way_of_a_broken_live_file(stage: Stage) -> None:
    content = stage.home.disk.content(LIVE)
    assert content is not None
    stage.people.write_live("traefik", content[:-40])
    stage.people.push({"traefik/gitea.yaml": None})
    stage.home.run()
    stage.people.push({"traefik/app2.yaml": text(document("app2", 1))})

    for _ in range(4):
        stage.home.run()

    assert "gitea@file" in stage.home.traefiks["traefik"].served.items["http.routers"]
    held = stage.home.usable().log.view(views.Main).held
    assert held and [refusal["guard"] for refusal in held.plan.refusals].count("protected")


def test_a_new_route_that_an_edit_by_hand_kept_from_being_proven_can_still_be_removed(stage: Stage) -> None:
    stage.people.push({"traefik/app2.yaml": text(document("app2", 1))})

    def edited() -> None:
        found = json.loads(stage.home.disk.content(LIVE) or b"{}")
        found["http"]["services"]["app0"] = document("app0", 7)["http"]["services"]["app0"]
        stage.people.write_live("traefik", text(found))

    def when_written(path: str) -> None:
        if path == LIVE and "app2" in live(stage).get("routers", {}):
            stage.home.disk.watchers.remove(when_written)
            stage.home.time.passing.append(edit_once)

    def edit_once() -> None:
        stage.home.time.passing.remove(edit_once)
        edited()

    stage.home.disk.watchers.append(when_written)
    stage.home.run()
    assert "app2" in live(stage)["routers"]
    stage.people.push({"traefik/app2.yaml": None})
    stage.home.run()
    stage.people.answer_drift()

    for _ in range(3):
        stage.home.run()

    assert "app2" not in live(stage)["routers"]


def test_before_anything_is_written_over_a_write_in_doubt_what_was_proven_last_is_put_back(stage: Stage) -> None:
    proven = live(stage)
    stage.home.traefiks["traefik"].watching = False
    stage.people.push({"traefik/app2.yaml": text(document("app2", 1))})
    stage.home.run()
    assert stage.home.usable().log.view(views.Attempts).open

    stage.people.push({"traefik/app3.yaml": text(document("app3", 1))})
    stage.home.run()

    standing = live(stage)
    assert standing["routers"] == proven["routers"]
    assert not stage.home.usable().log.view(views.Attempts).open
    assert "something newer" in told(stage, events.ApplyAbandoned)[-1].reason


def test_a_poison_that_nobody_could_prove_never_becomes_what_an_undo_puts_back(stage: Stage) -> None:
    traefik = stage.home.traefiks["traefik"]
    traefik.mood = "denies"  # so that nobody can say how the poison went
    stage.people.push({"traefik/app2.yaml": text(document("app2", 1, flaw="poison"))})
    stage.home.run()
    traefik.mood = ""
    stage.people.push({"traefik/app3.yaml": text(document("app3", 1))})

    for _ in range(4):
        stage.home.run()
    assert "app2-headers" not in live(stage)["middlewares"]
    assert traefik.running_file == stage.home.disk.content(LIVE)

    stage.people.push({"traefik/app2.yaml": text(document("app2", 1))})
    for _ in range(2):
        stage.home.run()
    assert {"app2", "app3"} <= live(stage)["routers"].keys()
    assert traefik.running_file == stage.home.disk.content(LIVE)


def test_while_the_log_is_full_nobody_is_told_the_same_with_every_pass(stage: Stage) -> None:
    stage.home.traefiks["traefik"].mood = "down"

    def full() -> None:
        stage.home.log_ailment = "full"

    stage.home.run({(CHANGE, 5): full})  # TargetLost and AlertRaised are two changes each
    for _ in range(3):
        stage.home.time.pass_by(60)
        stage.home.run()
    stage.home.log_ailment = ""
    stage.home.run()

    lost = [name for name, message in stage.home.told if message.fingerprint == "lost/traefik"]
    assert sorted(lost) == ["ada", "bob"]
    assert told(stage, events.AlertDelivered)[-1].receivers


def test_a_death_between_the_branch_of_a_revert_and_its_record_does_not_keep_it_from_being_proposed(
    stage: Stage,
) -> None:
    stage.people.push({"traefik/app2.yaml": text(document("app2", 1, flaw="refused"))})
    stage.home.dies_at("append ProposalMade, ProposedRevert")
    stage.home.time.pass_by(60)

    stage.home.run()

    (proposed,) = told(stage, events.ProposedRevert)
    record = stage.people.records[proposed.proposal]
    assert stage.home.store.head(record.branch) == record.commit


def test_a_message_that_was_on_its_way_at_a_death_is_not_sent_again_and_is_reminded_of_a_day_later(
    stage: Stage,
) -> None:
    stage.home.traefiks["traefik"].mood = "down"
    stage.home.dies_at("append AlertDelivered")  # everybody took it, and nobody knows
    stage.home.run()

    doubted = told(stage, events.AlertDoubted)
    assert [one.receivers for one in doubted] == [("ada",), ("bob",)]
    assert [name for name, _ in stage.home.told] == ["ada", "bob"]
    stage.home.time.pass_by(86_400)
    stage.home.run()
    assert [name for name, _ in stage.home.told] == ["ada", "bob", "ada", "bob"]


def test_an_end_that_was_on_its_way_at_a_death_is_not_told_again(stage: Stage) -> None:
    traefik = stage.home.traefiks["traefik"]
    traefik.mood = "down"
    stage.home.run()
    traefik.mood = ""
    stage.home.dies_at("append AlertDelivered")
    stage.home.run()

    assert len(stage.home.told) == 4
    assert [one.recovery for one in told(stage, events.AlertDoubted)] == [True, True]


def test_whoever_heard_of_a_trouble_while_the_log_was_full_hears_of_its_end(stage: Stage) -> None:
    traefik = stage.home.traefiks["traefik"]
    traefik.mood = "down"

    def full() -> None:
        stage.home.log_ailment = "full"

    stage.home.run({(CHANGE, "tell bob"): full})
    traefik.mood, stage.home.log_ailment = "", ""
    stage.home.run()

    assert [message.title for name, message in stage.home.told if name == "ada"] == [
        "Waypost: traefik does not answer",
        "Waypost: resolved: traefik does not answer",
    ]


def test_a_receiver_that_said_no_is_told_by_the_next_process(stage: Stage) -> None:
    stage.home.traefiks["traefik"].mood = "down"
    stage.home.refusing = frozenset({"ada"})
    stage.home.run()
    stage.home.stop()
    stage.home.refusing = frozenset()
    stage.home.run()

    assert [name for name, _ in stage.home.told] == ["bob", "ada"]
    assert not told(stage, events.AlertDoubted)


def test_what_a_process_wrote_that_died_before_flushing_it_is_flushed_before_it_is_proven(stage: Stage) -> None:
    stage.people.push({"traefik/app2.yaml": text(document("app2", 1))})
    write = "rename to /traefik/mcp-managed/waypost.yml"
    process = stage.home.start()
    due = {(CHANGE, write): lambda: process.fate.expect({(CHANGE, "flush /traefik/mcp-managed"): process.fate.die})}
    assert stage.home.run(due) is None
    stage.home.run()
    assert [one.commit for one in told(stage, events.ApplyProven)][-1] == stage.people.main

    stage.home.bury()
    stage.home.disk.lose_power(plays.Unlucky())

    assert "app2" in live(stage)["routers"]


def test_a_file_that_was_broken_by_hand_is_not_put_back_when_the_write_over_it_is_in_doubt(stage: Stage) -> None:
    content = stage.home.disk.content(LIVE)
    assert content is not None
    stage.home.traefiks["traefik"].watching = False
    stage.people.write_live("traefik", content[:-40])
    for name in ("app2", "app3"):  # the second one has to make way for itself
        stage.people.push({f"traefik/{name}.yaml": text(document(name, 1))})
        stage.home.run()

    assert told(stage, events.ApplyAbandoned)
    assert {"app0", "app1", "gitea"} == live(stage)["routers"].keys()


def test_a_revert_whose_commit_was_only_half_written_is_proposed_whole(stage: Stage) -> None:
    stage.people.push({"traefik/app2.yaml": text(document("app2", 1, flaw="refused"))})
    stage.home.dies_at("write an object")
    stage.home.time.pass_by(60)

    stage.home.run()

    (revert,) = told(stage, events.ProposedRevert)
    assert "traefik/app2.yaml" not in stage.people.files(proposal(stage, revert.proposal))


def proposal(stage: Stage, id: str) -> str:
    return str(stage.home.store.repository.references[f"refs/heads/proposals/{id}"].target)


def test_a_proposal_cut_off_at_any_of_its_objects_is_made_whole_by_the_same_call(stage: Stage) -> None:
    for number in itertools.count(1):
        call = functools.partial(
            proposals.propose, parent=stage.people.main or "", edits={f"traefik/n{number}.yaml": b"# new"},
            id=f"p{number}", title="a route", body="", trailers={}, author="a model <model@home>",
            at=stage.home.time.wall,
        )  # fmt: skip
        process = stage.home.start()
        process.fate.expect({(CHANGE, number): process.fate.die})
        try:
            call(process.world.store)
        except Died:
            stage.home.bury()
        else:
            break
        commit = call(stage.home.start().world.store)
        assert proposal(stage, f"p{number}") == commit
        assert stage.people.files(commit)[f"traefik/n{number}.yaml"] == b"# new"
    assert number > 5, "a file, two directories and a commit, then a branch"


def test_where_nothing_was_ever_proven_a_broken_file_of_ours_is_told_once_and_left_alone() -> None:
    with theatre() as place, place.stage(Setting(), 0, settled=False) as stage:
        broken = f'{{"http": {{"middlewares": {{"{rendering.MARKER_PREFIX}0": '.encode()
        stage.people.write_live("traefik", broken)

        said = {outcome.said for outcome in [stage.home.run() for _ in range(3)] if outcome}

        assert len(said) == 1 and "Mend that file" in said.pop()
        assert len(told(stage, events.ProbeFailed)) == 1
        assert not [line for line in stage.home.trace.lines if line.startswith(f"rename to {LIVE}")]


def test_what_was_proven_is_served_again_when_only_the_notice_of_a_neighbours_end_was_lost(stage: Stage) -> None:
    plays.only_the_notice_of_a_neighbours_end_is_lost(stage)


def test_a_hand_edit_that_traefik_missed_is_not_served_by_our_doing(stage: Stage) -> None:
    traefik = stage.home.traefiks["traefik"]
    content = stage.home.disk.content(LIVE)
    assert content is not None
    running = traefik.running_file
    traefik.losing = 99
    edited = content.replace(marker := rendering.MARKER_PREFIX.encode(), marker + b"0").replace(b"app0", b"mine")
    stage.people.write_live("traefik", edited)
    traefik.losing = 0
    stage.home.run()
    stage.home.time.pass_by(1)

    assert traefik.running_file == running != stage.home.disk.content(LIVE)


def test_a_write_in_doubt_is_tried_again_beside_the_last_good_state_once_traefik_may_notice_it(stage: Stage) -> None:
    plays.a_poison_is_written_while_notices_get_lost(stage)
    assert {"app0", "app1", "gitea"} == live(stage)["routers"].keys()


def test_power_that_goes_between_the_halves_of_a_rename_leaves_no_way_to_write_into_the_live_file(stage: Stage) -> None:
    plays.the_power_goes_between_the_halves_of_a_rename(stage)
    assert {"app0", "app1", "app2", "gitea"} == live(stage)["routers"].keys()


def test_what_was_put_back_while_the_machine_fell_asleep_is_served_in_the_end(stage: Stage) -> None:
    stage.people.push({"traefik/app2.yaml": text(document("app2", 1, flaw="refused"))})
    plays.dies_after(stage, f"rename to {LIVE}", f"rename to {LIVE}", "flush /traefik/mcp-managed")
    process = stage.home.start()
    asleep = {(LOOK, 3): functools.partial(stage.home.time.pass_by, 3600)}
    stage.home.run({(CHANGE, "flush /traefik/mcp-managed"): lambda: process.fate.expect(asleep)})
    (undone,) = told(stage, events.ApplyUndone)
    assert not undone.proven

    stage.home.run()
    stage.home.time.pass_by(1)

    assert stage.home.traefiks["traefik"].running_file == stage.home.disk.content(LIVE)
