"""A language as rules need it: one of a few texts, all texts with a beginning, or what an expression finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

from reconciler.routing.languages import charsets, classes
from reconciler.routing.languages.machines import Machine
from reconciler.routing.languages.products import Budget, shortest
from reconciler.routing.languages.programs import Program, compiled
from reconciler.routing.languages.syntax import Reading, read
from reconciler.routing.languages.trees import Alternation, At, Chars, Concatenation, Repeat, Tree, literal

_MOST_STATES = 30_000


class Language:
    """`texts`: all members, where they are few and known. `beginning`: what every member begins with.

    `open_ended`: every text with that beginning is a member. `unicode`: leans on tables that differ between versions.
    """

    def __init__(
        self,
        program: Callable[[], Program],
        *,
        texts: frozenset[str] | None = None,
        beginning: str = "",
        open_ended: bool = False,
        unicode: bool = False,
    ) -> None:
        self._program = program
        self._machine: Machine | None = None
        self.texts = texts
        self.beginning = beginning
        self.open_ended = open_ended
        self.unicode = unicode

    @property
    def machine(self) -> Machine:
        """The automaton, as far as anybody has walked it; started anew when it has grown too large to keep."""
        if self._machine is None or len(self._machine) > _MOST_STATES:
            self._machine = Machine(self._program())
        return self._machine

    def matches(self, text: str) -> bool:
        if self.texts is not None:
            return text in self.texts
        if self.open_ended:
            return text.startswith(self.beginning)
        return text.startswith(self.beginning) and self.machine.matches(text)


@lru_cache(50_000)
def exactly(*texts: str) -> Language:
    return Language(
        lambda: compiled(Alternation(tuple(map(literal, texts))), search=False),
        texts=frozenset(texts),
        beginning=_common(texts),
    )


@lru_cache(50_000)
def beginning_with(text: str) -> Language:
    return Language(
        lambda: compiled(Concatenation((At.TEXT_START, literal(text))), search=True), beginning=text, open_ended=True
    )


@lru_cache(5_000)
def found_by(pattern: str, *, unicode: bool = False) -> Language:
    """Every text in which the expression finds something. `unicode`: its ranges are from tables of Unicode.

    Raises Unmodelled.
    """
    reading = read(pattern)
    reading = Reading(reading.tree, reading.unicode or unicode)
    plain = _plain(reading.tree)
    if plain is not None:
        return exactly(plain[0]) if plain[1] else beginning_with(plain[0])
    return _of(reading, search=True)


@lru_cache(5_000)
def whole(pattern: str) -> Language:
    """Every text that the expression describes from end to end. Raises Unmodelled."""
    return _of(read(pattern), search=False)


def _of(reading: Reading, *, search: bool) -> Language:
    program = compiled(reading.tree, search=search)
    beginning = _beginning(reading.tree) if search else ""
    return Language(lambda: program, beginning=beginning, unicode=reading.unicode)


def pick(domain: Language, inside: Sequence[Language], outside: Sequence[Language], budget: Budget) -> str | None:
    """The shortest text of the domain in all of `inside` and none of `outside`, None for none. Raises Exceeded."""

    def fits(text: str) -> bool:
        return (
            all(one.matches(text) for one in inside)
            and not any(one.matches(text) for one in outside)
            and domain.matches(text)
        )

    few = [one.texts for one in (domain, *inside) if one.texts is not None]
    if few:
        return min(filter(fits, frozenset.intersection(*few)), key=_oddity, default=None)
    beginning = max((one.beginning for one in inside), key=len, default="")
    if _hopeless(beginning, inside, outside):
        return None
    if fits(beginning):
        return beginning
    return shortest(
        [one.machine for one in _in_order(domain, inside, outside)], [one.machine for one in outside], budget
    )


def _in_order(domain: Language, inside: Sequence[Language], outside: Sequence[Language]) -> list[Language]:
    """The narrowest first, the domain last; with only the characters that every version of Unicode agrees on."""
    agreed = [_assigned()] if any(one.unicode for one in (*inside, *outside)) else []
    return [*sorted(inside, key=lambda one: -len(one.beginning)), domain, *agreed]


@cache
def _assigned() -> Language:
    tree = Repeat(Chars(charsets.as_seen(charsets.complement(classes.unassigned()))), 0, None)
    return Language(lambda: compiled(tree, search=False))


def _hopeless(beginning: str, inside: Sequence[Language], outside: Sequence[Language]) -> bool:
    """Whether beginnings alone show that nothing is left."""
    return any(not beginning.startswith(one.beginning) for one in inside) or any(
        one.open_ended and beginning.startswith(one.beginning) for one in outside
    )


def _oddity(text: str) -> tuple[int, int, str]:
    return len(text), sum(charsets.nicest(ord(one), ord(one))[0] for one in text), text


def _common(texts: tuple[str, ...]) -> str:
    if not texts:
        return ""
    low, high = min(texts), max(texts)
    size = next((at for at, one in enumerate(low) if at >= len(high) or high[at] != one), len(low))
    return low[:size]


def _plain(tree: Tree) -> tuple[str, bool] | None:
    """The text of an expression that is `^text` or `^text$`, and whether it ends there."""
    parts = tree.parts if isinstance(tree, Concatenation) else (tree,)
    if not parts or parts[0] is not At.TEXT_START:
        return None
    ends = parts[-1] is At.TEXT_END
    middle = parts[1:-1] if ends else parts[1:]
    text = _leading(middle)
    return (text, ends) if len(text) == len(middle) else None


def _beginning(tree: Tree) -> str:
    """What everything that an anchored expression finds begins with."""
    parts = tree.parts if isinstance(tree, Concatenation) else (tree,)
    return _leading(parts[1:]) if parts and parts[0] is At.TEXT_START else ""


def _leading(parts: Sequence[Tree]) -> str:
    text = ""
    for part in parts:
        if not isinstance(part, Chars) or len(part.ranges) != 1 or part.ranges[0][0] != part.ranges[0][1]:
            break
        if 0xD800 <= part.ranges[0][0] <= 0xDFFF or part.ranges[0][0] == 0xFFFD:
            break
        text += chr(part.ranges[0][0])
    return text
