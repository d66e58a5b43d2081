"""Which hosts are asked about and where, and what is made of what they show; handshakes are tried elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.certificates.handshake import Shown
from reconciler.desired import Desired, Instance, Resource
from shards import certificates
from shards.certificates import MOST, Known, Place, Question
from shards.drafting import Ground
from shards.kit import Refused
from state.model import Address

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NOTHING = Ground(
    commit="c", desired=Desired(commit="c", tree="t"), instances=(Instance("traefik", "traefik", "traefik"),)
)


def router(host: str, **more: Any) -> dict[str, Any]:
    return {
        "name": f"{host}@docker",
        "protocol": "http",
        "hosts": [host],
        "entry_points": ["websecure"],
        "tls": True,
        **more,
    }


def known(*routers: dict[str, Any], **more: Any) -> Known:
    doors = [
        {"name": "web", "host": "127.0.0.1", "port": 80},
        {"name": "websecure", "host": "127.0.0.1", "port": 443, "tls": True, "resolver": "door"},
    ]
    return certificates.known(NOTHING, "traefik", {"entry_points": doors, "routers": list(routers), **more})


def test_a_host_is_asked_about_at_every_entry_point_where_it_has_tls() -> None:
    setup = known(router("a.lab"), router("a.lab", name="b@docker", entry_points=["web"], tls=False))
    assert [(one.host, str(one.place)) for one in certificates.questions(setup, "A.lab.")] == [
        ("a.lab", "127.0.0.1:443")
    ]
    setup = known(router("a.lab", entry_points=["web", "websecure", "gone"]))
    assert [one.place.name for one in certificates.questions(setup, "")] == ["web", "websecure"]


def test_a_wildcard_is_asked_about_by_one_of_its_hosts() -> None:
    setup = known(router("*.wild.lab"))
    assert [one.name for one in certificates.questions(setup, "git.wild.lab")] == ["git.wild.lab"]
    assert [one.name for one in certificates.questions(setup, "")] == ["waypost.wild.lab"]


def test_what_tcp_passes_through_shows_a_certificate_of_its_own_and_is_not_asked() -> None:
    with pytest.raises(Refused):
        certificates.questions(known(router("a.lab", passthrough=True)), "a.lab")


def test_a_desired_udp_router_has_no_rule_and_claims_no_host() -> None:
    names = Address("traefik", "udp.routers", "names")
    desired = replace(
        NOTHING.desired,
        resources={names: Resource(names, {"entryPoints": ["names"], "service": "names"}, "traefik/names.yaml", 1)},
    )
    assert certificates.known(replace(NOTHING, desired=desired), "traefik", {}).claims == {}


def test_the_resolver_of_the_router_comes_before_that_of_the_entry_point() -> None:
    (own,) = certificates.questions(known(router("a.lab", resolver="le")), "a.lab")
    (given,) = certificates.questions(known(router("a.lab")), "a.lab")
    assert (own.resolver, given.resolver) == ("le", "door")


def test_no_more_than_so_many_are_asked_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    silent = lambda name, *_: asked.append(name) or Shown(error="nothing")  # noqa: E731
    monkeypatch.setattr(certificates.handshake, "shown", silent)
    setup = known(*(router(f"h{number}.lab") for number in range(MOST + 7)))
    told = certificates.asked(setup, certificates.questions(setup, ""), None, NOW)
    assert (len(asked), len(told.hosts), told.left_out) == (MOST, MOST, 7)


def test_what_is_no_certificate_is_trouble_and_no_fault_of_ours() -> None:
    question = Question("a.lab", Place("websecure", "127.0.0.1", 443), ())
    for shown in (Shown(chain=(b"junk",)), Shown(error="the connection is refused")):
        told = certificates.judged(question, shown, known(), NOW)
        assert not told.answered and [one.code for one in told.trouble] == ["not-live", "no-answer"]


def test_time_is_judged_by_the_clock_of_the_gateway(self_signed: Any) -> None:
    import ssl

    der = ssl.PEM_cert_to_DER_cert(self_signed.certificate.read_text())
    setup = known(router("localhost"), resolvers=["door"])
    (question,) = certificates.questions(setup, "localhost")
    made = certificates.leaf.read(der)

    def codes(now: datetime) -> list[str]:
        return [one.code for one in certificates.judged(question, Shown(chain=(der,)), setup, now).trouble]

    assert codes(made.not_after - timedelta(days=20)) == []
    held = known(router("localhost"), certificates=[{"names": ["LOCALHOST"]}])
    assert certificates.judged(question, Shown(chain=(der,)), held, NOW).listed
    assert codes(made.not_after - timedelta(days=3)) == ["expires-soon"]
    assert codes(made.not_after + timedelta(days=1)) == ["expired"]
    assert codes(made.not_before - timedelta(days=1)) == ["not-yet-valid"]
    elsewhere = replace(question, host="git.lab")
    told = certificates.judged(elsewhere, Shown(chain=(der,)), setup, made.not_before)
    assert [one.code for one in told.trouble] == ["wrong-names"]
