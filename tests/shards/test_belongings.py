"""The gateway's own directory: mended at start, made anew while it runs, and no larger than what waits."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlite_utils import Database

from reconciler.home import Lock, lock
from reconciler.ports import SystemClock
from shards import __main__ as process
from state.events import ProposalMade, ToolCalled
from tests.shards.serving import AT, ROUTE, Answers, DesiredRepo, Waypost, gateway_over

MakeWaypost = Callable[..., Waypost]


# ── the clone ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("part", ["", "objects", "refs", "HEAD"])
def test_a_clone_deleted_while_the_gateway_runs_is_made_anew(waypost: Waypost, part: str) -> None:
    waypost.answer("traefik_create_route", **ROUTE)
    gone = waypost.settings.clone / part
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    proposed = waypost.answer("traefik_create_route", **{**ROUTE, "name": "again"})
    assert waypost.clone.commit(proposed["commit"]).parents == (waypost.desired.main,)
    assert waypost.answer("proposals_get", proposal=proposed["proposal"])["commit"] == proposed["commit"]


def test_reading_goes_on_without_a_clone_too(waypost: Waypost) -> None:
    before = waypost.answer("traefik_list_routes")
    shutil.rmtree(waypost.settings.clone)
    assert waypost.answer("traefik_list_routes") == before
    shutil.rmtree(waypost.settings.clone)
    assert waypost.answer("proposals_list")["proposals"] == []


def test_what_a_killed_gateway_left_locked_does_not_hinder_the_next(desired: DesiredRepo, tmp_path: Path) -> None:
    with gateway_over(desired, tmp_path / "gateway") as waypost:
        waypost.answer("traefik_create_route", **ROUTE)
    stale = waypost.settings.clone / "refs" / "heads" / "main.lock"
    stale.touch()
    desired.commit({"traefik/other.yaml": b"http: {services: {a: {loadBalancer: {servers: [{url: http://a}]}}}}\n"})
    with gateway_over(desired, tmp_path / "gateway") as waypost:
        waypost.answer("traefik_create_route", **{**ROUTE, "name": "after"})
    assert not stale.exists()


def test_the_locks_of_a_gateway_that_runs_are_left_alone(make_waypost: MakeWaypost) -> None:
    first = make_waypost()
    held = first.settings.clone / "refs" / "heads" / "x.lock"
    held.parent.mkdir(parents=True, exist_ok=True)
    held.touch()
    make_waypost()
    assert held.exists()


def test_a_gateway_that_ended_lets_go_of_its_directory(desired: DesiredRepo, tmp_path: Path) -> None:
    with gateway_over(desired, tmp_path / "gateway") as waypost:
        place = waypost.settings.directory / "gateway.lock"
        assert not isinstance(lock(place), Lock)
    held = lock(place)
    assert isinstance(held, Lock)
    held.close()


# ── settled proposals ────────────────────────────────────────────────────────────────────────────


def told(proposed: dict[str, str], status: str, **more: str) -> dict[str, str]:
    return {"id": proposed["proposal"], "commit": proposed["commit"], "status": status, **more}


def test_branches_that_the_reconciler_says_are_settled_go_when_main_moves(
    make_waypost: MakeWaypost, reconciler: str, answers: Answers, desired: DesiredRepo
) -> None:
    waypost = make_waypost(reconciler_url=reconciler)
    names = ("approved", "rejected", "open", "unheard", "other-commit")
    made = {name: waypost.answer("traefik_create_route", **{**ROUTE, "name": name}) for name in names}
    answers.told["plan"] = {"plan": {"digest": "d" * 64}}
    answers.told["proposals"] = {
        "proposals": [
            told(made["approved"], "approved"),
            told(made["rejected"], "rejected"),
            told(made["open"], "open"),
            told(made["other-commit"], "approved", commit="1" * 40),
        ]
    }
    desired.commit({"README.md": b"main moved"})
    last = waypost.answer("traefik_create_route", **{**ROUTE, "name": "last"})
    kept = {made[name]["branch"] for name in ("open", "unheard", "other-commit")} | {last["branch"]}
    assert waypost.proposals.keys() == kept


def test_nothing_is_deleted_while_the_reconciler_does_not_say_what_is_settled(
    make_waypost: MakeWaypost, reconciler: str, answers: Answers
) -> None:
    waypost = make_waypost(reconciler_url=reconciler)
    answers.told["plan"] = {"plan": {"digest": "d" * 64}}
    first = waypost.answer("traefik_create_route", **ROUTE)
    answers.told["proposals"] = {"proposals": "soon"}
    second = waypost.answer("traefik_create_route", **{**ROUTE, "name": "second"})
    assert waypost.proposals.keys() == {first["branch"], second["branch"]}


def test_a_settled_proposal_can_still_be_looked_at(waypost: Waypost) -> None:
    proposed = waypost.answer("traefik_create_route", **ROUTE)
    waypost.desired.store.repository.remotes.create_anonymous(str(waypost.settings.clone)).fetch(
        ["refs/heads/proposals/*:refs/heads/proposals/*"]
    )
    waypost.clone.remove(f"refs/heads/{proposed['branch']}")
    assert waypost.answer("proposals_get", proposal=proposed["proposal"])["commit"] == proposed["commit"]


# ── the outbox ───────────────────────────────────────────────────────────────────────────────────


class Standing(SystemClock):
    """A clock that stands."""

    def now(self) -> datetime:
        return AT


def spoiled(outbox: Path) -> bytes:
    content = b"no outbox any more" * 1000
    outbox.write_bytes(content)
    return content


def test_a_damaged_outbox_is_set_aside_whole_and_proposals_are_recorded_again(
    desired: DesiredRepo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with gateway_over(desired, tmp_path / "gateway") as waypost:
        proposed = waypost.answer("traefik_create_route", **ROUTE)
    content = spoiled(waypost.settings.outbox)
    with gateway_over(desired, tmp_path / "gateway") as waypost:
        waypost.answer("traefik_list_routes")
        made, called = (row.event for row in waypost.outbox())
    assert isinstance(made, ProposalMade)
    assert made.commit == proposed["commit"]
    assert isinstance(called, ToolCalled)
    (aside,) = tmp_path.glob("gateway/outbox.db.damaged-*Z")
    assert aside.read_bytes() == content
    (said,) = [record.getMessage() for record in caplog.records if "outbox" in record.getMessage()]
    assert str(aside) in said
    assert "tool calls" in said


def test_two_damages_in_one_second_are_both_kept(desired: DesiredRepo, tmp_path: Path) -> None:
    for _ in range(2):
        with gateway_over(desired, tmp_path / "gateway", clock=Standing()) as waypost:
            assert waypost.outbox() == []
        spoiled(waypost.settings.outbox)
    with gateway_over(desired, tmp_path / "gateway", clock=Standing()) as waypost:
        assert waypost.outbox() == []
    kept = sorted(path.name for path in tmp_path.glob("gateway/outbox.db.damaged-*"))
    assert kept == ["outbox.db.damaged-20260102T030405Z", "outbox.db.damaged-20260102T030405Z-2"]


def test_an_outbox_that_lost_its_tables_counts_as_damaged(desired: DesiredRepo, tmp_path: Path) -> None:
    with gateway_over(desired, tmp_path / "gateway") as waypost:
        waypost.answer("traefik_list_routes")
    database = Database(waypost.settings.outbox)
    database["identity"].drop()
    database.close()
    with gateway_over(desired, tmp_path / "gateway") as waypost:
        assert waypost.outbox() == []
    assert list(tmp_path.glob("gateway/outbox.db.damaged-*Z"))


# ── what it says ─────────────────────────────────────────────────────────────────────────────────


class Terminal(io.StringIO):
    """A terminal that keeps what was written to it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_traceback_shows_no_local_variable(stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    said = stream()
    monkeypatch.setattr("sys.stderr", said)
    process._log_to_stderr()
    password = "hunter2" * 3
    try:
        raise ValueError("unforeseen")
    except ValueError:
        logging.getLogger("waypost.gateway").exception("a tool failed")
    assert "unforeseen" in said.getvalue()
    assert password not in said.getvalue()
