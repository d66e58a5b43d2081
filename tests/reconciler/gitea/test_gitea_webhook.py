"""Only our Gitea's webhooks count, and all they do is to make a pass due."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from reconciler import web
from reconciler.gitea import webhook
from reconciler.gitea.hearing import Hearing, SecretsAtHand
from reconciler.gitea.webhook import MOST_BYTES, Delivery, Heard, Secrets, judged, signed
from reconciler.ports import SystemClock
from reconciler.setting import Secret

BODY = b'{"ref":"refs/heads/main"}'


def sign(body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("signature", "secrets", "taken"),
    [
        (sign(BODY, "right"), ["right"], True),
        (sign(BODY, "old"), ["new", "old"], True),  # while it is rotated
        (sign(BODY, "wrong"), ["right"], False),
        ("", ["right"], False),
        ("", [""], False),
        (sign(BODY, ""), [""], False),  # Gitea signs with nothing where it has no secret
        (sign(BODY + b" ", "right"), ["right"], False),
        ("\udcff", ["right"], False),
    ],
)
def test_a_webhook_counts_where_it_was_signed_with_one_of_our_secrets(
    signature: str, secrets: list[str], taken: bool
) -> None:
    assert signed(BODY, signature, secrets) is taken


def test_how_long_it_takes_to_judge_a_signature_tells_nothing_of_any_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare_digest(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(webhook, "hmac", SimpleNamespace(new=hmac.new, compare_digest=compare_digest))
    secrets = ["first", "second", "third"]
    for given in (sign(BODY, "first"), sign(BODY, "nobodys")):
        compared.clear()
        signed(BODY, given, secrets)
        assert compared == [(sign(BODY, one).encode(), given.encode()) for one in secrets]


@pytest.mark.parametrize(
    ("complete", "event", "secret", "heard"),
    [
        (True, "push", "right", Heard.TAKEN),
        (False, "push", "right", Heard.TAKEN),
        (True, "pull_request", "right", Heard.IDLE),
        (True, "push", "wrong", Heard.FORGED),
        (False, "push", "wrong", Heard.UNDECIDED),  # it may be signed with the one that is not there
    ],
)
def test_what_becomes_of_it(complete: bool, event: str, secret: str, heard: Heard) -> None:
    delivery = Delivery(body=BODY, signature=sign(BODY, secret), event=event)
    assert judged(delivery, Secrets(("right",), complete)) is heard


class Reconciler:
    """The one question that the page asks."""

    def __init__(self, answer: Heard) -> None:
        self.answer = answer
        self.heard: list[Delivery] = []

    def hooked(self, delivery: Delivery) -> Heard:
        self.heard.append(delivery)
        return self.answer


@pytest.mark.parametrize("answer", list(Heard))
def test_gitea_is_told_at_once_what_became_of_it_by_whatever_name_it_calls_us(answer: Heard) -> None:
    reconciler: Any = Reconciler(answer)
    with TestClient(web.build(reconciler, hosts=["127.0.0.1"]), base_url="http://waypost.lab") as client:
        headers = {"X-Gitea-Signature": "abc", "X-Gitea-Event": "push", "X-Gitea-Delivery": "f626"}
        answered = client.post("/webhooks/gitea", content=BODY, headers=headers)
        assert client.get("/health").status_code == 400  # everything else answers to known names only
    assert answered.status_code == answer.status
    assert reconciler.heard == [Delivery(body=BODY, signature="abc", event="push", id="f626")]


PUSHED = (Path(__file__).parents[2] / "gitea" / "gitea-webhook-push.example.json").read_bytes()
"""The push that Gitea's documentation shows, byte for byte."""

DIGEST = "01ff97ec59bbfb5337507349895f68e413980acd45eb2b1785c0930491dc9d77"
"""What it is signed with where the secret is `test-secret`, made by somebody else's program."""

GITEA = {
    "Content-Type": "application/json",
    "X-Gitea-Event": "push",
    "X-Gitea-Event-Type": "push",
    "X-Gitea-Delivery": "f6266f16-1bf3-46a5-9ea4-602e06ead473",
    "X-Gitea-Signature": DIGEST,
    "X-Hub-Signature-256": f"sha256={DIGEST}",
    "X-Hub-Signature": "sha1=e4662099851db3c344771883235f6ac2557ff2b3",
}
FORGEJO = {name.replace("X-Gitea", f"X-{who}"): value for name, value in GITEA.items() for who in ("Forgejo", "Gitea")}
"""Forgejo calls by its own name too, and says the same."""
UNSIGNED = {**GITEA, "X-Gitea-Signature": "", "X-Hub-Signature-256": "sha256="}
"""A Gitea that was given no secret."""


