"""Made from what differs since the last plan, consequences are those that are worked out from the start."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.target import Observation
from reconciler.traefik.api import item
from reconciler.traefik.consequences import Before, consequences
from reconciler.traefik.resident import Resident
from state.model import Address

DOORS = (
    {"name": "web", "address": ":80"},
    {"name": "websecure", "address": ":443", "http": {"tls": {}, "middlewares": ["auth@file"]}},
)
NAMES = ("a", "b", "auth")
RULES = ("Host(`a.lab`)", "Host(`b.lab`) && PathPrefix(`/x`)", "PathPrefix(`/`)", "HostRegexp(`^.+[.]lab$`)", "Host(")
HOST_RULES = ("HostSNI(`a.lab`)", "HostSNI(`*`)")
FOREIGN = {
    "http.routers": {"b@docker": {"rule": "Host(`b.lab`)", "service": "b@docker", "middlewares": ["auth@file"]}},
    "http.services": {"b@docker": {"loadBalancer": {}}, "noop@internal": {}},
}
names = st.sampled_from(NAMES)


def _spec(kind: str) -> st.SearchStrategy[Any]:
    routers = st.fixed_dictionaries(
        {"rule": st.sampled_from(RULES), "service": st.sampled_from(("a", "b", "noop@internal"))},
        optional={
            "middlewares": st.lists(names, max_size=2),
            "entryPoints": st.lists(st.sampled_from(("web", "websecure")), min_size=1, max_size=2, unique=True),
            "priority": st.integers(1, 3),
            "parentRefs": st.lists(names, max_size=1),
            "tls": st.just({"options": "strict"}),
        },
    )
    return {
        "http.routers": routers,
        "tcp.routers": st.fixed_dictionaries({"rule": st.sampled_from(HOST_RULES), "service": names}),
        "http.services": st.one_of(
            st.builds(lambda name: {"weighted": {"services": [{"name": name}]}}, names),
            st.builds(lambda port: {"loadBalancer": {"servers": [{"url": f"http://h:{port}"}]}}, st.integers(1, 2)),
        ),
        "http.middlewares": st.one_of(
            st.just({"basicAuth": {"users": ["a:b"]}}), st.builds(lambda one: {"chain": {"middlewares": [one]}}, names)
        ),
        "tls.options": st.builds(
            lambda least: {"minVersion": least}, st.sampled_from(("VersionTLS12", "VersionTLS13"))
        ),
    }[kind]


_OFTEN = ("http.routers", "http.routers", "http.routers", "http.services", "http.middlewares")
places = st.one_of(
    st.builds(lambda kind, name: Address("traefik", kind, name), st.sampled_from((*_OFTEN, "tcp.routers")), names),
    st.just(Address("traefik", "tls.options", "strict")),
)
edits = places.flatmap(lambda place: st.tuples(st.just(place), st.none() | _spec(place.kind)))
steps = st.lists(st.tuples(st.lists(edits, max_size=3), st.booleans(), st.booleans()), min_size=1, max_size=5)


def _edited(live: dict[Address, Any], changes: list[tuple[Address, Any]]) -> dict[Address, Any]:
    return {address: spec for address, spec in {**live, **dict(changes)}.items() if spec is not None}


def _observed(live: dict[Address, Any], others: bool) -> Observation:
    served: dict[str, dict[str, Any]] = {}
    for kind, held in FOREIGN.items() if others else ():
        served[kind] = {name: item({**spec, "status": "enabled"}) for name, spec in held.items()}
    for address, spec in live.items():
        served.setdefault(address.kind, {})[f"{address.name}@file"] = item({**spec, "status": "enabled"})
    return Observation(live=live, served=served, doors=DOORS, version="3.7.15")


@settings(max_examples=60, deadline=None)
@given(st.lists(edits, max_size=6), steps)
def test_a_plan_after_others_says_what_it_would_say_alone(start: list[Any], plans: list[Any]) -> None:
    resident, live, others = Resident(), _edited({}, start), True
    seen = _observed(live, others)
    for changes, applied, others_come in plans:
        after, sides = _edited(live, changes), Before(live, {})
        found = consequences("traefik", sides, after, seen, ("*auth*",), ("websecure",), resident)
        assert found == consequences("traefik", sides, after, seen, ("*auth*",), ("websecure",))
        if applied:
            live, others = after, others_come
            seen = _observed(live, others)


def test_tls_options_of_an_entry_point_count_for_the_first_router_that_comes_to_it():
    demanding = {"name": "websecure", "address": ":443", "http": {"tls": {"options": "strict@file"}}}
    live = {Address("traefik", "tls.options", "strict"): {"minVersion": "VersionTLS13"}}
    spec = {"rule": "Host(`a.lab`)", "service": "noop@internal", "entryPoints": ["websecure"]}
    after = {**live, Address("traefik", "http.routers", "a"): spec}
    seen = Observation(live=live, served={}, doors=(DOORS[0], demanding), version="3.7.15")
    resident = Resident()
    for wanted in (live, after):  # the second plan is made from what stood at the first
        done = consequences("traefik", Before(live, {}), wanted, seen, (), (), resident)
    assert [one.data["after"]["tls_options"] for one in done.all] == ["strict@file"]
