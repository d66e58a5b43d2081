"""Gitea calls after a push, over HTTP, and the running reconciler looks at once; no other call gets anything done."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler import app, founding, home, web
from reconciler.gitea.webhook import MOST_BYTES
from reconciler.serve import Reconciler
from reconciler.world import World
from tests import plain_http
from tests.conftest import wait_until
from tests.shards.serving import served
from tests.stories.conftest import House

GIVES_UP = 5.0
"""Seconds after which Gitea does not wait for an answer any more."""

PUSH = b'{"ref":"refs/heads/main","commits":[]}'
SELDOM = "version: 1\nschedules:\n  reconcile: 12h\n  drift: 12h\n"
ROUTE = {
    "http": {
        "routers": {"hello": {"rule": "Host(`hello.lab`)", "service": "hello"}},
        "services": {"hello": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
    }
}


@dataclass
class Hooked:
    """A running reconciler, and somebody who calls it as Gitea does."""

    url: str
    reconciler: Reconciler
    secrets: Path
    client: Any

    def call(self, body: bytes = PUSH, *, secret: str = "old", event: str = "push", **headers: str) -> tuple[int, Any]:
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        named = {"X-Gitea-Event": event, "X-Gitea-Signature": signature, "X-Gitea-Delivery": "f6266f16"}
        more = {name.replace("_", "-"): text for name, text in headers.items()}
        answer = self.client.post(f"{self.url}/webhooks/gitea", content=body, headers={**named, **more})
        return answer.status_code, answer.json()

    @property
    def passes(self) -> int:
        return int(self.client.get(f"{self.url}/query/status").json()["passes"])

    @property
    def heard(self) -> Any:
        return self.client.get(f"{self.url}/query/webhooks").json()


@contextlib.contextmanager
def hooked(place: Path, secrets: str, more: dict[str, str], until: Callable[..., None]) -> Iterator[Hooked]:
    """A reconciler over a home that is made now, and has had its first pass."""
    at = founding.create(
        place / "hooked", chosen={"WAYPOST_WEBHOOK_SECRETS": secrets, **more}, environ={}, now=lambda: datetime.now(UTC)
    ).path
    opened = home.open(at, {})
    with app.locked(opened) as world, plain_http.Client(timeout=GIVES_UP) as client:
        assert isinstance(world, World)
        reconciler = Reconciler(opened, world)
        with reconciler.running(), served(web.build(reconciler, ["127.0.0.1"])) as url:
            settle(reconciler, until)
            yield Hooked(url, reconciler, place, client)


def settle(reconciler: Reconciler, until: Callable[..., None]) -> None:
    """Wait for the first pass, and for the one that the notices of what it wrote may be the reason for."""
    seen = [(0, time.monotonic())]

    def quiet() -> bool:
        passes, now = int(reconciler.status()["passes"]), time.monotonic()
        if passes != seen[0][0]:
            seen[0] = (passes, now)
        return bool(passes) and now - seen[0][1] > 1

    until(quiet, "the first passes")


@pytest.fixture
def away(tmp_path: Path, house: House, until: Callable[..., None]) -> Iterator[Hooked]:
    """The desired repo is elsewhere, nothing there is watched, and the next look on schedule is hours away."""
    house.push({"waypost.yaml": SELDOM})
    elsewhere = tmp_path / "desired.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(house.clone), str(elsewhere)], check=True)
    house.git("remote", "set-url", "origin", str(elsewhere))
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
    chosen = {
        "WAYPOST_DESIRED_REPO": f"file://{elsewhere}",
        "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(house.traefik.directory),
        "WAYPOST_TRAEFIK_API_URL": house.traefik.url,
        "WAYPOST_TRAEFIK_DEADLINE": "5s",
    }
    with hooked(tmp_path, f"file:{tmp_path / 'old'}", chosen, until) as one:
        yield one


def test_a_signed_push_goes_live_at_once_and_nothing_else_gets_a_pass(
    away: Hooked, house: House, until: Callable[..., None]
) -> None:
    before = away.passes
    house.push({"traefik/hello.yaml": ROUTE})
    statuses = [
        away.call(secret="forged")[0],
        away.call(secret="")[0],  # so signs a Gitea that was given no secret
        away.call(X_Gitea_Signature="")[0],
        away.call(event="issues")[0],
        away.call(event="")[0],
        away.call(b"x" * (MOST_BYTES + 1))[0],
    ]
    assert statuses == [401, 401, 401, 200, 200, 413]
    assert (away.passes, house.status("hello.lab")) == (before, 404)
    assert away.call() == (202, {"taken": True, "said": "a pass is due"})
    until(lambda: house.status("hello.lab") != 404, "the route")
    until(lambda: away.passes > before, "the end of that pass")
    told = away.heard
    assert (told["taken"], told["not_taken"]) == (1, 6)
    newest = told["deliveries"][0]
    assert (newest["event"], newest["delivery"], newest["taken"]) == ("push", "f6266f16", True)
    assert (newest["due"], newest["is_over"]) == (before + 1, True)
    assert [one["status"] for one in told["deliveries"][1:]] == statuses[::-1]
    assert "old" not in str(told)


def test_a_replay_and_a_double_do_no_harm_and_while_a_secret_is_rotated_both_count(
    away: Hooked, house: House, until: Callable[..., None]
) -> None:
    commit = house.push({"traefik/hello.yaml": ROUTE})
    assert [away.call()[0] for _ in range(5)] == [202] * 5
    until(lambda: all(one["is_over"] for one in away.heard["deliveries"]), "the passes")
    assert away.passes <= 7  # never more than one is due beside the one that goes on
    assert away.reconciler.status()["revision"] == 2
    assert away.reconciler.revision(2)["commit"] == commit
    assert away.call(secret="new")[0] == 401
    (away.secrets / "old").write_text("new")  # rotated in its place, without a restart
    assert [away.call(secret=one)[0] for one in ("new", "old")] == [202, 401]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hooked]:
    """A reconciler without any target, for which two secrets are named; the new one is not there yet."""
    place = tmp_path_factory.mktemp("alone")
    (place / "old").write_text("old")
    with hooked(place, f"file:{place / 'old'} file:{place / 'new'}", {}, wait_until) as one:
        yield one


def test_two_secrets_hold_at_once_and_one_that_cannot_be_read_refuses_nobody_for_good(alone: Hooked) -> None:
    assert [alone.call(secret=one)[0] for one in ("old", "new")] == [202, 503]
    (alone.secrets / "new").write_text("new")
    assert [alone.call(secret=one)[0] for one in ("old", "new", "third")] == [202, 202, 401]


def test_gitea_is_answered_in_time_by_whom_no_vault_answers(tmp_path: Path, until: Callable[..., None]) -> None:
    (tmp_path / "token").write_text("right")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        vault = {
            "WAYPOST_VAULT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "WAYPOST_VAULT_TOKEN": f"file:{tmp_path / 'token'}",
        }
        with hooked(tmp_path, "vault:kv/waypost#hook", vault, until) as away:
            before = away.passes
            answers = [away.client.post(f"{away.url}/webhooks/gitea", content=PUSH) for _ in range(2)]
            assert [one.status_code for one in answers] == [503, 503]
            assert "main is looked at on schedule" in answers[0].json()["said"] and answers[0].headers["Retry-After"]
            assert away.passes == before


def test_who_hangs_up_or_dawdles_in_the_middle_of_a_call_leaves_no_trace_of_a_fault(
    alone: Hooked, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = alone.url.removeprefix("http://").split(":")
    half = b"POST /webhooks/gitea HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(half)
    assert alone.call()[0] == 202
    monkeypatch.setattr(web, "_WHOLE", 0.1)
    with socket.create_connection((host, int(port)), GIVES_UP) as dawdler:
        dawdler.sendall(half)
        assert dawdler.recv(100).startswith(b"HTTP/1.1 408")
    monkeypatch.undo()
    assert alone.call()[0] == 202
    assert "Exception" not in caplog.text
