"""Traefik's v3 rule grammar, as the real Traefik accepts it: that of Go expressions.

Raw and interpreted strings, comments, line ends that finish an expression, names in four spellings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import NamedTuple

from reconciler.routing.matchers import HTTP, TCP, And, Loose, Matcher, Node, Not, Or


class ParseError(ValueError):
    """A rule that Traefik would not take. `column` counts characters from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"column {column}: {message}")
        self.message = message
        self.column = column


class TooLarge(ParseError):
    """A rule so deep, or with so large a regular expression, that nobody here can tell whether Traefik takes it."""


@lru_cache(20_000)
def parse(text: str, protocol: str = "http") -> Node:
    """The parts of a rule. Raises ParseError for what Traefik would not take (bad arguments: see `faults`).

    Of those TooLarge is for rules that are nested deeper than DEEPEST or longer than LONGEST: Traefik takes tens of
    thousands of levels, and any length.
    """
    return _Parser(text, _KNOWN[protocol]).rule()


OLD_HTTP = (
    "Host", "HostHeader", "HostRegexp", "Path", "PathPrefix", "Method", "Headers", "HeadersRegexp", "ClientIP", "Query",
)  # fmt: skip
OLD_TCP = ("HostSNI", "HostSNIRegexp", "ClientIP", "ALPN")
"""The matchers of rules in the syntax of version 2."""


@lru_cache(20_000)
def parse_loosely(text: str, names: tuple[str, ...]) -> Node:
    """A rule as far as Traefik reads it before it looks at what the matchers ask: those of these names.

    Raises ParseError.
    """
    return _LooseParser(text, names).rule()


def places(text: str, protocol: str = "http") -> list[tuple[Matcher, int]]:
    """Every matcher of a rule in reading order, and the column where it stands. Raises ParseError."""
    parser = _Parser(text, _KNOWN[protocol])
    parser.rule()
    return parser.places


_TOKEN = re.compile(
    r"""[ \t\r\ufeff]*
    (?: (?P<call>[A-Za-z]+\(`[^`]*`(?:,[ ]?`[^`]*`)*\)) | (?P<sign>&&|\|\||\.\.\.|[!(),]) | (?P<end>\Z)
      | (?P<line>\n) | (?P<comment>//[^\n]*|/\*.*?\*/) | (?P<raw>`[^`]*`) | (?P<text>"(?:[^"\\\n]|\\.)*")
      | (?P<name>[^\W\d]\w*) | (?P<unreadable>.) )""",
    re.VERBOSE | re.DOTALL,
)
"""`call` is a whole matcher as nearly everybody writes it: to read it in one piece is three times as quick."""
_END = "end of the rule"
DEEPEST = 100
"""So many signs and brackets may stand around a matcher for a rule to be read here: nobody writes as many."""
LONGEST = 65_536
"""So many characters may a rule have to be read here: a rule of thousands of hosts has them, and is read in 0.1 s."""


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


def _tokens(text: str) -> list[_Token]:
    """Tokens as Go's scanner sees them; a line end after a value is a semicolon, elsewhere nothing."""
    found: list[_Token] = []
    finished = False
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        token, column = match[kind], match.start(kind) + 1
        if kind == "sign":
            found.append(_Token(token, token, column))
            finished = token == ")"
        elif kind in ("call", "raw", "text", "name"):
            found.append(_Token(kind, token, column))
            finished = True
        elif kind == "unreadable":
            raise ParseError(_unreadable(token), column)
        elif kind == "end":
            break
        elif finished and "\n" in token:
            found.append(_Token(";", "end of line", column))
            finished = False
    found.append(_Token(_END, _END, len(text) + 1))
    return found


def _unreadable(character: str) -> str:
    if character in "\"'`":
        return f"a string that does not end here; strings stand in back-ticks: `…` (found {character})"
    return f"unexpected '{character}'"


def _place_of_forbidden(text: str) -> int:
    """The column of the first character that Go's scanner takes nowhere, or (a byte order mark) only in front."""
    return next(column for column, one in enumerate(text, 1) if one == "\0" or (one == "\ufeff" and column > 1))


