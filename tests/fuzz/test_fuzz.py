"""No input makes a traceback, takes a second, or eats the memory: at every place where bytes from outside come in.

A finding is told with the command that throws the same input again.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fuzz import parsers
from tests.fuzz.campaign import Campaign, campaign
from tests.fuzz.edges import EDGES

INPUTS = 20_000
LONG_RUN = 1_000_000
CHUNKS = 20
NEVER_REFUSE = ("secret scan",)
"""Edges that have something to say about any input whatever."""


def _sound(found: Campaign) -> None:
    assert not found.findings, "\n\n".join([*found.findings, str(found)])


def test_every_input_at_every_edge_is_taken_or_refused() -> None:
    found = campaign(INPUTS, seed=1)
    _sound(found)
    assert found.inputs >= INPUTS - len(found.rows)
    # An edge that only ever says no, or only ever says yes, was thrown nothing worth throwing.
    assert [row.edge for row in found.rows if not row.accepted or not (row.refused or row.edge in NEVER_REFUSE)] == []


@pytest.mark.soak
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_million_inputs_are_taken_or_refused(chunk: int, record_property: Callable[..., None]) -> None:
    found = campaign(LONG_RUN // CHUNKS, seed=1_000 + chunk, patience=3_000)
    _sound(found)
    counts = {name: sum(getattr(row, name) for row in found.rows) for name in ("accepted", "refused", "failed")}
    record_property("counted", {"inputs": found.inputs, **counts})


def test_a_planted_fault_of_each_sort_is_found_and_named() -> None:
    found = campaign(5, seed=1, edges="tests.fuzz.planted", patience=60)
    rows = {row.edge: row for row in found.rows}
    assert (rows["sound"].failed, rows["sound"].inputs) == (0, 1)
    signs = {"raising": "KeyError", "endless": "processor", "waiting": "it waits", "hoarding": "MemoryError"}
    for edge, sign in signs.items():
        assert rows[edge].failed == 1
        assert sign in rows[edge].findings[0]
        assert f"--edge '{edge}' --seed 1 --only 0" in rows[edge].findings[0]


def test_an_input_from_which_the_program_does_not_come_back_is_named_all_the_same() -> None:
    found = campaign(1, seed=1, edges="tests.fuzz.planted_deaf")
    assert "at edge deaf, seed 1, input 0" in found.ended


def test_every_module_that_reads_bytes_has_an_edge_or_a_reason_to_have_none() -> None:
    known = {*parsers.EDGES, *parsers.NO_EDGE}
    found = set(parsers.readers())
    assert found - known == set(), "say in tests/fuzz/parsers.py through which edge bytes from outside come there"
    edges = {edge.name for edge in EDGES}
    assert {name for names in parsers.EDGES.values() for name in names} <= edges
