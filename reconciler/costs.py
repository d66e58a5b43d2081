"""What a change of a target that serves no requests itself costs people, by the kind of the target. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from reconciler.core.plan import Change, Drift, Loss
from reconciler.core.policy import Policy
from state.model import Snapshot

Losses = Callable[[str, Snapshot, Snapshot, Iterable[Change], Policy], list[Loss]]
"""Instance, its state before and after, the changes between, and the policy -> what people would lose."""


Along = Callable[[Iterable[Drift], Iterable[Change]], list[Loss]]
"""What was changed by hand, and the changes of a plan -> what nobody approved and is put in place with them."""


@cache
def along(kind: str) -> Along:
    """What goes along with a change unasked, by the kind of the target."""
    if kind == "komodo":
        from reconciler.komodo.consequences import deployed_along

        return deployed_along
    return lambda drift, changes: []


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
