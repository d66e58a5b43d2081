"""RE2's syntax, as Go reads it, to a tree. What is not modelled or not taken by Go raises `Unmodelled`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.routing.languages import charsets, classes
from reconciler.routing.languages.charsets import Charset
from reconciler.routing.languages.trees import Alternation, At, Chars, Concatenation, Repeat, Tree, Unmodelled


@dataclass(frozen=True)
class Reading:
    """A regular expression as read; `unicode`: it leans on tables that differ between versions of Unicode."""

    tree: Tree
    unicode: bool


def read(pattern: str) -> Reading:
    """The tree of a regular expression. Raises Unmodelled."""
    reader = _Reader(pattern)
    tree = reader.alternation()
    if not reader.done:
        raise Unmodelled("a ')' that closes nothing")
    return Reading(tree, reader.unicode)


@dataclass(frozen=True)
class _Flags:
    fold: bool = False
    lines: bool = False
    dot_all: bool = False


_DEEPEST = 200
_MOST_REPEATS = 1000
_SIMPLE = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_PLACES = {"A": At.TEXT_START, "z": At.TEXT_END, "b": At.WORD_EDGE, "B": At.NO_WORD_EDGE}


class _Cursor:
    """A place in a pattern."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._text)

    def _peek(self, wanted: str) -> bool:
        return self._text.startswith(wanted, self._at)

    def _take(self, wanted: str) -> bool:
        found = self._peek(wanted)
        self._at += len(wanted) if found else 0
        return found

    def _next(self) -> str:
        if self.done:
            raise Unmodelled("it ends in the middle of something")
        self._at += 1
        return self._text[self._at - 1]

    def _until(self, end: str) -> str | None:
        """The text before `end`, which is taken too; None where there is no such end."""
        stop = self._text.find(end, self._at)
        if stop < 0:
            return None
        found, self._at = self._text[self._at : stop], stop + len(end)
        return found


