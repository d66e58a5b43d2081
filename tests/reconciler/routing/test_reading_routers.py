"""Routers read from files and from the API."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.routing.reading import entry_point, from_api, from_files, judged, plugins_at_work, reconsidered
from reconciler.routing.request import Request
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Table

SERVICES = {"s": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}}


def one(spec: dict[str, Any], **more: Any) -> Any:
    specs = {"http.routers": {"r": {"rule": "Host(`a.test`)", "service": "s", **spec}}, "http.services": SERVICES}
    return from_files({**specs, **more})[0]


def test_keys_are_read_in_any_case_and_lists_from_text() -> None:
    found = one(
        {"ENTRYPOINTS": "web, websecure", "Priority": "7", "TLS": {"Options": "strict"}, "MiddleWares": ["x@docker"]},
        **{"tls.options": {"strict": {}}},
    )
    assert (found.entry_points, found.priority) == (("web", "websecure"), 7)
    assert (found.tls, found.tls_options, found.middlewares) == (True, "strict@file", ("x@docker",))
    assert found.disabled == ""


@pytest.mark.parametrize(
    ("spec", "more", "why"),
    [
        ({"middlewares": ["auth"]}, {}, "there is no middleware 'auth'"),
        ({"middlewares": ["c"]}, {"http.middlewares": {"c": {"chain": {"middlewares": ["auth"]}}}}, "'auth'"),
        (
            {"middlewares": ["c"]},
            {"http.middlewares": {"c": {"chain": {"middlewares": ["c"]}}}},
            "comes back to itself",
        ),
        ({"middlewares": ["e"]}, {"http.middlewares": {"e": {"errors": {"service": "x"}}}}, "there is no service 'x'"),
        ({"tls": {"options": "strict"}}, {}, "no TLS options"),
    ],
)
def test_what_is_missing_disables(spec: dict[str, Any], more: dict[str, Any], why: str) -> None:
    assert why in one(spec, **more).disabled


@pytest.mark.parametrize(
    ("services", "why"),
    [
        ({}, "there is no service 's'"),
        ({"s": {"weighted": {"services": [{"name": "t"}]}}}, "there is no service 't'"),
        ({"s": {"weighted": {"services": [{"name": "s"}]}}}, "comes back to itself"),
        ({"s": {"failover": {"service": "t", "fallback": "s"}}, "t": {"loadBalancer": {"servers": []}}}, "comes back"),
        ({"s": {"loadBalancer": {"serversTransport": "nope"}}}, "no servers transport 'nope'"),
    ],
)
def test_what_its_service_lacks_is_told_apart(services: dict[str, Any], why: str) -> None:
    found = one({}, **{"http.services": services})
    assert why in found.unserved and not found.disabled


def test_what_other_providers_have_is_trusted_until_it_is_known() -> None:
    spec = {"http.routers": {"r": {"rule": "Host(`a`)", "service": "s@docker", "middlewares": ["m@docker"]}}}
    assert from_files(spec)[0].disabled == ""
    assert "m@docker" in from_files(spec, others=[])[0].disabled
    assert from_files(spec, others=[("http.middlewares", "m@docker"), ("http.services", "s@docker")])[0].unserved == ""


@pytest.mark.parametrize(
    ("service", "others", "expected"),
    [
        ("noop@internal", None, ("", "")),
        ("noop@internal", [], ("", "")),
        ("api@internal", None, ("", "")),
        ("api@internal", [], ("there is no service api@internal", "")),
        ("ping@internal", None, ("", "whether Traefik was started with ping@internal is not known here")),
        ("ping@internal", [], ("there is no service ping@internal", "")),
        ("ping@internal", [("http.services", "ping@internal")], ("", "")),
        ("nope@internal", None, ("there is no service nope@internal", "")),
    ],
)
def test_what_traefik_makes_itself_is_there_if_it_was_started_so(service: str, others: Any, expected: Any) -> None:
    found = from_files({"http.routers": {"r": {"rule": "Host(`a`)", "service": service}}}, others=others)[0]
    assert (found.unserved, found.doubt) == expected


def test_a_plugin_is_in_doubt_until_a_router_is_seen_at_work_with_it() -> None:
    plugged = {"m": {"chain": {"middlewares": ["n"]}}, "n": {"plugin": {"geo": {}}}}
    assert "the plugin 'geo' of middleware 'n'" in one({"middlewares": ["m"]}, **{"http.middlewares": plugged}).doubt
    specs = {"http.routers": {"r": {"rule": "Host(`a`)", "service": "noop@internal", "middlewares": ["m"]}}}
    assert from_files({**specs, "http.middlewares": plugged}, plugins={"geo"})[0].doubt == ""

    def running(status: str) -> dict[str, Any]:
        middlewares = {f"{name}@file": spec for name, spec in plugged.items()}
        return {
            "http.routers": {"r@file": {"status": status, "middlewares": ["m@file"]}},
            "http.middlewares": middlewares,
        }

    assert plugins_at_work(running("enabled")) == {"geo"}
    assert plugins_at_work(running("disabled")) == frozenset()


def test_an_entry_point_that_gives_what_is_not_there_serves_nothing() -> None:
    doors = [EntryPoint(name="web", middlewares=("auth@file",)), EntryPoint(name="other")]
    routers = from_files({"http.routers": {"r": {"rule": "Host(`a`)", "service": "noop@internal"}}})
    table = Table(routers, judged(doors, {}))
    assert table.answer(Request(host="a", entry_point="web")).status == 404
    assert table.answer(Request(host="a", entry_point="other")).router == "r"
    assert table.disabled == {}
    alone = Table(routers, judged(doors[:1], {}))
    assert alone.disabled == {"r@file": "there is no middleware 'auth'"}
    plugged = Table(routers, judged(doors, {"http.middlewares": {"auth": {"plugin": {"oidc": {}}}}}))
    assert "plugin 'oidc'" in plugged.answer(Request(host="a", entry_point="web")).unknown


# ── beside others ──

AROUND = {
    "http.middlewares": {"c@docker": {"chain": {"middlewares": ["auth@file"]}}},
    "http.services": {
        "w@docker": {"weighted": {"services": [{"name": "s@file"}]}},
        "m@docker": {"mirroring": {"service": "plain", "mirrors": [{"name": "f"}]}},
        "f@docker": {"failover": {"service": "plain", "fallback": "w"}},
    },
}


@pytest.mark.parametrize(
    ("using", "gone"),
    [
        ({"middlewares": ("auth@file",)}, ("http.middlewares", "auth@file")),
        ({"middlewares": ("c@docker",)}, ("http.middlewares", "auth@file")),
        ({"service": "s@file"}, ("http.services", "s@file")),
        ({"service": "w@docker"}, ("http.services", "s@file")),
        ({"service": "m@docker"}, ("http.services", "s@file")),
        ({"parents": ("p@file",)}, ("http.routers", "p@file")),
        ({"tls": True, "tls_options": "strict@file"}, ("tls.options", "strict@file")),
    ],
)
def test_others_serve_nothing_without_what_they_need_of_ours_however_far_away(using: Any, gone: Any) -> None:
    theirs = Router(**{"name": "r@docker", "rule": "Host(`a`)", "service": "plain@docker", "accepted": True, **using})
    parent = Router(name="p@file", rule="Host(`a`)")
    here = [theirs, parent] if theirs.parents else [theirs]
    assert Table(reconsidered(here, AROUND), DOORS).disabled == {}
    after = [one for one in reconsidered(here, AROUND, gone=[gone]) if one.name != gone[1]]
    assert "r@docker" in Table(after, DOORS).disabled
    other = [(kind, f"x{name}") for kind, name in [gone]]
    assert reconsidered([theirs], AROUND, gone=other) == [theirs]


def test_a_router_that_waits_for_what_comes_may_serve_then() -> None:
    why = 'middleware "auth@file" does not exist'
    theirs = Router(name="r@docker", rule="Host(`a`)", service="s@docker", disabled=why)
    (found,) = reconsidered([theirs], {}, come=[("http.middlewares", "auth@file")])
    table = Table([found], DOORS)
    assert table.answer(Request(host="a", entry_point="web")).unknown
    assert reconsidered([theirs], {}, come=[("http.middlewares", "other@file")]) == [theirs]


def test_faults_inside_a_middleware_disable_its_routers() -> None:
    specs = {
        "http.routers": {"r": {"rule": "Host(`a`)", "service": "noop@internal", "middlewares": ["m"]}},
        "http.middlewares": {"m": {}},
    }
    found = from_files(specs, faults=lambda kind, spec: ["no type"])[0]
    assert "no type" in found.disabled


@pytest.mark.parametrize(
    ("middleware", "changes"),
    [
        ({"stripPrefix": {}}, ("headers", "path")),
        ({"headers": {"customResponseHeaders": {"a": "b"}}}, ()),
        ({"headers": {"customRequestHeaders": {"Host": "b"}}}, ("headers", "host")),
        ({"forwardAuth": {}}, ("headers",)),
        ({"ipAllowList": {}}, ()),
        ({"plugin": {"x": {}}}, ("everything",)),
        ({"CHAIN": {"middlewares": ["inner"]}}, ("headers", "path")),
        ({"chain": {"middlewares": ["x@docker"]}}, ("everything",)),
    ],
)
def test_what_its_middlewares_may_rewrite_is_known(middleware: dict[str, Any], changes: tuple[str, ...]) -> None:
    middlewares = {"m": middleware, "inner": {"addPrefix": {"prefix": "/x"}}}
    assert one({"middlewares": ["m"]}, **{"http.middlewares": middlewares}).changes == changes


# ── the API ──

DOORS = (
    EntryPoint(name="web"),
    EntryPoint(name="websecure", tls=True, special=True, middlewares=("entry@file",)),
)


def listed(**more: Any) -> dict[str, Any]:
    return {"rule": "Host(`a.test`)", "service": "s", "status": "enabled", "using": ["web"], "priority": 14, **more}


def test_the_copies_of_a_router_are_one_again() -> None:
    copy = listed(using=["websecure"], tls={}, middlewares=["entry@file", "m@file"])
    routers = {"both@file": listed(middlewares=["m@file"]), "websecure-both@file": copy}
    found = from_api({"http.routers": routers}, DOORS)
    assert {one.name for one in found} == {"both@file"}
    assert {door for one in found for door in one.entry_points} == {"web", "websecure"}
    assert {one.middlewares for one in found} == {("m@file",)}


def test_a_router_in_conflict_about_tls_options_has_its_own_name() -> None:
    conflicted = listed(
        using=["websecure"], tls={"options": "strict"}, middlewares=["entry@file"], status="warning", error=["…"]
    )
    (found,) = from_api({"http.routers": {"websecure-conflicted-a@file": conflicted}}, DOORS)
    assert (found.name, found.tls_options, found.disabled) == ("a@file", "strict@file", "")


def test_a_name_that_only_looks_like_a_copy_stays() -> None:
    alone = listed(using=["websecure"], tls={}, middlewares=["entry@file"])
    (found,) = from_api({"http.routers": {"websecure-alone@file": alone}}, DOORS)
    assert found.name == "websecure-alone@file"


def test_disabled_is_what_serves_nothing() -> None:
    both = "router has both a service and is referenced as a parent by other routers"
    routers = {
        "bad@file": listed(status="disabled", error=['middleware "x@file" does not exist']),
        "parent@file": listed(status="disabled", error=[both]),
        "child@file": listed(status="disabled", error=[both], parentRefs=["parent@file"]),
    }
    found = {one.name: one.disabled for one in from_api({"http.routers": routers}, DOORS)}
    assert "does not exist" in found["bad@file"] and found["parent@file"] == "" and found["child@file"] == both


def test_an_entry_point_is_read_with_what_changes_what_rules_see() -> None:
    found = entry_point(
        {
            "name": "web",
            "address": ":8080/tcp",
            "asDefault": True,
            "http": {"sanitizePath": False, "middlewares": ["m@file"], "tls": {"options": "strict@file"}},
            "forwardedHeaders": {"trustedIPs": ["10.0.0.0/8"], "insecure": True},
        }
    )
    assert (found.port, found.tls, found.tls_options, found.middlewares) == (8080, True, "strict@file", ("m@file",))
    assert found.as_default and not found.door.sanitize_path and found.door.trust_all
    assert found.door.trusted == ("10.0.0.0/8",)
    assert entry_point({"name": "u", "address": "xxxx/udp"}).udp
    assert entry_point({"name": "e", "address": ":" + "9" * 70_000}).port is None
    assert entry_point({"name": "o", "address": ":1", "observability": {"accessLogs": False}}).special


def test_rules_that_name_no_syntax_have_the_one_by_default() -> None:
    routers = {"old": {"rule": "Host(`a`, `b`)", "service": "s"}, "new": {"rule": "Host(`a`)", "ruleSyntax": "v3"}}
    read = from_files({"http.routers": routers, "http.services": SERVICES}, syntax="v2")
    assert [router.syntax for router in read] == ["v2", "v3"]
    assert [router.syntax for router in from_files({"http.routers": routers})] == ["", "v3"]


def test_a_name_with_an_at_sign_makes_another_provider_of_what_it_names() -> None:
    specs = {
        "http.routers": {"r@lan": {"rule": "Host(`a`)", "service": "s", "middlewares": ["m", "n@file"]}},
        "http.services": SERVICES,
    }
    read = from_files(specs)[0]
    assert (read.name, read.service, read.middlewares) == ("r@lan@file", "s@lan", ("m@lan", "n@file"))
    listed = {
        "http.routers": {"r@lan@file": {"rule": "Host(`a`)", "service": "s", "status": "enabled", "using": ["w"]}}
    }
    assert from_api(listed)[0].service == "s@lan"


@pytest.mark.parametrize(
    ("around", "said"), [(("(" * 150, ")" * 150), "nested deeper than 100"), (("", " " * 65_536), "longer than 65,536")]
)
@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_a_rule_that_is_too_deep_or_long_to_be_read_leaves_it_open_who_serves(
    protocol: str, around: tuple[str, str], said: str
) -> None:
    matcher = "HostSNI(`*`)" if protocol == "tcp" else "Host(`a.test`)"
    specs = {
        f"{protocol}.routers": {"r": {"rule": matcher.join(around), "service": "s"}},
        f"{protocol}.services": {"s": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}},
    }
    answer = Table(from_files(specs), [EntryPoint(name="web", port=80)]).answer(Request(host="a.test"))
    assert said in answer.unknown


def test_https_routers_whose_rules_are_too_deep_leave_it_open_which_names_they_claim() -> None:
    routers = {"r": {"rule": "!" * 150 + "Host(`a.test`)", "service": "s", "tls": {}}}
    tcp = {"t": {"rule": "HostSNI(`a.test`)", "service": "s", "tls": {}}}
    specs = {
        "http.routers": routers, "http.services": SERVICES, "tcp.routers": tcp,
        "tcp.services": {"s": {"loadBalancer": {"servers": [{"address": "127.0.0.1:1"}]}}},
    }  # fmt: skip
    answer = Table(from_files(specs), [EntryPoint(name="web", port=80)]).answer(Request(host="a.test", tls=True))
    assert "which names r claims is not known" in answer.unknown
