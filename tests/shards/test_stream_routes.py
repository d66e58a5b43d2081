"""Routes of TCP and UDP, hand-written or adopted: shown, changed and taken away like those of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reconciler import document
from tests.shards.serving import Answers, DesiredRepo, Waypost, gateway_over
from tests.shards.test_adopting import DATABASE

STREAMS = b"""\
# The databases; by hand.
tcp:
  routers:
    db:
      rule: HostSNI(`db.lab`)   # clients say it
      service: db
      entryPoints: [websecure]
      tls: {}
    odd: {rule: HostSNI(`odd.lab`) && ClientIP(`10.0.0.0/8`), service: db-odd, tls: {}}
    plain: {rule: HostSNI(`*`), service: plain, entryPoints: [mqtt]}
    through: {rule: HostSNI(`through.lab`), service: db@docker, tls: {passthrough: true, options: strict@docker}}
    resolved: {rule: HostSNI(`resolved.lab`), service: db@docker, tls: {certResolver: le}}
    left: {rule: HostSNI(`left.lab`), service: both, tls: {}}
    right: {rule: HostSNI(`right.lab`), service: both, tls: {}}
  services:
    db:
      loadBalancer:
        servers:
          - {address: '10.0.0.5:5432', tls: true}
    db-odd: {loadBalancer: {servers: [{address: '10.0.0.6:5432'}]}}
    plain: {loadBalancer: {servers: [{address: '10.0.0.7:1883'}]}}
    both: {loadBalancer: {servers: [{address: '10.0.0.8:1'}]}}
  middlewares:
    lan: {ipAllowList: {sourceRange: [10.0.0.0/8]}}
udp:
  routers:
    names: {service: names, entryPoints: [names]}
    db: {service: names-too, entryPoints: [names]}
    grafana: {service: names-too, entryPoints: [other]}
  services:
    names: {loadBalancer: {servers: [{address: '10.0.0.9:53'}]}}
    names-too: {loadBalancer: {servers: [{address: '10.0.0.9:54'}]}}
