"""The index of rules misses nothing that could overlap, and looks at little else."""

from __future__ import annotations

from random import Random

import pytest

from reconciler.routing.decide import Nothing, find
from reconciler.routing.grammar import parse
from reconciler.routing.index import Bound, Index, bound_of, bounds_meet, may_meet
from reconciler.routing.matchers import Node
from tests.reconciler.routing.random_changes import ChangeMaker

_ODD = (
    "Host(`a.test.`)", "Host(`A.TEST`) || Host(`*.a.test`)", "Host(`*`)", "HostRegexp(``)", "HostRegexp(`^x\\.`)",
    "Host(`.a.test`)", "PathRegexp(`^/a/`) && Host(`x.a.test`)", "!(Host(`a.test`) && Path(`/a`))", "Method(`GET`)",
    "Host(`a.test`) && Host(`b.test`)", "PathPrefix(`/a`) && !PathPrefix(`/a/b`)", "Path(`/a/b/c`) || PathPrefix(`/b`)",
    "HostRegexp(`^y\\.a\\.test$`) || Path(`/b`)", "PathRegexp(`(?i)^/A`)", "HostRegexp(`(?i)^A`)", "!Host(`a.test`)",
    "HostRegexp(`^a|^b`)",
)  # fmt: skip


def rules(seed: int, size: int) -> list[Node]:
    maker, chance = ChangeMaker(seed), Random(seed)
    return [parse(chance.choice(_ODD) if chance.random() < 0.3 else maker.rule()) for _ in range(size)]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_overlaps_is_near(seed: int) -> None:
    known = rules(seed, 60)
    index = Index((bound_of(node), number) for number, node in enumerate(known))
    for node in rules(seed + 1000, 12):
        near = set(index.near(bound_of(node)))
        for number, other in enumerate(known):
            if number not in near or not may_meet(node, other):
                assert isinstance(find((node, other)), Nothing), (node, other)


def test_a_host_leads_to_its_own_to_its_wildcard_and_to_those_without() -> None:
    texts = [
        "Host(`a.test`)",
        "Host(`x.a.test`)",
        "Host(`*.a.test`)",
        "Host(`*.b.test`)",
        "PathPrefix(`/`)",
        "Host(`b.test`)",
    ]
    index = Index((bound_of(parse(text)), text) for text in texts)
    assert index.near(bound_of(parse("Host(`X.a.test.`)"))) == [
        "Host(`x.a.test`)",
        "Host(`*.a.test`)",
        "PathPrefix(`/`)",
    ]
    assert index.near(bound_of(parse("Host(`*.a.test`)"))) == [
        "Host(`x.a.test`)",
        "Host(`*.a.test`)",
        "PathPrefix(`/`)",
    ]
    assert index.near(Bound()) == texts


def test_a_path_leads_to_what_is_above_and_below_it() -> None:
    texts = [
        "PathPrefix(`/`)",
        "PathPrefix(`/a`)",
        "Path(`/a/b`)",
        "PathPrefix(`/ab`)",
        "PathPrefix(`/b`)",
        "Method(`GET`)",
    ]
    index = Index((bound_of(parse(text)), text) for text in texts)
    assert index.near(bound_of(parse("PathPrefix(`/a/`)"))) == [
        "PathPrefix(`/`)",
        "PathPrefix(`/a`)",
        "Path(`/a/b`)",
        "Method(`GET`)",
    ]


def test_cost_follows_what_could_overlap() -> None:
    index = Index((bound_of(parse(f"Host(`h{n}.test`) && PathPrefix(`/a`)")), n) for n in range(2000))
    assert index.near(bound_of(parse("Host(`h7.test`)"))) == [7]
    assert index.near(bound_of(parse("PathPrefix(`/b`)"))) == []


def test_expressions_that_begin_differently_do_not_meet() -> None:
    assert not may_meet(parse("HostRegexp(`^a1-.*`)"), parse("HostRegexp(`^a2-.*`)"))
    assert may_meet(parse("HostRegexp(`^a1`)"), parse("HostRegexp(`^a`)"))
    assert not may_meet(parse("HostRegexp(`^x\\.`)"), parse("Host(`y.test`)"))
    assert bounds_meet(Bound(), Bound(frozenset({"a"}), ("/x",)))
