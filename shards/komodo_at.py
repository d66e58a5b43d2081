"""Where a Komodo is for the gateway. Apart from what asks it: a house without Komodo loads nothing of that."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.setting import Secret


@dataclass(frozen=True, kw_only=True)
class KomodoAt:
    """Where the Komodo of an instance is, and what the gateway looks with, if it may."""

    instance: str = "komodo"
    url: str
    key: Secret | None = None
    secret: Secret | None = None
