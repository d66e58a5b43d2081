"""An edge that hears no signal while it works: only from outside can it be ended."""

from __future__ import annotations

from tests.fuzz.fuzzing import Edge, simply


def _deaf(given: bytes) -> bool:
    return sum(range(10**13)) > len(given)  # one step of the interpreter, which takes a day


EDGES = (Edge(name="deaf", share=1, make=lambda mutator: mutator.content([b"a sample"]), opened=simply(_deaf)),)
