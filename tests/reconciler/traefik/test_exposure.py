"""Traefik's routers as ways in: whom they serve, which requests they may take, whether they ask who is there."""

import pytest

from reconciler.core.route import ALL, NOTHING, UNKNOWN, Stretch
from reconciler.traefik import exposure, reach
from reconciler.traefik.api import Item
from state.model import Address


def named(kind, name):
    return Address("traefik", kind, name)


def way(spec, *, kind="http.routers", foreign=None, patterns=("*auth*",), **middlewares):
    snapshot = {named("http.middlewares", name): one for name, one in middlewares.items()}
    (found,) = exposure.routes({**snapshot, named(kind, "r"): spec}, patterns, foreign)
    return found


BASIC = {"basicAuth": {"users": ["x"]}}


@pytest.mark.parametrize(
    ("rule", "host", "expected"),
    [
        ("Host(`a.lab`)", "a.lab", ALL),
        ("Host(`A.lab`)", "a.lab", ALL),
        ("Host(`a.lab`)", "b.lab", NOTHING),
        ("Host(`*.lab`)", "a.lab", ALL),
        ("Host(`*.lab`)", "a.b.lab", NOTHING),
        ("Host(`.lab`)", "a.lab", ALL),
        ("Host(`*`)", "a.lab", ALL),
        ("HostRegexp(`.*`)", "a.lab", ALL),
        ("HostRegexp(`^b`)", "a.lab", NOTHING),
        ("HostRegexp(`^$`)", "a.lab", ALL),
        ("HostRegexp(`^b`)", "*.lab", UNKNOWN),
        ("HostRegexp(`(`)", "a.lab", ALL),
        ("PathPrefix(`/`)", "a.lab", ALL),
        ("!Host(`a.lab`)", "a.lab", NOTHING),
        ("!Host(`a.lab`)", "b.lab", ALL),
        ("!PathPrefix(`/x`)", "b.lab", UNKNOWN),
        ("Host(`a.lab`) && PathPrefix(`/`)", "a.lab", ALL),
        ("Host(`a.lab`) && Method(`GET`)", "a.lab", UNKNOWN),
        ("Host(`a.lab`) || PathPrefix(`/x`)", "a.lab", ALL),
        ("PathPrefix(`/x`) && Path(`/y`)", "a.lab", NOTHING),
        ("no rule", "a.lab", UNKNOWN),
    ],
)
def test_what_a_rule_may_take_of_a_host(rule, host, expected):
    found = reach.part(rule, host)
    assert bool(found.paths) == bool(expected.paths)
    assert found.whole == expected.whole


def test_the_paths_of_a_rule_are_told_as_far_as_they_are_literal():
    assert reach.part("Host(`a`) && PathPrefix(`/x`) && Path(`/x/y`)", "a").paths == {Stretch("/x/y", exact=True)}
    one, two = (reach.part(f"PathPrefix(`{path}`)", "a") for path in ("/x", "/y"))
    assert not one.meets(two)
    assert one.meets(reach.part("PathRegexp(`y`)", "a"))
    assert not reach.part("Path(`/x`)", "a").meets(reach.part("PathPrefix(`/x/y`)", "a"))


@pytest.mark.parametrize(
    ("rule", "broad"),
    [
        ("Host(`a.lab`)", False),
        ("Host(`a.lab`) && PathPrefix(`/x`)", False),
        ("Host(`a.lab`) || Host(`b.lab`)", False),
        ("Host(`*.lab`)", True),
        ("HostRegexp(`a`)", True),
        ("Host(`a.lab`) || PathPrefix(`/x`)", True),
        ("!Host(`a.lab`)", True),
        ("PathPrefix(`/`)", True),
        ("no rule", True),
    ],
)
def test_a_rule_is_broad_where_it_may_match_hosts_that_it_does_not_name(rule, broad):
    assert way({"rule": rule}).broad is broad


def test_priority_is_what_traefik_makes_of_it():
    assert way({"rule": "Host(`ä`)"}).priority == 10  # bytes, not characters
    assert way({"rule": "Host(`a`)", "priority": 0}).priority == 9
    assert way({"rule": "Host(`a`)", "priority": -3}).priority == -3