class _Reader(_Cursor):
    def __init__(self, pattern: str) -> None:
        super().__init__(pattern)
        self._flags = _Flags()
        self._depth = 0
        self.unicode = False

    # ── structure ────────────────────────────────────────────────────────────────────────────────

    def alternation(self) -> Tree:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Unmodelled("nested too deeply")
        parts = [self._concatenation()]
        while self._take("|"):
            parts.append(self._concatenation())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Alternation(tuple(parts))

    def _concatenation(self) -> Tree:
        parts: list[Tree] = []
        while not (self.done or self._peek("|") or self._peek(")")):
            if self._take(r"\Q"):
                parts.extend(self._quoted())
                continue
            atom = self._atom()
            if atom is not None:
                parts.append(self._repeated(atom))
        return parts[0] if len(parts) == 1 else Concatenation(tuple(parts))

    def _quoted(self) -> list[Tree]:
        text = self._until(r"\E")
        if text is None:
            text, self._at = self._text[self._at :], len(self._text)
        found = [self._character(character) for character in text]
        return [*found[:-1], self._repeated(found[-1])] if found else []

    def _atom(self) -> Tree | None:
        character = self._next()
        match character:
            case "(":
                return self._group()
            case "[":
                return _chars(self._class())
            case ".":
                return _chars(charsets.EVERYTHING if self._flags.dot_all else classes.NOT_NEWLINE)
            case "^":
                return At.LINE_START if self._flags.lines else At.TEXT_START
            case "$":
                return At.LINE_END if self._flags.lines else At.TEXT_END
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise Unmodelled(f"'{character}' repeats nothing")
            case "{":
                self._at -= 1
                if self._counted() is not None:
                    raise Unmodelled("a count that repeats nothing, or what stands before flags")
                self._at += 1
        return self._character(character)

    def _character(self, character: str) -> Tree:
        return _chars(self._folded(charsets.of(character)))

    def _folded(self, ranges: Charset) -> Charset:
        if not self._flags.fold:
            return ranges
        self.unicode |= bool(ranges) and ranges[-1][1] > 127
        return classes.folded(ranges)

    # ── groups and flags ─────────────────────────────────────────────────────────────────────────

    def _group(self) -> Tree | None:
        before = self._flags
        if self._take("?"):
            named = self._take("P<") or self._take("<")
            if named:
                self._until(">")
            elif self._flag_list() == ")":
                return None  # flags for the rest of the group around
        tree = self.alternation()
        if not self._take(")"):
            raise Unmodelled("a group that does not end")
        self._flags = before
        return tree

    def _flag_list(self) -> str:
        names = {"i": "fold", "m": "lines", "s": "dot_all"}
        on = True
        while (character := self._next()) not in ":)":
            if character == "-" and on:
                on = False
            elif character in names:
                self._flags = replace(self._flags, **{names[character]: on})
            elif character != "U":  # greedy or not: the same language
                raise Unmodelled(f"the flag '{character}'")
        return character

    # ── repetition ───────────────────────────────────────────────────────────────────────────────

    def _repeated(self, atom: Tree) -> Tree:
        bounds = self._bounds()
        if bounds is None:
            return atom
        self._take("?")
        if self._bounds() is not None:
            raise Unmodelled("a repetition of a repetition")
        return Repeat(atom, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        return self._counted() if self._peek("{") else None

    def _counted(self) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}`, `{n,m}`; anything else after a brace is plain text."""
        before = self._at
        self._at += 1
        first, comma, last = (self._until("}") or "").partition(",")
        least, most = _number(first), _number(last if comma else first)
        if least is None or (most is None and last):
            self._at = before
            return None
        if least > _MOST_REPEATS or (most is not None and not least <= most <= _MOST_REPEATS):
            raise Unmodelled("a count of repetitions that Traefik does not take")
        return least, most

    # ── escapes and classes ──────────────────────────────────────────────────────────────────────

    def _escape(self) -> Tree:
        character = self._next()
        if character in _PLACES:
            return _PLACES[character]
        if (ranges := self._escaped_class(character)) is not None:
            return _chars(ranges)
        return self._character(self._escaped_character(character))

    def _escaped_class(self, character: str) -> Charset | None:
        if character in "dDsSwW":
            return self._signed(classes.PERL[character.lower()], character.isupper())
        return self._category(character == "P") if character in "pP" else None

    def _category(self, negated: bool) -> Charset:
        name = self._next()
        if name == "{":
            name = self._until("}") or ""
        if name.startswith("^"):
            name, negated = name[1:], not negated
        ranges = classes.category(name)
        if ranges is None:
            raise Unmodelled(f"the Unicode class {name}")
        self.unicode |= ranges != charsets.EVERYTHING
        return self._signed(ranges, negated)

    def _signed(self, ranges: Charset, negated: bool) -> Charset:
        ranges = self._folded(ranges)
        return charsets.complement(ranges) if negated else ranges

    def _escaped_character(self, character: str) -> str:
        if character in _SIMPLE:
            return _SIMPLE[character]
        if character == "x":
            return self._hexadecimal()
        if character in "01234567":
            return self._octal(character)
        if character.isascii() and not character.isalnum():
            return character
        raise Unmodelled(f"the escape \\{character}")

    def _hexadecimal(self) -> str:
        digits = self._until("}") if self._take("{") else self._next() + self._next()
        if not digits or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
            raise Unmodelled("a \\x without its digits")
        if (point := int(digits, 16)) > charsets.LAST:
            raise Unmodelled("a character that does not exist")
        return chr(point)

    def _octal(self, first: str) -> str:
        digits = first
        while len(digits) < 3 and not self.done and self._text[self._at] in "01234567":
            digits += self._next()
        if digits == first != "0":
            raise Unmodelled("a reference back to a group")
        return chr(int(digits, 8))

    def _class(self) -> Charset:
        negated, first = self._take("^"), True
        ranges: list[tuple[int, int]] = []
        while first or not self._take("]"):
            first = False
            ranges.extend(self._class_item())
        found = charsets.merged(ranges)
        return charsets.complement(found) if negated else found

    def _class_item(self) -> Charset:
        if self._peek("[:") and (found := self._named_class()) is not None:
            return found
        if self._peek("\\"):
            before = self._at
            self._at += 1
            if (found := self._escaped_class(self._next())) is not None:
                return found
            self._at = before
        return self._range()

    def _named_class(self) -> Charset | None:
        before = self._at
        self._at += 2
        name = self._until(":]")
        if name is None:
            self._at = before
            return None
        ranges = classes.POSIX.get(name.removeprefix("^"))
        if ranges is None:
            raise Unmodelled(f"the class [:{name}:]")
        return self._signed(ranges, name.startswith("^"))

    def _range(self) -> Charset:
        low = high = ord(self._class_character())
        if self._peek("-") and not self._text.startswith("]", self._at + 1) and self._at + 1 < len(self._text):
            self._at += 1
            high = ord(self._class_character())
        if high < low:
            raise Unmodelled("a range of characters that runs backwards")
        return self._folded(((low, high),))

    def _class_character(self) -> str:
        character = self._next()
        return self._escaped_character(self._next()) if character == "\\" else character


def _chars(ranges: Charset) -> Chars:
    return Chars(charsets.as_seen(ranges))


def _number(word: str) -> int | None:
    """A count as Go takes it: no sign, no leading zero."""
    plain = word.isascii() and word.isdecimal() and (word == "0" or not word.startswith("0"))
    return int(word) if plain and len(word) < 9 else None
