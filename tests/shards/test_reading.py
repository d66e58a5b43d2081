"""Read tools: what is desired, what is live, what happened; and what is said while the reconciler is away."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler import telling
from reconciler.git import proposals
from reconciler.git.store import Store
from reconciler.ports import SystemClock
from reconciler.world import World
from state import events
from state.log import Entry, EventLog
from tests.shards.serving import ROUTE, Answers, Waypost, now

MakeWaypost = Callable[..., Waypost]

PRESET = b"""\
x-waypost:
  description: Headers that browsers honour.
http:
  middlewares:
    security-headers:
      headers: {stsSeconds: 31536000}
"""


@pytest.fixture
def accompanied(make_waypost: MakeWaypost, reconciler: str) -> Waypost:
    """A gateway whose reconciler answers."""
    return make_waypost(reconciler_url=reconciler)


def test_routes_are_listed_with_file_and_line(waypost: Waypost) -> None:
    listed = waypost.answer("traefik_list_routes")
    assert listed["main"] == waypost.desired.main
    [route] = listed["routes"]
    assert (route["name"], route["file"], route["line"]) == ("grafana", "traefik/grafana.yaml", 9)
    assert route["live"] == "unknown"
    assert "cannot be reached" in listed["live"]


def test_routes_are_compared_with_what_is_live(accompanied: Waypost, answers: Answers) -> None:
    spec = {
        "service": "grafana",
        "rule": "Host(`grafana.example.org`) && PathPrefix(`/dash`)",
        "middlewares": ["compress"],
    }
    answers.told["live"] = {
        "ours": {"traefik/http.routers/grafana": spec},
        "foreign": {
            "traefik/http.routers/whoami@docker": "docker",
            "traefik/http.middlewares/auth": "auth.yml",
            "no address": "docker",
        },
    }
    listed = accompanied.answer("traefik_list_routes")
    assert [route["live"] for route in listed["routes"]] == ["as desired"]
    assert listed["foreign"] == [{"name": "whoami@docker", "kind": "http.routers", "origin": "docker"}]
    middlewares = accompanied.answer("traefik_list_middlewares")["middlewares"]
    assert [(one["name"], one["origin"]) for one in middlewares] == [
        ("compress", "traefik/grafana.yaml"),
        ("auth@file", "auth.yml"),
    ]
    answers.told["live"] = {"ours": {"traefik/http.routers/grafana": {"rule": "by hand"}}, "foreign": {}}
    assert accompanied.answer("traefik_get_route", name="grafana")["route"]["live"] == "differs"


def test_one_route_is_shown_with_service_and_backends(waypost: Waypost) -> None:
    detail = waypost.answer("traefik_get_route", name="grafana")
    assert detail["backends"] == ["http://10.0.0.5:3000"]
    assert detail["router"]["service"] == "grafana"
    assert waypost.refusal("traefik_get_route", name="nobody")["code"] == "unknown-route"


def test_presets_are_listed_with_what_they_are_for(waypost: Waypost) -> None:
    waypost.desired.commit({"traefik/presets/security-headers.yaml": PRESET})
    [preset] = waypost.answer("traefik_list_middleware_presets")["presets"]
    assert preset["middlewares"] == ["security-headers"]
    assert preset["notes"]["description"] == "Headers that browsers honour."
    assert waypost.answer("traefik_create_route", **ROUTE, middlewares=["security-headers"])["proposal"]


def test_what_only_the_reconciler_knows_says_so_while_it_is_away(waypost: Waypost) -> None:
    for tool, arguments in {
        "history": {},
        "why": {"resource": "traefik/http.routers/grafana"},
        "traefik_route_history": {"name": "grafana"},
        "traefik_drift_report": {},
    }.items():
        refusal = waypost.refusal(tool, **arguments)
        assert (refusal["code"], refusal["retry"]) == ("reconciler-away", True), tool


def test_history_why_and_drift_come_from_the_reconciler(accompanied: Waypost, answers: Answers) -> None:
    answers.told["history traefik/http.routers/grafana 100"] = {"events": [{"seq": 1, "said": "made"}]}
    answers.told["why traefik/http.routers/grafana"] = {"resource": "traefik/http.routers/grafana", "live": True}
    answers.told["drift"] = {"drift": []}
    assert accompanied.answer("traefik_route_history", name="grafana")["events"][0]["seq"] == 1
    assert accompanied.answer("why", resource="traefik/http.routers/grafana")["live"] is True
    assert accompanied.answer("traefik_drift_report") == {"drift": []}
    assert accompanied.refusal("why", resource="traefik/http.routers/nobody")["code"] == "unknown-resource"


def test_a_question_that_is_none_is_not_to_be_asked_again(
    accompanied: Waypost, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def senseless(resource: str) -> dict[str, Any]:
        raise ValueError(f"'{resource}' is not a resource address")

    monkeypatch.setattr(answers, "why", senseless)
    refusal = accompanied.refusal("why", resource="nobody")
    assert (refusal["code"], refusal["retry"]) == ("bad-arguments", False)


def test_drift_tells_who_changed_it_where_the_system_knows(
    accompanied: Waypost, answers: Answers, tmp_path: Path
) -> None:
    answers.told["drift"] = _drift_of(tmp_path, {"komodo/stack/media": "ada\u202e", "komodo/stack/books": ""})
    told = accompanied.answer("traefik_drift_report")["drift"]
    assert {one["address"]: one["by"] for one in told} == {"komodo/stack/media": "ada", "komodo/stack/books": ""}


def _drift_of(directory: Path, by: dict[str, str]) -> dict[str, Any]:
    """What a reconciler answers about these, after a pass found them."""
    hashes = {"base_hash": "b", "live_hash": "l", "reason": "by hand"}
    found = [
        events.DriftFound(address=one, kind="changed", fields=("config",), by=name, **hashes)
        for one, name in by.items()
    ]
    with contextlib.closing(EventLog.open(directory / "log.db", now=now, create=True)) as log:
        log.append([Entry(stream="target/komodo", event=one) for one in found])
        store = Store.create(directory / "apart.git")
        return telling.drift(World(log=log, store=store, targets={}, clock=SystemClock(), chance=os.urandom))


def test_who_serves_a_request_is_explained_by_the_reconciler(accompanied: Waypost, answers: Answers) -> None:
    request = {"method": "GET", "url": "https://a.test/x", "headers": {"K": "v"}, "client_ip": "127.0.0.1"}
    answers.told[f"explain traefik {json.dumps(request, separators=(',', ':'))}"] = {"router": "a", "words": ["…"]}
    told = accompanied.answer("traefik_explain_request", url="https://a.test/x", headers={"K": "v"})
    assert (told["router"], told["words"]) == ("a", ["…"])
    answers.told[f"explain traefik {json.dumps(request, separators=(',', ':'))}"] = {"router": ["of another version"]}
    strange = accompanied.refusal("traefik_explain_request", url="https://a.test/x", headers={"K": "v"})
    assert strange["code"] == "unreadable"


def test_a_plan_tells_which_requests_it_treats_differently(accompanied: Waypost, answers: Answers) -> None:
    words = "`GET https://git.lab/admin` went to `gitea` behind `auth`; after this it goes to `wiki`, without `auth`."
    answers.told["plan_ref"] = {"plan": {"digest": "d", "effects": [{"told": words, "authentication_lost": True}]}}
    assert accompanied.answer("traefik_plan_changes")["effects"][0]["told"] == words


def test_proposals_are_listed_and_shown_with_their_diff(waypost: Waypost) -> None:
    proposed = waypost.answer("traefik_create_route", **ROUTE)
    [line] = waypost.answer("proposals_list")["proposals"]
    assert (line["proposal"], line["status"]) == (proposed["proposal"], "pending")
    shown = waypost.answer("proposals_get", proposal=proposed["proposal"])
    assert "+++ b/traefik/gitea.yaml" in shown["diff"]
    assert "+      rule: Host(`gitea.example.org`)" in shown["diff"]
    assert ROUTE["reason"] in shown["message"]


def test_what_a_person_wrote_into_a_proposal_is_shown_without_the_secret_in_it(
    accompanied: Waypost, answers: Answers
) -> None:
    canary = "ghp_c4n4rycanarycanarycanarycanary012345"
    desired, file = accompanied.desired, b"http: {services: {a: {loadBalancer: {servers: [{url: http://a}]}}}}\n"
    proposals.propose(
        desired.store, parent=desired.main, edits={"traefik/a.yaml": file}, id="by-hand-aaaaaa", author="Ada",
        title=f"Log in with {canary}", body=f"It works with\npassword: {canary}", trailers={}, at=now(),
    )  # fmt: skip
    answers.told["proposals"] = {"proposals": [{"id": "older", "title": f"Once it was {canary}"}]}
    shown = accompanied.answer("proposals_get", proposal="by-hand-aaaaaa")
    assert "It works with" in shown["message"]
    listed = accompanied.answer("proposals_list")["proposals"]
    assert len(listed) == 2 and canary not in str((shown, listed))


def test_a_key_in_a_commit_message_is_covered_whole(waypost: Waypost) -> None:
    key = [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        *["c4n4ry" * 11] * 3,
        "c4n4ryEnd==",
        "-----END OPENSSH PRIVATE KEY-----",
    ]
    desired, file = waypost.desired, b"http: {services: {a: {loadBalancer: {servers: [{url: http://a}]}}}}\n"
    for id, title, body in (("aaaaaa", "Log in", "\n".join(["With", *key, "it works"])), ("bbbbbb", key[1], "Pasted")):
        proposals.propose(
            desired.store, parent=desired.main, edits={f"traefik/{id}.yaml": file}, id=f"by-hand-{id}", author="Ada",
            title=title, body=body, trailers={}, at=now(),
        )  # fmt: skip
    shown = [waypost.answer("proposals_get", proposal=f"by-hand-{id}") for id in ("aaaaaa", "bbbbbb")]
    listed = waypost.answer("proposals_list")["proposals"]
    assert "With\n" in shown[0]["message"] and "\nit works" in shown[0]["message"]
    assert len(listed) == 2 and "c4n4ry" not in str((shown, listed))


def test_what_others_wrote_is_told_without_tricks(accompanied: Waypost, answers: Answers) -> None:
    tricks, desired = "\x1b[31mup\u202e and\u200b on", accompanied.desired
    file = f"# {tricks}\nhttp: {{services: {{a: {{loadBalancer: {{servers: [{{url: http://a}}]}}}}}}}}\n".encode()
    proposals.propose(
        desired.store, parent=desired.main, edits={"traefik/a.yaml": file}, id="by-hand-aaaaaa", author="Ada",
        title=tricks, body=tricks, trailers={}, at=now(),
    )  # fmt: skip
    event = {"seq": 1, "said": tricks, "data": {"subject": tricks}}
    answers.told["history traefik/http.routers/grafana 100"] = {"events": [event]}
    chain = {"resource": "traefik/http.routers/grafana", "live": True, "approval": {"subject": tricks}}
    answers.told["why traefik/http.routers/grafana"] = {**chain, "request": {"title": tricks}, "events": [event]}
    shown = [
        accompanied.answer("proposals_get", proposal="by-hand-aaaaaa"),
        accompanied.answer("traefik_route_history", name="grafana"),
        accompanied.answer("why", resource="traefik/http.routers/grafana"),
    ]
    assert "+# up and on" in shown[0]["diff"]
    assert all("up and on" in str(one) for one in shown)
    assert not {"\x1b", "\u202e", "\u200b"} & set("".join(json.dumps(one, ensure_ascii=False) for one in shown))
    assert "\\u001b" not in json.dumps(shown)


def test_proposals_carry_the_standing_that_the_reconciler_gives_them(accompanied: Waypost, answers: Answers) -> None:
    proposed = accompanied.answer("traefik_create_route", **ROUTE)
    answers.told["proposals"] = {
        "proposals": [
            {"id": proposed["proposal"], "status": "superseded"},
            {"id": "older", "status": "approved", "title": "Earlier", "made_at": "2020-01-01T00:00:00+00:00"},
        ]
    }
    listed = accompanied.answer("proposals_list")["proposals"]
    assert [(one["proposal"], one["status"]) for one in listed] == [
        (proposed["proposal"], "superseded"),
        ("older", "approved"),
    ]


def test_the_status_tells_what_works_and_what_does_not(
    waypost: Waypost, make_waypost: MakeWaypost, reconciler: str, answers: Answers
) -> None:
    away = waypost.answer("gateway_status")
    assert "cannot be reached" in away["reconciler"]
    assert away["main"] == waypost.desired.main
    answers.told["status"] = {"state": "applied", "revision": 3}
    there = make_waypost(reconciler_url=reconciler, read_only=True).answer("gateway_status")
    assert (there["reconciler"], there["read_only"], there["targets"]["revision"]) == ("up", True, 3)


def test_a_plan_is_asked_for_and_long_lists_are_cut(accompanied: Waypost, answers: Answers) -> None:
    changes = [{"action": "create", "address": f"traefik/http.routers/r{number}"} for number in range(120)]
    answers.told["plan_ref"] = {"plan": {"digest": "d", "changes": changes, "notes": ["a note"]}}
    plan = accompanied.answer("traefik_plan_changes")
    assert len(plan["changes"]) == 50
    assert plan["notes"] == ["a note", "70 more changes are not shown"]


def test_every_instance_that_the_policy_declares_can_be_proposed_for(waypost: Waypost) -> None:
    policy = b"version: 1\ntargets:\n  traefik: {}\n  edge: {directory: edge/routes}\n"
    waypost.desired.commit({"waypost.yaml": policy})
    proposed = waypost.answer("traefik_create_route", **ROUTE, instance="edge")
    assert proposed["files"] == ["edge/routes/gitea.yaml"]
    assert proposed["resources"] == ["edge/http.routers/gitea", "edge/http.services/gitea"]
