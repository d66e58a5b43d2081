"""What becomes of a webhook. Pure. It nudges a pass and nothing more, so a replay or a double does no harm."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

MOST_BYTES: Final = 8 << 20
"""A push of thousands of commits is about 2 MB."""

PUSH: Final = "push"


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What came. `id` is the number under which Gitea's own page shows it; `body` is None where it was cut off."""

    body: bytes | None
    signature: str = ""
    event: str = ""
    id: str = ""


@dataclass(frozen=True)
class Secrets:
    """What webhooks are signed with, as far as it is known; `complete`: none is missing that should be there."""

    values: tuple[str, ...] = field(default=(), repr=False)
    complete: bool = False


class Heard(Enum):
    """What becomes of a delivery: the status that Gitea is answered with, and in words."""

    def __init__(self, status: int, said: str) -> None:
        self.status = status
        self.said = said

    TAKEN = 202, "a pass is due"
    IDLE = 200, "it is ours and of no use: only a push makes a pass due"
    FORGED = 401, "the signature is not ours: compare the secret in Gitea with ours"
    TOO_LARGE = 413, "this is larger than any push"
    UNEXPECTED = 503, "no webhook is expected here: set WAYPOST_WEBHOOK_SECRETS"
    UNDECIDED = (
        503,
        "what WAYPOST_WEBHOOK_SECRETS refers to cannot be had now (`waypost doctor` says why); main is looked at on "
        "schedule",
    )


def judged(delivery: Delivery, secrets: Secrets) -> Heard:
    """What becomes of it. Which event it is tells a header, which nobody signs: a lie there gains a pass at most."""
    if delivery.body is None:
        return Heard.TOO_LARGE
    if not signed(delivery.body, delivery.signature, secrets.values):
        return Heard.FORGED if secrets.complete else Heard.UNDECIDED
    return Heard.TAKEN if delivery.event == PUSH else Heard.IDLE


def signed(body: bytes, signature: str, secrets: Iterable[str]) -> bool:
    """Was this body signed with one of these secrets?

    `signature` is `X-Gitea-Signature`: lower-case hex of HMAC-SHA256 over the raw body. Several secrets are valid
    while one is rotated. An empty secret proves nothing (Gitea without one sends empty signatures), so it never
    matches. Every secret is tried, in constant time.
    """
    given = signature.strip().lower().encode("utf-8", "replace")
    matches = [hmac.compare_digest(_digest(body, secret), given) for secret in secrets if secret]
    return any(matches)


def _digest(body: bytes, secret: str) -> bytes:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
