"""The table of DESIGN and ARCHITECTURE, and what a plan makes of it."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.plan import ABSENT, Answers, judge, make_plan, outcome, same, side_hash
from state.model import Address

A, B, C = {"rule": "Host(`a`)"}, {"rule": "Host(`b`)"}, {"rule": "Host(`c`)"}
GONE = ABSENT

TABLE = [
    (GONE, A, GONE, "change", "create"),
    (A, B, A, "change", "update"),
    (A, GONE, A, "change", "delete"),
    (A, A, A, "same", "nothing"),
    (A, A, B, "drift", "report; heal only where the policy says so"),
    (A, A, GONE, "drift", "the same"),
    (A, B, B, "adopted", "record only"),
    (GONE, A, A, "adopted", "record only"),
    (A, GONE, GONE, "adopted", "record only"),
    (A, B, C, "conflict", "stop, ask"),
    (A, GONE, C, "conflict", "stop, ask"),
    (GONE, A, B, "conflict", "stop, ask"),
    (GONE, GONE, B, "foreign", "never touched"),
]
NAME = Address("traefik", "http.routers", "x")
specs = st.sampled_from([A, B, C])
sides = st.one_of(st.just(GONE), specs)
snapshots = st.dictionaries(
    st.builds(Address, st.just("traefik"), st.just("http.routers"), st.sampled_from("pqrs")), specs, max_size=4
)


def _side(spec):
    return {} if spec is GONE else {NAME: spec}


def _written(spec):
    return "–" if spec is GONE else {"a": "A", "b": "B", "c": "C"}[spec["rule"][6]]


@pytest.mark.parametrize(("base", "want", "live", "verdict", "_does"), TABLE)
def test_each_row_of_the_table_is_judged_so(base, want, live, verdict, _does):
    assert judge(base, want, live) == verdict


def test_the_table_in_architecture_is_this_table():
    text = (Path(__file__).parents[3] / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| ([A-C–]) \| ([A-C–]) \| ([A-C–]) \| (\w+) \| (.+?) \|$", text, re.M)
    assert rows == [(_written(b), _written(w), _written(v), verdict, does) for b, w, v, verdict, does in TABLE]


@pytest.mark.parametrize(("base", "want", "live", "verdict", "does"), TABLE)
def test_a_plan_puts_each_row_where_it_belongs(base, want, live, verdict, does):
    plan = make_plan("c", _side(base), _side(want), _side(live))
    places = {"change": plan.changes, "drift": plan.drift, "adopted": plan.adopted, "conflict": plan.conflicts}
    for place, found in places.items():
        assert [one.address for one in found] == ([NAME] if place == verdict else [])
    if verdict == "change":
        assert plan.changes[0].action == does


@given(sides, sides, sides)
def test_every_combination_has_exactly_one_verdict_and_never_loses_a_hand_edit_in_silence(base, want, live):
    verdict = judge(base, want, live)
    if verdict == "change":
        assert same(base, live)
    if not same(base, live) and not same(want, live) and not (base is GONE and want is GONE):
        assert verdict in ("drift", "conflict")


@given(snapshots, snapshots, snapshots)
def test_applying_a_plan_leaves_nothing_to_change_and_touches_nothing_else(base, want, live):
    plan = make_plan("c", base, want, live)
    after = outcome(live, plan.changes)
    applied = {**base, **{c.address: c.want for c in plan.changes if c.want is not GONE}}
    for change in plan.changes:
        if change.want is GONE:
            applied.pop(change.address, None)
    assert not make_plan("c", applied, want, after).changes
    touched = {change.address for change in plan.changes}
    assert {a: s for a, s in after.items() if a not in touched} == {a: s for a, s in live.items() if a not in touched}


@given(snapshots, snapshots, snapshots)
def test_healing_what_was_seen_resolves_every_drift_and_conflict(base, want, live):
    plan = make_plan("c", base, want, live)
    seen = {one.address: side_hash(one.live) for one in (*plan.drift, *plan.conflicts)}
    healed = make_plan("c", base, want, live, answers=Answers(heal=seen))
    assert not healed.drift
    assert not healed.conflicts
    assert outcome(live, healed.changes) == {**{a: s for a, s in live.items() if a not in base}, **want}


def test_a_heal_asked_for_another_live_state_heals_nothing():
    plan = make_plan("c", {NAME: A}, {NAME: A}, {NAME: C}, answers=Answers(heal={NAME: side_hash(B)}))
    assert [drift.address for drift in plan.drift] == [NAME]


def test_accepted_drift_is_listed_but_not_open_until_live_moves_on():
    answers = Answers(accepted={NAME: (side_hash(B), "2030-01-01")})
    assert not make_plan("c", {NAME: A}, {NAME: A}, {NAME: B}, answers=answers).open_drift
    assert make_plan("c", {NAME: A}, {NAME: A}, {NAME: C}, answers=answers).open_drift


def test_what_is_quarantined_stays_out_whatever_is_wanted_of_it():
    answers = Answers(quarantine=frozenset({NAME}))
    for want in (B, C):
        kept = make_plan("c", {NAME: A}, {NAME: want}, {NAME: A}, answers=answers)
        assert (kept.changes, [str(one) for one in kept.quarantined]) == ((), [f"update {NAME}"])
    assert not make_plan("c", {NAME: A}, {NAME: A}, {NAME: A}, answers=answers).quarantined


def test_the_digest_names_changes_and_pre_images_but_not_the_commit():
    one = make_plan("c1", {NAME: A}, {NAME: B}, {NAME: A})
    assert one.digest == make_plan("c2", {NAME: A}, {NAME: B}, {NAME: A}).digest
    assert one.digest != make_plan("c1", {NAME: A}, {NAME: C}, {NAME: A}).digest
    assert one.digest != make_plan("c1", {NAME: C}, {NAME: B}, {NAME: C}).digest


def test_true_is_not_one():
    assert judge({"tls": True}, {"tls": True}, {"tls": 1}) == "drift"


def test_fields_that_a_server_adds_are_nobodys_drift_where_the_target_adds_some():
    live = {NAME: {**A, "added": 1}}
    assert not make_plan("c", {NAME: A}, {NAME: A}, live, scoped=True).pending
    assert make_plan("c", {NAME: A}, {NAME: A}, live).drift
