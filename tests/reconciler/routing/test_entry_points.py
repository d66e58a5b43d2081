"""What the options of an entry point leave unproven, and the reason that a person is told."""

from __future__ import annotations

import pytest

from reconciler.routing.changes import diff
from reconciler.routing.request import Door
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving


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
        (Door(sanitize_path=False), PATH, "does not clean paths (sanitizePath)"),
        (Door(trusted=("10.0.0.0/8",)), SCHEME, "believes what some clients say of X-Forwarded-Uri"),
        (Door(trust_all=True), SCHEME, "believes what some clients say of X-Forwarded-Uri"),
        (Door(odd_headers="delete"), ODD, "takes headers away that have names like"),
        (Door(connection_headers=("X-A",)), CLOSE, "lets X-A pass (forwardedHeaders.connection)"),
    ],
)
def test_what_an_option_leaves_unproven_is_told_by_its_name(door: Door, rule: str, why: str) -> None:
    assert any(why in one for one in doubts(door, rule)), doubts(door, rule)


@pytest.mark.parametrize(
    ("door", "rule"),
    [
        (Door(), PATH),
        (Door(sanitize_path=False), CLOSE),
        (Door(trust_all=True), PATH),
        (Door(trust_all=True), "Header(`Connection`, `Upgrade`)"),
        (Door(barred=frozenset("/")), SCHEME),
        (Door(encode_semicolons=True), PATH),
    ],
)
def test_an_option_that_a_rule_does_not_lean_on_leaves_nothing_unproven(door: Door, rule: str) -> None:
    assert doubts(door, rule) == set()
