"""Regular expressions as Traefik reads them: those of Go, by way of RE2, which Go's are made after."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final

import re2

from reconciler.routing.urls import Release

NEWEST: Release = (3, 7, 15)

Finder = Callable[[str], bool]
"""Whether an expression finds something in a text (as rules see text: bytes that are no UTF-8 as lone surrogates)."""


def _options(*, capture: bool) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = not capture
    # Go has no such bound; only a thousand times a class of thousands come near it.
    options.max_mem = 1 << 24
    return options


_CHECKING = _options(capture=True)
_SEARCHING = _options(capture=False)
_LARGEST = 5_000
"""Characters and repetitions of one expression. RE2 takes time by the square of what is optional in it."""
TOO_LARGE: Final = "a regular expression too large to be checked here; write it shorter, or as several rules"
"""Traefik may well take it."""
_COUNT = re.compile(r"[{,]([0-9]{1,4})\}")
_NO_TEXT = re.compile("[\ud800-\udfff]")


@lru_cache(10_000)
def pattern_fault(pattern: str, release: Release = NEWEST) -> str:
    """What is wrong with a regular expression; "" where Traefik takes it."""
    if _NO_TEXT.search(pattern):
        return "no regular expression: it holds bytes that are no text"
    if len(pattern) + sum(int(count[1]) for count in _COUNT.finditer(pattern)) > _LARGEST:
        return TOO_LARGE
    for piece in _PIECES.finditer(pattern):
        if piece["only_re2"]:
            return "no regular expression: \\C is not known to Traefik"
        if not (piece["label"] or "").isascii():
            return f"no regular expression: a group cannot be named {piece['label']}"
    try:
        re2.compile(in_re2(pattern, release), _CHECKING)  # type: ignore[no-untyped-call]
    except re2.error as error:
        words = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
        return TOO_LARGE if words.startswith("pattern too large") else f"no regular expression: {words}"
    return ""


@lru_cache(20_000)
def finder(pattern: str, release: Release = NEWEST) -> Finder:
    """A function that searches texts for a regular expression that has no fault."""
    translated = in_re2(pattern, release)
    in_ascii = _match(translated)
    # RE2 looks for `\B` between the bytes of one character too, Go only between characters.
    elsewhere = _match(f"\\A(?s:.)*?(?:{translated})") if "\\B" in translated and "\\Q" not in translated else in_ascii
    anywhere = re2._Anchor.UNANCHORED

    def finds(text: str) -> bool:
        match, data = (in_ascii, text.encode()) if text.isascii() else (elsewhere, _text(text).encode())
        return bool(match(anywhere, data, 0, len(data))[0][0] >= 0)

    return finds


def _match(pattern: str) -> Callable[..., list[tuple[int, int]]]:
    match: Callable[..., list[tuple[int, int]]] = re2.compile(pattern, _SEARCHING)._regexp.Match  # type: ignore[no-untyped-call]
    return match


def may_find(pattern: str, text: str) -> bool:
    """Whether a regular expression finds something in the text, as Traefik searches; True where nobody can tell."""
    return True if pattern_fault(pattern) else finder(pattern)(text)


def _text(text: str) -> str:
    """Go reads a byte that is no UTF-8 as the replacement character."""
    return _NO_TEXT.sub("\ufffd", text)


# ── names of characters that Go knows and RE2 does not ───────────────────────────────────────────

_PIECES = re.compile(
    r"""(?P<quoted>\\Q.*?(?:\\E|\Z)) | \\(?P<sign>[pP])\{(?P<not>\^?)(?P<name>[^}]*)\} | (?P<only_re2>\\C)
      | \\. | \(\?P?<(?P<label>[^>=!]*)> | \[:\^?\w*:\] | (?P<open>\[\^?\]?) | (?P<close>\]) | .""",
    re.VERBOSE | re.DOTALL,
)
LOOSE_NAMES: Release = (3, 6, 0)
"""Since here the Go that Traefik is built with reads names in any case, long ones too, and knows a few more.

It has also forgotten every script with more than one word in its name: `\\p{Old_Italic}` is refused.
"""

_LONG = {
    "Casedletter": "LC", "Closepunctuation": "Pe", "Combiningmark": "M", "Connectorpunctuation": "Pc", "Control": "Cc",
    "Currencysymbol": "Sc", "Dashpunctuation": "Pd", "Decimalnumber": "Nd", "Enclosingmark": "Me", "Format": "Cf",
    "Finalpunctuation": "Pf", "Initialpunctuation": "Pi", "Letter": "L", "Letternumber": "Nl", "Lineseparator": "Zl",
    "Lowercaseletter": "Ll", "Mark": "M", "Mathsymbol": "Sm", "Modifierletter": "Lm", "Modifiersymbol": "Sk",
    "Nonspacingmark": "Mn", "Number": "N", "Openpunctuation": "Ps", "Other": "C", "Otherletter": "Lo",
    "Othernumber": "No", "Otherpunctuation": "Po", "Othersymbol": "So", "Paragraphseparator": "Zp",
    "Privateuse": "Co", "Punctuation": "P", "Separator": "Z", "Spaceseparator": "Zs", "Spacingmark": "Mc",
    "Surrogate": "Cs", "Symbol": "S", "Titlecaseletter": "Lt", "Unassigned": "Cn", "Uppercaseletter": "Lu",
    "Cntrl": "Cc", "Digit": "Nd", "Punct": "P", "Lc": "LC",
}  # fmt: skip


@lru_cache(20_000)
def in_re2(pattern: str, release: Release = NEWEST) -> str:
    """A regular expression with names that only Go knows put into others; itself where there are none."""
    if release < LOOSE_NAMES or "\\p" not in pattern and "\\P" not in pattern:
        return pattern
    made: list[str] = []
    inside = False
    for piece in _PIECES.finditer(pattern):
        if piece["open"] and not inside:
            inside = True
        elif piece["close"]:
            inside = False
        name = piece["name"]
        made.append(piece[0] if name is None else _class(name, (piece["sign"] == "P") != bool(piece["not"]), inside))
    return "".join(made)


def _class(name: str, negated: bool, inside: bool) -> str:
    """A class by its name, as RE2 knows it. `inside` brackets it is a list of ranges, outside a class of its own."""
    canonical = re.sub("[_ -]", "", name).capitalize() if name.isascii() else name
    known = _LONG.get(canonical, canonical)
    if known not in ("Ascii", "LC", "Cn", "Assigned"):
        return f"\\{'P' if negated else 'p'}{{{known}}}"
    negated = negated != (known == "Assigned")
    return _ranges(known, negated) if inside else f"[{'^' if negated else ''}{_ranges(known, False)}]"


@cache
def _ranges(name: str, negated: bool) -> str:
    """The characters of a class that RE2 has no name for, as ranges between brackets."""
    if name == "Ascii":
        return "\\x{80}-\\x{10FFFF}" if negated else "\\x{0}-\\x{7F}"
    wanted = {"Lu", "Ll", "Lt"} if name == "LC" else {"Cn"}
    held = bytes(map(wanted.__contains__, map(unicodedata.category, map(chr, range(0x110000)))))
    runs = re.finditer(b"\0+" if negated else b"\1+", held)
    return "".join(f"\\x{{{run.start():X}}}-\\x{{{run.end() - 1:X}}}" for run in runs)
