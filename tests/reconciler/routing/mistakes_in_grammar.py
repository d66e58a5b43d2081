"""Wrong beliefs about how rules are written, each put into the parser as somebody might well have written it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.routing import grammar, rules
from reconciler.routing.grammar import ParseError, TooLarge
from reconciler.routing.matchers import And, Host, Matcher, Node, Not, Or

Mistake = tuple[tuple[Any, str, Any], ...]
"""What is replaced: owner, attribute, by what. All of it together is one wrong belief."""

_Parser: Any = grammar._Parser
real_tokens = grammar._tokens
real_faults = rules.matcher_faults
real_made = _Parser._made
real_interpreted = grammar._interpreted


def _reading(old: str, new: str) -> Mistake:
    """A scanner whose expression differs, and that reads no matcher in one piece."""
    pattern = grammar._TOKEN.pattern
    assert old in pattern, old
    changed = pattern.replace(old, new)
    return (
        (grammar, "_TOKEN", re.compile(_slowly(changed), re.VERBOSE | re.DOTALL)),
    )  # fmt: skip


def _slowly(pattern: str) -> str:
    call = re.search(r"\(\?P<call>.*?\) \| \(\?P<sign>", pattern)
    assert call
    return pattern.replace(call[0], "(?P<call>(?!)) | (?P<sign>")


_SLOW: Mistake = ((grammar, "_TOKEN", re.compile(_slowly(grammar._TOKEN.pattern), re.VERBOSE | re.DOTALL)),)
"""No mistake by itself: matchers are read piece by piece, so that one in the pieces shows."""


def _before(change: Callable[[str], str]) -> Mistake:
    """The text is changed before anybody reads it."""
    return ((grammar, "_tokens", lambda text: real_tokens(change(text))),)


def _raw_with_escapes(self: Any) -> str:
    if token := self._take("raw"):
        quoted = token.text[1:-1].replace('"', '\\"')
        return real_interpreted(token._replace(text=f'"{quoted}"'))
    if token := self._take("text"):
        return real_interpreted(token)
    raise self._unexpected("a string")


def _raw_as_it_is(self: Any) -> str:
    if token := self._take("raw"):
        return str(token.text[1:-1])
    if token := self._take("text"):
        return real_interpreted(token)
    raise self._unexpected("a string")


def _bare_words(self: Any) -> str:
    if token := self._take("raw") or self._take("name"):
        return str(token.text).strip("`")
    if token := self._take("text"):
        return real_interpreted(token)
    raise self._unexpected("a string")


def _characters(token: Any) -> str:
    """Every escape is a character, as in Python, and none is wrong."""
    return codecs.decode(token.text[1:-1].encode("latin-1", "backslashreplace"), "unicode_escape", "replace")


def _forgiving(token: Any) -> str:
    try:
        return real_interpreted(token)
    except ParseError:
        return str(token.text[1:-1]).replace("\\", "")


def _left_to_right(self: Any) -> Node:
    found = self._one()
    while sign := self._take("&&") or self._take("||"):
        found = (And if sign.kind == "&&" else Or)((found, self._one()))
    return found


def _ors_first(self: Any) -> Node:
    """`||` binds more tightly."""
    parts: list[Node] = []
    while True:
        some = [self._one()]
        while self._take("||"):
            some.append(self._one())
        parts.append(some[0] if len(some) == 1 else Or(tuple(some)))
        if not self._take("&&"):
            return parts[0] if len(parts) == 1 else And(tuple(parts))


def _greedy_not(self: Any) -> Node:
    if self._take("!"):
        return Not(self._both())
    return self._bracketed() if self._now.kind == "(" else self._matcher()


def _denied(node: Node, *, swaps: bool) -> Node:
    match node:
        case And(parts):
            return (Or if swaps else And)(tuple(_denied(part, swaps=swaps) for part in parts))
        case Or(parts):
            return (And if swaps else Or)(tuple(_denied(part, swaps=swaps) for part in parts))
    return Not(node)


def _spread_not(self: Any) -> Node:
    """`!(A && B)` is taken for `!A && !B`."""
    if self._take("!"):
        return _denied(self._one(), swaps=False)
    return self._bracketed() if self._now.kind == "(" else self._matcher()


def _single_not(self: Any) -> Node:
    if self._take("!"):
        while self._take("!"):
            pass
        return Not(self._one())
    return self._bracketed() if self._now.kind == "(" else self._matcher()


def _any_case(self: Any, name: str, column: int) -> type[Matcher]:
    for known, kind in self._known.items():
        if known.lower() == name.lower():
            return kind  # type: ignore[no-any-return]
    raise ParseError(f"no matcher '{name}'", column)


def _one_case(self: Any, name: str, column: int) -> type[Matcher]:
    kind: type[Matcher] | None = self._known.get(name)
    if kind is None or kind.__name__ != name:
        raise ParseError(f"no matcher '{name}'", column)
    return kind


def _several_names(self: Any, name: str, arguments: list[str], column: int) -> Node:
    if self._known.get(name) is Host and len(arguments) > 1:
        return Or(tuple(Host(one) for one in arguments))
    return real_made(self, name, arguments, column)  # type: ignore[no-any-return]


def _missing_is_empty(self: Any, name: str, arguments: list[str], column: int) -> Node:
    return real_made(self, name, arguments or ["/"], column)  # type: ignore[no-any-return]


def _strict_arguments(self: Any) -> list[str]:
    """No comma and no `...` at the end."""
    found = [self._string()] if self._now.kind != ")" else []
    while self._take(","):
        found.append(self._string())
    if not self._take(")"):
        raise self._unexpected("')'")
    return found


def _loose_arguments(self: Any) -> list[str]:
    """Commas and dots anywhere."""
    found: list[str] = []
    while not self._take(")"):
        if not (self._take(",") or self._take("...")):
            found.append(self._string())
    return found


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def _everything_filled(matcher: Matcher, release: Any) -> Any:
    return (fault for fault in real_faults(matcher, release) if "empty value" not in fault)


def _not_a_rule(self: Any) -> Node:
    try:
        return real_one(self)
    except TooLarge as error:
        raise ParseError(error.message, error.column) from None


real_one: Callable[[Any], Node] = _Parser._one

GRAMMAR: Mapping[str, Mistake] = {
    # ── strings
    "single quotes hold strings": _reading("(?P<raw>`[^`]*`)", "(?P<raw>`[^`]*`|'[^']*')"),
    "double quotes hold none": _reading(r'(?P<text>"(?:[^"\\\n]|\\.)*")', "(?P<text>(?!))"),
    "a string may go over a line end": _reading(r'"(?:[^"\\\n]|\\.)*"', r'"(?:[^"\\]|\\.)*"'),
    "back-ticks know escapes": (*_SLOW, (_Parser, "_string", _raw_with_escapes)),
    "back-ticks keep carriage returns": (*_SLOW, (_Parser, "_string", _raw_as_it_is)),
    "words are strings": (*_SLOW, (_Parser, "_string", _bare_words)),
    "double quotes know no escapes": ((grammar, "_interpreted", lambda token: token.text[1:-1]),),
    "escapes are characters, never bytes": ((grammar, "_interpreted", _characters),),
    "an unknown escape is what follows it": ((grammar, "_interpreted", _forgiving),),
    # ── names
    "names have no case": ((_Parser, "_kind", _any_case),),
    "names have one case": ((_Parser, "_kind", _one_case),),
    # ── operators
    "&& and || are read from left to right": ((_Parser, "_either", _left_to_right),),
    "|| binds more tightly than &&": ((_Parser, "_either", _ors_first),),
    "! denies all that follows": ((_Parser, "_one", _greedy_not),),
    "! denies each part of what it denies": ((_Parser, "_one", _spread_not),),
    "!! is !": ((_Parser, "_one", _single_not),),
    "brackets are passed over": (
        (_Parser, "_one", lambda self: Not(self._one()) if self._take("!") else self._matcher()),
        (grammar, "_tokens", lambda text: _without_brackets(real_tokens(text))),
    ),
    "and, or, not are operators": _before(
        lambda text: re.sub(r"\bnot\b", "!", re.sub(r"\bor\b", "||", re.sub(r"\band\b", "&&", text)))
    ),
    "one & is two": _before(lambda text: re.sub(r"(?<=\)) & ", " && ", text)),
    "one | is two": _before(lambda text: re.sub(r"(?<=\)) \| ", " || ", text)),
    "nothing between two matchers is &&": _before(lambda text: re.sub(r"\)\s+(?=[A-Za-z])", ") && ", text)),
    "a rule may end early": (
        (_Parser, "rule", lambda self: self._either()),
    ),
    "a semicolon ends a rule": _before(lambda text: text.rstrip(";")),
    "a deep rule is none": ((_Parser, "_one", _not_a_rule),),
    # ── arguments
    "a comma at the end is one too many": (*_SLOW, (_Parser, "_arguments", _strict_arguments)),
    "commas and dots may stand anywhere": ((_Parser, "_arguments", _loose_arguments),),
    "Host takes several names": ((_Parser, "_made", _several_names),),
    "a missing argument is any": ((_Parser, "_made", _missing_is_empty),),
    "an empty argument is one": ((rules, "matcher_faults", _everything_filled), (rules, "_fault", lambda *what: "")),
    "names beyond ASCII are names": ((rules, "_OF_NAMES", frozenset()),),
    "a path may begin with any letter": ((rules, "_OF_PATHS", frozenset()),),
    # ── comments, blanks and line ends
    "there are no comments": _reading(r"(?P<comment>//[^\n]*|/\*.*?\*/)", "(?P<comment>(?!))"),
    "a comment goes to the end of the rule": _reading(r"//[^\n]*", r"//.*"),
    "comments are taken out of strings too": _before(_without_comments),
    "an open comment ends with the rule": _reading(r"/\*.*?\*/", r"/\*.*?(?:\*/|\Z)"),
    "a line end is a blank": _before(lambda text: text.replace("\n", " ")),
    "a line end in brackets is a blank": _before(lambda text: re.sub(r"(?<=[`)])\n\s*(?=\))", "", text)),
    "a line end ends the rule": _before(lambda text: text.replace("\n", "\n;")),
    "a comment over a line end is a blank": _before(lambda text: re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)),
    "any blank is one": _before(lambda text: text.replace("\u00a0", " ")),
    "a byte order mark may stand nowhere": _reading("\\ufeff", ""),
}  # fmt: skip


def _without_brackets(tokens: list[Any]) -> list[Any]:
    """The tokens without the brackets that belong to no matcher."""
    found: list[Any] = []
    open_ones: list[bool] = []
    for token in tokens:
        if token.kind == "(":
            open_ones.append(bool(found) and found[-1].kind == "name")
        of_matcher = open_ones.pop() if token.kind == ")" and open_ones else bool(open_ones and open_ones[-1])
        if token.kind not in "()" or of_matcher:
            found.append(token)
    return found
