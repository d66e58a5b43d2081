"""Searching a formula of rules for a request: conjunctions only as they are needed, the hopeless ones never.

What is certain is put to the sides of the request first. Values that answer it are then held against the
alternatives that are left; only one that they do not meet makes the search fork. So a rule against a thousand others
forks where it has to and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from reconciler.routing.dimensions import METHOD, PATH, Asked, Side, Values, is_modelled, side_of, solve, takes
from reconciler.routing.languages.products import Budget
from reconciler.routing.matchers import And, Matcher, Node, Not, Or
from reconciler.routing.request import NEWEST, PLAIN, Door
from reconciler.routing.urls import Release


class Wanted(NamedTuple):
    """A part of a rule that has to match, or (`yes` false) must not."""

    node: Node
    yes: bool


@dataclass
class Cube:
    """A conjunction: what is asked of each side, with the values that answer it.

    `open` says what could not be put to any side, as it is not modelled; only the evaluator can tell then.
    """

    asked: dict[Side, Asked] = field(default_factory=dict)
    values: dict[Side, Values] = field(default_factory=dict)
    open: str = ""
    release: Release = NEWEST
    door: Door = PLAIN

    def value(self, side: Side) -> Values:
        """What the request is on one side."""
        if side not in self.values:
            self.values[side] = solve(side, Asked(), self.release, self.door).values or ()
        return self.values[side]


class Search:
    """One search; `doubts` says where it could not tell. Without doubts, no cube means that there is no request."""

    def __init__(self, budget: Budget, release: Release, door: Door = PLAIN) -> None:
        self.doubts: list[str] = []
        self._budget = budget
        self._release = release
        self._door = door

    def cubes(self, wanted: Iterable[Wanted]) -> Iterator[Cube]:
        """Conjunctions that meet everything wanted, as far as it is modelled. Raises Exceeded."""
        yield from self._from(Cube(release=self._release, door=self._door), wanted, [])

    def _from(self, cube: Cube, pending: Iterable[Wanted], choices: Sequence[Sequence[Wanted]]) -> Iterator[Cube]:
        certain, more = _sorted_out(pending)
        narrowed = self._narrowed(cube, certain)
        if narrowed is None:
            return
        left = [*choices, *more]
        self._budget.spend(2 + len(left) // 2)
        fork = _hardest(narrowed, left)
        if fork is None:
            if self._can_be_sent(narrowed):
                yield narrowed
            return
        rest = [choice for choice in left if choice is not fork]
        denied: list[Wanted] = []
        for one in _living(narrowed, fork):
            yield from self._from(narrowed, (one, *denied), rest)
            denied += [Wanted(one.node, not one.yes)] if isinstance(one.node, Matcher) else []

    def _narrowed(self, cube: Cube, certain: Iterable[Wanted]) -> Cube | None:
        """The cube with more asked of it; None where nothing answers that, or nobody can tell."""
        found = Cube(dict(cube.asked), dict(cube.values), cube.open, cube.release, cube.door)
        changed: dict[Side, None] = {}
        for node, yes in certain:
            assert isinstance(node, Matcher)
            if is_modelled(node, cube.release):
                side = side_of(node)
                found.asked[side] = found.asked.get(side, _NOTHING).and_(node, yes)
                changed[side] = None
            else:
                asked = ", ".join(f"`{argument}`" for argument in node.arguments)
                found.open = f"what {node.name}({asked}) asks for is not modelled here"
        return found if all(self._answered(found, side) for side in changed) else None

    def _answered(self, cube: Cube, side: Side) -> bool:
        solved = solve(side, cube.asked[side], cube.release, cube.door)
        self._budget.spend(solved.cost)
        if solved.unknown:
            self.doubts.append(solved.unknown)
        if solved.values is None:
            return False
        cube.values[side] = solved.values
        return True

    def _can_be_sent(self, cube: Cube) -> bool:
        """The target `*`, which stands where no other path is left, has no query, and Go answers OPTIONS for it."""
        if cube.value(PATH) != ("*",):
            return True
        if cube.value(METHOD) == ("OPTIONS",) and not cube.asked[METHOD].inside:
            self.doubts.append("only odd methods are left")
        asks_query = any(values for side, values in cube.values.items() if side.kind == "query")
        return not asks_query and cube.value(METHOD) != ("OPTIONS",)


_NOTHING = Asked()


def _sorted_out(pending: Iterable[Wanted]) -> tuple[list[Wanted], list[list[Wanted]]]:
    """Single matchers that have to hold, and choices of which one part has to."""
    certain: list[Wanted] = []
    choices: list[list[Wanted]] = []
    waiting = list(pending)[::-1]
    while waiting:
        node, yes = one = waiting.pop()
        if isinstance(node, Not):
            waiting.append(Wanted(node.part, not yes))
        elif isinstance(node, And | Or):
            parts = [Wanted(part, yes) for part in node.parts]
            if isinstance(node, And) == yes:
                waiting.extend(reversed(parts))
            else:
                choices.append(parts)
        else:
            certain.append(one)
    return certain, choices


def _hardest(cube: Cube, choices: Iterable[Sequence[Wanted]]) -> Sequence[Wanted] | None:
    """Of the choices that the values of a cube do not meet, the one with the fewest ways; None: all are met."""
    hardest, fewest = None, 0
    for choice in choices:
        if not any(_meets(cube, one) for one in choice):
            ways = len(_living(cube, choice))
            if hardest is None or ways < fewest:
                hardest, fewest = choice, ways
            if ways < 2:
                break
    return hardest


def _living(cube: Cube, choice: Iterable[Wanted]) -> list[Wanted]:
    """The ways of a choice that nothing asked before plainly rules out."""
    return [one for one in choice if not (isinstance(one.node, Matcher) and _denied(cube, one.node, one.yes))]


def _denied(cube: Cube, matcher: Matcher, yes: bool) -> bool:
    if not is_modelled(matcher, cube.release):
        return False
    asked = cube.asked.get(side_of(matcher), _NOTHING)
    return matcher in (asked.outside if yes else asked.inside)


def _meets(cube: Cube, wanted: Wanted) -> bool:
    """Whether the values of a cube certainly meet this; False also where that is not modelled."""
    node, yes = wanted
    if isinstance(node, Not):
        return _meets(cube, Wanted(node.part, not yes))
    if isinstance(node, And | Or):
        met = (_meets(cube, Wanted(part, yes)) for part in node.parts)
        return all(met) if isinstance(node, And) == yes else any(met)
    return is_modelled(node, cube.release) and takes(node, cube.value(side_of(node)), cube.release) == yes
