"""Traefik's v3 rule grammar, as the real Traefik accepts it: that of Go expressions.

Raw and interpreted strings, comments, line ends that finish an expression, names in four spellings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from reconciler.routing.matchers import HTTP, TCP, And, Matcher, Node, Not, Or


class ParseError(ValueError):
    """A rule that Traefik would not take. `column` counts characters from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.message = message
        self.column = column


@lru_cache(20_000)
def parse(text: str, protocol: str = "http") -> Node:
    """The parts of a rule. Raises ParseError for what Traefik would not take (bad arguments: see `faults`)."""
    return _Parser(text, TCP if protocol == "tcp" else HTTP).rule()


def places(text: str, protocol: str = "http") -> list[tuple[Matcher, int]]:
    """Every matcher of a rule in reading order, and the column where it stands. Raises ParseError."""
    parser = _Parser(text, TCP if protocol == "tcp" else HTTP)
    parser.rule()
    return parser.places


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\ufeff]+) | (?P<line>\n) | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<raw>`[^`]*`) | (?P<text>"(?:[^"\\\n]|\\.)*") | (?P<name>[^\W\d]\w*)
      | (?P<sign>&&|\|\||\.\.\.|[!(),])""",
    re.VERBOSE | re.DOTALL,
)
_END = "end of the rule"
_DEEPEST = 100


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int


def _tokens(text: str) -> Iterator[_Token]:
    """Tokens as Go's scanner sees them; a line end after a value is a semicolon, elsewhere nothing."""
    at, finished = 0, False
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise ParseError(_unreadable(text[at]), at + 1)
        kind, found = str(match.lastgroup), match[0]
        ends_line = kind == "line" or (kind == "comment" and "\n" in found)
        if ends_line and finished:
            yield _Token(";", "end of line", at + 1)
            finished = False
        elif kind in ("raw", "text", "name", "sign"):
            yield _Token(kind if kind != "sign" else found, found, at + 1)
            finished = kind != "sign" or found == ")"
        at = match.end()
    yield _Token(_END, _END, len(text) + 1)


def _unreadable(character: str) -> str:
    if character in "\"'`":
        return f"a string that does not end here; strings stand in back-ticks: `…` (found {character})"
    return f"unexpected '{character}'"


class _Parser:
    def __init__(self, text: str, known: tuple[type[Matcher], ...]) -> None:
        for column, character in enumerate(text, 1):
            if character == "\0" or (character == "\ufeff" and column > 1):
                raise ParseError("a character that no rule can hold", column)
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0
        self._known = _spelled(known)
        self.places: list[tuple[Matcher, int]] = []

    def rule(self) -> Node:
        node = self._either()
        while self._take(";"):
            pass
        if self._now.kind != _END:
            raise self._unexpected("'&&' or '||'")
        return node

    @property
    def _now(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, kind: str) -> _Token | None:
        token = self._now
        if token.kind != kind:
            return None
        self._at += 1
        return token

    def _unexpected(self, wanted: str) -> ParseError:
        return ParseError(f"expected {wanted}, found {self._now.text}", self._now.column)

    def _either(self) -> Node:
        return self._joined("||", self._both, Or)

    def _both(self) -> Node:
        return self._joined("&&", self._one, And)

    def _joined(self, sign: str, part: Callable[[], Node], holder: type[And] | type[Or]) -> Node:
        parts = [part()]
        while self._take(sign):
            parts.append(part())
        return parts[0] if len(parts) == 1 else holder(tuple(parts))

    def _one(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ParseError("nested too deeply", self._now.column)
        node = self._unary()
        self._depth -= 1
        return node

    def _unary(self) -> Node:
        if self._take("!"):
            return Not(self._one())
        if self._take("("):
            node = self._either()
            if not self._take(")"):
                raise self._unexpected("')'")
            return node
        return self._matcher()

    def _matcher(self) -> Matcher:
        name = self._take("name")
        if not name:
            raise self._unexpected("a matcher like Host(`a.example.org`)")
        kind = self._known.get(name.text)
        if kind is None:
            raise ParseError(f"no matcher '{name.text}'; there are {self._names()}", name.column)
        if not self._take("("):
            raise self._unexpected(f"'(' after {name.text}")
        arguments = self._arguments()
        if len(arguments) not in kind.arity:
            wanted = " or ".join(map(str, kind.arity))
            raise ParseError(f"{name.text} takes {wanted} value(s), not {len(arguments)}", name.column)
        matcher = kind(*arguments)
        self.places.append((matcher, name.column))
        return matcher

    def _names(self) -> str:
        return ", ".join(dict.fromkeys(kind.__name__ for kind in self._known.values()))

    def _arguments(self) -> list[str]:
        arguments: list[str] = []
        while not self._take(")"):
            arguments.append(self._string())
            spread = self._take("...")
            if (not self._take(",") or spread) and self._now.kind != ")":
                raise self._unexpected("')'" if spread else "',' or ')'")
        return arguments

    def _string(self) -> str:
        if token := self._take("raw"):
            return token.text[1:-1].replace("\r", "")
        if token := self._take("text"):
            return _interpreted(token)
        raise self._unexpected("a string in back-ticks")


@cache
def _spelled(known: tuple[type[Matcher], ...]) -> dict[str, type[Matcher]]:
    """Every spelling that Traefik takes -> the matcher; `pathPrefix` is none of them."""
    names = {kind: kind.__name__ for kind in known}
    return {
        spelling: kind
        for kind, name in names.items()
        for spelling in (name, name.lower(), name.upper(), name.lower().capitalize())
    }


_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))", re.DOTALL
)
_SIMPLE = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))


def _interpreted(token: _Token) -> str:
    """The value of a Go string in double quotes.

    Octal and \\x escapes are bytes, so text is put together as bytes; those that are no UTF-8 stay, as lone
    surrogates (`surrogateescape`).
    """

    def value(match: re.Match[str]) -> str:
        simple, octal, byte, short, long, wrong = match.groups()
        if simple:
            return _SIMPLE[simple]
        number = int(octal, 8) if octal else int(byte or short or long or "-1", 16)
        surrogate = 0xD800 <= number < 0xE000
        if wrong is not None or number > 0x10FFFF or surrogate or (octal and number > 255):
            raise ParseError(f"unknown escape {match[0]}", token.column + 1 + match.start())
        return chr(number) if number < 128 or not (octal or byte) else chr(0xDC00 + number)

    return _ESCAPE.sub(value, token.text[1:-1]).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
