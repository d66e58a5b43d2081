"""What a change of a target that serves no requests itself costs people, by the kind of the target. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from reconciler.core.plan import Change, Loss
from reconciler.core.policy import Policy
from state.model import Snapshot

Losses = Callable[[str, Snapshot, Snapshot, Iterable[Change], Policy], list[Loss]]
"""Instance, its state before and after, the changes between, and the policy -> what people would lose."""


@cache
def of(kind: str) -> Losses:
    """How the changes of a kind are judged. Read when it is needed: most homes have few kinds."""
    if kind == "komodo":
        from reconciler.komodo.consequences import losses as komodo

        return komodo
    if kind == "authentik":
        from reconciler.authentik.consequences import losses as authentik

        return authentik
    raise ValueError(f"nobody here knows what a change of '{kind}' costs")