@pytest.mark.parametrize(
    ("headers", "body", "secret", "heard"),
    [
        (GITEA, PUSHED, "test-secret", Heard.TAKEN),
        (FORGEJO, PUSHED, "test-secret", Heard.TAKEN),
        (UNSIGNED, PUSHED, "test-secret", Heard.FORGED),
        (GITEA, PUSHED, "another", Heard.FORGED),
        (GITEA, orjson.dumps(orjson.loads(PUSHED)), "test-secret", Heard.FORGED),  # the bytes are signed, not the sense
    ],
    ids=["gitea", "forgejo", "no secret", "another secret", "written anew"],
)
def test_the_published_push_counts_by_its_published_signature(
    headers: dict[str, str], body: bytes, secret: str, heard: Heard
) -> None:
    hearing = Hearing([Secret(secret, "WAYPOST_WEBHOOK_SECRETS")], SystemClock())
    reconciler: Any = SimpleNamespace(hooked=lambda delivery: hearing.hear(delivery, lambda: 1))
    with TestClient(web.build(reconciler, hosts=["*"])) as client:
        answered = client.post("/webhooks/gitea", content=body, headers=headers)
    assert (answered.status_code, answered.json()["taken"]) == (heard.status, heard is Heard.TAKEN)
    [told] = hearing.told(0)["deliveries"]
    assert (told["event"], told["delivery"]) == ("push", "f6266f16-1bf3-46a5-9ea4-602e06ead473")


def test_a_flood_is_cut_off() -> None:
    reconciler: Any = Reconciler(Heard.TOO_LARGE)
    with TestClient(web.build(reconciler, hosts=["*"])) as client:
        assert client.post("/webhooks/gitea", content=b"x" * (MOST_BYTES + 1)).status_code == 413
    assert reconciler.heard == [Delivery(body=None)]


# ── the secrets at hand ──────────────────────────────────────────────────────────────────────────


class Slow(Secret):
    """A secret whose store answers when a test lets it."""

    def __init__(self, value: str = "right") -> None:
        super().__init__("vault:a/b#c", "WAYPOST_WEBHOOK_SECRETS")
        self.__dict__["kept"], self.__dict__["open"] = [value], threading.Event()

    def reveal(self, environ: Any = None) -> str:
        self.__dict__["open"].wait(20)
        return str(self.__dict__["kept"][0])


def test_what_was_found_last_counts_for_an_hour_while_its_store_hangs(until: Callable[..., None]) -> None:
    secret, now = Slow(), [0.0]
    at_hand = SecretsAtHand([secret], patience=0.05, monotonic=lambda: now[0])
    assert at_hand.now() == Secrets()
    secret.__dict__["open"].set()
    until(lambda: at_hand.now() == Secrets(("right",), True), "the store")
    secret.__dict__["open"].clear()
    secret.__dict__["kept"][0] = "rotated"
    assert at_hand.now() == Secrets(("right",), True)
    now[0] += 3601
    assert at_hand.now() == Secrets()
    secret.__dict__["open"].set()
    until(lambda: at_hand.now() == Secrets(("rotated",), True), "the store")


def test_a_flood_of_forged_ones_hides_none_of_ours_and_is_counted() -> None:
    hearing = Hearing([Secret("right", "WAYPOST_WEBHOOK_SECRETS")], SystemClock())
    hearing.hear(Delivery(body=BODY, signature=sign(BODY, "right"), event="push", id="ours"), lambda: 7)
    for _ in range(200):
        hearing.hear(Delivery(body=BODY, event="x" * 5000, id="y" * 5000), lambda: 0)
    told = hearing.told(6)
    assert (told["taken"], told["not_taken"], len(told["deliveries"])) == (1, 200, 41)
    [ours] = [one for one in told["deliveries"] if one["taken"]]
    assert (ours["delivery"], ours["due"], ours["is_over"]) == ("ours", 7, False)
    assert max(len(one["event"]) for one in told["deliveries"]) == 100
    assert datetime.fromisoformat(told["since"]).tzinfo == UTC
