"""The audit as a pure function: values in, findings out. Samples are as a real Traefik 3.7 answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.audit.evidence import Directory
from reconciler.audit.findings import Evidence, Finding, audit
from reconciler.traefik.api import EntryPoint, Runtime, Version, item

WEB = EntryPoint(name="web")
SECURE = EntryPoint(name="websecure", http={"tls": {}})
OPEN = {"service": "noop@internal", "entryPoints": ["web"], "using": ["web"], "status": "enabled"}
BASIC = {"basicAuth": {"users": ["u:$apr1$H6usk"]}, "status": "enabled", "usedBy": ["x@file"]}
INTERNAL = {name: {"status": "enabled"} for name in ("noop@internal", "api@internal")}


def runtime(**sections: Mapping[str, Any]) -> Runtime:
    """`routers=…, middlewares=…, services=…, tcp_routers=…` as /api/rawdata lists them."""
    services = {**INTERNAL, **sections.pop("services", {})}
    kinds = {"routers": "http.routers", "middlewares": "http.middlewares", "tcp_routers": "tcp.routers"}
    items = {kinds[name]: {key: item(dict(spec)) for key, spec in found.items()} for name, found in sections.items()}
    return Runtime(items={**items, "http.services": {key: item(dict(spec)) for key, spec in services.items()}})


def audited(
    live: Runtime,
    *,
    doors: tuple[EntryPoint, ...] = (WEB, SECURE),
    static: Mapping[str, Any] | None = None,
    directory: Directory | None = None,
) -> list[Finding]:
    version = Version(version="3.7.15", started="")
    return audit(Evidence(version=version, runtime=live, doors=doors, static=static, directory=directory))


def about(found: list[Finding], kind: str) -> dict[str, str]:
    return {finding.subject: finding.message for finding in found if finding.kind == kind}


def disabled(rule: str, error: str, **spec: Any) -> dict[str, Any]:
    return {**OPEN, "rule": rule, "status": "disabled", "error": [error], **spec}


def test_a_quiet_traefik_gives_no_finding_but_its_own_open_doors() -> None:
    live = runtime(
        routers={
            "api@internal": {**OPEN, "service": "api@internal", "rule": "PathPrefix(`/api`)", "using": ["traefik"]},
            "x@file": {**OPEN, "rule": "Host(`x.test`)", "middlewares": ["auth@file"]},
        },
        middlewares={"auth@file": BASIC},
    )
    found = audited(live)
    assert [(one.severity, one.kind, one.subject) for one in found] == [
        ("info", "internal", "http.routers api@internal")
    ]


# ── disabled routers and what becomes of their requests ──

NO_SUCH = 'middleware "auht@file" does not exist'


def falls(rules: Mapping[str, Any], rule: str, **spec: Any) -> str:
    routers = {name: {**OPEN, "rule": other} if isinstance(other, str) else other for name, other in rules.items()}
    live = runtime(
        routers={**routers, "lost@file": disabled(rule, NO_SUCH, middlewares=["auht@file"], **spec)},
        middlewares={"auth@file": BASIC},
    )
    return about(audited(live), "disabled-router")["http.routers lost@file"]


def test_a_disabled_router_names_the_broader_one_that_takes_its_requests_with_a_witness() -> None:
    words = falls({"all@file": "Host(`f.test`)"}, "Host(`f.test`) && PathPrefix(`/admin`)")
    assert NO_SUCH in words
    assert "`GET http://f.test/admin` falls through to all, which asks for no authentication" in words


def test_a_stand_in_that_authenticates_is_said_to() -> None:
    broad = {**OPEN, "rule": "Host(`f.test`)", "middlewares": ["auth@file"]}
    assert "to all, which asks for authentication" in falls({"all@file": broad}, "Host(`f.test`) && Path(`/x`)")


def test_the_stand_in_with_the_highest_priority_is_named() -> None:
    rivals = {
        "low@file": {**OPEN, "rule": "Host(`f.test`)", "priority": 14},
        "high@file": {**OPEN, "rule": "PathPrefix(`/`)", "priority": 15},
    }
    assert "falls through to high," in falls(rivals, "Host(`f.test`) && Path(`/x`)")


@pytest.mark.parametrize(
    ("rival", "witness"),
    [
        ("Host(`other.test`)", ""),
        ("Host(`f.test`) && PathPrefix(`/public`)", ""),
        ("Host(`f.test`) && PathPrefix(`/adm`)", "`GET http://f.test/admin`"),
        ("Host(`f.test`) && PathPrefix(`/admin/deep`)", ""),  # of higher priority: it had those requests before
        ("Host(`*.test`)", "`GET http://f.test/admin`"),
        ("Host(`*.f.test`)", ""),
        ("!Host(`f.test`)", ""),
        ("!Host(`g.test`)", "`GET http://f.test/admin`"),
        ("HostRegexp(`^.+$`)", "`GET http://f.test/admin`"),
        ("Host(`f.test`) && Method(`POST`)", "`POST http://f.test/admin`"),
    ],
)
def test_who_stands_in_is_proven_by_a_request(rival: str, witness: str) -> None:
    told = falls({"rival@file": rival}, "Host(`f.test`) && PathPrefix(`/admin`)")
    assert (f"{witness} falls through to rival," if witness else "its requests get 404") in told


def test_a_router_at_another_entry_point_or_in_the_other_table_does_not_stand_in() -> None:
    elsewhere = {**OPEN, "rule": "Host(`f.test`)", "using": ["websecure"], "entryPoints": ["websecure"]}
    with_tls = {**OPEN, "rule": "Host(`f.test`)", "tls": {}}
    assert "get 404" in falls({"a@file": elsewhere, "b@file": with_tls}, "Host(`f.test`)")


def test_of_a_rule_that_cannot_be_read_the_consequence_is_said_in_general() -> None:
    assert "does not block" in falls({"all@file": "Host(`f.test`)"}, "Host(`f.test`")


# ── routers among each other ──


def test_two_routers_between_which_chance_decides_are_named_with_a_request_and_what_ends_it() -> None:
    auth = {**OPEN, "rule": "Host(`a.test`)", "middlewares": ["auth@file"]}
    live = runtime(
        routers={"a@file": auth, "b@file": {**OPEN, "rule": "Host(`a.test`)"}}, middlewares={"auth@file": BASIC}
    )
    (tie,) = [one for one in audited(live) if one.kind == "tie"]
    assert tie.severity == "warning"
    assert "`GET http://a.test/`" in tie.message
    assert "priority" in tie.suggestion


def test_a_router_that_no_request_reaches_is_named_with_who_takes_everything() -> None:
    routers = {
        "first@docker": {**OPEN, "rule": "Host(`a.test`)", "priority": 1000},
        "never@file": {**OPEN, "rule": "Host(`a.test`) && Path(`/x`)"},
    }
    told = about(audited(runtime(routers=routers)), "unreachable")
    assert "first@docker" in told["http.routers never"]


def test_a_rule_that_loads_and_never_matches_is_named() -> None:
    told = about(audited(runtime(routers={"a@file": {**OPEN, "rule": "Host(`a.test:8080`)"}})), "never")
    assert "port" in told["http.routers a"]


def test_a_slip_of_the_pen_is_recognised() -> None:
    live = runtime(
        routers={"lost@file": disabled("Host(`f.test`)", NO_SUCH, middlewares=["auht@file"])},
        middlewares={"auth@file": BASIC},
    )
    (found,) = [one for one in audited(live) if one.kind == "disabled-router"]
    assert found.severity == "error" and found.suggestion == "Did you mean auth@file?"


def test_a_router_that_works_with_a_fault_is_a_warning() -> None:
    half = {**OPEN, "rule": "Host(`h.test`)", "status": "warning", "error": ['entryPoint "nope" doesn\'t exist']}
    found = audited(runtime(routers={"half@file": half}))
    assert ("warning", "http.routers half@file") in {(one.severity, one.subject) for one in found}
    assert 'entryPoint "nope"' in about(found, "warning")["http.routers half@file"]


# ── who is asked ──


def public(router: Mapping[str, Any], middlewares: Mapping[str, Any], **more: Any) -> set[str]:
    live = runtime(routers={"x@file": {**OPEN, "rule": "Host(`x.test`)", **router}}, middlewares=middlewares)
    return set(about(audited(live, **more), "no-authentication"))


def test_a_route_without_any_authentication_is_named() -> None:
    assert public({}, {}) == {"http.routers x@file"}
    assert public({"middlewares": ["h@file"]}, {"h@file": {"headers": {}}}) == {"http.routers x@file"}


@pytest.mark.parametrize("kind", ["basicAuth", "digestAuth", "forwardAuth"])
def test_each_middleware_that_authenticates_counts_also_from_another_provider(kind: str) -> None:
    assert not public({"middlewares": ["sso@docker"]}, {"sso@docker": {kind: {}}})


def test_a_chain_in_a_chain_is_followed_and_a_circle_ends() -> None:
    middlewares = {
        "outer@file": {"chain": {"middlewares": ["inner"]}},
        "inner@file": {"chain": {"middlewares": ["auth@file"]}},
        "auth@file": BASIC,
        "round@file": {"chain": {"middlewares": ["round"]}},
    }
    assert not public({"middlewares": ["outer@file"]}, middlewares)
    assert public({"middlewares": ["round@file"]}, middlewares)


def test_a_middleware_of_the_entry_point_counts_only_if_every_entry_point_has_it() -> None:
    guarded = EntryPoint(name="websecure", http={"middlewares": ["auth@file"]})
    both = {"using": ["web", "websecure"]}
    assert not public({"using": ["websecure"]}, {"auth@file": BASIC}, doors=(WEB, guarded))
    assert public(both, {"auth@file": BASIC}, doors=(WEB, guarded))


def test_a_child_is_guarded_by_its_parent() -> None:
    live = runtime(
        routers={
            "parent@file": {**OPEN, "rule": "Host(`p.test`)", "service": "", "middlewares": ["auth@file"]},
            "child@file": {"rule": "PathPrefix(`/c`)", "service": "ok", "parentRefs": ["parent"], "status": "enabled"},
        },
        middlewares={"auth@file": BASIC},
        services={"ok@file": {"loadBalancer": {"servers": [{"url": "http://h:1"}]}, "usedBy": ["child@file"]}},
    )
    assert not about(audited(live), "no-authentication")


def test_a_client_certificate_is_authentication_where_the_directory_shows_that_it_is_asked_for() -> None:
    options = {("tls.options", "mutual"): {"clientAuth": {"clientAuthType": "RequireAndVerifyClientCert"}}}
    router = {"tls": {"options": "mutual"}}
    assert public(router, {}) == {"http.routers x@file"}
    assert not public(router, {}, directory=Directory(path="/d", files={"a.yml": options}))


def test_a_route_that_only_redirects_to_https_is_a_note() -> None:
    to_https = {"r@file": {"redirectScheme": {"scheme": "https"}}}
    assert not public({"middlewares": ["r@file"]}, to_https)
    assert public({"middlewares": ["r@file"], "tls": {}}, to_https)


def test_a_plugin_is_neither_accused_nor_trusted() -> None:
    live = runtime(
        routers={"x@file": {**OPEN, "rule": "Host(`x.test`)", "middlewares": ["p@file"]}},
        middlewares={"p@file": {"plugin": {"crowdsec": {}}}},
    )
    found = audited(live)
    assert about(found, "plugin") and not about(found, "no-authentication")


def test_an_open_way_to_traefiks_own_controls_is_an_error() -> None:
    router = {**OPEN, "rule": "Host(`t.test`)", "service": "dashboard@internal"}
    found = [one for one in audited(runtime(routers={"t@file": router})) if one.kind == "open-controls"]
    assert [one.severity for one in found] == ["error"] and "dashboard" in found[0].message


def test_the_copy_for_an_entry_point_is_not_a_second_route() -> None:
    routers = {
        "x@file": {**OPEN, "rule": "Host(`x.test`)"},
        "websecure-x@file": {**OPEN, "rule": "Host(`x.test`)", "using": ["websecure"], "tls": {}},
    }
    assert about(audited(runtime(routers=routers)), "no-authentication") == {
        "http.routers x@file": "Host(`x.test`) on web, websecure has no authentication middleware"
    }


# ── names ──


def test_a_dangling_reference_of_something_unused_is_found_before_a_router_falls_over_it() -> None:
    live = runtime(middlewares={"c@file": {"chain": {"middlewares": ["gone"]}, "status": "enabled"}})
    (found,) = [one for one in audited(live) if one.kind == "dangling"]
    assert found.severity == "warning" and "the middleware gone@file, which does not exist" in found.message


def test_what_traefik_itself_names_as_missing_is_said_once() -> None:
    live = runtime(routers={"x@file": disabled("Host(`x.test`)", NO_SUCH, middlewares=["auht@file"])})
    assert not about(audited(live), "dangling")


def test_a_transport_is_looked_up_only_where_the_directory_is_known() -> None:
    service = {"loadBalancer": {"servers": [{"url": "http://h:1"}], "serversTransport": "t"}, "status": "enabled"}
    live = runtime(services={"s@file": service})
    there = Directory(path="/d", files={"a.yml": {("http.serversTransports", "t"): {"insecureSkipVerify": True}}})
    assert not about(audited(live), "dangling")
    assert not about(audited(live, directory=there), "dangling")
    assert (
        "serversTransport t@file"
        in about(audited(live, directory=Directory(path="/d")), "dangling")["http.services s@file"]
    )


def test_an_unknown_certificate_resolver_is_found_though_traefik_calls_the_router_enabled() -> None:
    router = {**OPEN, "rule": "Host(`r.test`)", "tls": {"certResolver": "nope"}}
    live = runtime(routers={"r@file": router})
    found = about(audited(live, static={"certificatesResolvers": {"le": {}}}), "dangling")
    assert "certificate resolver nope" in found["http.routers r@file"]
    assert not about(audited(live, static={"certificatesResolvers": {"nope": {}}}), "dangling")
    assert "nope could not be looked up" in about(audited(live), "not-checked")["certificate resolvers"]


def test_the_resolver_of_an_entry_point_is_reported_there_and_not_at_each_router() -> None:
    door = EntryPoint(name="web", http={"tls": {"certResolver": "nope"}})
    router = {**OPEN, "rule": "Host(`r.test`)", "tls": {"certResolver": "nope"}}
    found = audited(runtime(routers={"r@file": router}), doors=(door,), static={})
    assert set(about(found, "dangling")) == {"entry point web"}


def test_one_name_of_two_providers_is_reported_but_not_traefiks_own() -> None:
    router = {**OPEN, "rule": "Host(`r.test`)"}
    live = runtime(routers=dict.fromkeys(("r@file", "r@docker", "api@internal", "api@docker"), router))
    assert set(about(audited(live), "name-taken")) == {"http.routers r"}


def test_an_unused_service_that_cannot_work_is_found_though_traefik_calls_it_enabled() -> None:
    service = {"loadBalancer": {"servers": [{"url": "127.0.0.1:80"}]}, "status": "enabled"}
    found = about(audited(runtime(services={"s@file": service})), "broken")
    assert "127.0.0.1:80" in found["http.services s@file"]


# ── files ──

ROUTER = {"rule": "Host(`r.test`)", "service": "noop@internal"}
NAMED = ("http.routers", "r")


def test_a_name_in_two_files_goes_to_the_first_in_the_byte_order_of_the_listing() -> None:
    files = {"Z.yml": {NAMED: ROUTER}, "a.yml": {NAMED: {**ROUTER, "rule": "Host(`q.test`)"}}}
    found = [one for one in audited(runtime(), directory=Directory(path="/d", files=files)) if one.kind == "name-taken"]
    assert [one.severity for one in found] == ["error"] and "Z.yml comes first" in found[0].message


def test_a_name_that_traefik_gives_to_a_copy_is_taken() -> None:
    files = {"a.yml": {NAMED: ROUTER, ("http.routers", "websecure-r"): {**ROUTER, "entryPoints": ["web"]}}}
    found = about(audited(runtime(), directory=Directory(path="/d", files=files)), "name-taken")
    assert set(found) == {"http.routers websecure-r"}


def test_losses_name_the_poison_that_causes_them_and_leave_out_what_serves_nothing() -> None:
    live = runtime(
        routers={"r@file": {**OPEN, "rule": "Host(`r.test`)"}, "d@file": disabled("Host(`d.test`)", NO_SUCH)}
    )
    directory = Directory(path="/d", poison={"bad.yml": "tabs"}, losses=("d@file", "r@file"))
    found = audited(live, directory=directory)
    assert set(about(found, "poison")) == {"bad.yml"}
    assert set(about(found, "restart-loss")) == {"http.routers r@file"}
    assert "bad.yml prevents" in about(found, "restart-loss")["http.routers r@file"]


def test_a_folder_of_others_is_not_watched_and_waypost_s_own_is_not_mentioned() -> None:
    files = {"mcp-managed/waypost.yml": {}, "sub/one.yml": {}, "sub/two.yml": {}, "top.yml": {}}
    found = about(audited(runtime(), directory=Directory(path="/d", files=files)), "unwatched")
    assert set(found) == {"sub/"} and "one.yml, two.yml" in found["sub/"]


def test_a_traefik_without_a_file_provider_reads_nothing_of_a_directory() -> None:
    found = audited(runtime(), static={"providers": {}}, directory=Directory(path="/d"))
    assert "no file provider" in about(found, "not-loaded")["/d"]


def test_the_wrong_directory_is_one_finding_not_hundreds() -> None:
    files = {"a.yml": {("http.routers", f"r{number}"): ROUTER for number in range(300)}}
    found = about(audited(runtime(), directory=Directory(path="/d", files=files)), "not-loaded")
    assert list(found) == ["/d"] and "none of the 300 routers" in found["/d"]


# ── as a real Traefik answered ──

RECORDED = {
    "routers": {
        "half-ep@file": {
            "entryPoints": ["web", "nope"],
            "service": "ok",
            "rule": "Host(`halfep.test`)",
            "priority": 19,
            "error": ['entryPoint "nope" doesn\'t exist'],
            "status": "warning",
            "using": ["web"],
        },
        "no-svc-xprov@file": {
            "entryPoints": ["web"],
            "service": "missing@docker",
            "rule": "Host(`nosvc2.test`)",
            "priority": 19,
            "error": ['the service "missing@docker" does not exist'],
            "status": "disabled",
            "using": ["web"],
        },
        "orphan@file": {
            "service": "ok",
            "rule": "PathPrefix(`/o`)",
            "parentRefs": ["nosuch@file"],
            "error": ['parent router "nosuch@file" does not exist', "router is not reachable"],
            "status": "disabled",
        },
        "ruleV2@file": {
            "entryPoints": ["web"],
            "service": "ok",
            "rule": "Host(`v2a.test`,`v2b.test`) && PathPrefix(`/{id:[0-9]+}`)",
            "ruleSyntax": "v2",
            "priority": 57,
            "status": "enabled",
            "using": ["web"],
        },
    },
    "services": {
        "ok@file": {
            "loadBalancer": {
                "servers": [{"url": "http://127.0.0.1:18095"}],
                "strategy": "wrr",
                "passHostHeader": True,
                "responseForwarding": {"flushInterval": "100ms"},
            },
            "status": "enabled",
            "usedBy": ["half-ep@file", "orphan@file", "ruleV2@file"],
            "serverStatus": {"http://127.0.0.1:18095": "UP"},
        }
    },
    "tcp_routers": {
        "t3@file": {
            "entryPoints": ["websecure"],
            "service": "ts",
            "rule": "HostSNI(`notls.test`)",
            "priority": 21,
            "error": ['invalid rule: "HostSNI(`notls.test`)" , has HostSNI matcher, but no TLS on router'],
            "status": "disabled",
            "using": ["websecure"],
        }
    },
}


def test_a_recorded_answer_is_told_router_by_router() -> None:
    found = audited(runtime(**RECORDED))
    told = about(found, "disabled-router")
    assert 'the service "missing@docker" does not exist' in told["http.routers no-svc-xprov@file"]
    # The rule in the old syntax names other hosts, so it is no stand-in.
    assert told["http.routers no-svc-xprov@file"].endswith("its requests get 404")
    assert "parent router" in told["http.routers orphan@file"]
    assert "get no answer" in told["tcp.routers t3@file"]
    assert set(about(found, "warning")) == {"http.routers half-ep@file"}
    assert set(about(found, "no-authentication")) == {"http.routers half-ep@file", "http.routers ruleV2@file"}


def test_thousands_of_disabled_routers_are_not_each_held_against_all_others() -> None:
    routers = {
        f"r{number}@file": disabled(f"Host(`h{number}.test`)", NO_SUCH)
        if number % 2
        else {**OPEN, "rule": f"Host(`h{number + 1}.test`)", "priority": 1}
        for number in range(2000)
    }
    told = about(audited(runtime(routers=routers)), "disabled-router")
    assert len(told) == 1000 and all(f"falls through to r{int(name[14:-5]) - 1}," in told[name] for name in told)


TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["Host(`a.test`)", "PathPrefix(`/x`)", "!Host(`a.test`) || ClientIP(`::1`)", "auth", "auth@file"]),
)
NAMES = st.sampled_from(["a@file", "b@file", "a@docker", "web-a@file", "api@internal", "bare"])
VALUES = st.recursive(
    st.one_of(TEXT, st.none(), st.integers(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
FIELDS = (
    "rule", "service", "middlewares", "entryPoints", "using", "tls", "status", "error", "parentRefs", "priority",
    "chain", "plugin", "loadBalancer", "weighted", "usedBy", "basicAuth", "redirectScheme",
)  # fmt: skip
SPECS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6)


@given(
    routers=st.dictionaries(NAMES, SPECS, max_size=4),
    middlewares=st.dictionaries(NAMES, SPECS, max_size=3),
    services=st.dictionaries(NAMES, SPECS, max_size=3),
    http=st.dictionaries(st.sampled_from(["tls", "middlewares"]), VALUES),
)
def test_whatever_an_api_answers_the_audit_ends_and_says_the_same_twice(
    routers: dict[str, Any], middlewares: dict[str, Any], services: dict[str, Any], http: dict[str, Any]
) -> None:
    live = runtime(routers=routers, middlewares=middlewares, services=services)
    doors = (EntryPoint(name="web", http=http),)
    assert audited(live, doors=doors, static={}) == audited(live, doors=doors, static={})


def test_what_stands_before_authentication_and_gets_round_it_is_named() -> None:
    answering = {"errors": {"status": ["401"], "service": "noop@internal", "query": "/"}, "status": "enabled"}
    speaking = {"headers": {"customRequestHeaders": {"Authorization": "Basic YTpi"}}, "status": "enabled"}
    routers = {
        "a@file": {**OPEN, "rule": "Host(`a.test`)", "middlewares": ["e@file", "auth@file"]},
        "b@file": {**OPEN, "rule": "Host(`b.test`)", "middlewares": ["auth@file", "e@file"]},
        "c@file": {**OPEN, "rule": "Host(`c.test`)", "middlewares": ["h@file", "auth@file"]},
    }
    live = runtime(routers=routers, middlewares={"auth@file": BASIC, "e@file": answering, "h@file": speaking})
    assert about(audited(live), "way-round") == {
        "http.routers a@file": "`e` has `noop@internal` answer whoever is turned away",
        "http.routers c@file": "`h` says who somebody is before anybody asks",
    }


def test_a_tie_of_tcp_routers_is_told_of_tcp_routers() -> None:
    tcp = {
        "rule": "HostSNI(`db.test`)",
        "service": "t",
        "entryPoints": ["websecure"],
        "using": ["websecure"],
        "tls": {},
    }
    routers = {f"{name}@file": {**tcp, "status": "enabled"} for name in ("one", "two")}
    assert list(about(audited(runtime(tcp_routers=routers)), "tie")) == ["tcp.routers one"]
