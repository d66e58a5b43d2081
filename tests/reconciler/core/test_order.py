"""Who has its turn first: what others need comes before them, and goes after them."""

import pytest

from reconciler.core.order import KINDS, Step, position, steps
from reconciler.core.plan import ABSENT, Change
from state.model import Address

NAMES = {"nas": "komodo", "id": "authentik", "edge": "traefik", "inner": "traefik"}


def change(instance, name="a", want=1, kind="stack"):
    return Change(address=Address(instance, kind, name), base=ABSENT, want=want, live=ABSENT, action="create")


def test_a_plan_is_a_row_of_steps_and_those_beside_each_other_need_nothing_of_each_other():
    changes = [change(name, one) for name in ("inner", "nas", "edge", "id") for one in ("a", "b")]
    found = steps(changes, NAMES)
    assert [[step.instance for step in beside] for beside in found] == [["nas"], ["id"], ["edge", "inner"]]
    assert all(len(step.changes) == 2 for beside in found for step in beside)


def test_what_goes_goes_last_and_in_the_opposite_order_save_from_a_file_that_is_swapped_whole():
    gone = [change(name, "old", ABSENT) for name in ("nas", "id", "edge")]
    kept = [change(name) for name in ("nas", "id", "edge")]
    found = [step for beside in steps([*gone, *kept], NAMES) for step in beside]
    assert [(step.instance, len(step.changes)) for step in found] == [
        ("nas", 1), ("id", 1), ("edge", 2), ("id", 1), ("nas", 1),
    ]  # fmt: skip


def test_a_stack_that_gives_up_one_of_its_files_does_not_go():
    changed = [change("nas"), change("nas", "a", ABSENT, "compose"), change("edge")]
    found = [step for beside in steps(changed, NAMES) for step in beside]
    assert [(step.instance, len(step.changes)) for step in found] == [("nas", 2), ("edge", 1)]
    gone = [change("nas", "a", ABSENT), change("nas", "a", ABSENT, "compose"), change("edge")]
    assert [step.instance for beside in steps(gone, NAMES) for step in beside] == ["edge", "nas"]


PROVIDER, APPLICATION = ({"model": model, "identifiers": {"name": "wiki"}} for model in ("provider", "application"))
GONE = {**APPLICATION, "state": "absent"}


@pytest.mark.parametrize(
    "before, after, late",
    [
        ([PROVIDER, APPLICATION], [PROVIDER, GONE], True),
        ([PROVIDER, APPLICATION], [PROVIDER], True),
        ([PROVIDER, APPLICATION], [GONE], True),
        ([], [GONE], True),
        ([PROVIDER], [PROVIDER, APPLICATION], False),
        ([APPLICATION], [PROVIDER, GONE], False),
        ([{**PROVIDER, "attrs": {"mode": "proxy"}}, APPLICATION], [PROVIDER, GONE], False),
        ([GONE], [APPLICATION], False),
    ],
)
def test_what_a_blueprint_only_gives_up_goes_last_too(before, after, late):
    live, want = ({"version": 1, "entries": one} if one else ABSENT for one in (before, after))
    assert (position("authentik", want, live) > position("traefik", 1)) == late


def test_what_a_blueprint_brings_with_another_context_comes_early():
    live, want = ({"entries": [PROVIDER, one], "context": {"host": one.get("state")}} for one in (APPLICATION, GONE))
    assert position("authentik", want, live) == position("authentik", 1)
    named = {"entries": {"first": [PROVIDER], "then": [GONE]}, "context": {"host": None}}
    assert position("authentik", named, live) == position("authentik", ABSENT)


def test_every_kind_is_there_before_what_needs_it_and_gone_after_it():
    for needed, needing in zip(KINDS, KINDS[1:], strict=False):
        assert position(needed, 1) < position(needing, 1)
        assert position(needed, ABSENT) > position(needing, ABSENT) or needing == "traefik"
        assert position(needed, ABSENT) > position(needing, 1)


def test_nothing_to_do_is_no_step():
    assert steps([], NAMES) == []
    assert steps([change("nas")], NAMES) == [[Step(0, "nas", (change("nas"),))]]
