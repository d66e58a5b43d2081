"""Routes by a rule in Traefik's own words, files checked before anybody proposes them, and a pass on request."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.shards.serving import ROUTE, Answers, Waypost

HASHED = "http:\n  middlewares:\n    b:\n      basicAuth:\n        users: ['a:$apr1$abcdefgh$0123456789012345678901']\n"

BY_RULE = {
    "name": "posting",
    "rule": "Host(`a.example.org`) && Method(`POST`)",
    "service_url": "http://127.0.0.1:3000",
    "reason": "only what is posted goes there",
}

GOOD = "http:\n  routers:\n    a:\n      rule: Host(`a.example.org`)\n      service: grafana\n"


def test_a_route_may_be_given_by_a_rule_and_a_priority(waypost: Waypost) -> None:
    made = waypost.answer("traefik_create_route", **BY_RULE, priority=77)
    content = waypost.file(made["commit"], "traefik/posting.yaml") or b""
    assert b"Host(`a.example.org`) && Method(`POST`)" in content and b"priority: 77" in content
    assert "Method(`POST`)" in made["title"]


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"rule": "Host(`a`"}, "none that Traefik takes"),
        ({"host": "a.example.org"}, "not both"),
        ({"path_prefix": "/x"}, "not both"),
        ({"rule": ""}, "at least one host name"),
    ],
)
def test_a_rule_that_is_none_or_one_too_many_is_refused(refusing: Waypost, wrong: dict[str, str], words: str) -> None:
    refusal = refusing.refusal("traefik_create_route", **{**BY_RULE, **wrong})
    assert refusal["code"] == "bad-rule" and words in refusal["message"]
    assert not refusing.proposals


def test_the_rule_and_priority_of_a_route_can_be_changed_and_comments_stay(waypost: Waypost) -> None:
    changed = {"name": "grafana", "reason": "narrower", "rule": "Host(`grafana.example.org`) && Method(`GET`)"}
    made = waypost.answer("traefik_update_route", **changed, priority=5)
    content = waypost.file(made["commit"], "traefik/grafana.yaml") or b""
    assert b"Method(`GET`)" in content and b"priority: 5" in content and b"# see above" in content


def test_a_file_is_judged_as_if_it_stood_there(waypost: Waypost) -> None:
    verdict = waypost.answer("traefik_validate_config", content=GOOD)
    assert verdict == {"valid": True, "resources": ["traefik/http.routers/a"], "problems": []}
    assert not waypost.proposals


@pytest.mark.parametrize(
    "content, words",
    [
        (GOOD.replace("Host(`a.example.org`)", "Hst(`a`)"), "Hst"),
        (GOOD.replace("service: grafana", "service: nobody"), "nobody"),
        (GOOD.replace("    a:", "    grafana:"), "also stands in"),
        ("http: [", "candidate.yaml"),
        (GOOD + "\n# {{ env }}", "{{"),
        (HASHED, "a password hash must not go into Git"),
    ],
)  # fmt: skip
def test_every_fault_of_a_file_is_named(refusing: Waypost, content: str, words: str) -> None:
    verdict = refusing.answer("traefik_validate_config", content=content)
    assert not verdict["valid"] and words in "\n".join(verdict["problems"])


@pytest.mark.parametrize("file", ["../waypost.yaml", "/etc/x.yaml", "a.py", "waypost"])
def test_a_file_stands_below_its_directory_or_nowhere(refusing: Waypost, file: str) -> None:
    assert refusing.refusal("traefik_validate_config", content=GOOD, file=file)["code"] in ("bad-arguments", "refused")


def test_a_pass_can_be_asked_for_and_a_reconciler_that_is_away_is_said(
    make_waypost: Callable[..., Waypost], reconciler: str, answers: Answers
) -> None:
    assert make_waypost().refusal("traefik_reload_config")["code"] == "reconciler-away"
    near = make_waypost(reconciler_url=reconciler)
    assert near.refusal("traefik_reload_config")["code"] == "unknown-resource"  # this one knows of no pass
    assert near.answer("traefik_create_route", **ROUTE)["commit"]