def test_a_tcp_router_without_tls_swallows_what_http_would_answer():
    assert way({"rule": "HostSNI(`*`)"}, kind="tcp.routers").swallows
    assert not way({"rule": "HostSNI(`a.lab`)", "tls": {}}, kind="tcp.routers").swallows


def test_a_rule_of_the_old_syntax_may_match_anything():
    assert way({"rule": "Host(`a.lab`)", "ruleSyntax": "v2"}).part("b.lab") == UNKNOWN


def test_own_middlewares_are_judged_by_their_type_through_chains():
    router = {"rule": "Host(`a`)", "middlewares": ["outer"]}
    assert way(router, outer={"chain": {"middlewares": ["inner@file"]}}, inner=BASIC).authenticated
    assert not way(router, outer={"chain": {"middlewares": ["outer"]}}).authenticated
    assert not way({**router, "middlewares": ["auth"]}, auth={"compress": {}}).authenticated


def test_a_neighbours_middleware_is_judged_by_its_type_not_its_name():
    router = {"rule": "Host(`a`)", "middlewares": ["noauth"]}
    assert not way(router, foreign={"noauth@file": {"compress": {}, "status": "enabled"}}).authenticated
    assert way({**router, "middlewares": ["door"]}, foreign={"door@file": BASIC}).authenticated
    docker = {"chain@docker": {"chain": {"middlewares": ["door"]}}, "door@docker": BASIC}
    assert way({**router, "middlewares": ["chain@docker"]}, foreign=docker).authenticated


def test_names_decide_only_about_what_nobody_can_see_into():
    router = {"rule": "Host(`a`)", "middlewares": ["my-auth@docker"]}
    assert way(router).authenticated
    assert not way(router, patterns=()).authenticated
    assert way({**router, "middlewares": ["auth"]}, auth={"plugin": {"x": {}}}).authenticated
    assert not way({**router, "middlewares": ["x"]}, x={"plugin": {"x": {}}}).authenticated


def test_a_service_or_all_parents_may_ask_in_a_routers_place():
    services = {named("http.services", "s"): {"middlewares": ["auth"], "loadBalancer": {}}}
    routers = {
        named("http.routers", "a"): {"rule": "Host(`a`)", "service": "s"},
        named("http.routers", "child"): {"rule": "PathPrefix(`/`)", "parentRefs": ["parent"], "service": "t"},
        named("http.routers", "parent"): {"rule": "Host(`b`)", "middlewares": ["auth"]},
        named("http.routers", "loop"): {"rule": "Host(`c`)", "parentRefs": ["loop"]},
    }
    found = exposure.routes({**services, **routers, named("http.middlewares", "auth"): BASIC}, ())
    assert {one.address.rpartition("/")[2]: one.authenticated for one in found} == {
        "a": True, "child": True, "parent": True, "loop": False,
    }  # fmt: skip


def test_foreign_middlewares_are_those_that_traefik_runs_and_we_do_not_own():
    served = {
        "http.middlewares": {
            name: Item(status="enabled", errors=(), spec=BASIC) for name in ("ours@file", "x@file", "x@docker")
        }
    }
    assert set(exposure.foreign(served, {named("http.middlewares", "ours"): {}})) == {"x@file", "x@docker"}
    assert exposure.foreign({}, {}) == {}


def test_protected_resources_need_what_they_refer_to():
    snapshot = {
        named("http.routers", "gitea"): {"rule": "x", "service": "s", "middlewares": ["c@file", "gone"]},
        named("http.routers", "other"): {"rule": "x", "service": "o", "middlewares": ["c"]},
        named("http.services", "s"): {"loadBalancer": {"serversTransport": "t"}},
        named("http.services", "o"): {"loadBalancer": {}},
        named("http.serversTransports", "t"): {},
        named("http.middlewares", "c"): {"chain": {"middlewares": ["deny"]}},
        named("http.middlewares", "deny"): {"ipAllowList": {}},
    }
    found = exposure.needed(snapshot, lambda address: address.endswith("gitea"))
    assert {address.rpartition("/")[2] for address in found} == {"gitea", "s", "t", "c", "deny"}
