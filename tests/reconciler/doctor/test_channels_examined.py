"""What the doctor finds about alert channels, an Alertmanager and a Vault; and that looking tells nobody anything."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reconciler import alerts, config, founding, home
from reconciler.cli import main
from reconciler.doctor import channels, vault
from reconciler.home import Home
from reconciler.ports import SystemClock
from state import events
from state.log import Entry, EventLog
from tests.ports import free_port
from tests.reconciler.secret_stores.vault import FakeVault, serving

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOBODY = "http://127.0.0.1:9"


class Clock(SystemClock):
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW


class Service(ThreadingHTTPServer):
    """Takes messages as Apprise's JSON form has them, and tells of itself as an Alertmanager does."""

    def __init__(self) -> None:
        self.status, self.taken = 200, list[str]()
        self.about: object = {"versionInfo": {"version": "0.27.0"}}
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.taken.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self._answer(service.status, b"")

            def do_GET(self) -> None:
                knows = self.headers.get("Authorization") == "Basic d2F5cG9zdDpyaWdodA=="
                self._answer(200 if knows else 401, json.dumps(service.about).encode())

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running
        running.shutdown()


@pytest.fixture
def made(tmp_path: Path, service: Service) -> Home:
    """A home with one channel, `phone`, and an Alertmanager that knows us."""
    (tmp_path / "address").write_text(f"json://127.0.0.1:{service.server_port}/")
    (tmp_path / "login").write_text("waypost:right")
    chosen = {
        "WAYPOST_ALERT_URLS": f"phone=file:{tmp_path / 'address'}",
        "WAYPOST_ALERTMANAGER_URL": f"http://127.0.0.1:{service.server_port}",
        "WAYPOST_ALERTMANAGER_AUTH": f"file:{tmp_path / 'login'}",
    }
    at = founding.create(tmp_path / "home", chosen=chosen, environ={}, now=lambda: NOW).path
    return home.open(at, {})


def found(made: Home, *, tell: bool = False) -> dict[str, tuple[str, str]]:
    return {one.check: (one.level, one.found) for one in channels.examine(made, Clock(), tell=tell)}


def say(made: Home, *happened: events.Event, ago: timedelta = timedelta()) -> None:
    with contextlib.closing(EventLog.open(made.log_path, now=lambda: NOW - ago)) as log:
        log.append([Entry(stream="alerts", event=event) for event in happened])


def raised(fingerprint: str = "lost/traefik") -> events.AlertRaised:
    return events.AlertRaised(
        fingerprint=fingerprint, title="traefik does not answer", body="b", delivered=False, reason="new"
    )


def test_looking_tells_nobody_anything_and_says_what_is_not_known(made: Home, service: Service) -> None:
    said = found(made)
    assert said["alerts: phone"] == (
        "warn",
        "its address can be read, and it has not taken any message yet: whether it would is not known",
    )
    assert said["alerts: alertmanager"][1].startswith(f"version 0.27.0 at 127.0.0.1:{service.server_port} answers us")
    assert service.taken == []


def test_when_it_took_its_last_message_and_what_waits_for_it(made: Home) -> None:
    [phone, _] = alerts.channels(made.settings, Clock())
    took = events.AlertDelivered(
        fingerprint="lost/traefik", title="t", receivers=(phone.mark,), raised=2, recovery=False, reason="r"
    )
    say(made, raised(), took, ago=timedelta(hours=3))
    assert found(made)["alerts: phone"] == (
        "ok", "its address can be read, and it took its last message on 2026-03-01 09:00 UTC"
    )  # fmt: skip
    say(made, raised("pass"), ago=timedelta(hours=2))
    missed = events.AlertResolved(fingerprint="pass", title="t", delivered=False, reason="gone", missed=(phone.mark,))
    say(made, missed, raised("other"), ago=timedelta(hours=1))
    level, words = found(made)["alerts: phone"]
    assert (level, "2 messages wait for it, the first since 2026-03-01 11:00 UTC" in words) == ("warn", True)


def test_only_on_request_every_channel_gets_a_message(made: Home, service: Service) -> None:
    said = found(made, tell=True)
    assert {level for level, _ in said.values()} == {"ok"} and len(service.taken) == 2
    assert all("waypost doctor --alert" in one for one in service.taken)
    service.status = 500
    said = found(made, tell=True)
    assert {level for level, _ in said.values()} == {"fail"}


def test_the_command_sends_a_message_where_it_was_asked_to(
    made: Home, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--home", str(made.path), "doctor", "--json", "--alert"])
    levels = {one["check"]: one["level"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert (levels["alerts: phone"], levels["alerts: alertmanager"], len(service.taken)) == ("ok", "ok", 2)


def test_a_channel_or_an_alertmanager_that_is_of_no_use_fails_without_its_address(
    made: Home, service: Service, tmp_path: Path
) -> None:
    (tmp_path / "address").write_text("syslog://canary")
    (tmp_path / "login").write_text("waypost:wrong")
    said = found(made)
    assert [level for level, _ in said.values()] == ["fail", "fail"]
    assert "canary" not in str(said) and "WAYPOST_ALERTMANAGER_AUTH" in said["alerts: alertmanager"][1]
    (tmp_path / "login").write_text("waypost:right")
    service.about = ["something else"]
    assert "is no Alertmanager" in found(made)["alerts: alertmanager"][1]


def test_nothing_is_said_of_channels_that_nobody_named(tmp_path: Path) -> None:
    made = home.open(founding.create(tmp_path / "h", chosen={}, environ={}, now=lambda: NOW).path, {})
    assert found(made) == {} and list(vault.examine(made.settings)) == []


@pytest.mark.parametrize(
    ("fake", "level", "said"),
    [
        (FakeVault({}, token="right"), "ok", "does not end"),
        (FakeVault({}, token="right", ttl=90 * 86400), "ok", "ends in 90 days"),
        (FakeVault({}, token="right", ttl=86400), "warn", "ends in 1 day"),
        (FakeVault({}, token="another"), "fail", "refuses that token"),
        (FakeVault({}, token="right", status=503), "fail", "is sealed"),
    ],
)
def test_a_vault_knows_our_token_or_does_not(tmp_path: Path, fake: FakeVault, level: str, said: str) -> None:
    (tmp_path / "token").write_text("right")
    with serving(fake) as running:
        [told] = vault.examine(settings(tmp_path, running.url))
    assert (told.level, said in told.found, bool(told.remedy)) == (level, True, level != "ok")
    assert fake.asked == ["/v1/auth/token/lookup-self"]


def test_a_vault_that_says_nothing_is_away(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right")
    [told] = vault.examine(settings(tmp_path, f"http://127.0.0.1:{free_port()}"))
    assert told.level == "fail" and "does not answer" in told.found


def settings(place: Path, url: str) -> config.Settings:
    return config.load({"WAYPOST_VAULT_URL": url, "WAYPOST_VAULT_TOKEN": f"file:{place / 'token'}"}, place)