"""
FILE = "traefik/streams.yaml"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waypost]:
    """One gateway for all of these: main stays as it is, and each call makes a proposal of its own, or none."""
    directory = tmp_path_factory.mktemp("streams")
    desired = DesiredRepo(directory / "desired.git")
    desired.commit({FILE: STREAMS})
    with gateway_over(desired, directory / "gateway") as waypost:
        yield waypost


@pytest.fixture
def written(house: Waypost) -> Callable[..., Any]:
    """What the file of streams holds after a tool was called."""

    def call(tool: str, **arguments: Any) -> Any:
        made = house.answer(f"traefik_{tool}", reason="the box moved", **arguments)
        assert made["files"] == [FILE]
        return document.read(FILE, house.file(made["commit"], FILE) or b"").value

    return call


def test_every_route_that_is_listed_can_be_shown(house: Waypost) -> None:
    listed = house.answer("traefik_list_routes")["routes"]
    assert {route["kind"] for route in listed} == {"http.routers", "tcp.routers", "udp.routers"}
    for route in listed:
        protocol = route["kind"].partition(".")[0]
        shown = house.answer("traefik_get_route", name=route["name"], protocol=protocol)
        assert shown["route"] == route and shown["router"]["service"] == route["service"]


def test_a_tcp_and_a_udp_route_are_shown_with_their_services_and_backends(house: Waypost) -> None:
    shown = house.answer("traefik_get_route", name="plain")
    assert (shown["route"]["kind"], shown["route"]["rule"]) == ("tcp.routers", "HostSNI(`*`)")
    assert shown["service"] == {"loadBalancer": {"servers": [{"address": "10.0.0.7:1883"}]}}
    shown = house.answer("traefik_get_route", name="names@file")
    assert (shown["route"]["kind"], shown["backends"]) == ("udp.routers", ["10.0.0.9:53"])


def test_of_one_name_http_comes_before_tcp_and_tcp_before_udp_unless_the_protocol_is_said(house: Waypost) -> None:
    def kind(name: str, **said: str) -> str:
        return str(house.answer("traefik_get_route", name=name, **said)["route"]["kind"])

    assert [kind("grafana"), kind("grafana", protocol="udp")] == ["http.routers", "udp.routers"]
    assert [kind("db"), kind("db", protocol="udp")] == ["tcp.routers", "udp.routers"]
    refused = house.refusal("traefik_get_route", name="grafana", protocol="tcp")
    assert (refused["code"], "no TCP route 'grafana'" in refused["message"]) == ("unknown-route", True)
    assert house.refusal("traefik_get_route", name="nobody")["code"] == "unknown-route"
    assert house.refusal("traefik_get_route", name="db", protocol="quic")["code"] == "bad-arguments"


def test_a_tcp_route_changes_where_it_stands_and_its_comments_stay(house: Waypost) -> None:
    made = house.answer(
        "traefik_update_route", name="db", host=["db.lab", "pg.lab"], service_url=["10.0.0.5:5432", "pg:5433"],
        entry_points=["postgres"], priority=9, middlewares=["lan"], cert_resolver="le", reason="a second box",
    )  # fmt: skip
    assert made["resources"] == ["traefik/tcp.routers/db", "traefik/tcp.services/db"]
    text = house.file(made["commit"], FILE) or b""
    assert b"# The databases; by hand." in text
    tcp = document.read(FILE, text).value["tcp"]
    assert tcp["routers"]["db"] == {
        "rule": "HostSNI(`db.lab`) || HostSNI(`pg.lab`)", "service": "db", "entryPoints": ["postgres"], "priority": 9,
        "middlewares": ["lan"], "tls": {"certResolver": "le"},
    }  # fmt: skip
    assert tcp["services"]["db"]["loadBalancer"]["servers"] == [
        {"address": "10.0.0.5:5432", "tls": True}, {"address": "pg:5433", "tls": True},
    ]  # fmt: skip


def test_only_what_is_given_changes(written: Callable[..., Any]) -> None:
    before = document.read(FILE, STREAMS).value
    after = written("update_route", name="db", protocol="tcp", priority=7)
    before["tcp"]["routers"]["db"]["priority"] = 7
    assert after == before


def test_a_tcp_rule_may_be_given_in_traefiks_own_words(written: Callable[..., Any]) -> None:
    rule = "HostSNI(`db.lab`) && ALPN(`postgresql`)"
    assert written("update_route", name="odd", rule=rule)["tcp"]["routers"]["odd"]["rule"] == rule
    assert written("update_route", name="db", host="*", tls=False)["tcp"]["routers"]["db"] == {
        "rule": "HostSNI(`*`)", "service": "db", "entryPoints": ["websecure"],
    }  # fmt: skip


def test_tls_is_handed_on_as_it_is_or_ends_at_traefik(written: Callable[..., Any]) -> None:
    after = written("update_route", name="db", passthrough=True)
    assert after["tcp"]["routers"]["db"]["tls"] == {"passthrough": True}
    after = written("update_route", name="resolved", passthrough=True, cert_resolver="")
    assert after["tcp"]["routers"]["resolved"]["tls"] == {"passthrough": True}
    after = written("update_route", name="through", passthrough=False)
    assert after["tcp"]["routers"]["through"]["tls"] == {"options": "strict@docker"}


def test_what_never_had_tls_gets_none_by_taking_parts_of_it_away(written: Callable[..., Any]) -> None:
    after = written("update_route", name="plain", passthrough=False, cert_resolver="", priority=3)
    assert after["tcp"]["routers"]["plain"] == {
        "rule": "HostSNI(`*`)", "service": "plain", "entryPoints": ["mqtt"], "priority": 3,
    }  # fmt: skip


def test_a_udp_route_changes_its_entry_points_and_backends(written: Callable[..., Any]) -> None:
    after = written("update_route", name="names", entry_points=["dns"], service_url=["10.0.0.9:53", "[::1]:53"])
    assert after["udp"]["routers"]["names"] == {"service": "names", "entryPoints": ["dns"]}
    assert after["udp"]["services"]["names"]["loadBalancer"]["servers"] == [
        {"address": "10.0.0.9:53"}, {"address": "[::1]:53"},
    ]  # fmt: skip
    after = written("update_route", name="db", protocol="udp", entry_points=["dns"])
    assert after["udp"]["routers"]["db"]["entryPoints"] == ["dns"]
    assert after["tcp"] == document.read(FILE, STREAMS).value["tcp"], "the TCP route of that name is another one"


SENSELESS = [
    ("grafana", {"passthrough": True}, "passthrough"),
    ("db", {"path_prefix": "/x"}, "path_prefix"),
    ("names", {"host": "a.lab", "priority": 3}, "host, priority"),
    ("names", {"rule": "HostSNI(`*`)"}, "rule"),
    ("names", {"tls": True, "cert_resolver": "le", "passthrough": True}, "tls, cert_resolver, passthrough"),
    ("names", {"middlewares": ["lan"], "path_prefix": "/x"}, "path_prefix, middlewares"),
]


@pytest.mark.parametrize(("name", "given", "named"), SENSELESS)
def test_what_a_route_of_its_protocol_does_not_have_is_refused_by_name(
    house: Waypost, name: str, given: dict[str, Any], named: str
) -> None:
    before = house.proposals
    refused = house.refusal("traefik_update_route", name=name, reason="let us see", **given)
    assert (refused["code"], f"has no {named}:" in refused["message"]) == ("bad-arguments", True), refused
    assert house.proposals == before


WRONG = [
    ("db", {"service_url": "http://10.0.0.5:5432"}, "bad-backend", "host:port"),
    ("names", {"service_url": []}, "bad-backend", "at least one"),
    ("db", {"rule": "Host(`db.lab`)"}, "bad-rule", "none that Traefik takes"),
    ("db", {"rule": "HostSNI(`db.lab`)", "host": "a.lab"}, "bad-rule", "not both"),
    ("db", {"host": "db.lab`) || HostSNI(`*"}, "bad-rule", "host name"),
    ("db", {"host": []}, "bad-rule", "at least one"),
    ("odd", {"host": "even.lab"}, "bad-rule", "more than server names"),
    ("plain", {"host": "mqtt.lab"}, "invalid", "needs `tls`"),
    ("db", {"middlewares": ["compress"]}, "invalid", "compress"),
    ("db", {"tls": False, "passthrough": True}, "bad-arguments", "passthrough"),
    ("db", {"cert_resolver": "le", "passthrough": True}, "bad-arguments", "passthrough"),
    ("resolved", {"passthrough": True}, "bad-arguments", "empty cert_resolver"),
    ("through", {"cert_resolver": "le"}, "bad-arguments", "passthrough"),
    ("left", {"service_url": "a:1"}, "shared-service", "traefik/tcp.routers/right"),
]


@pytest.mark.parametrize(("name", "given", "code", "words"), WRONG)
def test_what_cannot_be_is_refused_and_nothing_is_proposed(
    house: Waypost, name: str, given: dict[str, Any], code: str, words: str
) -> None:
    before = house.proposals
    refused = house.refusal("traefik_update_route", name=name, reason="let us see", **given)
    assert refused["code"] == code and words in str(refused), refused
    assert house.proposals == before


def test_a_route_goes_with_the_service_that_only_it_uses(house: Waypost, written: Callable[..., Any]) -> None:
    after = written("delete_route", name="names")["udp"]
    assert (sorted(after["routers"]), sorted(after["services"])) == (["db", "grafana"], ["names-too"])
    after = written("delete_route", name="db")
    assert "db" not in after["tcp"]["routers"] and "db" not in after["tcp"]["services"]
    assert "db" in after["udp"]["routers"], "the UDP route of that name is another one"
    after = written("delete_route", name="left")["tcp"]
    assert "left" not in after["routers"] and "both" in after["services"]
    after = written("delete_route", name="grafana", protocol="udp")["udp"]
    assert sorted(after["services"]) == ["names", "names-too"], "another route uses it"
    assert house.file(house.desired.main, "traefik/grafana.yaml")


def test_who_reviews_reads_which_route_is_meant(house: Waypost) -> None:
    made = house.answer("traefik_delete_route", name="db", protocol="udp", reason="no more")
    assert made["title"] == "Delete UDP route db"
    made = house.answer("traefik_update_route", name="db", protocol="tcp", priority=2, reason="no more")
    assert made["title"] == "Update TCP route db"


def test_a_foreign_route_of_tcp_is_explained_and_never_touched(
    make_waypost: Callable[..., Waypost], reconciler: str, answers: Answers
) -> None:
    waypost = make_waypost(reconciler_url=reconciler)
    answers.told["foreign"] = DATABASE
    shown = waypost.answer("traefik_get_route", name="db@docker", protocol="tcp")
    assert (shown["route"]["kind"], shown["route"]["live"], shown["backends"]) == (
        "tcp.routers", "foreign", ["172.18.0.7:5432"],
    )  # fmt: skip
    for tool, more in {"traefik_update_route": {"priority": 3}, "traefik_delete_route": {}}.items():
        refused = waypost.refusal(tool, name="db@docker", protocol="tcp", reason="no more", **more)
        assert (refused["code"], "adopt_route" in refused["message"]) == ("foreign-route", True)
    assert waypost.proposals == {}
