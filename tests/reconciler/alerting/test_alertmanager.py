"""A real Alertmanager is told of what stands and of its end, and forgets nothing by its own restart."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reconciler import alerts, config
from reconciler.alerting.alertmanager import Alertmanager
from reconciler.alerting.channels import Undelivered
from reconciler.alerting.receivers import Receivers
from reconciler.git.store import Store
from reconciler.ports import SystemClock
from reconciler.underway import Message
from reconciler.world import World
from state import events, views
from state.log import Entry, EventLog
from tests.conftest import wait_until
from tests.ports import free_port

PATH = f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin"
CONFIGURATION = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


@dataclass
class Manager:
    """A running Alertmanager on loopback."""

    url: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(urllib.request.urlopen(f"{self.url}/-/ready", timeout=2).status == 200)
        return False

    def alerts(self) -> list[dict[str, Any]]:
        """Those that it takes for standing."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            return list(json.load(answer))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    program = shutil.which("prometheus-alertmanager", path=PATH) or shutil.which("alertmanager", path=PATH)
    if program is None:
        pytest.skip("there is no prometheus-alertmanager here (Debian package prometheus-alertmanager)")
    directory, port = tmp_path_factory.mktemp("alertmanager"), free_port()
    (directory / "config.yml").write_text(CONFIGURATION)
    command = [
        program,
        f"--config.file={directory}/config.yml",
        f"--storage.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    manager = Manager(f"http://127.0.0.1:{port}", command)
    manager.start()
    yield manager
    manager.stop()


@pytest.fixture
def manager(running: Manager) -> Manager:
    wait_until(lambda: running.ready, "the Alertmanager")
    return running


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock, targets = SystemClock(), {"traefik": None}
    with contextlib.closing(EventLog.open(tmp_path / "log.db", now=clock.now, create=True)) as log:
        store = Store.create(tmp_path / "desired.git")
        yield World(log=log, store=store, targets=targets, clock=clock, chance=os.urandom)  # type: ignore[arg-type]


def say(world: World, *happened: events.Event) -> None:
    world.log.append([Entry(stream="test", event=event) for event in happened])


def tell(world: World, receivers: Receivers) -> None:
    """Announce, and wait until what stands was told too: nothing else is told while that is on its way."""
    alerts.announce(world, receivers)
    wait_until(lambda: receivers.due(receivers.names, world.clock.now()), "the end of telling")


def test_it_hears_of_an_alert_and_of_its_end(manager: Manager, world: World) -> None:
    receivers = Receivers([Alertmanager(manager.url, world.clock)])
    say(world, events.TargetLost(instance="traefik", reason="connection refused"))
    tell(world, receivers)
    wait_until(manager.alerts, "the alert")
    (alert,) = manager.alerts()
    assert alert["labels"] == {
        "alertname": "Waypost", "cause": "lost/traefik", "severity": "critical", "target": "traefik",
    }  # fmt: skip
    assert alert["annotations"]["summary"] == "traefik does not answer"
    assert "connection refused" in alert["annotations"]["description"]
    say(world, events.TargetFound(instance="traefik", reason="back"))
    tell(world, receivers)
    wait_until(lambda: not manager.alerts(), "the end")
    assert world.log.view(views.Alerts).ended == {}


def test_after_its_restart_it_is_told_again_and_nothing_is_recorded_for_that(manager: Manager, world: World) -> None:
    say(world, events.PassFailed(reason="disk full"))
    tell(world, Receivers([Alertmanager(manager.url, world.clock)]))
    wait_until(manager.alerts, "the alert")
    manager.stop()
    manager.start()
    wait_until(lambda: manager.ready, "the Alertmanager")
    before = world.log.head().seq
    assert manager.alerts() == []
    again = Receivers([Alertmanager(manager.url, world.clock)])
    tell(world, again)
    wait_until(manager.alerts, "the alert again")
    assert world.log.head().seq == before
    say(world, events.PassRecovered(reason="there is room again"))
    tell(world, again)
    wait_until(lambda: not manager.alerts(), "the end")


def test_what_began_by_a_clock_that_ran_ahead_is_told_and_ends(manager: Manager) -> None:
    channel, began = Alertmanager(manager.url, SystemClock()), datetime.now(UTC) + timedelta(days=1)
    channel.send(Message("lost/ahead", "ahead does not answer", "away", 1, "critical", since=began))
    wait_until(manager.alerts, "the alert")
    channel.send(Message("lost/ahead", "ahead does not answer", "over", 0, "critical"))
    wait_until(lambda: not manager.alerts(), "the end")


def test_what_it_refuses_or_nobody_there_is_said_without_a_secret(manager: Manager) -> None:
    message = Message("lost/traefik", "traefik does not answer", "away", 1, "critical", "traefik")
    with pytest.raises(Undelivered, match="answers with status 404"):
        Alertmanager(f"{manager.url}/elsewhere", SystemClock()).send(message)
    with pytest.raises(Undelivered, match="does not answer"):
        Alertmanager(f"http://127.0.0.1:{free_port()}", SystemClock()).send(message)


@contextlib.contextmanager
def asking_who_comes(known: set[str]) -> Iterator[tuple[str, list[str]]]:
    """What stands before an Alertmanager and lets these logins through; what it took."""
    took: list[str] = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            login = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
            for alert in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
                took.extend([f"{login} {alert['labels']['cause']}"] if login in known else [])
            self.send_response(200 if login in known else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", took
    finally:
        server.shutdown()
        server.server_close()


def test_a_login_that_was_exchanged_counts_with_the_next_alert(world: World, tmp_path: Path) -> None:
    login, known = tmp_path / "login", {"waypost:old"}
    login.write_text("waypost:old")
    with asking_who_comes(known) as (url, took):
        chosen = {"WAYPOST_ALERTMANAGER_URL": url, "WAYPOST_ALERTMANAGER_AUTH": f"file:{login}"}
        receivers = alerts.receivers(config.load(chosen, tmp_path), world.clock)
        say(world, events.TargetLost(instance="traefik", reason="connection refused"))
        tell(world, receivers)
        wait_until(lambda: "waypost:old lost/traefik" in took, "the first alert")
        login.write_text("waypost:new")
        known.clear()
        known.add("waypost:new")
        say(world, events.TargetFound(instance="traefik", reason="back"))
        tell(world, receivers)
        wait_until(lambda: "waypost:new lost/traefik" in took, "its end")


def test_it_is_asked_whether_it_is_there_without_any_alert(manager: Manager) -> None:
    before = len(manager.alerts())
    assert Alertmanager(manager.url, SystemClock()).look().startswith("version ")
    assert len(manager.alerts()) == before
    with pytest.raises(Undelivered, match="does not answer"):
        Alertmanager("http://127.0.0.1:9", SystemClock()).look()
