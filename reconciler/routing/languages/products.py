"""The shortest text that is in all of some languages and in none of others, or the proof that there is none."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.routing.languages import charsets
from reconciler.routing.languages.machines import ALL, DEAD, Machine

_FREE = -3  # this machine has no more say
_Place = tuple[int, ...]
_Found = dict[_Place, tuple[int, str]]


class Exceeded(Exception):
    """More steps than the budget had."""


class Budget:
    """Steps that one answer may cost; a step is about one state of a product."""

    def __init__(self, steps: int) -> None:
        self.spent = 0
        self._steps = steps

    def spend(self, steps: int = 1) -> None:
        """Raises Exceeded."""
        self.spent += steps
        if self.spent > self._steps:
            raise Exceeded


def shortest(inside: Sequence[Machine], outside: Sequence[Machine], budget: Budget) -> str | None:
    """The shortest common text, the plainest of equally short ones; None where there is none. Raises Exceeded.

    Layer by layer, so that the first layer in which a text may end holds the shortest ones.
    """
    product = _Product((*inside, *outside), len(inside))
    layer = product.first()
    seen = set(layer)
    while layer:
        ends = [best for place, best in layer.items() if product.accepts(place)]
        if ends:
            return min(ends)[1]
        layer = product.next(layer, budget)
        for place in [place for place in layer if place in seen]:
            del layer[place]
        seen.update(layer)
    return None


class _Product:
    """The machines side by side; the first ones have to accept, the others must not."""

    def __init__(self, machines: tuple[Machine, ...], inside: int) -> None:
        self._machines = machines
        self._inside = inside

    def first(self) -> _Found:
        place = [self._settled(number, machine.start) for number, machine in enumerate(self._machines)]
        return {tuple(place): (0, "")} if DEAD not in place else {}

    def _settled(self, number: int, state: int) -> int:
        """DEAD where this machine rules a text out for good, _FREE where it never will any more."""
        if state >= 0:
            return state
        return _FREE if (state == ALL) == (number < self._inside) else DEAD

    def accepts(self, place: _Place) -> bool:
        return all(
            state == _FREE or self._machines[number].accepts(state) == (number < self._inside)
            for number, state in enumerate(place)
        )

    def next(self, layer: _Found, budget: Budget) -> _Found:
        """All places one character further, each with the plainest text that leads there."""
        found: _Found = {}
        for place, (oddity, text) in layer.items():
            budget.spend(1 + sum(self._machines[at].weight(state) for at, state in enumerate(place)) // 4)
            for low, high, target in self._moves(place):
                more, character = charsets.nicest(low, high)
                candidate = (oddity + more, text + character)
                if target not in found or candidate < found[target]:
                    found[target] = candidate
        return found

    def _moves(self, place: _Place) -> list[tuple[int, int, _Place]]:
        moves: list[tuple[int, int, _Place]] = [(low, high, ()) for low, high in charsets.as_seen(charsets.EVERYTHING)]
        for number, state in enumerate(place):
            if state == _FREE:
                moves = [(low, high, (*before, _FREE)) for low, high, before in moves]
            elif number < self._inside:
                moves = self._narrowed(moves, number, state)
            else:
                moves = self._carved(moves, number, state)
        return moves

    def _narrowed(self, moves: list[tuple[int, int, _Place]], number: int, state: int) -> list[tuple[int, int, _Place]]:
        """What is left where this machine has to go on."""
        found, mine, at = [], self._machines[number].moves(state), 0
        for low, high, before in moves:
            while at < len(mine) and mine[at][1] < low:
                at += 1
            beside = at
            while beside < len(mine) and mine[beside][0] <= high:
                start, end, target = mine[beside]
                settled = _FREE if target == ALL else target
                found.append((max(low, start), min(high, end), (*before, settled)))
                beside += 1
        return found

    def _carved(self, moves: list[tuple[int, int, _Place]], number: int, state: int) -> list[tuple[int, int, _Place]]:
        """What is left where this machine must not accept: free where it is dead, nothing where it accepts all."""
        found, mine, at = [], self._machines[number].moves(state), 0
        for low, high, before in moves:
            while at < len(mine) and mine[at][1] < low:
                at += 1
            beside, reached = at, low
            while beside < len(mine) and mine[beside][0] <= high:
                start, end, target = mine[beside]
                if start > reached:
                    found.append((reached, start - 1, (*before, _FREE)))
                if target != ALL:
                    found.append((max(low, start), min(high, end), (*before, target)))
                reached = max(reached, end + 1)
                beside += 1
            if reached <= high:
                found.append((reached, high, (*before, _FREE)))
        return found
