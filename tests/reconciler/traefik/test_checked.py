"""Checked step by step, a wanted state has just the problems that it has when it is checked as a whole."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.snapshots import unlike
from reconciler.traefik import validate
from reconciler.traefik.checked import Checked
from reconciler.traefik.mentions import Mentions
from reconciler.traefik.validate import LiveNames
from state.model import Address

NAMES = ("a", "b", "c", "web-a", "a@docker", "gone")
names = st.sampled_from(NAMES)
LIVE = st.sampled_from(
    (
        LiveNames(entry_points=frozenset({"web", "other"}), names=frozenset({("http.middlewares", "a@docker")})),
        LiveNames(
            entry_points=frozenset({"web", "other"}),
            copying=frozenset({"web"}),
            by_default=("web", "other"),
            foreign_files={("http.services", "b"): "theirs.yml"},
            foreign_specs={("http.services", "b"): ({"loadBalancer": {}},)},
        ),
    )
)


def spec_of(kind: str) -> st.SearchStrategy[Any]:
    lists = st.lists(names, max_size=2)
    routers = st.fixed_dictionaries(
        {"rule": st.sampled_from(("Host(`a.test`)", "Host(", "Path(`/a`)"))},
        optional={"service": names, "middlewares": lists, "parentRefs": lists},
    )
    services = st.one_of(
        st.builds(lambda name: {"weighted": {"services": [{"name": name}]}}, names),
        st.just({"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}),
    )
    middlewares = st.builds(lambda chain: {"chain": {"middlewares": chain}}, lists)
    return {"http.routers": routers, "http.services": services, "http.middlewares": middlewares}[kind]


places = st.sampled_from(
    [Address("traefik", f"http.{kind}", name) for kind in ("routers", "services", "middlewares") for name in NAMES[:4]]
)
edits = places.flatmap(lambda place: st.tuples(st.just(place), st.none() | spec_of(place.kind)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.lists(edits, max_size=4), LIVE), min_size=1, max_size=6))
def test_a_state_checked_after_others_has_the_problems_that_it_has_alone(steps: list[Any]) -> None:
    checked, wanted = Checked(), dict[Address, Any]()
    for changes, live in steps:
        wanted = {**wanted, **dict(changes)}
        wanted = {address: spec for address, spec in wanted.items() if spec is not None}
        assert checked.problems(wanted, live) == validate.check(wanted, live=live)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(edits, max_size=4), min_size=1, max_size=6), places)
def test_mentions_that_followed_are_those_of_a_fresh_look(steps: list[Any], asked: Address) -> None:
    following, wanted = Mentions(), dict[Address, Any]()
    for changes in steps:
        before, wanted = wanted, {**wanted, **dict(changes)}
        wanted = {address: spec for address, spec in wanted.items() if spec is not None}
        following.follow(wanted, unlike(wanted, before))
        fresh = Mentions(wanted)
        assert following.users({asked}) == fresh.users({asked})
        assert following.used({asked}) == fresh.used({asked})
