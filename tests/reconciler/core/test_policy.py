"""waypost.yaml: what it allows, and every way it can be wrong."""

import pytest

from reconciler.core.policy import Policy, interval, parse


def test_an_empty_file_is_the_default_policy():
    assert parse(None) == (Policy(), ())


def test_all_unknown_keys_are_errors_each_with_its_line():
    lines = {("guardz",): 3, ("guards",): 5, ("guards", "hostnames"): 6}
    _, problems = parse({"guardz": 1, "guards": {"hostnames": 2}}, lines)
    assert [(p.file, p.line) for p in problems] == [("waypost.yaml", 6), ("waypost.yaml", 3)]
    assert "unknown key 'guards.hostnames'" in problems[0].message


@pytest.mark.parametrize(
    "document",
    [
        {"schedules": {"drift": "soon"}},
        {"guards": {"hostnames_removed": {"max": "3"}}},
        {"guards": {"hostnames_removed": {"share": 2}}},
        {"targets": {"traefik": {"directory": "../etc"}}},
        {"targets": {"traefik": {"drift": "fix"}}},
        {"version": 2},
        ["a", "list"],
        "text",
    ],
)
def test_a_wrong_value_is_named_and_the_default_stands_in(document):
    policy, problems = parse(document)
    assert policy == Policy()
    assert problems


def test_the_digest_follows_the_meaning():
    assert parse({"version": 1})[0].digest == Policy().digest
    assert parse({"protected": []})[0].digest != Policy().digest


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200), ("3d", 259200), ("5", None)])
def test_lengths_of_time(text, seconds):
    assert (length.total_seconds() if (length := interval(text)) else None) == seconds
