"""Rules that load and never match: conditions that no request of an ordinary client can meet, in words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from reconciler.routing import matchers
from reconciler.routing.headers import TOKEN, canonical_name, is_forwarded
from reconciler.routing.matchers import Matcher, Node
from reconciler.routing.patterns import finder, pattern_fault
from reconciler.routing.request import NEWEST, NO_TUNNELS, PLAIN, Door, Request, Seen, look
from reconciler.routing.rules import WILDCARDS, conditions
from reconciler.routing.urls import RESERVED, Release


def never(node: Node, release: Release = NEWEST, door: Door = PLAIN) -> list[str]:
    """Why conditions of a rule never hold, one sentence each; [] where they all may. Under a Not they always do."""
    return [words for _, words in dead(node, release, door)]


def dead(node: Node, release: Release = NEWEST, door: Door = PLAIN) -> list[tuple[Matcher, str]]:
    """The conditions of a rule that never hold, each with the sentence that says why."""
    return [
        (matcher, f"{_shown(matcher)} never matches: {why}")
        for matcher in conditions(node)
        for why in _why(matcher, release, door)
    ]


def doubtful(node: Node) -> list[str]:
    """Conditions that hold for other requests than they seem to, one sentence each."""
    return [f"{_shown(matcher)}: {why}" for matcher in conditions(node) for why in _doubts(matcher)]


def _shown(matcher: Matcher) -> str:
    return f"{matcher.name}({', '.join(f'`{argument}`' for argument in matcher.arguments)})"


def _why(matcher: Matcher, release: Release, door: Door) -> Iterator[str]:
    match matcher:
        case matchers.Host(value):
            yield from _host(value, release)
        case matchers.HostRegexp(value) | matchers.HostSNIRegexp(value):
            yield from _host_pattern(value)
        case matchers.Path(value):
            yield from _path(value, release, door)
        case matchers.PathPrefix(value):
            yield from _path_prefix(value, release, door)
        case matchers.Method(value):
            yield from _method(value, release)
        case matchers.Header(key, value):
            yield from _header(canonical_name(key), door, release)
            yield from _header_value(canonical_name(key), value, door, release)
        case matchers.HeaderRegexp(key, pattern):
            yield from _header(canonical_name(key), door, release)
            yield from _header_pattern(canonical_name(key), pattern, door)
        case matchers.HostSNI(value):
            yield from _server_name(value, release)


# ── hosts ────────────────────────────────────────────────────────────────────────────────────────

_NO_HOST = re.compile(r"[^A-Za-z0-9!$%&()*+,\-.:;=\['\]_~]")


def _host(value: str, release: Release) -> Iterator[str]:
    if "://" in value:
        yield "a host has no scheme; write the name alone"
    elif wrong := _NO_HOST.search(value):
        yield f"no host holds '{wrong[0]}'; write the name alone"
    elif value.startswith("["):
        yield "Traefik takes the brackets off an address; write it without"
    elif ":" in value and not _is_address(value):
        yield "Traefik takes the port off a host; write the name alone"
    elif "*" in value and value != "*":
        yield from _star(value, release)


def _star(value: str, release: Release) -> Iterator[str]:
    if release < WILDCARDS:
        yield "before Traefik 3.7 a star stands for nothing but itself; use HostRegexp"
    elif "*" in value.removeprefix("*."):
        yield "a star stands for one whole label in front, as in *.example.org, and nowhere else"


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


OLD_STYLE = re.compile(r"(?<!\\)\{[A-Za-z_]\w*(?::[^}]*)?\}")


def _host_pattern(pattern: str) -> Iterator[str]:
    if OLD_STYLE.search(pattern):
        yield "{name:…} is the syntax of Traefik 2; here the braces stand for themselves, and no host holds any"
    elif capital := _needed_capital(pattern):
        yield f"it needs a capital '{capital}', and Traefik compares names in lower case"
    elif re.search(r":(?:[0-9]+|\\d[+*]|\[0-9\][+*])\$?\Z", pattern):
        yield "Traefik takes the port off a host"


def _needed_capital(pattern: str) -> str:
    """A capital letter without which an expression finds nothing; "" where none is seen."""
    if "|" in pattern or "(?" in pattern:
        return ""
    literal = re.sub(r"\\[^A-Za-z0-9]", "_", pattern)
    outside = re.sub(r"\\(?:[pP]\{[^}]*\}|x\{[^}]*\}|.)|\[\^?\]?[^\]]*\]|\{[0-9,]*\}|\([^)]*\)", "\0", literal)
    needed = re.search(r"([A-Z])(?![*?\0])", outside)
    return needed[1] if needed else ""


def _server_name(value: str, release: Release) -> Iterator[str]:
    if value == "*":
        return
    if release < WILDCARDS and value != value.lower():
        yield "before Traefik 3.7 it is compared as it is written, with a name in lower case"
    if _is_address(value):
        yield "a client sends no server name for an address"
    elif ":" in value:
        yield "a server name has no port"


# ── paths ────────────────────────────────────────────────────────────────────────────────────────

_KEPT: Final = re.compile("%(?:" + "|".join(f"{ord(one):02X}" for one in sorted(RESERVED)) + ")")


def _path(value: str, release: Release, door: Door) -> Iterator[str]:
    if not _arrives(value, release, door):
        yield _path_fault(value)


def _path_prefix(value: str, release: Release, door: Door) -> Iterator[str]:
    ends = ["", "x", "/x"]
    if tail := re.search("%[0-9A-F]?$", value):
        ends += [code[len(tail[0]) :] for code in (f"%{ord(one):02X}" for one in RESERVED) if code.startswith(tail[0])]
    if not any(_arrives(value + end, release, door) for end in ends):
        yield _path_fault(value)


def _arrives(path: str, release: Release, door: Door) -> bool:
    """Whether some request has this path, as rules see it."""
    return any(_seen(target, release, door) == path for target in (sent(path, "%"), sent(path, "")))


def _seen(target: str, release: Release, door: Door) -> str | None:
    seen = look(Request(target=target), door, release)
    return seen.path if isinstance(seen, Seen) else None


def sent(path: str, kept: str) -> str:
    """A target for a path: escapes that rules see as such are kept as they are, or escaped themselves."""
    pieces: list[str] = []
    at = 0
    while at < len(path):
        escape = _KEPT.match(path, at) if kept else None
        one = escape[0] if escape else path[at]
        plain = escape or re.match(r"[A-Za-z0-9\-._~/:@!$&'()*+,;=\[\]]", one)
        pieces.append(one if plain else "".join(f"%{byte:02X}" for byte in one.encode("utf-8", "surrogateescape")))
        at += len(one)
    return "".join(pieces)


def _path_fault(value: str) -> str:
    if "?" in value:
        return "a path ends before the '?'; use Query for what follows"
    if "#" in value:
        return "no request has a '#' in its path"
    if "//" in value or re.search(r"/\.{1,2}(?:/|\Z)", value):
        return "Traefik cleans paths of empty and dotted parts before it asks"
    if "%" in value:
        return "rules see a path decoded, but for reserved characters as in %2F, in capitals"
    return "no request has such a path"


# ── methods and headers ──────────────────────────────────────────────────────────────────────────


def _method(value: str, release: Release) -> Iterator[str]:
    if not TOKEN.match(value):
        yield "it is no method"
    elif value.upper() == "CONNECT" and release >= NO_TUNNELS:
        yield "Traefik answers CONNECT itself, with 501"


def _header(name: str, door: Door, release: Release) -> Iterator[str]:
    if not TOKEN.match(name):
        yield "it is no header name"
    elif name == "Host":
        yield "Go takes the Host header out; use Host"
    elif name == "Transfer-Encoding":
        yield "Go takes this header out"
    elif is_forwarded(name, release) and name not in _SET and not _believes(door):
        yield "Traefik takes this header out, but for peers that forwardedHeaders trusts"


_SET: Final = frozenset(
    {"X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Host", "X-Forwarded-Server", "X-Real-Ip"}
)
_KINDS: Final = ("http", "https", "ws", "wss")


def _believes(door: Door) -> bool:
    return door.trust_all or bool(door.trusted)


def _header_value(name: str, value: str, door: Door, release: Release) -> Iterator[str]:
    if value != value.strip(" \t") or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        yield "no header has such a value"
    elif name == "Connection" and value != "Upgrade" and not door.connection_headers:
        yield "Traefik takes this header out; of an upgrade it leaves `Upgrade`"
    elif name == "X-Forwarded-Proto" and value not in _KINDS and not _believes(door):
        yield f"Traefik sets this header itself, to one of {', '.join(_KINDS)}"


def _header_pattern(name: str, pattern: str, door: Door) -> Iterator[str]:
    if pattern_fault(pattern):
        return
    if name == "Connection" and not finder(pattern)("Upgrade") and not door.connection_headers:
        yield "Traefik takes this header out; of an upgrade it leaves `Upgrade`"
    elif name == "X-Forwarded-Proto" and not any(map(finder(pattern), _KINDS)) and not _believes(door):
        yield f"Traefik sets this header itself, to one of {', '.join(_KINDS)}"


def _doubts(matcher: Matcher) -> Iterator[str]:
    match matcher:
        case matchers.PathRegexp(value) if OLD_STYLE.search(value):
            yield "{name:…} is the syntax of Traefik 2; here the braces stand for themselves"
        case matchers.Query(key, None) | matchers.QueryRegexp(key, None):
            yield f"a lone key asks for `{key}` without a value, not for any value"
