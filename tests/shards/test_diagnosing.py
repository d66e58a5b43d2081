"""`diagnose` while the reconciler is away, and what can be asked about: partial, and never another address."""

from __future__ import annotations

import pytest

from tests.shards.elsewhere import free_port
from tests.shards.serving import DesiredRepo, Waypost


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


def test_what_nobody_can_know_about_has_no_cause_made_up(waypost: Waypost) -> None:
    told = waypost.answer("traefik_diagnose", what="nowhere.lab/x?y=1", status=404)
    assert (told["most_likely"]["cause"], told["partial"]) == ("too-little-known", True)


@pytest.mark.parametrize("what", ["ftp://git.lab/", "http://", "http://[::1", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(waypost: Waypost, what: str) -> None:
    assert waypost.refusal("traefik_diagnose", what=what)["code"] == "bad-arguments"


def test_certificates_cannot_be_looked_at_without_the_reconciler_and_say_so(waypost: Waypost) -> None:
    refused = waypost.refusal("traefik_check_ssl_status", host="grafana.example.org")
    assert (refused["code"], refused["retry"]) == ("reconciler-away", True)
