"""What the options of an entry point leave unproven, and the reason that a person is told."""

from __future__ import annotations

import pytest

from reconciler.routing.changes import diff
from reconciler.routing.decide import Found, Nothing, find
from reconciler.routing.doors import hangs_on
from reconciler.routing.evaluate import http_test
from reconciler.routing.grammar import parse
from reconciler.routing.request import NEWEST, Door, Refused, look
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.rules import conditions
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving
from tests.reconciler.routing.differential import compiled
from tests.reconciler.routing.generating import Maker


def doubts(door: Door, rule: str) -> set[str]:
    """Why nobody can tell all that changes when a router below two others comes."""
    doors = [EntryPoint(name="web", port=80, door=door)]
    above = [
        Router(name="one@file", rule=f"Host(`a.test`) && {rule}", service="s@file", priority=9),
        Router(name="two@file", rule=f"Host(`a.test`) && !{rule}", service="s@file", priority=9),
    ]
    new = Router(name="new@file", rule="Host(`a.test`)", service="n@file", priority=1)
    found = diff(Serving(Table(above, doors)), Serving(Table([*above, new], doors)))
    assert not found.known
    return {one.unknown for one in found.classes}


PATH, SCHEME, ODD, CLOSE = (
    "PathPrefix(`/b`)",
    "Header(`X-Forwarded-Uri`, `a`)",
    "Header(`a_b`, `1`)",
    "Header(`X-A`, `1`)",
)


@pytest.mark.parametrize(
    ("door", "rule", "why"),
    [
        (Door(trusted=("10.0.0.0/8",)), SCHEME, "believes what some clients say of X-Forwarded-Uri"),
        (
            Door(trust_all=True),
            "Header(`X-Forwarded-Proto`, `ws`)",
            "believes what some clients say of X-Forwarded-Proto",
        ),
        (Door(connection_headers=("X-A",)), "Header(`Connection`, `Upgrade`)", "lets Connection pass"),
    ],
)
def test_what_an_option_leaves_unproven_is_told_by_its_name(door: Door, rule: str, why: str) -> None:
    assert any(why in one for one in doubts(door, rule)), doubts(door, rule)


@pytest.mark.parametrize(
    ("door", "rule"),
    [
        (Door(), PATH),
        (Door(sanitize_path=False), PATH),
        (Door(trust_all=True), SCHEME),
        (Door(odd_headers="delete"), ODD),
        (Door(underscored_headers="reject"), ODD),
        (Door(connection_headers=("X-A",)), CLOSE),
        (Door(sanitize_path=False), CLOSE),
        (Door(trust_all=True), PATH),
        (Door(trust_all=True), "Header(`Connection`, `Upgrade`)"),
        (Door(barred=frozenset("/")), SCHEME),
        (Door(encode_semicolons=True), PATH),
    ],
)
def test_an_option_that_a_rule_does_not_lean_on_leaves_nothing_unproven(door: Door, rule: str) -> None:
    assert doubts(door, rule) == set()


RAW, TAKING, GULLIBLE = Door(sanitize_path=False), Door(odd_headers="delete"), Door(trust_all=True)


@pytest.mark.parametrize(
    ("door", "rule", "target"),
    [
        (RAW, "Path(`//a`)", "//a"),
        (RAW, "Path(`/a/../b`)", "/a/../b"),
        (RAW, "PathPrefix(`/a/./`)", "/a/./"),
        (RAW, "PathRegexp(`^$`)", "http:"),
        (RAW, "PathRegexp(`^/[.]{2}/`)", "/../"),
    ],
)
def test_a_path_that_is_not_cleaned_is_found(door: Door, rule: str, target: str) -> None:
    found = find([parse(rule)], door=door)
    assert isinstance(found, Found) and found.witness.target == target
    assert isinstance(find([parse(rule)]), Nothing)


@pytest.mark.parametrize(
    ("door", "rule"),
    [
        (RAW, "Path(`/a%20b`)"),
        (RAW, "Path(`/%2e`)"),
        (RAW, "Path(`/a?b`)"),
        (TAKING, "Header(`X_A`, `v`)"),
        (Door(underscored_headers="reject"), "HeaderRegexp(`X_A`, ``) || Header(`X_B`, `v`)"),
    ],
)
def test_what_no_request_brings_there_is_not_found(door: Door, rule: str) -> None:
    assert isinstance(find([parse(rule)], door=door), Nothing)


@pytest.mark.parametrize("door", [RAW, TAKING, GULLIBLE, Door(sanitize_path=False, underscored_headers="delete")])
def test_no_request_contradicts_a_proof_about_an_entry_point(door: Door) -> None:
    maker = Maker(7)
    requests = [seen for _ in range(1500) if not isinstance(seen := look(maker.request(), door), Refused)]
    proofs = 0
    for rule in _rules(maker):
        node, test = parse(rule), http_test(parse(rule))
        match find([node], door=door):
            case Nothing() if not hangs_on(door, node):
                proofs += 1
                assert not any(map(test, requests)), rule
            case Found(witness):
                seen = look(witness, door)
                assert not isinstance(seen, Refused) and test(seen), (rule, witness)
    assert proofs > 3


def _rules(maker: Maker) -> list[str]:
    """Pairs of conditions on paths and headers, some of them excepted."""
    found: list[str] = []
    while len(found) < 150:
        first, second = maker.matcher(), maker.matcher()
        rule = f"{first} && {maker.chance.choice(('', '!'))}{second}"
        if compiled(rule, NEWEST) and all(part.looks_at in ("path", "headers") for part in conditions(parse(rule))):
            found.append(rule)
    return found
