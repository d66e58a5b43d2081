"""Is a webhook really from our Gitea? Pure. It nudges a pass and nothing more, so a replay does no harm."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

MOST_BYTES = 8 << 20
"""A push of thousands of commits is about 2 MB."""


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
