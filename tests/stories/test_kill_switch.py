"""The kill switch that is set for the running reconciler alone holds for everybody who works through it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler import founding, home
from reconciler.query_client import QueryClient
from reconciler.session import CommandError, opened
from state import events
from state.log import EventLog
from state.outbox import Outbox
from tests.stories.conftest import House

ROUTE = {"http": {"middlewares": {"small": {"compress": {}}}}}
ADDRESS = "traefik/http.middlewares/small"


@pytest.fixture
def house(tmp_path: Path, until: Callable[..., None], free_port: Callable[[], int]) -> House:
    """A home without any target, so that a pass takes no time."""
    listen = {"WAYPOST_RECONCILER_LISTEN": f"127.0.0.1:{free_port()}"}
    made = founding.create(tmp_path / "home", chosen=listen, environ={}, now=lambda: datetime.now(UTC))
    return House(home.open(made.path, {}), None, tmp_path / "clone", until)


@pytest.fixture
def switched(house: House) -> Iterator[subprocess.Popen[bytes]]:
    """A reconciler of that home with the switch on; whoever sits at a shell beside it knows nothing of that."""
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", "--home", str(house.home.path), "serve-reconciler"],
        env={**os.environ, "WAYPOST_READ_ONLY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    query = QueryClient(house.home.settings.query_url)
    house.until(lambda: isinstance(told := query.status(), dict) and told["passes"], "the first pass")
    query.close()
    yield process
    process.terminate()
    process.wait(20)


ANSWERS = {
    "approve": ("approve", "p1", "--plan", "000000"),
    "reject": ("reject", "p1"),
    "roll back": ("rollback", "1", "--approve"),
    "heal": ("drift", "--heal", "all"),
    "accept": ("drift", "--accept", ADDRESS, "--until", "2999-01-01"),
    "adopt": ("drift", "--adopt", ADDRESS),
    "move": ("remote", "set", "file:///nowhere/desired.git"),
}


def test_what_the_running_reconciler_would_not_do_nobody_records_beside_it(
    house: House, waypost: Callable[..., tuple[int, str]], request: pytest.FixtureRequest
) -> None:
    id = house.propose({"traefik/small.yaml": ROUTE})
    switched = request.getfixturevalue("switched")
    with opened(house.home) as one:
        main = one.head()
    for name, words in ANSWERS.items():
        code, said = waypost(*words)
        assert (code, f"process {switched.pid}" in said, "WAYPOST_READ_ONLY" in said) == (3, True, True), (name, said)
    with opened(house.home) as one:
        for decide in (lambda: one.merge(one.proposal(id)), lambda: one.consent(one.plan().plan)):
            with pytest.raises(CommandError, match="is read-only"):
                decide()
        assert (one.head(), one.proposal(id).status) == (main, "open")
    assert {type(one) for one in _said_by_people(house)} == {events.ProposalMade}


def test_the_switch_of_the_settings_holds_for_every_answer_and_looking_goes_on(
    house: House, waypost: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.propose({"traefik/small.yaml": ROUTE})
    monkeypatch.setenv("WAYPOST_READ_ONLY", "true")
    for name, words in ANSWERS.items():
        code, said = waypost(*words)
        assert (code, "turn the switch off first" in said) == (3, True), (name, said)
    assert {waypost(*words)[0] for words in (("proposals",), ("drift",), ("token", "create", "claude"))} == {0}
    assert {type(one) for one in _said_by_people(house)} == {events.ProposalMade, events.TokenMade}


def test_without_the_switch_the_same_answers_go_through(house: House, waypost: Callable[..., tuple[int, str]]) -> None:
    id = house.propose({"traefik/small.yaml": ROUTE})
    assert waypost("reject", id)[0] == 0
    log = EventLog.open(house.home.log_path, now=lambda: datetime.now(UTC), readonly=True)
    assert [one.event.proposal for one in log.read() if isinstance(one.event, events.ProposalRejected)] == [id]
    log.close()


def _said_by_people(house: House) -> list[events.Event]:
    people = Outbox.open(house.home.people_path, lambda: datetime.now(UTC), readonly=True)
    try:
        return [row.event for row in people.read(0)]
    finally:
        people.close()
