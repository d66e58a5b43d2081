"""Trees of regular expressions as programs: steps that consume, fork or look, and one end."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.routing.languages import charsets
from reconciler.routing.languages.charsets import Charset
from reconciler.routing.languages.trees import Alternation, At, Chars, Concatenation, Repeat, Tree, Unmodelled

ACCEPT = -1
_MOST_STEPS = 6_000


@dataclass(frozen=True)
class Consume:
    ranges: Charset
    then: int


@dataclass(frozen=True)
class Fork:
    ways: tuple[int, ...]


@dataclass(frozen=True)
class Assertion:
    at: At
    then: int


Step = Consume | Fork | Assertion


@dataclass(frozen=True)
class Program:
    """`search`: finding the expression anywhere in the text is enough; else it has to be the whole text.

    `kinds`: the sorts of characters that its conditions tell apart, each with its characters.
    """

    steps: tuple[Step, ...]
    start: int
    search: bool
    kinds: tuple[tuple[int, Charset], ...]


def compiled(tree: Tree, *, search: bool) -> Program:
    """Raises Unmodelled for an expression that is too large."""
    writer = _Writer()
    start = writer.write(tree, ACCEPT)
    return Program(tuple(writer.steps), start, search, _kinds(writer.places))


_PLAIN, _WORD, _LINE = 1, 2, 3
_NEWLINE = charsets.of("\n")


def _kinds(places: set[At]) -> tuple[tuple[int, Charset], ...]:
    """Only what the conditions in use tell apart, so that states do not multiply without need."""
    special: list[tuple[int, Charset]] = []
    if places & {At.WORD_EDGE, At.NO_WORD_EDGE}:
        special.append((_WORD, charsets.WORD))
    if places & {At.LINE_START, At.LINE_END}:
        special.append((_LINE, _NEWLINE))
    taken = charsets.merged(one for _, ranges in special for one in ranges)
    return (*special, (_PLAIN, charsets.as_seen(charsets.complement(taken))))


class _Writer:
    """Writes from the end to the start, so that every step knows what follows it."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.places: set[At] = set()

    def write(self, tree: Tree, then: int) -> int:
        match tree:
            case Chars(ranges):
                return self._add(Consume(ranges, then))
            case Concatenation(parts):
                for part in reversed(parts):
                    then = self.write(part, then)
                return then
            case Alternation(parts):
                return self._add(Fork(tuple(self.write(part, then) for part in parts)))
            case Repeat(part, least, most):
                return self._repeat(part, least, most, then)
            case At():
                self.places.add(tree)
                return self._add(Assertion(tree, then))

    def _repeat(self, part: Tree, least: int, most: int | None, then: int) -> int:
        if most is None:
            then = self._loop(part, then)
        else:
            leave = then
            for _ in range(most - least):
                then = self._add(Fork((self.write(part, then), leave)))
        for _ in range(least):
            then = self.write(part, then)
        return then

    def _loop(self, part: Tree, then: int) -> int:
        fork = self._add(Fork(()))
        self.steps[fork] = Fork((self.write(part, fork), then))
        return fork

    def _add(self, step: Step) -> int:
        if len(self.steps) >= _MOST_STEPS:
            raise Unmodelled("a regular expression of that size")
        self.steps.append(step)
        return len(self.steps) - 1
