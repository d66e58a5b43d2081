"""Random plans for our part, among neighbours: what is listed is complete, what is lost is held, shortcuts are true."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.core import guard
from reconciler.core.policy import Policy
from reconciler.routing.changes import diff
from reconciler.routing.gates import loosened
from reconciler.routing.request import Request
from reconciler.routing.treatments import Serving, Treatment
from reconciler.traefik.consequences import Before, consequences
from reconciler.traefik.resident import Resident
from reconciler.traefik.scene import Scene
from tests.reconciler.traefik.random_plans import PlanMaker

PATTERNS = ("*auth*",)
STEPS = 2
"""So many plans from one live state: from the second on they are made from what stood before."""


def faults(seed: int, count: int) -> Iterator[str]:
    """What is wrong with the plans of one number, as its requests show."""
    maker, resident = PlanMaker(seed), Resident()
    before = maker.state()
    seen = maker.observed(before)
    for _ in range(STEPS):
        after = maker.changed(before)
        requests = list(maker.requests(count))
        scene = resident.scene(Scene("traefik", seen, PATTERNS, frozenset(), (before, after)))
        was, will_be = resident.sides(scene, before, after)
        for side, ours, others in ((was, before, after), (will_be, after, before)):
            fresh = Scene("traefik", seen, PATTERNS, frozenset(), (ours, others)).serving(ours)
            yield from (f"{one} differs from a fresh look" for one in requests if not _same(fresh, side, one))
        done = consequences("traefik", Before(before, {}), after, seen, PATTERNS, (), resident)
        is_held = any(loss.guard == "authentication" for loss in guard.losses("traefik", done, (), Policy()))
        changes = diff(was, will_be).classes
        for request in requests:
            old, new = was.treatment(request), will_be.treatment(request)
            if old != new and not any(one.covers(request, old, new) for one in changes):
                yield f"{request} is not listed: {old}, {new}"
            if not is_held and (words := _loss(was, will_be, old, new)):
                yield f"{request} {words}, and no loss is told: {old}, {new}"


def _same(one: Serving, other: Serving, request: Request) -> bool:
    return one.treatment(request) == other.treatment(request)


def _loss(was: Serving, will_be: Serving, old: Treatment, new: Treatment) -> str:
    """What somebody loses who was kept out of others' way, or kept others out."""
    if not old.served or was.sends_away(old):
        return ""
    if not was.is_open(old) and (new.kind == "unknown" or will_be.is_open(new)):
        return "is asked no more"
    if new.kind == "unknown" and all(was.gates_of(one) for one in old.chances):
        return "is in doubt"
    if new.served and not will_be.sends_away(new):
        ways = [list(loosened(was.gates_of(a), will_be.gates_of(b))) for a in old.chances for b in new.chances]
        return "is let in otherwise" if all(ways) else ""
    return ""


def test_random_plans_list_what_they_change_and_hold_what_they_lose() -> None:
    assert [fault for seed in range(12) for fault in faults(seed, 40)] == []


@pytest.mark.soak
@pytest.mark.parametrize("block", range(8))
def test_many_random_plans_do_too(block: int) -> None:
    seeds = range(1_000 + 150 * block, 1_150 + 150 * block)
    assert [fault for seed in seeds for fault in faults(seed, 150)] == []
