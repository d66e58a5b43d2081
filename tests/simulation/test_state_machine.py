"""The same world driven by Hypothesis: it chooses the deeds, and shrinks what it finds."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.simulation.deeds import DEEDS
from tests.simulation.ending import end
from tests.simulation.fate import Violation
from tests.simulation.home import Setting
from tests.simulation.schedule import Step, Theatre, perform, theatre
from tests.simulation.stacks import STACK_DEEDS

numbers = some.integers(0, 2**16)
happenings = [name for name in DEEDS if not name.startswith("a pass")]
homes = [
    *(
        Setting(instances, remote=remote)
        for instances in (("traefik",), ("edge", "traefik"))
        for remote in (False, True)
    ),
    *(Setting(komodo=True, remote=remote) for remote in (False, True)),
]


class Broken(AssertionError):
    """An invariant, as Hypothesis wants to hear of it."""


class Life(RuleBasedStateMachine):
    """A home, from its first commit until all faults are healed."""

    theatre: Theatre
    census: Counter[str]
    """Lives, deeds, and faults by kind."""

    @initialize(setting=some.sampled_from(homes))
    def begin(self, setting: Setting) -> None:
        self.stack = ExitStack()
        self.stage = self.stack.enter_context(self.theatre.stage(setting, 0))

    @rule(name=some.sampled_from(happenings), number=numbers)
    def something_happens(self, name: str, number: int) -> None:
        self._perform(Step(name, number))

    @precondition(lambda self: self.stage.home.komodo)
    @rule(name=some.sampled_from(sorted(STACK_DEEDS)), number=numbers)
    def something_happens_to_stacks(self, name: str, number: int) -> None:
        self._perform(Step(name, number))

    @rule()
    def a_pass(self) -> None:
        self._perform(Step("a pass", 0))

    @rule(number=numbers)
    def a_pass_dies(self, number: int) -> None:
        self._perform(Step("a pass that dies", number))

    @rule(number=numbers)
    def something_happens_in_a_pass(self, number: int) -> None:
        self._perform(Step("a pass with something meanwhile", number))

    @invariant()
    def what_runs_is_whole(self) -> None:
        if hasattr(self, "stage"):
            try:
                self.stage.audit.looked()
            except Violation as violation:
                raise Broken(str(violation)) from None

    def teardown(self) -> None:
        if not hasattr(self, "stage"):
            return
        self.census.update(self.stage.home.census)
        self.census["lives"] += 1
        with self.stack:
            try:
                end(self.stage, righted=Random(len(self.stage.home.trace.lines)).random() < 0.5)
            except Violation as violation:
                raise Broken(str(violation)) from None

    def _perform(self, step: Step) -> None:
        self.census["deeds"] += 1
        try:
            perform(self.stage, step)
        except Violation as violation:
            raise Broken(str(violation)) from None


def live(examples: int, steps: int) -> str:
    """Many lives; what they came to, in a line."""
    with theatre() as place:
        Life.theatre, Life.census = place, Counter()
        chosen = settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Life, settings=chosen)  # type: ignore[no-untyped-call]
    return ", ".join(f"{count:,} {what}" for what, count in sorted(Life.census.items()))


def test_no_life_that_hypothesis_thinks_of_breaks_what_must_hold() -> None:
    live(examples=60, steps=15)


@pytest.mark.soak
def test_no_long_life_that_hypothesis_thinks_of_breaks_what_must_hold() -> None:
    print(live(examples=2_000, steps=50))  # noqa: T201 - `make soak` shows it
