"""Everything that would not work in Traefik is said before it is written, all at once, with what is meant instead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.traefik import validate
from reconciler.traefik.validate import LiveNames
from state.model import Address, Problem

LIVE = LiveNames(
    entry_points={"web", "websecure"},
    names={("http.middlewares", "auth@docker"), ("http.routers", "gitea@docker"), ("http.services", "noop@internal")},
    cert_resolvers={"le"},
    foreign_files={("http.middlewares", "theirs"): "other.yml", ("http.routers", "taken"): "sub/other.yml"},
)
SERVICE = {"loadBalancer": {"servers": [{"url": "http://10.0.0.1:3000"}]}}


def at(kind: str, name: str) -> Address:
    return Address("edge", kind, name)


def found(wanted: dict[Address, Any], live: LiveNames = LIVE, severity: str = "error") -> list[Problem]:
    return [one for one in validate.check(wanted, live=live) if one.severity == severity]


def router(**fields: Any) -> dict[Address, Any]:
    spec = {"rule": "Host(`a.test`)", "service": "s", **fields}
    return {at("http.routers", "r"): spec, at("http.services", "s"): SERVICE}


def service(spec: Any) -> dict[Address, Any]:
    return {at("http.services", "s"): spec, at("http.services", "ok"): SERVICE}


def middleware(spec: Any) -> dict[Address, Any]:
    return {at("http.middlewares", "m"): spec}


def test_the_names_of_our_own_markers_are_nobody_elses() -> None:
    (one,) = found({at("http.middlewares", "waypost-gen-mine"): {"compress": {}}})
    assert "Waypost's own markers" in one.message


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"entryPoints": ["web", "websecure"]},
        {"middlewares": ["theirs", "theirs@file", "auth@docker"]},
        {"service": "noop@internal"},
        {"service": "s@file"},
        {"tls": {"certResolver": "le", "options": "default"}},
        {"tls": {"options": "modern@docker"}},
        {"priority": 2**63 - 1001},
        {"ruleSyntax": "v2", "rule": "Host(`a`, `b`)"},
    ],
)
def test_what_works_is_let_through(fields: dict[str, Any]) -> None:
    assert found(router(**fields)) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"service": "t"}, "service: there is no service 't'"),
        ({"service": "t@file"}, "service: there is no service 't@file'"),
        ({"service": "t@docker"}, "service: Traefik has no service 't@docker' now"),
        ({"middlewares": ["auth"]}, "middlewares[0]: there is no middleware 'auth'; did you mean auth@docker?"),
        ({"middlewares": ["auth@swarm"]}, "Traefik has no middleware 'auth@swarm' now; did you mean auth@docker?"),
        ({"entryPoints": ["web", "wbe"]}, "entryPoints[1]: Traefik has no entry point 'wbe'; it has web, websecure"),
        ({"tls": {"certResolver": "lets"}}, "Traefik has no certificate resolver 'lets' (it has le)"),
        ({"tls": {"options": "modern"}}, "there is no TLS options 'modern'"),
        ({"parentRefs": ["q"]}, "parentRefs[0]: there is no router 'q'"),
        ({"service": "api@internal"}, "'api@internal' would open Traefik's own controls"),
        ({"service": "dashboard@internal"}, "'dashboard@internal' would open"),
        ({"service": "rest@internal"}, "'rest@internal' would open"),
        ({"rule": "Host(`a`"}, "rule: Traefik would not take this rule and disable the router: column 9"),
        ({"rule": "Path(`a`)"}, "does not start with '/'"),
        ({"rule": ""}, "has no rule"),
        ({"service": ""}, "has no service"),
        ({"priority": 2**63 - 1000}, "priority: higher than 9223372036854774807"),
        ({"priority": "9" * 5_000}, "priority: higher than 9223372036854774807"),
    ],
)
def test_what_would_disable_a_router_is_named(fields: dict[str, Any], words: str) -> None:
    (problem,) = found(router(**fields))
    assert problem.address == "edge/http.routers/r"
    assert words in problem.message


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (service({}), "has no type; a service has exactly one"),
        (
            service({**SERVICE, "weighted": {"services": [{"name": "ok"}]}}),
            "has several types (loadBalancer",
        ),
        (service({"weighted": {"services": [{"name": "no"}]}}), "weighted.services[0].name: there is no service 'no'"),
        (service({"weighted": {"services": [{"weight": 1}]}}), "weighted.services[0]: names no service"),
        (service({"mirroring": {"mirrors": []}}), "mirroring.service: names no service"),
        (service({"failover": {"service": "ok", "fallback": "no"}}), "failover.fallback: there is no service 'no'"),
        (service({"weighted": {"services": [{"name": "s"}]}}), "comes back to itself"),
        (
            service({"loadBalancer": {"servers": [{"url": "10.0.0.1:80"}]}}),
            "servers[0].url: '10.0.0.1:80'",
        ),
        (service({"loadBalancer": {"serversTransport": "t"}}), "there is no servers transport 't'"),
        (service({"loadBalancer": {"strategy": "luck"}}), "Traefik knows no strategy 'luck'"),
        (service({**SERVICE, "middlewares": ["no"]}), "middlewares[0]: there is no middleware 'no'"),
        (middleware({}), "has no type; a middleware has exactly one"),
        (middleware({"chain": {"middlewares": ["m"]}}), "comes back to itself"),
        (middleware({"errors": {"service": "no", "status": ["500"]}}), "errors.service: there is no service 'no'"),
        (
            middleware({"redirectRegex": {"regex": "(", "replacement": "x"}}),
            "regex: no regular expression",
        ),
        (middleware({"ipAllowList": {"sourceRange": ["x"]}}), "sourceRange[0]: 'x' is neither"),
        (middleware({"ipAllowList": {"sourceRange": []}}), "sourceRange: holds no range"),
        (middleware({"basicAuth": {"users": []}}), "basicAuth: has neither users nor usersFile"),
        (middleware({"redirectScheme": {"scheme": ""}}), "redirectScheme.scheme: says no scheme"),
        (middleware({"retry": {"attempts": 0}}), "retry.attempts: needs at least one"),
        ({at("http.routers", "taken"): {"rule": "Path(`/`)", "service": "noop@internal"}}, "sub/other.yml"),
        ({at("udp.routers", "u"): {"entryPoints": ["web"]}}, "has no service"),
        (
            {at("tcp.routers", "t"): {"rule": "HostSNI(`a`)", "service": "s"}, at("tcp.services", "s"): SERVICE},
            "HostSNI with a name needs `tls`",
        ),
    ],
)
def test_what_would_disable_whoever_uses_it_is_named(wanted: dict[Address, Any], words: str) -> None:
    assert any(words in problem.message for problem in found(wanted))


def test_a_name_that_another_file_holds_with_the_same_content_waits_for_its_hand_over() -> None:
    spec = {"rule": "Path(`/`)", "service": "noop@internal"}
    taken = ("http.routers", "taken")
    live = replace(LIVE, foreign_specs={taken: [spec]})
    assert found({at(*taken): spec}, live) == []
    assert "the same content" in found({at(*taken): spec}, live, "warning")[0].message
    assert found({at(*taken): {**spec, "priority": 5}}, live)


def test_a_parent_router_needs_no_service_and_may_have_none() -> None:
    child = {at("http.routers", "c"): {"rule": "Path(`/`)", "service": "s", "parentRefs": ["r"]}}
    assert found({**router(service=""), **child}) == []
    assert "name this one as their parent" in found({**router(), **child})[0].message


def test_without_an_answer_of_the_api_what_only_it_knows_is_not_judged() -> None:
    fields = {"entryPoints": ["any"], "middlewares": ["x@docker"], "tls": {"certResolver": "any"}}
    assert found(router(**fields), LiveNames()) == []
    assert len(found(router(**fields, service="t"), LiveNames())) == 1


def test_everything_is_said_at_once_and_where_it_stands() -> None:
    wanted = router(service="no", middlewares=["no"], entryPoints=["no"], rule="x")
    places = {at("http.routers", "r"): ("traefik/r.yaml", 7)}
    problems = validate.check(wanted, desired_places=places, live=LIVE)
    assert len(problems) == 4
    assert {(problem.file, problem.line) for problem in problems} == {("traefik/r.yaml", 7)}


def test_what_a_person_should_know_is_a_warning() -> None:
    wanted = {
        **middleware({"basicAuth": {"usersFile": "/etc/users"}}),
        at("http.routers", "gitea"): {"rule": "Path(`/`)", "service": "noop@internal"},
        at("tls.certificates", "a"): {"certFile": "/a.pem", "keyFile": "-----BEGIN PRIVATE KEY-----"},
    }
    assert found(wanted) == []
    words = " ".join(problem.message for problem in found(wanted, severity="warning"))
    assert "/etc/users" in words
    assert "docker has a router 'gitea' too" in words
    assert "/a.pem" in words
    assert "PRIVATE" not in words


COPYING = replace(LIVE, copying=frozenset({"websecure"}), by_default=("web", "websecure"))
PLAIN = {"rule": "Path(`/`)", "service": "noop@internal"}


def routers(**entry_points: list[str] | None) -> dict[Address, Any]:
    """Routers by their names, `_` for `-`, with the entry points that each asks for."""
    return {
        at("http.routers", name.replace("_", "-")): {**PLAIN, **({"entryPoints": asked} if asked else {})}
        for name, asked in entry_points.items()
    }


@pytest.mark.parametrize(
    "both", [["web", "websecure"], ["websecure", "web"], None, "web, websecure"], ids=["two", "turned", "none", "text"]
)
def test_a_router_named_like_traefiks_own_copy_of_another_is_an_error_at_both(both: Any) -> None:
    problems = found(routers(both=both, websecure_both=["web"]), COPYING)
    assert [problem.address for problem in problems] == ["edge/http.routers/both", "edge/http.routers/websecure-both"]
    assert "a copy of it named 'websecure-both'" in problems[0].message
    assert "a copy of router 'both' under this very name" in problems[1].message


def test_a_name_that_no_copy_takes_is_fine() -> None:
    assert found(routers(both=["websecure"], websecure_both=["web"]), COPYING) == []  # served as it is, not copied
    assert found(routers(both=["web", "websecure"], web_both=["web"]), COPYING) == []
    assert found(routers(both=["web", "websecure"], websecure_both=["web"]), LIVE) == []
    tcp = {at("tcp.routers", "websecure-both"): {"rule": "HostSNI(`*`)", "service": "s"}, at("tcp.services", "s"): {}}
    assert not any("copy" in one.message for one in found({**routers(both=None), **tcp}, COPYING))


def test_a_copy_that_collides_with_a_neighbours_file_is_an_error_whoever_is_copied() -> None:
    named = "http.routers", "websecure-both"
    theirs = replace(COPYING, foreign_files={named: "a.yml"}, foreign_specs={named: (PLAIN,)})
    assert [problem.address for problem in found(routers(both=None), theirs)] == ["edge/http.routers/both"]
    named = "http.routers", "both"
    theirs = replace(COPYING, foreign_files={named: "a.yml"}, foreign_specs={named: (PLAIN,)})
    (problem,) = found(routers(websecure_both=["web"]), theirs)
    assert "a copy of router 'both'" in problem.message


def test_where_traefik_was_told_how_to_read_rules_a_router_has_to_say_which_it_means() -> None:
    old = LiveNames(rule_syntax="xxxx")  # as its dump has it
    (problem,) = found(router(), old)
    assert "does not say in which syntax it is written" in problem.message and "ruleSyntax" in problem.message
    assert found(router(ruleSyntax="v3"), old) == []
    assert found(router(), LiveNames(rule_syntax="v3")) == []
