"""A safeguard that is taken out is missed by the harness that is there for it, which finds no fault otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.durability import mutants
from tests.durability.mutants import Mutant
from tests.durability.warm import Server

CHEAP = {
    mutants.states_of_our_file,
    mutants.a_second_process_in_a_home,
    mutants.a_second_home_in_a_directory,
    mutants.a_second_writer_of_our_file,
    mutants.a_log_that_lost_its_tail,
    mutants.a_log_that_was_rewritten,
    mutants.two_writers_of_one_log,
    mutants.somebody_who_knows_less_than_the_log,
}
"""Harnesses that take a tenth of a second; those of the others run with `make soak`, and all with `make mutants`."""


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(mutant, id=mutant.safeguard, marks=[] if mutant.harness in CHEAP else pytest.mark.soak)
        for mutant in mutants.TABLE
    ],
)
def test_a_safeguard_that_is_taken_out_is_missed(server: Server, memory: Path, mutant: Mutant) -> None:
    assert not mutants.hunt(mutant, server, memory / "place", mutated=False).caught
    assert mutants.hunt(mutant, server, memory / "place").caught
