"""Only our Gitea's webhooks count, and all they do is to make a pass due."""

import hashlib
import hmac

import pytest
from starlette.testclient import TestClient

from reconciler import web
from reconciler.gitea.webhook import MOST_BYTES, signed
from reconciler.setting import ConfigError

BODY = b'{"ref":"refs/heads/main"}'


def sign(body, secret):
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
def test_a_webhook_counts_where_it_was_signed_with_one_of_our_secrets(signature, secrets, taken):
    assert signed(BODY, signature, secrets) is taken


class Reconciler:
    """The one question that the page asks."""

    def __init__(self, answer):
        self.answer = answer
        self.heard = []

    def hooked(self, body, signature):
        self.heard.append((body, signature))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "status"), [(True, 202), (False, 401), (None, 503), (ConfigError("there is no such file"), 503)]
)
def test_gitea_is_told_at_once_whether_it_was_heard_by_whatever_name_it_calls_us(answer, status):
    reconciler = Reconciler(answer)
    with TestClient(web.build(reconciler, hosts=["127.0.0.1"]), base_url="http://waypost.lab") as client:
        answered = client.post("/webhooks/gitea", content=BODY, headers={"X-Gitea-Signature": "abc"})
        assert client.get("/health").status_code == 400  # everything else answers to known names only
    assert (answered.status_code, reconciler.heard) == (status, [(BODY, "abc")])


def test_a_flood_is_cut_off():
    reconciler = Reconciler(True)
    with TestClient(web.build(reconciler, hosts=["*"])) as client:
        assert client.post("/webhooks/gitea", content=b"x" * (MOST_BYTES + 1)).status_code == 413
    assert reconciler.heard == []
