"""What comes to the address that Gitea calls, from Gitea or from anybody."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

from reconciler.gitea.webhook import MOST_BYTES
from tests.fuzz.edges_of_agents import reconciler
from tests.fuzz.fuzzing import Edge, Take
from tests.fuzz.mutating import Mutator, written

PUSH = json.loads((Path(__file__).parents[1] / "gitea" / "gitea-webhook-push.example.json").read_bytes())
SECRETS = ("the old secret of a webhook", "the new one, päper & pen")
HEADERS = {
    "Content-Type": "application/json",
    "X-Gitea-Event": "push",
    "X-Gitea-Delivery": "0b2f5b8e-6c1a-4c0b-9a3d-5a1c7e2f4d60",
    "X-Gitea-Signature": "ab" * 32,
    "X-Hub-Signature-256": "sha256=" + "ab" * 32,
}
Sent = tuple[dict[str, str], bytes]


def _sent(mutator: Mutator) -> Sent:
    """Signed as it should be in most inputs: else nobody looks at the rest of it."""
    body = mutator.document([PUSH], [written(PUSH)])
    if mutator.chance.random() < 0.02:
        body += b" " * MOST_BYTES
    headers = dict(HEADERS)
    if mutator.chance.random() < 0.7:
        headers["X-Gitea-Signature"] = _signature(mutator, body)
    if mutator.chance.random() < 0.6:
        name = mutator.chance.choice(list(HEADERS))
        headers[name] = _of_one_line(mutator.text([headers[name]]))
    if mutator.chance.random() < 0.1:
        del headers[mutator.chance.choice(list(HEADERS))]
    return headers, body


def _signature(mutator: Mutator, body: bytes) -> str:
    signature = hmac.new(mutator.chance.choice(SECRETS).encode(), body, hashlib.sha256).hexdigest()
    return mutator.chance.choice((signature, signature, signature.upper(), f" {signature}\t", f"sha256={signature}"))


def _of_one_line(text: str) -> str:
    """What a server lets through as the value of a header."""
    return "".join(sign for sign in text if sign == "\t" or (sign.isprintable() and ord(sign) < 256))[:8_000]


@contextlib.contextmanager
def _webhooks(place: Path) -> Iterator[Take]:
    """The real reconciler; what it remembers of each delivery is told to whoever asks."""
    files = [place / f"secret-{number}" for number in range(len(SECRETS))]
    for file, secret in zip(files, SECRETS, strict=True):
        file.write_text(secret)
    chosen = {"WAYPOST_WEBHOOK_SECRETS": " ".join(f"file:{file}" for file in files)}
    with reconciler(place, **chosen) as application:
        application.ask("POST", "/webhooks/gitea", HEADERS)  # so that its secrets are at hand, however busy this is

        def take(given: Sent) -> bool:
            headers, body = given
            status, said = application.ask("POST", "/webhooks/gitea", {"Host": "gitea.lab", **headers}, body)
            assert status in (200, 202, 401, 413), (status, said)
            assert json.loads(said)["taken"] is (status == 202)
            status, told = application.ask("GET", "/query/webhooks", {"Host": "127.0.0.1:9101"})
            assert status == 200 and json.loads(told)["deliveries"], (status, told)
            return json.loads(said)["taken"] is True

        yield take


EDGES = (Edge(name="webhook", share=80, make=_sent, opened=_webhooks),)
