"""Which middlewares ask who is there, and what protected resources need."""

from reconciler.traefik import exposure
from reconciler.traefik.exposure import Judge
from state.model import Address

BASIC = {"basicAuth": {"users": ["x"]}}


def named(kind, name):
    return Address("traefik", kind, name)


def asks(*names, foreign=None, patterns=("*auth*",), **ours):
    snapshot = {named("http.middlewares", name): one for name, one in ours.items()}
    return Judge(snapshot, patterns, foreign or {}).asks("traefik", names)


def test_own_middlewares_are_judged_by_their_type_through_chains():
    assert asks("outer", outer={"chain": {"middlewares": ["inner@file"]}}, inner=BASIC)
    assert not asks("outer", outer={"chain": {"middlewares": ["outer"]}})
    assert not asks("auth", auth={"compress": {}})
    assert asks("compress", "door", compress={"compress": {}}, door={"ForwardAuth": {"address": "http://x"}})


def test_a_neighbours_middleware_is_judged_by_its_type_not_its_name():
    assert not asks("noauth", foreign={"noauth@file": {"compress": {}}})
    assert asks("door", foreign={"door@file": BASIC})
    docker = {"chain@docker": {"chain": {"middlewares": ["door"]}}, "door@docker": BASIC}
    assert asks("chain@docker", foreign=docker)


def test_names_decide_only_about_what_nobody_can_see_into():
    assert asks("my-auth@docker")
    assert not asks("my-auth@docker", patterns=())
    assert asks("auth", auth={"plugin": {"x": {}}})
    assert not asks("x", x={"plugin": {"x": {}}})


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
