"""What the gateway and people left for the reconciler: taken in once, refused in words, never passed over."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler import founding, reviewing
from reconciler.doctor import check_up
from reconciler.doctor import intake as doctor_intake
from reconciler.doctor.check_up import Deployment
from reconciler.git import proposals
from reconciler.git.store import Store
from reconciler.home import Home
from reconciler.ports import SystemClock
from reconciler.world import World
from state import events
from state.log import Entry, EventLog
from state.outbox import Outbox
from state.outbox_file import INSERT
from state.views import Proposals

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CALLED = events.ToolCalled(shard="traefik", tool="get_route", client="m", outcome="ok", arguments_digest="d")


class Clock(SystemClock):
    """A clock that a test moves."""

    at = START

    def now(self) -> datetime:
        return self.at


@dataclass
class House:
    """A home whose reconciler is this test."""

    home: Home
    world: World
    clock: Clock
    gateway: Store

    def outbox(self) -> Outbox:
        return Outbox.open(self.home.gateway_outbox_path, self.clock.now, create=True)

    def propose(self, id: str) -> str:
        """A proposal as the gateway makes it."""
        main = proposals.follow(self.gateway, self.home.desired_store_path)
        commit = proposals.propose(
            self.gateway,
            parent=main,
            edits={f"traefik/{id}.yaml": b"http: {}\n"},
            id=id,
            title=f"Propose {id}",
            body="",
            trailers={"Waypost-Request": f"request-{id}"},
            author="model <model@localhost>",
            at=START,
        )
        self.say(made(id, commit, main), f"proposal/{id}")
        return commit

    def say(self, event: events.Event, stream: str = "gateway") -> None:
        with closing(self.outbox()) as box:
            box.put(event, stream=stream, actor="model")

    def raw(self, *values: Any) -> None:
        """A row as no outbox of ours would write it."""
        with closing(self.outbox()) as box:
            box._database.conn.execute(INSERT, values)

    def refused(self) -> list[events.IntakeRefused]:
        found = [recorded.event for recorded in self.world.log.read()]
        return [event for event in found if isinstance(event, events.IntakeRefused)]

    def findings(self) -> dict[str, Any]:
        return {one.check: one for one in doctor_intake.examine(self.home, self.clock)}


def made(id: str, commit: str, parent: str) -> events.ProposalMade:
    return events.ProposalMade(
        proposal=id,
        branch=f"proposals/{id}",
        commit=commit,
        parent=parent,
        tool="create_route",
        client="model",
        title=id,
        resources=(),
    )


@pytest.fixture
def house(tmp_path: Path) -> Any:
    clock = Clock()
    home = founding.create(tmp_path / "home", environ={}, now=clock.now)
    with closing(EventLog.open(home.log_path, now=clock.now)) as log:
        world = World(
            log=log,
            store=Store.open(home.desired_store_path),
            targets={},
            clock=clock,
            chance=os.urandom,
            gateway_clone=home.gateway_clone_path,
            gateway_outbox=home.gateway_outbox_path,
            people_outbox=home.people_path,
            source=home.desired_source,
        )
        yield House(home, world, clock, Store.create(home.gateway_clone_path))


# ── proposals ────────────────────────────────────────────────────────────────────────────────────


def test_a_thousand_decided_proposals_do_not_keep_the_next_one_out(house: House, monkeypatch: Any) -> None:
    monkeypatch.setattr("reconciler.git.ingest.WAITING_LIMIT", 2)
    for id in ("a1", "a2", "a3"):
        house.propose(id)
        reviewing.take_in(house.world)
        house.world.log.append(
            Entry(stream=f"proposal/{id}", event=events.ProposalRejected(proposal=id, reason="not wanted"))
        )
    house.propose("zlast")
    assert reviewing.take_in(house.world) == ()
    record = house.world.log.view(Proposals).items["zlast"]
    assert reviewing.arrived(house.world, record)
    assert house.refused() == []


def test_too_many_undecided_proposals_are_said_once_and_the_doctor_says_so_too(house: House, monkeypatch: Any) -> None:
    monkeypatch.setattr("reconciler.git.ingest.WAITING_LIMIT", 2)
    for id in ("a1", "a2", "a3"):
        house.propose(id)
    (trouble,) = reviewing.take_in(house.world)
    reviewing.take_in(house.world)
    (refused,) = house.refused()
    assert (refused.source, refused.what, refused.reason) == ("gateway", "proposals", trouble)
    assert "holds more than 2 undecided proposals" in house.findings()["proposals of the gateway"].found


def test_a_proposal_whose_commit_is_not_here_has_not_arrived(house: House) -> None:
    main = house.world.store.head() or ""
    house.say(made("ghost", "1" * 40, main), "proposal/ghost")
    reviewing.take_in(house.world)
    assert not reviewing.arrived(house.world, house.world.log.view(Proposals).items["ghost"])


@pytest.mark.parametrize(
    "end",
    [
        events.ProposalRejected(proposal="a", reason="no"),
        events.ProposalClosed(proposal="a", reason="too old"),
        events.ProposalSuperseded(proposal="a", by="b", reason="newer"),
        events.ProposalWithdrawn(proposal="a", reason="no more"),
        events.CommitApproved(commit="c", via="rebase", proposal="a"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_the_branch_of_a_settled_proposal_goes_after_a_month_and_its_commit_stays(
    house: House, end: events.Event
) -> None:
    commit = house.propose("a")
    reviewing.take_in(house.world)
    house.clock.at += timedelta(days=60)  # open for long is not settled for long
    reviewing.take_in(house.world)
    house.world.log.append(Entry(stream="proposal/a", event=end))
    house.clock.at += reviewing.KEPT
    reviewing.take_in(house.world)
    assert proposals.proposals(house.world.store) == {"a": commit}
    house.clock.at += timedelta(seconds=1)
    reviewing.take_in(house.world)
    reviewing.take_in(house.world)
    assert proposals.proposals(house.world.store) == {}
    record = house.world.log.view(Proposals).items["a"]
    assert (record.commit, reviewing.arrived(house.world, record)) == (commit, True)


def test_a_branch_that_nobody_proposed_is_left_to_its_owner(house: House) -> None:
    head = house.world.store.head() or ""
    house.world.store.move("refs/heads/proposals/mine", head, was=None)
    house.clock.at += timedelta(days=400)
    reviewing.take_in(house.world)
    assert proposals.proposals(house.world.store) == {"mine": head}


# ── outboxes ─────────────────────────────────────────────────────────────────────────────────────


def test_refused_rows_are_recorded_once_for_each_reason(house: House) -> None:
    for number in range(3):
        house.raw(f"id{number}", START.isoformat(), "gateway", "m", "r", "CommitApproved", 1, "{}")
    house.say(CALLED)
    for _ in range(2):
        assert reviewing.take_in(house.world) == ()
    (refused,) = house.refused()
    assert (refused.source, refused.what) == ("gateway", "row 1")
    assert "may not say" in refused.reason
    finding = house.findings()["refused intake"]
    assert (finding.level, "row 1" in finding.found, bool(finding.remedy)) == ("warn", True, True)


def test_old_refusals_are_no_longer_worth_a_word(house: House) -> None:
    house.raw("id", START.isoformat(), "gateway", "m", "r", "CommitApproved", 1, "{}")
    reviewing.take_in(house.world)
    house.clock.at += timedelta(days=31)
    assert house.findings()["refused intake"].level == "ok"


@pytest.mark.parametrize("which", ["gateway", "people"])
def test_a_damaged_outbox_is_told_recorded_once_and_found_by_the_doctor(house: House, which: str) -> None:
    path = house.home.gateway_outbox_path if which == "gateway" else house.home.people_path
    with closing(Outbox.open(path, house.clock.now, create=True)):
        pass
    assert house.findings()[f"outbox of the {which}"].level == "ok"
    path.write_bytes(b"this was an outbox, and is none any more" * 200)
    (trouble,) = reviewing.take_in(house.world)
    assert "damaged" in trouble
    assert str(path) in trouble
    assert reviewing.take_in(house.world) == (trouble,)
    (refused,) = house.refused()
    assert (refused.what, refused.reason) == ("outbox", trouble)
    finding = house.findings()[f"outbox of the {which}"]
    assert finding.level == "fail"
    assert "log verify" not in finding.found + finding.remedy


def test_another_outbox_in_place_of_the_one_that_was_read_is_recorded(house: House) -> None:
    house.say(CALLED)
    reviewing.take_in(house.world)
    for path in house.home.gateway_path.glob("outbox.db*"):
        path.unlink()
    house.say(CALLED)
    for _ in range(2):
        assert reviewing.take_in(house.world) == ()
    (refused,) = house.refused()
    assert "is not the file that was read before" in refused.reason


def test_an_outbox_that_was_never_made_is_no_news(house: House) -> None:
    assert reviewing.take_in(house.world) == ()
    assert house.refused() == []
    assert {one.level for one in house.findings().values()} == {"ok"}


def test_what_the_gateway_set_aside_is_pointed_out_by_the_doctor(house: House) -> None:
    (house.home.gateway_path / "outbox.db.damaged-20260301T120000Z").touch()
    finding = house.findings()["outbox of the gateway"]
    assert (finding.level, "damaged-20260301T120000Z" in finding.found) == ("warn", True)


def test_all_of_it_is_part_of_the_doctors_examination(house: House) -> None:
    deployment = Deployment(home=house.home, clock=house.clock, environ={})
    assert house.findings().keys() <= {finding.check for finding in check_up.examine(deployment)}
