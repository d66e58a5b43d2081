"""Automata over characters, made deterministic state by state as somebody walks them.

A state's moves are ranges of characters with the state they lead to; what no range names leads to DEAD. Looking
ahead (`$`, `\\b`) waits in the state until the next character, or the end, is known.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import count
from typing import NamedTuple

from reconciler.routing.languages import charsets
from reconciler.routing.languages.programs import ACCEPT, Assertion, Consume, Fork, Program
from reconciler.routing.languages.trees import At

DEAD, ALL = -1, -2  # nothing, everything is accepted from here
Move = tuple[int, int, int]  # lowest character, highest, the state after it

_START, _PLAIN, _WORD, _LINE, _END = range(5)  # what stands beside a place: an edge, another character, …
_Items = frozenset[int]


class _State(NamedTuple):
    items: _Items
    before: int


class Machine:
    """The deterministic automaton of one program, as far as anybody has walked it.

    Several threads may walk it at once: what they write down about a state is the same, whoever comes first, and a
    state gets its number by one step of a dictionary.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._fresh = count()
        self._numbers: dict[_State, int] = {}
        self._states: dict[int, _State] = {}
        self._moves: dict[int, list[Move]] = {}
        self._lows: dict[int, list[int]] = {}
        self._ends: dict[int, bool] = {}
        # With `(?m)^` a search that stands nowhere begins again after the next line end.
        self._revives = program.search and any(kind == _LINE for kind, _ in program.kinds)
        self.start = self._number(frozenset((program.start,)), _START)

    def __len__(self) -> int:
        return len(self._states)

    def weight(self, state: int) -> int:
        """How many places of the program a state stands for."""
        return len(self._states[state].items) if state >= 0 else 0

    def accepts(self, state: int) -> bool:
        """Whether the text may end here."""
        if state < 0:
            return state == ALL
        known = self._ends.get(state)
        if known is None:
            items, before = self._states[state]
            known = self._ends[state] = ACCEPT in self._closure(items, before, _END)
        return known

    def moves(self, state: int) -> list[Move]:
        """Where each character leads, in the order of characters."""
        known = self._moves.get(state)
        if known is None:
            known = self._walk(self._states[state])
            self._lows[state] = [move[0] for move in known]
            self._moves[state] = known
        return known

    def after(self, state: int, character: str) -> int:
        if state < 0:
            return state
        point = charsets.point(character)
        moves = self.moves(state)
        at = bisect_right(self._lows[state], point) - 1
        return moves[at][2] if at >= 0 and point <= moves[at][1] else DEAD

    def matches(self, text: str) -> bool:
        state = self.start
        for character in text:
            state = self.after(state, character)
            if state < 0:
                break
        return self.accepts(state)

    # ── building ─────────────────────────────────────────────────────────────────────────────────

    def _number(self, places: _Items, before: int) -> int:
        """The number of the state in which the program may stand at any of these places."""
        items = self._closure(places, before, None)
        if ACCEPT in items and self._program.search:
            return ALL
        if not items and not self._revives:
            return DEAD
        state = _State(items, before)
        number = self._numbers.get(state)
        if number is None:
            number = self._numbers.setdefault(state, next(self._fresh))
        self._states[number] = state  # whoever has the number may need it, also before its first owner has come here
        return number

    def _closure(self, places: _Items, before: int, after: int | None) -> _Items:
        """The places that wait for a character, or (with `after` not yet known) for what comes after them."""
        found, waiting = set(places), list(places)
        items = set()
        while waiting:
            place = waiting.pop()
            if place == ACCEPT:
                items.add(place)
                continue
            following: tuple[int, ...] = ()
            match self._program.steps[place]:
                case Fork(ways):
                    following = ways
                case Consume():
                    items.add(place)
                case Assertion(at, then):
                    holds = _holds(at, before, after)
                    if holds is None:
                        items.add(place)
                    following = (then,) if holds else ()
            for one in following:
                if one not in found:
                    found.add(one)
                    waiting.append(one)
        return frozenset(items)

    def _walk(self, state: _State) -> list[Move]:
        found: list[Move] = []
        for kind, ranges in self._program.kinds:
            items = self._closure(state.items, state.before, kind)
            if ACCEPT in items and self._program.search:
                found.extend((low, high, ALL) for low, high in ranges)
            else:
                found.extend(self._step(items, kind, ranges))
        return _joined(sorted(found))

    def _step(self, items: _Items, kind: int, ranges: charsets.Charset) -> list[Move]:
        """The moves on the characters of one kind, by sweeping over where each place's set begins and ends."""
        edges: dict[int, list[int]] = {}
        consuming = [
            step for place in items if place != ACCEPT and isinstance(step := self._program.steps[place], Consume)
        ]
        for number, step in enumerate(consuming):
            for low, high in charsets.intersection(step.ranges, ranges):
                edges.setdefault(low, []).append(number)
                edges.setdefault(high + 1, []).append(number)
        for low, high in ranges:
            edges.setdefault(low, []), edges.setdefault(high + 1, [])
        return self._swept(edges, consuming, kind, ranges)

    def _swept(
        self, edges: dict[int, list[int]], consuming: list[Consume], kind: int, ranges: charsets.Charset
    ) -> list[Move]:
        found: list[Move] = []
        active: set[int] = set()
        again = (self._program.start,) if self._program.search else ()
        targets: dict[frozenset[int], int] = {}
        points = sorted(edges)
        for low, beyond in zip(points, points[1:], strict=False):
            active ^= set(edges[low])
            if not charsets.contains(ranges, low):
                continue
            key = frozenset(active)
            if key not in targets:
                targets[key] = self._number(frozenset((*again, *(consuming[one].then for one in key))), kind)
            if targets[key] != DEAD:
                found.append((low, beyond - 1, targets[key]))
        return found


def _holds(at: At, before: int, after: int | None) -> bool | None:
    """Whether a condition holds between these two; None while what comes after decides."""
    if at is At.TEXT_START:
        return before == _START
    if at is At.LINE_START:
        return before in (_START, _LINE)
    if after is None:
        return None
    if at is At.TEXT_END:
        return after == _END
    if at is At.LINE_END:
        return after in (_END, _LINE)
    return ((before == _WORD) != (after == _WORD)) == (at is At.WORD_EDGE)


def _joined(moves: list[Move]) -> list[Move]:
    """Neighbouring ranges that lead to one state, as one."""
    found: list[Move] = []
    for low, high, target in moves:
        if found and found[-1][2] == target and found[-1][1] + 1 == low:
            found[-1] = (found[-1][0], high, target)
        else:
            found.append((low, high, target))
    return found
