"""What becomes of a scenario of the conformance suite, as it went and as it was written down."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from tests.conformance import conform, suite
from tests.conformance.conform import Expected, judge, stale
from tests.conformance.suite import NOT_RUN, Said

GOOD, BAD, MIXED = Said({"a": True, "b": True}), Said({"a": True, "b": False}), Said({"a": False, "b": True})
WRITTEN = Expected(
    scored=frozenset(), alone=frozenset({"ping"}), baseline={"push": "why", "half:b": "why"}, idle={"any": "why"}
)


@pytest.mark.parametrize(
    ("name", "went", "bare", "verdict"),
    [
        ("tool", GOOD, BAD, "passed"),
        ("tool", BAD, BAD, "FAILED"),
        ("tool", GOOD, GOOD, "FAILED"),  # for nothing: the tool that it calls was not there
        ("ping", GOOD, GOOD, "passed"),
        ("ping", BAD, BAD, "FAILED"),
        ("push", BAD, BAD, "baselined"),
        ("push", GOOD, BAD, "FAILED"),  # mended, and still written down
        ("half", BAD, MIXED, "baselined"),
        ("half", MIXED, MIXED, "FAILED"),
        ("half", GOOD, MIXED, "FAILED"),
        ("any", GOOD, GOOD, "not counted"),
        ("any", BAD, GOOD, "FAILED"),  # its passing says nothing, its failing does
        ("any", BAD, BAD, "FAILED"),
        ("push", NOT_RUN, BAD, "FAILED"),  # nobody knows whether it still does not pass
        ("tool", GOOD, NOT_RUN, "FAILED"),
        ("any", NOT_RUN, NOT_RUN, "FAILED"),
    ],
)
def test_a_scenario_is_held_to_what_is_written_down(name: str, went: Said, bare: Said, verdict: str) -> None:
    assert judge(name, went, bare, WRITTEN).verdict == verdict


def test_one_that_nobody_wrote_down_is_seen_where_all_are_written_down() -> None:
    whole = replace(WRITTEN, scored=frozenset({"ping", "push", "half", "any"}))
    assert [judge(name, GOOD, BAD, whole).verdict for name in ("ping", "tool")] == ["passed", "FAILED"]


def test_of_a_course_of_which_the_suite_does_not_say_all_scenarios_they_are_written_down() -> None:
    written = tomllib.loads(conform.WRITTEN.read_text())
    untold = {course.name for course in suite.COURSES if not course.requirements}
    assert {name for name, course in written.items() if course.get("scored")} == untold


def test_an_entry_of_a_scenario_that_there_is_not_is_seen() -> None:
    assert {line.scenario for line in stale(WRITTEN, {"ping", "push", "any"})} == {"half"}
