"""What the doctor finds about the world outside: documentation, the dead man's switch, and who calls us."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reconciler import config, founding, web
from reconciler.doctor import check_up, documentation, heartbeat, webhooks
from reconciler.doctor.finding import Finding
from reconciler.documentation.fetching import Fetcher
from reconciler.home import Home
from reconciler.ports import SystemClock
from state import events
from state.log import Entry, EventLog
from tests.reconciler.documentation.recorded import MKDOCS, recorded
from tests.shards.serving import Answers, served

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PAGE = "https://doc.traefik.io/traefik/routers/"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return founding.create(tmp_path / "home", chosen={}, environ={}, now=lambda: datetime.now(UTC))


def words(one: Finding) -> str:
    assert one.level == "ok" or one.remedy
    return f"{one.found} → {one.remedy}"


# ── documentation ────────────────────────────────────────────────────────────────────────────────


def sources(home: Home, fetcher: Fetcher | None = None) -> Finding:
    return next(one for one in documentation.examine(home, SystemClock(), fetcher) if "sources" in one.check)


def test_official_pages_can_be_read_or_not_and_nobody_is_asked_unless_told_to(home: Home) -> None:
    with recorded({}) as site:
        fetcher = Fetcher(site.reach, SystemClock())
        assert "`waypost doctor --docs`" in sources(home).found and site.asked == []
        site.pages["/traefik/"] = MKDOCS.encode()
        assert (sources(home, fetcher).level, site.asked) == ("ok", [("/traefik/", "")])
        site.down = True
        told = sources(home, fetcher)
    assert told.level == "warn" and "traefik" in told.found and "cannot be reached" in words(told)


def listed(*problems: str) -> events.Event:
    return events.DocumentationListed(commit="c", pages=(PAGE,), problems=problems, reason="")


@pytest.mark.parametrize(
    ("happened", "level", "said"),
    [
        ([listed()], "ok", "1 pages, nothing unread"),
        ([listed("line 3: no address")], "warn", "docs/watch.yaml: line 3"),
        ([listed(), events.DocumentationUnreachable(pages={PAGE: "no route"}, reason="")], "warn", "no route"),
        ([listed(), events.DocumentationGone(page=PAGE, moved_to="", reason="404")], "ok", "1 of them with news"),
    ],
)
def test_how_the_watched_pages_stand(home: Home, happened: list[events.Event], level: str, said: str) -> None:
    with contextlib.closing(EventLog.open(home.log_path, now=lambda: datetime.now(UTC))) as log:
        for event in happened:
            log.append(Entry(stream="documentation", event=event))
    told = next(iter(documentation.examine(home, SystemClock(), None)))
    assert (told.check, told.level) == ("documentation: watched", level) and said in words(told)


# ── the heartbeat ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def switch() -> Iterator[tuple[str, list[str]]]:
    calls: list[str] = []

    class Take(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_response(404 if "wrong" in self.path else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/canary", calls
    server.shutdown()
    server.server_close()


def test_the_dead_mans_switch_is_called_only_where_somebody_asked_for_that(
    tmp_path: Path, switch: tuple[str, list[str]]
) -> None:
    address, calls = switch
    settings = config.load({"WAYPOST_HEARTBEAT_URL": f"file:{tmp_path / 'address'}"}, tmp_path)

    def told(text: str, *, tell: bool) -> Finding:
        (tmp_path / "address").write_text(text)
        [one] = heartbeat.examine(settings, tell=tell)
        assert "canary" not in words(one)
        return one

    assert told(address, tell=False).level == "ok" and calls == []
    assert told(address, tell=True).level == "ok" and calls == ["/canary"]
    assert "status 404" in told(f"{address}/wrong", tell=True).found
    assert told(f"{address}/wrong", tell=False).level == "ok"
    assert told("canary://no-address", tell=False).level == "fail"
    (tmp_path / "address").unlink()
    assert next(heartbeat.examine(settings, tell=True)).level == "fail"
    assert list(heartbeat.examine(config.load({}, tmp_path), tell=True)) == []


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────


def delivery(status: int, said: str) -> dict[str, Any]:
    return {"at": "2026-03-01T00:00:00+00:00", "status": status, "said": said}


def test_webhooks_are_heard_refused_or_none_comes(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    answers = Answers()
    with served(web.build(answers, ["127.0.0.1"])) as url:
        secret = {"WAYPOST_WEBHOOK_SECRETS": f"file:{tmp_path / 'secret'}"}
        settings = config.load({**secret, "WAYPOST_RECONCILER_URL": url}, tmp_path)

        def told(*deliveries: dict[str, Any]) -> Finding:
            answers.told["webhooks"] = {"since": "yesterday", "taken": 3, "deliveries": list(deliveries)}
            [one] = webhooks.examine(settings)
            return one

        assert told(delivery(202, "a pass is due"), delivery(401, "forged")).level == "ok"
        last = told(delivery(401, "the signature is not ours"), delivery(202, "a pass is due"))
        assert last.level == "warn" and "the signature is not ours" in words(last)
        none = told()
        assert none.level == "warn" and "ALLOWED_HOST_LIST" in words(none)
        (tmp_path / "secret").unlink()
        assert "no secret of theirs" in told(delivery(202, "")).found
    (tmp_path / "secret").write_text("s")
    [away] = webhooks.examine(settings)
    assert away.level == "ok" and "a reconciler that runs" in away.found


def test_where_no_webhook_is_expected_that_is_said_beside_a_gitea_only(tmp_path: Path) -> None:
    gitea = {"WAYPOST_GITEA_URL": "http://git.lab", "WAYPOST_DESIRED_REPO": "http://git.lab/house/desired.git"}
    [told] = webhooks.examine(config.load(gitea, tmp_path))
    assert told.level == "ok" and "on schedule" in told.found
    assert list(webhooks.examine(config.load({}, tmp_path))) == []
    assert webhooks.examine in check_up.SYSTEMS
