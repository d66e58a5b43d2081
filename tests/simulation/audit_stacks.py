"""What must always hold of stacks: asked for once, told once, proven only where they run, others' left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from state import events
from tests.simulation.fate import require
from tests.simulation.home import Home
from tests.simulation.komodo import THEIRS, SimulatedKomodo


class Stacks:
    """Follows the stacks of one home, if it has a Komodo. Raises Violation."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._told: Counter[tuple[str, ...]] = Counter()
        self._hands: dict[str, int] = {}  # attempt -> edits by hand when it began

    @property
    def _komodo(self) -> SimulatedKomodo:
        assert self._home.komodo is not None
        return self._home.komodo

    def began(self, event: events.ApplyStarted) -> None:
        self._komodo.attempt = event.attempt
        self._hands[event.attempt] = self._komodo.hands

    def proven(self, event: events.ApplyProven) -> None:
        """Every stack that was changed runs as it is wanted, or is gone."""
        for address, compose in event.changes.items():
            _, kind, name = address.split("/")
            if kind == "compose":
                wanted, runs = _image(compose), self._komodo.runs(name)
                require(wanted == runs, "only what Komodo runs is proven", event.attempt, name, wanted, runs)

    def refuted(self, event: events.ApplyRefuted) -> None:
        """Something failed there, or a hand was in it."""
        failed = [one for one in self._komodo.executed if one.attempt == event.attempt and one.fate.fails]
        by_hand = self._komodo.hands > self._hands[event.attempt]
        require(failed or by_hand, "only what Komodo refuses is refuted", event.attempt, event.reason)

    def told(self, event: events.StackDeployed) -> None:
        self._told[event.attempt, event.stack, event.deed, event.reason] += 1
        require(max(self._told.values()) == 1, "a deploy is told once", event)

    def looked(self) -> None:
        """Between two steps. What Komodo forgot, or had no time for, has to be asked for again."""
        if self._home.komodo is None:
            return
        theirs = self._komodo.stacks.get("theirs")
        untouched = theirs and (theirs.config["file_contents"], theirs.deployed) == (f"{THEIRS}\n", f"{THEIRS}\n")
        require(untouched, "nothing foreign is touched", theirs)
        asked = Counter(
            (one.attempt, one.operation, one.stack, one.image) for one in self._komodo.executed if one.is_remembered
        )
        twice = [one for one, count in asked.items() if count > 1]
        require(not twice, "Komodo is asked once", twice)


def _image(compose: Mapping[str, Any] | None) -> str:
    return str(compose["services"]["web"]["image"]) if compose else ""
