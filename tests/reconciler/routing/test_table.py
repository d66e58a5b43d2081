"""The choice among routers, one rule of Traefik's at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from reconciler.routing.request import Door, Request
from reconciler.routing.routers import HIGHEST_PRIORITY, EntryPoint, Router
from reconciler.routing.table import Answer, Table, UnknownEntryPoint

WEB = EntryPoint(name="web", port=80)
SECURE = EntryPoint(name="websecure", port=443, tls=True, middlewares=("entry@file",))


def router(name: str, rule: str, **more: Any) -> Router:
    more.setdefault("service", "backend@file")
    return Router(name=name if "@" in name else f"{name}@file", rule=rule, **more)


def asked(routers: Iterable[Router], url: str = "http://a.test/", **more: Any) -> Answer:
    table = Table(routers, more.pop("doors", (WEB, SECURE)), precedence=more.pop("precedence", ()))
    return table.answer(Request.of_url("GET", url, **more))


def test_the_longer_rule_wins_where_no_priority_is_set() -> None:
    answer = asked(
        [router("host", "Host(`a.test`)"), router("admin", "Host(`a.test`) && PathPrefix(`/admin`)")],
        "http://a.test/admin",
    )
    assert (answer.router, answer.candidates) == ("admin", ("admin", "host"))


def test_a_priority_beats_any_length() -> None:
    answer = asked(
        [router("short", "PathPrefix(`/`)", priority=99), router("long", "Host(`a.test`) && PathPrefix(`/`)")]
    )
    assert answer.router == "short"


def test_a_negative_priority_comes_last() -> None:
    assert asked([router("low", "Host(`a.test`)", priority=-1), router("all", "PathPrefix(`/`)")]).router == "all"


def test_equal_priorities_are_told_as_chance() -> None:
    answer = asked(
        [router("one", "Host(`a.test`)"), router("two", "Host(`a.test`)"), router("low", "PathPrefix(`/`)", priority=1)]
    )
    assert (answer.router, answer.ambiguous, answer.tied) == (None, True, ("one", "two"))
    assert answer.candidates == ("one", "two", "low")
    assert answer.service == ""


def test_routers_of_two_providers_tie_unless_the_precedence_is_set() -> None:
    both = [router("r", "Host(`a.test`)"), router("r@docker", "Host(`a.test`)")]
    assert asked(both).tied == ("r@docker", "r")
    assert asked(both, precedence=("docker", "file")).router == "r@docker"
    assert asked(both, precedence=("file",)).router == "r"


def test_plain_and_tls_are_two_tables() -> None:
    routers = [
        router("plain", "PathPrefix(`/`)", entry_points=("web",)),
        router("tls", "PathPrefix(`/`)", entry_points=("web",), tls=True),
    ]
    assert asked(routers, entry_point="web").router == "plain"
    assert asked(routers, "https://a.test/", entry_point="web").router == "tls"


def test_an_entry_point_gives_tls_and_middlewares_to_its_routers() -> None:
    answer = asked([router("r", "Host(`a.test`)", middlewares=("own@file", "x@docker"))], "https://a.test/")
    assert (answer.router, answer.middlewares) == ("r", ("entry", "own", "x@docker"))
    assert asked([router("r", "Host(`a.test`)", entry_points=("websecure",))], entry_point="websecure").status == 404


def test_a_router_without_entry_points_uses_those_by_default() -> None:
    marked = (WEB, EntryPoint(name="inside", port=81, as_default=True))
    assert asked([router("r", "PathPrefix(`/`)")], doors=marked).status == 404
    assert asked([router("r", "PathPrefix(`/`)")], "http://a.test:81/", doors=marked).router == "r"
    assert (
        asked([router("r", "PathPrefix(`/`)")], "http://a.test:81/", doors=(WEB, EntryPoint(name="x", port=81))).router
        == "r"
    )


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"rule": "Host(`a.test`"}, "rule"),
        ({"rule": "Hots(`a.test`)"}, "rule"),
        ({"rule": ""}, "rule"),
        ({"disabled": "there is no middleware 'auth'"}, "auth"),
        ({"priority": HIGHEST_PRIORITY + 1}, "priority"),
        ({"entry_points": ("nowhere",)}, "nowhere"),
        ({"service": ""}, "service"),
        ({"unserved": "there is no service 'x'"}, "service"),
    ],
)
def test_a_disabled_router_falls_through_to_a_broader_one(broken: dict[str, Any], why: str) -> None:
    fine = {"rule": "Host(`a.test`) && PathPrefix(`/admin`)", "priority": 1000, "service": "backend@file"}
    table = Table([Router(name="admin@file", **{**fine, **broken}), router("host", "Host(`a.test`)")], [WEB])
    assert table.answer(Request.of_url("GET", "http://a.test/admin")).router == "host"
    assert why in table.disabled["admin@file"]


def test_the_highest_priority_of_a_user_serves_and_one_more_of_traefik_s_own_beats_it() -> None:
    mine = router("mine", "PathPrefix(`/`)", priority=HIGHEST_PRIORITY)
    own = router("ping@internal", "PathPrefix(`/ping`)", priority=2**63 - 1)
    assert asked([mine, own], "http://a.test/ping").router == "ping@internal"
    assert asked([mine, own]).router == "mine"


def test_an_entry_point_that_redirects_leaves_nothing_to_its_routers() -> None:
    doors = (EntryPoint(name="web", port=80, redirects="websecure"), SECURE)
    answer = asked([router("mine", "Host(`a.test`)", priority=HIGHEST_PRIORITY)], doors=doors)
    assert (answer.router, answer.service) == ("web-to-websecure@internal", "noop@internal")
    assert asked([router("mine", "Host(`a.test`)")], "https://a.test/", doors=doors).router == "mine"


def test_a_rule_of_version_2_makes_what_it_may_take_unknown() -> None:
    old = router("old", "HostRegexp(`{x:.*}`)", syntax="v2", priority=50)
    answer = asked([old, router("mine", "Host(`a.test`)")])
    assert answer.router is None and "version 2" in answer.unknown and answer.candidates == ("mine",)
    assert asked([old, router("mine", "Host(`a.test`)", priority=51)]).router == "mine"
    assert asked([old, router("mine", "Host(`a.test`)", priority=50)]).unknown


def test_a_rule_of_version_2_that_keeps_to_its_hosts_leaves_others_alone() -> None:
    old = router("old", "Host(`o.test`, `p.test`) && PathPrefix(`/`)", syntax="v2", priority=50)
    assert asked([old, router("mine", "PathPrefix(`/`)")]).router == "mine"
    assert asked([old, router("mine", "PathPrefix(`/`)")], "http://P.test/").unknown


def test_an_expression_too_large_to_be_checked_is_unknown_not_disabled() -> None:
    large = router("large", "Host(`a.test`) && PathRegexp(`^(\\PL{1000})?$`)", priority=50)
    table = Table([large, router("b", "PathPrefix(`/`)")], (WEB, SECURE))
    assert "too large to be checked" in table.answer(Request.of_url("GET", "http://a.test/")).unknown
    assert table.answer(Request.of_url("GET", "http://b.test/")).router == "b"
    assert not table.disabled
    wrong = router("wrong", "Path(`a`) && PathRegexp(`^(\\PL{1000})?$`)")
    assert "does not start with" in Table([wrong], (WEB, SECURE)).disabled["wrong@file"]


def test_a_rule_that_traefik_takes_and_we_do_not_is_opaque_not_disabled() -> None:
    newer = router("newer", "HostFromTheFuture(`a`)", accepted=True)
    assert "not understood" in asked([newer, router("all", "PathPrefix(`/`)", priority=1)]).unknown


# ── parents and children ──

PARENT = router("parent", "Host(`a.test`)", service="", middlewares=("auth@file",))
CHILD = router("child", "PathPrefix(`/api`)", parents=("parent@file",), middlewares=("limit@file",))
ALL = router("all", "PathPrefix(`/`)", priority=1)


def test_a_child_serves_behind_the_middlewares_of_its_parent() -> None:
    answer = asked([PARENT, CHILD, ALL], "https://a.test/api")
    assert (answer.router, answer.middlewares) == ("child", ("entry", "auth", "limit"))
    assert answer.candidates == ("child", "all")


def test_a_parent_none_of_whose_children_matches_does_not_let_go() -> None:
    answer = asked([PARENT, CHILD, ALL])
    assert (answer.router, answer.status, answer.candidates) == (None, 404, ("parent", "all"))


def test_a_parent_without_children_that_serve_falls_through() -> None:
    table = Table([PARENT, router("child", "PathPrefix(`/api`", parents=("parent@file",)), ALL], [WEB])
    assert table.answer(Request.of_url("GET", "http://a.test/api")).router == "all"
    assert set(table.disabled) == {"parent@file", "child@file"}


def test_a_root_with_a_service_and_children_serves_its_children() -> None:
    odd = router("parent", "Host(`a.test`)", unserved="there is no service 'backend'")
    assert asked([odd, CHILD, ALL], "http://a.test/api").router == "child"


@pytest.mark.parametrize(
    "wrong", [{"tls": True}, {"entry_points": ("web",)}, {"parents": ("parent@file", "nobody@file")}]
)
def test_a_child_that_says_where_it_listens_or_has_a_parent_too_many_serves_nothing(wrong: dict[str, Any]) -> None:
    bad = router("bad", "PathPrefix(`/bad`)", **{"parents": ("parent@file",), **wrong})
    doors = (WEB, EntryPoint(name="websecure", port=443))
    assert asked([PARENT, CHILD, bad, ALL], "http://a.test/bad", doors=doors).status == 404


def test_a_missing_parent_is_forgotten_where_an_entry_point_has_options_of_its_own() -> None:
    both = router("both", "PathPrefix(`/both`)", parents=("parent@file", "nobody@file"))
    assert asked([PARENT, both], "http://a.test/both").router == "both"


def test_routers_in_a_circle_serve_nothing() -> None:
    one = router("one", "PathPrefix(`/`)", service="", parents=("parent@file", "two@file"))
    two = router("two", "PathPrefix(`/`)", service="", parents=("one@file",))
    table = Table([PARENT, one, two, ALL], [WEB])
    assert table.answer(Request.of_url("GET", "http://a.test/")).router == "all"
    assert "circle" in table.disabled["two@file"]


def test_children_behind_a_rewritten_path_are_unknown_where_they_look_at_it() -> None:
    stripping = router("parent", "Host(`a.test`)", service="", changes=("headers", "path"))
    by_method = router("posts", "Method(`POST`)", parents=("parent@file",), priority=1000)
    assert "rewrite the path" in asked([stripping, CHILD, by_method], "http://a.test/api").unknown
    assert asked([stripping, by_method]).status == 404


def test_a_higher_router_decides_whatever_opaque_children_there_are_below() -> None:
    stripping = router("parent", "Host(`a.test`)", service="", changes=("path",))
    assert asked([stripping, CHILD, router("first", "PathPrefix(`/`)", priority=500)]).router == "first"


# ── where a request arrives ──


def test_a_request_arrives_by_port_then_scheme_then_usual_name() -> None:
    doors = (
        EntryPoint(name="web", port=8000),
        EntryPoint(name="websecure", port=8443),
        EntryPoint(name="other", port=9000),
    )
    table = Table([], doors)
    arrives = [
        table.door(Request.of_url("GET", url)).name
        for url in ("http://a:9000/", "http://a/", "https://a/", "https://a:8443/")
    ]
    assert arrives == ["other", "web", "websecure", "websecure"]


def test_an_entry_point_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UnknownEntryPoint, match="'nowhere'; there are: web, websecure"):
        asked([], entry_point="nowhere")
    with pytest.raises(UnknownEntryPoint):
        asked([], doors=())


def test_what_traefik_refuses_itself_asks_no_router() -> None:
    table = Table([router("all", "PathPrefix(`/`)")], [WEB])
    answer = table.answer(Request(target="/a b", host="a.test"))
    assert (answer.router, answer.status, answer.candidates) == (None, 400, ())


def test_an_escape_that_an_entry_point_denies_is_refused_once_a_router_matches() -> None:
    doors = (EntryPoint(name="web", port=80, door=Door(barred=frozenset("/"))),)
    routers = [router("r", "Host(`a.test`)")]
    assert asked(routers, "http://a.test/x%2fy", doors=doors).status == 400
    assert asked(routers, "http://b.test/x%2fy", doors=doors).status == 404
    assert asked(routers, "http://a.test/x?y=%2f", doors=doors).router == "r"


# ── TCP ──


def test_a_plain_tcp_router_takes_the_whole_entry_point() -> None:
    stolen = router("everything", "HostSNI(`*`)", protocol="tcp", entry_points=("web",))
    answer = asked([stolen, router("mine", "Host(`a.test`)")])
    assert (answer.router, answer.taken_by) == ("everything", "tcp")
    assert asked([stolen, router("mine", "Host(`a.test`)")], "https://a.test/").router == "mine"


def test_tcp_routers_of_equal_priority_tie_too() -> None:
    pair = [router(name, "HostSNI(`*`)", protocol="tcp") for name in ("one", "two")]
    assert asked(pair).tied == ("one", "two")


def test_what_depends_on_the_protocols_that_a_client_offers_is_unknown() -> None:
    grpc = router("grpc", "ALPN(`h2`)", protocol="tcp", tls=True)
    assert "ALPN" in asked([grpc, router("mine", "PathPrefix(`/`)")], "https://a.test/").unknown
    assert asked([grpc, router("mine", "PathPrefix(`/`)")]).router == "mine"


def test_a_handshake_with_other_tls_options_is_misdirected() -> None:
    routers = [
        router("strict", "Host(`a.test`)", tls=True, tls_options="strict@file"),
        router("mine", "Host(`b.test`)", tls=True),
    ]
    table = Table(routers, [SECURE])
    request = Request.of_url("GET", "https://b.test/")
    assert table.answer(request).router == "mine"
    answer = table.answer(request, "a.test")
    assert (answer.router, answer.status) == (None, 421)


def test_the_index_finds_what_a_scan_finds() -> None:
    rules = [
        "Host(`a.test`)",
        "Host(`*.a.test`)",
        "Host(`.a.test`)",
        "Host(`A.test.`)",
        "Host(`*`)",
        "HostRegexp(`a`)",
        "!Host(`a.test`)",
    ]
    rules += [
        "Host(`a.test`) || Path(`/`)",
        "Host(`a.test`) || Host(`b.test`)",
        "Host(`a.test`) && Host(`b.test`)",
        "Host(`**.a.test`)",
    ]
    table = Table([router(f"r{number}", rule) for number, rule in enumerate(rules)], [WEB])
    layer = table.layers["web", False]
    for host in (
        "a.test",
        "A.TEST.",
        "x.a.test",
        ".a.test",
        "*.a.test",
        "b.test",
        "a.test..",
        "",
        "y.x.a.test",
        "ſ.a.test",
    ):
        for path in ("/", "/b"):
            answer = table.answer(Request(target=path, host=host))
            if answer.seen is not None:
                scan = [one.shown for one in layer.ranked if one.rule and one.rule.matches(answer.seen)]
                assert list(answer.candidates) == scan, host