class _Parser:
    def __init__(self, text: str, known: Mapping[str, type[Matcher]]) -> None:
        if len(text) > LONGEST:
            raise TooLarge(f"longer than {LONGEST:,} characters, which is not read here", LONGEST + 1)
        if "\0" in text or "\ufeff" in text[1:]:
            raise ParseError("a character that no rule can hold", _place_of_forbidden(text))
        self._following = iter(_tokens(text))
        self._now = next(self._following)
        self._depth = 0
        self._known = known
        self.places: list[tuple[Matcher, int]] = []

    def rule(self) -> Node:
        node = self._either()
        while self._take(";"):
            pass
        if self._now.kind != _END:
            raise self._unexpected("'&&' or '||'")
        return node

    def _take(self, kind: str) -> _Token | None:
        token = self._now
        if token.kind != kind:
            return None
        self._now = next(self._following, token)
        return token

    def _unexpected(self, wanted: str) -> ParseError:
        return ParseError(f"expected {wanted}, found {self._now.text}", self._now.column)

    def _either(self) -> Node:
        parts = [self._both()]
        while self._take("||"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self) -> Node:
        parts = [self._one()]
        while self._take("&&"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Node:
        if self._now.kind not in ("!", "("):
            return self._matcher()
        self._depth += 1
        if self._depth > DEEPEST:
            raise TooLarge(f"nested deeper than {DEEPEST} levels, which is not read here", self._now.column)
        node = Not(self._one()) if self._take("!") else self._bracketed()
        self._depth -= 1
        return node

    def _bracketed(self) -> Node:
        self._take("(")
        node = self._either()
        if not self._take(")"):
            raise self._unexpected("')'")
        return node

    def _matcher(self) -> Matcher:
        if call := self._take("call"):
            name, _, rest = call.text.partition("(")
            return self._made(name, rest.replace("\r", "").split("`")[1::2], call.column)
        named = self._take("name")
        if not named:
            raise self._unexpected("a matcher like Host(`a.example.org`)")
        self._kind(named.text, named.column)
        if not self._take("("):
            raise self._unexpected(f"'(' after {named.text}")
        return self._made(named.text, self._arguments(), named.column)

    def _made(self, name: str, arguments: list[str], column: int) -> Matcher:
        kind = self._kind(name, column)
        if len(arguments) not in kind.arity:
            wanted = " or ".join(map(str, kind.arity))
            raise ParseError(f"{name} takes {wanted} value(s), not {len(arguments)}", column)
        matcher = kind(*arguments)
        self.places.append((matcher, column))
        return matcher

    def _kind(self, name: str, column: int) -> type[Matcher]:
        kind = self._known.get(name)
        if kind is None:
            raise ParseError(f"no matcher '{name}'; there are {self._names()}", column)
        return kind

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


class _LooseParser(_Parser):
    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        super().__init__(text, {})
        self._names_known = _spelled(names)

    def _made(self, name: str, arguments: list[str], column: int) -> Matcher:
        self._kind(name, column)
        return Loose(self._names_known[name], tuple(arguments))

    def _kind(self, name: str, column: int) -> type[Matcher]:
        if name not in self._names_known:
            raise ParseError(f"no matcher '{name}'", column)
        return Loose


@cache
def _spelled(names: tuple[str, ...]) -> dict[str, str]:
    """Every spelling that Traefik takes -> the matcher's name; `pathPrefix` is none of them."""
    return {
        spelling: name for name in names for spelling in (name, name.lower(), name.upper(), name.lower().capitalize())
    }


def _known(kinds: tuple[type[Matcher], ...]) -> dict[str, type[Matcher]]:
    by_name = {kind.__name__: kind for kind in kinds}
    return {spelling: by_name[name] for spelling, name in _spelled(tuple(by_name)).items()}


_KNOWN = {"http": _known(HTTP), "tcp": _known(TCP)}


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
