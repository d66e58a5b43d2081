"""`diagnose` while the reconciler is away, and what can be asked about: partial, and never another address."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.ports import SystemClock
from reconciler.query_client import QueryClient
from shards import belongings, diagnosing
from shards.audit import Audit
from shards.config import GatewaySettings
from shards.kit import Call, Refused
from shards.knowing import About, Known, Question
from shards.proposing import Desk
from shards.traefik import Traefik
from tests.ports import free_port
from tests.shards.serving import NOBODY, Answers, DesiredRepo, Waypost
from tests.shards.test_backends import saying, want


@pytest.fixture
def dead_wiki(desired: DesiredRepo) -> str:
    url = f"http://127.0.0.1:{free_port()}"
    content = (
        f"http:\n  routers:\n    wiki: {{rule: 'Host(`wiki.lab`)', service: wiki}}\n"
        f"  services:\n    wiki: {{loadBalancer: {{servers: [{{url: '{url}'}}]}}}}\n"
    )
    desired.commit({"traefik/wiki.yaml": content.encode(), "traefik/grafana.yaml": None})
    return url


def test_without_the_reconciler_it_tells_what_it_knows_and_what_is_missing(waypost: Waypost, dead_wiki: str) -> None:
    told = waypost.answer("traefik_diagnose", what="wiki")
    outcomes = {one["source"]: one["outcome"] for one in told["evidence"]}
    assert told["partial"] and told["url"] == "http://wiki.lab/"
    assert (outcomes["desired"], outcomes["backends"]) == ("fine", "trouble")
    assert {source for source, outcome in outcomes.items() if outcome == "missing"} == {
        "request", "live", "target", "main", "drift", "proposals", "history",
    }  # fmt: skip
    assert all("cannot be reached" in one["said"] for one in told["evidence"] if one["outcome"] == "missing")
    assert told["most_likely"]["cause"] == "backend-down" and dead_wiki in told["most_likely"]["said"]


def test_where_main_cannot_be_read_what_runs_is_told_and_that_what_is_desired_is_missing(
    make_waypost: Callable[..., Waypost], desired: DesiredRepo, reconciler: str, answers: Answers
) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    address = "traefik/http.routers/wiki"
    door = {"name": "wiki", "protocol": "http", "hosts": ["wiki.lab"], "entry_points": ["web"], "tls": False}
    asked = json.dumps({"method": "GET", "url": "http://wiki.lab/"}, separators=(",", ":"))
    answers.told |= {
        "live": {"services": {"wiki@file": {"servers": {dead: ""}}}},
        "encryption": {"routers": [door], "entry_points": []},
        "status": {"targets": {}},
        "drift": {},
        "proposals": {"proposals": [{"id": "p1", "title": "Move", "status": "open", "resources": [address]}]},
        f"explain traefik {asked}": {
            "router": "wiki",
            "service": "wiki",
            "status": None,
            "reason": "it names the host",
        },
        f"history {address} 5": {"events": [{"seq": 1, "said": "made"}]},
    }
    waypost = make_waypost(reconciler_url=reconciler)
    desired.path.rename(desired.path.with_name("elsewhere.git"))
    for what in ("wiki", "wiki.lab", "http://wiki.lab/"):
        told = waypost.answer("traefik_diagnose", what=what, status=502)
        found = {one["source"]: one for one in told["evidence"]}
        assert [one for one, each in found.items() if each["outcome"] == "missing"] == ["desired"]
        assert told["partial"] and "desired.git" in found["desired"]["said"]
        assert (found["request"]["outcome"], found["history"]["outcome"]) == ("fine", "fine")
        assert told["most_likely"]["cause"] == "backend-down" and dead in told["most_likely"]["said"]
        assert told["besides"] == [], "nobody knows that there is no such route"
    assert waypost.refusal("traefik_get_backend_status")["code"] == "repository", "what cannot do without it says so"


def test_what_nobody_can_know_about_has_no_cause_made_up(waypost: Waypost) -> None:
    told = waypost.answer("traefik_diagnose", what="nowhere.lab/x?y=1", status=404)
    assert (told["most_likely"]["cause"], told["partial"]) == ("too-little-known", True)


@pytest.mark.parametrize("what", ["ftp://git.lab/", "http://", "http://[::1", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(waypost: Waypost, what: str) -> None:
    assert waypost.refusal("traefik_diagnose", what=what)["code"] == "bad-arguments"


def test_certificates_cannot_be_looked_at_without_the_reconciler_and_say_so(waypost: Waypost) -> None:
    refused = waypost.refusal("traefik_check_ssl_status", host="grafana.example.org")
    assert (refused["code"], refused["retry"]) == ("reconciler-away", True)


def test_what_takes_too_long_to_find_out_is_missing_and_the_rest_is_told(
    desk: Desk, desired: DesiredRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosing, "_TAKES", 0.5)
    with saying(b"") as silent:
        want(desired, wiki=silent)
        told = diagnosing.diagnosis(desk, "traefik", "r-wiki", 502, "GET")
    found = {one.source: one for one in told.evidence}
    assert (found["desired"].outcome, found["backends"].outcome, told.partial) == ("fine", "missing", True)
    assert found["backends"].said == "there was no answer within 0.5 s"


# ── what other shards know ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def desk(tmp_path: Path, desired: DesiredRepo) -> Iterator[Desk]:
    settings = GatewaySettings(directory=tmp_path / "gateway", source=desired.path, reconciler_url=NOBODY)
    settings.directory.mkdir()
    clock = SystemClock()
    audit, query = Audit(belongings.outbox(settings, clock, alone=True)), QueryClient(NOBODY)
    yield Desk(settings, belongings.clone(settings, alone=True), audit, query, clock, os.urandom)
    query.close()
    audit.close()


@dataclass
class Knows:
    """A shard that may know something about a failing request."""

    of: About
    instance: str = ""
    known: Known | None = None
    late: threading.Event | None = None
    asked: list[Question] = field(default_factory=list)

    def about(self, question: Question) -> Known:
        self.asked.append(question)
        if self.late:
            self.late.wait()
        if self.known is None:
            raise Refused("away", "it does not answer", retry=True)
        return self.known


def test_other_shards_are_asked_about_the_route_and_tell_what_they_know(desk: Desk, dead_wiki: str) -> None:
    deployed = Known(outcome="trouble", said="stack wiki: failed", cause="the last deploy of the stack wiki failed")
    deploys, identity = Knows("deploys", known=deployed), Knows("identity")
    tool = next(one for one in Traefik(desk, (deploys, identity)).tools() if one.name == "diagnose")
    told = tool.run(Call(request_id="r", client="c", tool="t"), {"what": "wiki", "status": 502}).model_dump()
    assert told["most_likely"]["cause"] == "deploy-failed" and told["partial"]
    outcomes = {one["source"]: one["outcome"] for one in told["evidence"]}
    assert (outcomes["deploys"], outcomes["identity"]) == ("trouble", "missing")
    [asked] = deploys.asked
    assert (asked.host, asked.status, asked.router, asked.backends) == ("wiki.lab", 502, "wiki", (dead_wiki,))


def test_a_shard_that_takes_too_long_is_missing_and_holds_nobody_up(
    desk: Desk, dead_wiki: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosing, "_OTHERS_TAKE", 0.05)
    late = Knows("identity", late=threading.Event())
    told = diagnosing.diagnosis(desk, "traefik", "wiki", 502, "GET", (late,))
    assert late.late
    late.late.set()
    found = {one.source: one for one in told.evidence}["identity"]
    assert found.outcome == "missing" and "no answer within" in found.said
