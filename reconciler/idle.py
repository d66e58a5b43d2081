"""What a target has in its books and does not run, where something newer is wanted of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.core.plan import ABSENT, same
from reconciler.core.target import Observation
from state.model import Snapshot


def counted(observed: Mapping[str, Observation], base: Snapshot, want: Snapshot) -> dict[str, Observation]:
    """The same, with what was taken down and is still as it was last applied among what is live.

    Nobody else has claimed it, so a newer wish is a change of it, and no conflict. As long as nothing newer is wanted
    that it is down stays drift.
    """
    return {name: _counted(name, seen, base, want) for name, seen in observed.items()}


def _counted(instance: str, seen: Observation, base: Snapshot, want: Snapshot) -> Observation:
    if not seen.idle:
        return seen
    found = dict(seen.live)
    for name, said in seen.idle.items():
        applied = {one: spec for one, spec in base.items() if one.instance == instance and one.name == name}
        claimed = any(not same(spec, applied.get(one, ABSENT)) for one, spec in said.items())
        is_newer = any(not same(want.get(one, ABSENT), spec) for one, spec in applied.items())
        is_there = any(one in seen.live for one in applied)
        if is_newer and not claimed and not is_there and any(one in want for one in applied):
            found |= applied
    return seen if len(found) == len(seen.live) else replace(seen, live=found)
