"""In which order a plan is carried out: containers, then identities, then routes; what goes, goes last. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final, NamedTuple

from reconciler.core.plan import ABSENT, Change, Side, same

KINDS: Final = ("komodo", "authentik", "traefik")
"""A route leads to a container and asks an identity provider: each kind needs those before it."""


STACK: Final = "stack"
"""What a stack of Komodo is called as a resource, beside its files."""


class Step(NamedTuple):
    """What is written to one instance at once. All of one `position` stand beside each other; each later one waits."""

    position: int
    instance: str
    changes: tuple[Change, ...]


def position(kind: str, want: Side, live: Side = ABSENT) -> int:
    """When a change of a target has its turn; `live` is what stands there before it.

    What is removed has to be reachable by nobody any more, so it goes in the opposite order after everything else.
    Of Traefik nothing goes by itself: its file is swapped whole.
    """
    turn = KINDS.index(kind)
    goes = kind != "traefik" if want is ABSENT else kind == "authentik" and _only_gives_up(live, want)
    return 2 * len(KINDS) - turn if goes else turn


def _only_gives_up(live: Side, want: Side) -> bool:
    """Whether a blueprint brings nothing, and says of something that stood in it that it is to be gone.

    One that brings something as well has its turn early, for a blueprint is one write; and what it gives up with it.
    """
    stood, staying = _entries(live), _entries(want)
    present = [one for one in staying if one.get("state") != "absent"]
    if stood == staying or not all(any(same(one, before) for before in stood) for one in present):
        return False
    return not present or same(_told(live), _told(want))


def _entries(blueprint: Side) -> list[Mapping[str, Any]]:
    listed = blueprint.get("entries") if isinstance(blueprint, Mapping) else None
    groups = listed.values() if isinstance(listed, Mapping) else [listed]
    return [one for group in groups if isinstance(group, list) for one in group if isinstance(one, Mapping)]


def _told(blueprint: Side) -> Any:
    """What a blueprint brings for its entries to name."""
    return blueprint.get("context") if isinstance(blueprint, Mapping) else None


def steps(changes: Iterable[Change], kinds: Mapping[str, str]) -> list[list[Step]]:
    """The changes as steps, those of one position together. `kinds` is by instance."""

    changes = list(changes)
    whole = {
        (one.address.instance, one.address.name) for one in changes if one.want is ABSENT and one.address.kind == STACK
    }

    def turn(change: Change) -> tuple[int, str]:
        instance, kind = change.address.instance, kinds[change.address.instance]
        # A stack that only gives up one of its files is deployed otherwise; it does not go.
        stays = kind == "komodo" and (instance, change.address.name) not in whole
        return KINDS.index(kind) if stays else position(kind, change.want, change.live), instance

    found = [Step(*key, tuple(group)) for key, group in groupby(sorted(changes, key=turn), key=turn)]
    return [list(group) for _, group in groupby(found, key=lambda step: step.position)]
