"""Traefik's v3 rules as typed parts: built from values, parsed back, never pasted together from text."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

from reconciler.routing import matchers
from reconciler.routing.grammar import ParseError, TooLarge, parse
from reconciler.routing.matchers import And, Host, HostSNI, Matcher, Node, Not, Or, PathPrefix
from reconciler.routing.patterns import NEWEST, may_find, pattern_fault
from reconciler.routing.urls import Release

__all__ = [
    "And", "Host", "HostSNI", "Matcher", "Node", "Not", "Or", "ParseError",
    "TooLarge", "PathPrefix", "build", "build_route_rule", "build_server_rule",
    "conditions", "faults", "hosts", "is_range", "looks_at", "matcher_faults", "may_find", "parse", "pattern_fault",
]  # fmt: skip


def build(node: Node) -> str:
    """The rule as text; `parse(build(node)) == node`."""
    match node:
        case And(parts):
            return " && ".join(f"({build(part)})" if isinstance(part, Or) else build(part) for part in parts)
        case Or(parts):
            return " || ".join(build(part) for part in parts)
        case Not(part):
            return f"!({build(part)})" if isinstance(part, And | Or) else f"!{build(part)}"
    return f"{node.name}({', '.join(map(_quoted, node.arguments))})"


def _quoted(text: str) -> str:
    """A Go string literal: raw where raw strings can carry the text, else interpreted."""
    if "`" not in text and all(character.isprintable() for character in text):
        return f"`{text}`"
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"  # a byte that is no text
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\Z", re.ASCII)
_PREFIX = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*\Z", re.ASCII)


def build_route_rule(hosts: Sequence[str], path_prefix: str = "") -> str:
    """The rule of an ordinary route: any of these hosts, and below this path where one is given.

    Raises ValueError, in words for a person, for what is no host name or no path. The text is parsed again and
    compared, so that nothing in a name can become a part of the rule.
    """
    names = [_host_name(host) for host in hosts]
    if not names:
        raise ValueError("a route needs at least one host name")
    anywhere = _any_of([Host(name) for name in names])
    prefix = _path_prefix(path_prefix)
    node = And((anywhere, PathPrefix(prefix))) if prefix else anywhere
    return _safely_built(node, "http", names)


def build_server_rule(hosts: Sequence[str]) -> str:
    """The rule of a TCP route: connections that ask for any of these server names, all connections where it is `*`.

    Raises ValueError as `build_route_rule` does, and is as careful.
    """
    names = [host if host == "*" else _host_name(host) for host in hosts]
    if not names:
        raise ValueError("a TCP route needs at least one server name, or * for all connections")
    return _safely_built(_any_of([HostSNI(name) for name in names]), "tcp", names)


def _any_of(matchers: Sequence[Matcher]) -> Node:
    return matchers[0] if len(matchers) == 1 else Or(tuple(matchers))


def _safely_built(node: Node, protocol: str, names: Sequence[str]) -> str:
    text = build(node)
    if parse(text, protocol) != node:
        raise ValueError(f"no safe rule can be built for {', '.join(names)}")
    return text


def _host_name(host: str) -> str:
    name = host.strip().lower()
    try:
        if not name.isascii():
            name = name.encode("idna").decode()
    except UnicodeError:
        name = ""
    if len(name) > 253 or not _HOST_NAME.match(name) or _is_address(name):
        raise ValueError(f"'{host}' is not a host name; write one like gitea.example.org, without scheme, port or path")
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _path_prefix(prefix: str) -> str:
    if prefix in ("", "/"):
        return ""
    if not _PREFIX.match(prefix) or "//" in prefix or any(part in (".", "..") for part in prefix.split("/")):
        raise ValueError(
            f"'{prefix}' is not a path that a request can have; write one like /api, without host, query, '%', "
            "empty or dotted parts"
        )
    return prefix


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def hosts(node: Node) -> frozenset[str]:
    """Every literal host name that a rule asks for (Host and HostSNI, not under a Not), lower case."""
    match node:
        case Host(value) | HostSNI(value):
            return frozenset({value.lower()})
        case And(parts) | Or(parts):
            return frozenset[str]().union(*map(hosts, parts))
    return frozenset()


def conditions(node: Node) -> Iterator[Matcher]:
    """Every matcher in a rule, in reading order."""
    if isinstance(node, Matcher):
        yield node
    else:
        for part in node.parts if isinstance(node, And | Or) else (node.part,):
            yield from conditions(part)


def looks_at(node: Node) -> frozenset[str]:
    """The parts of a request that a rule looks at."""
    return frozenset(condition.looks_at for condition in conditions(node))


def faults(node: Node, release: Release = NEWEST) -> list[str]:
    """What Traefik would not take in the arguments of a rule; it disables such a router."""
    return [fault for matcher in conditions(node) for fault in matcher_faults(matcher, release)]


def matcher_faults(matcher: Matcher, release: Release = NEWEST) -> Iterator[str]:
    """The same of one matcher."""
    arguments = matcher.arguments
    if "" in arguments:
        yield f"{matcher.name} has an empty value"
    if fault := _fault(matcher, arguments[0], release):
        yield fault
    pattern = _pattern(matcher)
    if pattern is not None and (fault := pattern_fault(pattern, release)):
        yield f"{matcher.name}(`{pattern}`): {fault}"


def _fault(matcher: Matcher, first: str, release: Release) -> str:
    kind = type(matcher)
    if kind in _OF_NAMES and not first.isascii():
        return f"{matcher.name}(`{first}`) holds other than ASCII; write the name in punycode (xn--…)"
    if kind in _OF_PATHS and not first.startswith("/"):
        return f"{matcher.name}(`{first}`) does not start with '/'"
    if kind is matchers.ClientIP and not is_range(first):
        return f"ClientIP(`{first}`) is neither an address nor a range like 192.168.1.0/24"
    if kind is HostSNI and first != "*" and not _server_name(release).match(first):
        return f"HostSNI(`{first}`) is no host name"
    if kind is matchers.ALPN and first == "acme-tls/1":
        return "ALPN(`acme-tls/1`) is Traefik's own, for certificates"
    return ""


_OF_NAMES = frozenset({Host, matchers.HostRegexp, HostSNI, matchers.HostSNIRegexp})
_OF_PATHS = frozenset({matchers.Path, PathPrefix})


def _server_name(release: Release) -> re.Pattern[str]:
    return _WILDCARD_NAME if release >= WILDCARDS else _PLAIN_NAME


_PLAIN_NAME = re.compile(r"[\w.:-]+\Z", re.ASCII)
_WILDCARD_NAME = re.compile(r"(?:\*\.)?[\w.:-]+\Z", re.ASCII)
WILDCARDS: Release = (3, 7, 0)
"""Since here `*.example.org` in Host and HostSNI stands for one label; before, Host took it at its word."""


def _pattern(matcher: Matcher) -> str | None:
    """The regular expression of a matcher; `QueryRegexp` with a key alone has none."""
    if isinstance(matcher, _WITH_A_PATTERN):
        return matcher.value
    return None


_WITH_A_PATTERN = (
    matchers.HostRegexp, matchers.PathRegexp, matchers.HostSNIRegexp, matchers.HeaderRegexp, matchers.QueryRegexp,
)  # fmt: skip


def is_range(text: str) -> bool:
    """Whether Traefik takes it for an address or a range of them."""
    if "%" in text or not text.partition("/")[2].isdecimal() and "/" in text:
        return False  # Python takes zones and netmasks, Traefik does not
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
