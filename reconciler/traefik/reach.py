"""How much of one host's requests a Traefik rule may match: never too little, so that no loss is missed. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from reconciler.core.route import ALL, NOTHING, UNKNOWN, Part, Stretch
from reconciler.routing import rules
from reconciler.routing.matchers import And, Host, HostRegexp, Node, Not, Or, Path, PathPrefix

_NAME = re.compile(r"[a-z0-9_.:\[\]-]+\Z")


@lru_cache(50_000)
def part(rule: str, host: str) -> Part:
    """What an HTTP rule may take of the requests to a host name.

    For anything but a name (`*.lab`, a whole rule) it answers for whatever host that may stand for.
    """
    try:
        return _part(rules.parse(rule), host)
    except rules.ParseError:
        return UNKNOWN


@lru_cache(20_000)
def named(rule: str) -> tuple[frozenset[str], bool]:
    """The host names that an HTTP rule asks for, and whether it may match requests to others as well."""
    try:
        node = rules.parse(rule)
    except rules.ParseError:
        return frozenset(), True
    names = rules.hosts(node)
    return names, any("*" in name or name.startswith(".") for name in names) or bool(_part(node, "?").paths)


def _part(node: Node, host: str) -> Part:
    match node:
        case And(parts):
            return _both([_part(part, host) for part in parts])
        case Or(parts):
            return _either([_part(part, host) for part in parts])
        case Not(inner):
            return _rest(_part(inner, host))
        case Host(value):
            return ALL if _is_host(value.lower(), host) else NOTHING
        case HostRegexp(value):
            return _found(value, host)
        case PathPrefix(value):
            return Part(frozenset({Stretch(value)}), whole=value == "/")
        case Path(value):
            return Part(frozenset({Stretch(value, exact=True)}))
    return UNKNOWN


def _is_host(pattern: str, host: str) -> bool:
    """Traefik takes a dot at the end of either; a star stands for one label, alone for everything."""
    pattern, host = pattern.removesuffix("."), host.removesuffix(".")
    if pattern in ("*", host):
        return True
    suffix = pattern.removeprefix("*") if pattern.startswith("*.") else pattern if pattern.startswith(".") else ""
    return bool(suffix) and host.partition(".")[2] == suffix[1:] and not host.startswith(".")


def _found(pattern: str, host: str) -> Part:
    if not _NAME.match(host):
        return UNKNOWN
    # Traefik asks the pattern about the empty name, too.
    return ALL if rules.may_find(pattern, host.removesuffix(".")) or rules.may_find(pattern, "") else NOTHING


def _both(parts: list[Part]) -> Part:
    found = parts[0]
    for part in parts[1:]:
        paths = {
            max(one, two, key=lambda each: (len(each.start), each.exact))
            for one in found.paths
            for two in part.paths
            if one.meets(two)
        }
        found = Part(frozenset(paths), found.whole and part.whole)
    return found


def _either(parts: list[Part]) -> Part:
    return Part(frozenset().union(*(part.paths for part in parts)), any(part.whole for part in parts))


def _rest(part: Part) -> Part:
    if part.whole:
        return NOTHING
    return UNKNOWN if part.paths else ALL
