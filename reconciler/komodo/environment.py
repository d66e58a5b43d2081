"""Variables of a stack: `NAME = value` a line, as Komodo takes them, and which of them hold a secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

COVERED: Final = "•••"

_TELLING: Final = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|PWD|AUTH(?!EN|OR)|DSN|WEBHOOK", re.IGNORECASE)
_ABOUT: Final = re.compile(
    r"(?:_FILE|_PATH|_DIR|_NAME|_ID|_URL_PREFIX|_TTL|_LENGTH|_TYPE|_HEADER|_ENABLED|_DISABLED)\Z|\A(?:DISABLE|ENABLE|REQUIRE)_"
    r"|PUBLIC_KEY|KEYCLOAK|KEYBOARD|MONKEY|BYPASS|PASSIVE|PASSENGER|COMPASS|TOKENIZE",
    re.IGNORECASE,
)
"""Names that speak of a secret and do not hold one."""

_REFERENCE: Final = re.compile(
    r"\[\[\s*[\w.-]+\s*\]\]|\$\{\w+(?::?\?[^}]*|:?-)?\}|\$\w+|/run/secrets/[\w./-]+|" + COVERED
)
"""A default behind a variable's name (`${X:-value}`) is a value, and no reference."""
_HARMLESS: Final = frozenset({"", "true", "false", "yes", "no", "none", "null", "0", "1"})
_LINE: Final = re.compile(r"""[-\s]*+(["']?)\s*+(?:export\s++)?([A-Za-z_][\w.-]*)\s*+[=:]\s*+(|.*\S)\s*\Z""")
"""Komodo takes a line as an item of a list and in quotes as a whole too, and compose one that begins with `export`.

A value is looked for from its end: from each blank in it, a line of many took minutes.
"""
_WITH_PASSWORD: Final = re.compile(
    r"(?<![a-z0-9+.-])([0-9+.-]*+[a-z][a-z0-9+.-]*+://[^\s/:@]*:)([^\s/@]+)(?=@)", re.IGNORECASE
)
"""Looked for once in a run of letters: from every place in it, a value of a tenth of a megabyte took half a minute."""


def variables(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, name and value of each variable; comments and empty lines are passed over."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.lstrip().startswith("#") and (match := _LINE.match(line)):
            yield number, match[2], _without_quote(match)


def _without_quote(line: re.Match[str]) -> str:
    """The value of a line, without the quote that closes the line as a whole."""
    return line[3].removesuffix(line[1])


def lines(text: str) -> Iterator[tuple[str, str]]:
    """Name and text of each line that says something. What nobody here can tell the name of has the name ""."""
    readable = True
    for line in text.split("\n"):
        if line.strip() and not line.lstrip().startswith("#"):
            readable = readable and not _leaves_a_quote_open(line)
            match = _LINE.match(line) if readable else None
            yield match[2] if match else "", line


def _leaves_a_quote_open(line: str) -> bool:
    """Its value may go on in the lines below, whatever these look like."""
    plain = re.sub(r"\\[\"']", "", line)
    return any(plain.count(quote) % 2 for quote in "\"'")


def is_literal_secret(name: str, value: Any) -> bool:
    """Whether a variable would hold a secret itself: its name says so, or its value shows a password in an address."""
    plain = "" if value is None else str(value).strip().strip("'\"")
    if plain.lower() in _HARMLESS or _REFERENCE.fullmatch(plain):
        return False
    if _shows_password(plain) or _KEY.search(plain):
        return True
    return tells(name) and not _refers(plain)


def tells(name: str) -> bool:
    """Whether a name says that a secret stands behind it."""
    return bool(_TELLING.search(name)) and not _ABOUT.search(name)


def _refers(value: str) -> bool:
    """Whether a reference stands in it. Two dollars are one that refers to nothing."""
    return bool(_REFERENCE.search(value.replace("$$", " ")))


def _shows_password(value: str) -> bool:
    return any(not _refers(found[2]) for found in _WITH_PASSWORD.finditer(value))


_KEY: Final = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.S)
_VALUE: Final = r"""(\\?"[^"\n]*"?|'[^'\n]*'?|[^\s"',;]+)"""
"""To its closing quote, where it has one."""
_SAID: Final = re.compile(
    r"((?:pass(?:word|wd|phrase)?|secret|token|api[-_]?key|credentials?)[\w-]{0,30}\\?[\"']?\s{0,3}[=:\s]\s{0,3}"
    r"|authorization\\?[\"']?\s{0,3}[=:]\s{0,3}\\?[\"']?(?:(?:bearer|basic|digest|token)\s+)?)" + _VALUE,
    re.I,
)


def covered_words(text: str) -> str:
    """A command or a complaint, with what follows the name of a secret covered, keys, and passwords in addresses."""
    bare = _KEY.sub(COVERED, text)
    named = _SAID.sub(lambda found: found[0] if _is_harmless(found[2]) else f"{found[1]}{COVERED}", bare)
    return _WITH_PASSWORD.sub(lambda found: found[0] if _is_harmless(found[2]) else f"{found[1]}{COVERED}", named)


def covered_arguments(words: list[Any]) -> list[Any]:
    """The words of a command, each by itself and behind an option that tells of a secret."""
    found = [covered_words(word) if isinstance(word, str) else word for word in words]
    for at, (option, word) in enumerate(zip(words, words[1:], strict=False), 1):
        is_option = isinstance(option, str) and option.startswith("-") and "=" not in option
        if (
            is_option
            and tells(option)
            and isinstance(word, str)
            and not word.startswith("-")
            and not _is_harmless(word)
        ):
            found[at] = COVERED
    return found


def _is_harmless(value: str) -> bool:
    plain = value.replace("\\", "").strip("\"'")
    return plain.lower() in _HARMLESS or _refers(plain)


def covered(text: str) -> str:
    """The same lines, with every secret in them covered; what stays is fit for a log and for a model."""
    return "\n".join(map(_covered_line, _KEY.sub(COVERED, text).split("\n")))


def _covered_line(line: str) -> str:
    match = None if line.lstrip().startswith("#") else _LINE.match(line)
    if match is None:
        return _WITH_PASSWORD.sub(rf"\g<1>{COVERED}", line)
    if not is_literal_secret(match[2], _without_quote(match)):
        return line
    closing = match[1] if match[3].endswith(match[1]) else ""
    return f"{line[: match.start(3)]}{COVERED}{closing}"


def covered_places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the mark stands that covers a secret: it is no value, and must not become one."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from covered_places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from covered_places(item, (*path, index))
    elif isinstance(value, str) and COVERED in value:
        yield path


def covered_deeply(value: Any, name: str = "") -> Any:
    """The same with every secret covered that its own name, or the words around it, give away."""
    if isinstance(value, Mapping):
        return {key: covered_deeply(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [covered_deeply(_covered_item(item) if isinstance(item, str) else item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if is_literal_secret(name, value):
        return COVERED
    return covered_words(covered(value)) if isinstance(value, str) else value


def covered_table(value: Any) -> Any:
    """A service's `environment` or `labels`, as a mapping or as a list, with every secret in it covered."""
    if isinstance(value, Mapping):
        return {key: COVERED if is_literal_secret(str(key), item) else item for key, item in value.items()}
    if isinstance(value, list):
        return [_covered_item(item) for item in value]
    return value


def _covered_item(item: Any) -> Any:
    name, equals, value = str(item).partition("=")
    return f"{name}={COVERED}" if equals and is_literal_secret(name, value) else item
