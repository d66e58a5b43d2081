"""A push was answered for, and the reconciler dies: a second delivery finds it done once, and does nothing twice."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from reconciler import founding, home
from state import events
from state.events import Event
from state.log import EventLog
from tests import plain_http
from tests.stories.conftest import House
from tests.stories.test_alerts import receiver
from tests.stories.test_faults_of_traefik import LosingItsTongue
from tests.stories.test_webhooks import GIVES_UP, PUSH, ROUTE, SELDOM

DELIVERY = "f6266f16-1bf3-46a5-9ea4-602e06ead473"
DUE = (202, {"taken": True, "said": "a pass is due"})


class Witness(LosingItsTongue):
    """Stands before the real Traefik, and knows when it is asked."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.when_asked: Callable[[], object] = int

    def _passed_on(self, asked: bytes) -> bytes:
        self.when_asked()
        return super()._passed_on(asked)


@dataclass
class Hooked:
    """A home whose desired repo is elsewhere, the processes that had it, and somebody who calls as Gitea does."""

    house: House
    witness: Witness
    address: str
    client: Any
    told: list[str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYPOST_")}
        command = [sys.executable, "-m", "reconciler", "--home", str(self.house.home.path), "serve-reconciler"]
        quiet = subprocess.DEVNULL
        self.processes.append(subprocess.Popen(command, env=kept, stdout=quiet, stderr=quiet))
        self.house.until(lambda: self.ask("status").get("passes"), "the first pass")

    def kill(self) -> None:
        self.processes[-1].kill()
        assert self.processes[-1].wait(20) == -9

    def deliver(self) -> tuple[int, Any]:
        """What Gitea sends, the first time and whenever somebody has it sent again: the same, to the last byte."""
        signature = hmac.new(b"old", PUSH, hashlib.sha256).hexdigest()
        named = {"X-Gitea-Event": "push", "X-Gitea-Signature": signature, "X-Gitea-Delivery": DELIVERY}
        answer = self.client.post(f"http://{self.address}/webhooks/gitea", content=PUSH, headers=named)
        return answer.status_code, answer.json()

    def ask(self, question: str) -> dict[str, Any]:
        with contextlib.suppress(httpx2.TransportError):
            return dict(self.client.get(f"http://{self.address}/query/{question}").json())
        return {}

    def come_to_rest(self) -> None:
        """What was delivered is over."""
        self.house.until(lambda: all(one["is_over"] for one in self.ask("webhooks")["deliveries"]), "the passes")

    def recorded(self, *kinds: type[Event]) -> list[Any]:
        """The events of these kinds, whoever has the home."""
        with contextlib.closing(EventLog.open(self.house.home.log_path, now=now, readonly=True)) as log:
            return [one.event for one in log.read() if not kinds or isinstance(one.event, kinds)]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def witness(house: House) -> Iterator[Witness]:
    one = Witness(house.traefik.ports["traefik"])
    thread = threading.Thread(target=one.serve)
    thread.start()
    yield one
    one.close()
    thread.join()


@pytest.fixture
def away(tmp_path: Path, house: House, witness: Witness, free_port: Callable[[], int]) -> Iterator[Hooked]:
    """Nothing elsewhere is watched, and the next look on schedule is hours away: only a webhook makes a pass due."""
    house.push({"waypost.yaml": SELDOM})
    elsewhere = tmp_path / "desired.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(house.clone), str(elsewhere)], check=True)
    house.git("remote", "set-url", "origin", str(elsewhere))
    (tmp_path / "secret").write_text("old")
    address = f"127.0.0.1:{free_port()}"
    with receiver() as (alerts, told), plain_http.Client(timeout=GIVES_UP) as client:
        chosen = {
            "WAYPOST_DESIRED_REPO": f"file://{elsewhere}",
            "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(house.traefik.directory),
            "WAYPOST_TRAEFIK_API_URL": witness.url,
            "WAYPOST_TRAEFIK_DEADLINE": "5s",
            "WAYPOST_WEBHOOK_SECRETS": f"file:{tmp_path / 'secret'}",
            "WAYPOST_RECONCILER_LISTEN": address,
            "WAYPOST_ALERT_URLS": alerts,
        }
        house.home = home.open(founding.create(tmp_path / "hooked", chosen=chosen, environ={}, now=now).path, {})
        one = Hooked(house, witness, address, client, told)
        one.start()
        yield one
        one.processes[-1].kill()
        one.processes[-1].wait(20)


def dies_at_once(away: Hooked) -> None:
    assert away.deliver() == DUE
    away.kill()


def dies_while_it_proves(away: Hooked) -> None:
    """The new route stands in our file, and Traefik is asked whether it serves it."""

    def die() -> None:
        if b"hello.lab" in away.house.live_file.read_bytes():
            away.processes[-1].kill()

    away.witness.when_asked = die
    assert away.deliver() == DUE
    assert away.processes[-1].wait(20) == -9
    away.witness.when_asked = int
    begun, proven = away.recorded(events.ApplyStarted)[-1], away.recorded(events.ApplyProven)
    assert "hello.lab" in str(begun.changes) and begun.attempt not in [one.attempt for one in proven]


@pytest.mark.parametrize("dies", [dies_at_once, dies_while_it_proves], ids=lambda dies: dies.__name__)
def test_what_was_answered_before_a_death_is_done_once_however_often_it_is_delivered_again(
    away: Hooked, dies: Callable[[Hooked], None]
) -> None:
    commit = away.house.push({"traefik/hello.yaml": ROUTE})
    dies(away)
    away.start()
    assert away.deliver() == DUE  # it is what it was: a reason to look, whatever came of the first
    away.come_to_rest()
    assert away.house.status("hello.lab") != 404

    done = away.recorded()
    assert away.deliver() == DUE
    away.come_to_rest()

    assert away.recorded() == done, "a look that finds nothing new records nothing"
    assert away.ask("status")["state"] == "nothing"
    heard = away.ask("webhooks")
    assert (heard["taken"], heard["not_taken"]) == (2, 0)  # of those that this process was asked
    assert {one["delivery"] for one in heard["deliveries"]} == {DELIVERY}
    assert [one.commit for one in away.recorded(events.RevisionMade)].count(commit) == 1
    begun = [one for one in away.recorded(events.ApplyStarted) if one.commit == commit]
    given_up = {one.attempt for one in away.recorded(events.ApplyAbandoned)}
    (carried_out,) = [one for one in begun if one.attempt not in given_up]
    assert {one.digest for one in begun} == {carried_out.digest}
    assert [one.attempt for one in away.recorded(events.ApplyProven)].count(carried_out.attempt) == 1
    assert not away.recorded(events.ApplyRefuted, events.ApplyUndone, events.DriftFound, events.AlertRaised)
    assert away.told == []
