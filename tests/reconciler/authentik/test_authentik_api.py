"""What the client makes of an authentik that answers strangely."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading

import pytest

from reconciler.authentik.answers import AuthentikError, Rejection
from reconciler.authentik.api import AuthentikApi
from reconciler.setting import Secret
from tests.authentik.fake_authentik import running

INSTANCE = {"pk": "p", "name": "n", "status": "successful", "last_applied": "t", "last_applied_hash": "h"}


class Answering(http.server.ThreadingHTTPServer):
    """Answers everything with one status and one body."""

    def __init__(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(owner.status)
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Content-Length", str(len(owner.body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(owner.body)

            do_POST = do_PATCH = do_DELETE = do_GET

            def log_message(self, *_):
                pass

        self.status, self.body = 200, b""
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture(scope="module")
def answering():
    with Answering() as server:
        yield server
        server.shutdown()


@pytest.fixture
def api(answering, monkeypatch):
    monkeypatch.setenv("AUTHENTIK_TOKEN", "right")
    with contextlib.closing(
        AuthentikApi(f"http://127.0.0.1:{answering.server_port}", Secret("env:AUTHENTIK_TOKEN"))
    ) as api:
        yield api


@pytest.mark.parametrize(
    ("status", "body", "words", "retry"),
    [
        (200, b"<html>", "does not answer as authentik does", True),
        (200, b'{"results": 3}', "does not answer as authentik does", True),
        (200, json.dumps({"pagination": {"next": 0}, "results": [{"pk": 3}]}).encode(), "does not answer as", True),
        (200, b" " * (17 << 20), "more than 16 MiB", True),
        (301, b"", "redirects: name the address itself", False),
        (401, b"", "may manage blueprints", False),
        (403, b'{"detail": "Token invalid/expired"}', "Token invalid/expired", False),
        (404, b"nginx", "is that an authentik?", False),
        (500, b'{"detail": "oh"}', "status 500: oh", True),
    ],
)  # fmt: skip
def test_whatever_is_no_answer_of_authentiks_is_told_in_plain_words(answering, api, status, body, words, retry):
    answering.status, answering.body = status, body
    with pytest.raises(AuthentikError) as told:
        api.instances()
    assert words in str(told.value)
    assert told.value.retry is retry


def test_pages_without_end_are_not_followed_for_ever(answering, api):
    answering.status = 200
    answering.body = json.dumps({"pagination": {"next": 2}, "results": [INSTANCE]}).encode()
    assert [one.pk for one in api.instances()] == ["p", "p"]  # page 2 says that page 2 is next: there is no other


def test_a_rejection_is_an_answer_and_no_fault(answering, api):
    answering.status, answering.body = (
        400,
        json.dumps({"content": ["bad", "- worse"], "name": ["taken"], "code": "x"}).encode(),
    )
    said = api.create("n", "c", {}, enabled=False)
    assert said == Rejection(messages=("bad", "- worse", "name: taken"))


def test_nobody_there_is_told(monkeypatch):
    monkeypatch.setenv("AUTHENTIK_TOKEN", "right")
    nobody = AuthentikApi("http://127.0.0.1:9", Secret("env:AUTHENTIK_TOKEN"))
    with contextlib.closing(nobody) as api, pytest.raises(AuthentikError, match="does not answer"):
        api.version()


def test_a_token_that_was_rotated_counts_at_once(tmp_path):
    file = tmp_path / "token"
    file.write_text("wrong")
    with running() as authentik, contextlib.closing(AuthentikApi(authentik.url, Secret(f"file:{file}"))) as api:
        with pytest.raises(AuthentikError, match="status 403"):
            api.version()
        file.write_text("right")
        assert api.version() == "2026.8.1"
        file.unlink()
        with pytest.raises(AuthentikError, match="refers to"):
            api.version()


def test_an_object_is_known_by_exactly_what_was_asked_for(monkeypatch):
    monkeypatch.setenv("AUTHENTIK_TOKEN", "right")
    proxy = "authentik_providers_proxy.proxyprovider"
    with running() as authentik, contextlib.closing(AuthentikApi(authentik.url, Secret("env:AUTHENTIK_TOKEN"))) as api:
        authentik.make(proxy, name="Grafana", external_host="https://x.lab")
        assert api.found(proxy, {"name": "grafana"}) is None
        assert api.found(proxy, {"name": "Grafana"})["external_host"] == "https://x.lab"
