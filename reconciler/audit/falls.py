"""Who answers instead of a disabled router, as far as literal host names tell. Pure.

A disabled router does not block: its requests go on to the next router that matches them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from reconciler.audit.access import asks
from reconciler.audit.evidence import Evidence, entry_points, provider, together
from reconciler.routing import rules
from reconciler.routing.rules import And, Host, HostRegexp, HostSNI, Node, Not, Or, Path, PathPrefix
from reconciler.traefik.api import Item

_NAMED: Final = re.compile(r"Host(?:SNI)?\(\s*[`\"]([^`\"]+)")
_EVERYTHING: Final = frozenset({"^.+$", ".+", "^.*$", ".*"})


_Rival = tuple[str, Item, Node | None]
_StandIn = tuple[_Rival | None, list[str]]


@dataclass(frozen=True)
class _Wanted:
    """What is known of the requests that a router was made for."""

    hosts: frozenset[str]
    facts: tuple[Node, ...] = ()  # what each of them fulfils, whatever its host

    @property
    def path(self) -> str | None:
        return next((fact.value for fact in self.facts if isinstance(fact, Path)), None)

    @property
    def prefix(self) -> str | None:
        return next((fact.value for fact in self.facts if isinstance(fact, PathPrefix)), None)


class Falls:
    """Answers for one Traefik; its rules are read once."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._tables = {kind: _Table(evidence, kind) for kind in ("http.routers", "tcp.routers")}

    def consequence(self, kind: str, name: str, item: Item) -> str:
        """What becomes of the requests that a disabled router was made for, in a sentence."""
        if kind == "udp.routers":
            return "nothing answers there"
        if item.spec.get("parentRefs"):
            return "its requests go to another child of its parent, or get 404"
        wanted = _wanted(kind, item)
        if not wanted.hosts:
            return "it does not block: its requests fall through to any broader router, or get 404"
        told: dict[str, list[str]] = {}
        for host in sorted(wanted.hosts):
            found = _stand_in(self._rivals(kind, host, item), host, wanted)
            told.setdefault(_told(self._evidence, kind, name, item, found), []).append(host)
        what = "requests" if kind == "http.routers" else "connections"
        return "; ".join(f"{what} for {together(hosts)} {words}" for words, hosts in told.items())

    def _rivals(self, kind: str, host: str, item: Item) -> Iterator[_Rival]:
        """The routers that could answer: at the same entry points, in the same of the two tables (TLS or plain)."""
        doors = set(entry_points(item)) & {door.name for door in self._evidence.doors}
        for rival in self._tables[kind].about(host):
            other, found, _ = rival
            same_table = (found.spec.get("tls") is None) == (item.spec.get("tls") is None)
            meets = doors & set(entry_points(found)) if doors else provider(other) != "internal"
            if same_table and meets:
                yield rival


class _Table:
    """The routers that serve, findable by the host names that they insist on."""

    def __init__(self, evidence: Evidence, kind: str) -> None:
        self._all: list[_Rival] = []
        self._anywhere: list[_Rival] = []
        self._by_host: dict[str, list[_Rival]] = {}
        for name, item in sorted(evidence.runtime.of(kind).items()):
            if item.status != "disabled" and not item.spec.get("parentRefs"):
                self._add((name, item, _parsed(kind, item)), _insisted(kind, item))

    def _add(self, rival: _Rival, hosts: frozenset[str] | None) -> None:
        self._all.append(rival)
        for host in hosts or ():
            self._by_host.setdefault(host, []).append(rival)
        if hosts is None:
            self._anywhere.append(rival)

    def about(self, host: str) -> list[_Rival]:
        """Those that may match a request for this host."""
        return self._all if "*" in host else [*self._anywhere, *self._by_host.get(host.rstrip("."), ())]


def _insisted(kind: str, item: Item) -> frozenset[str] | None:
    """The literal hosts to which a rule keeps; None where it keeps to none."""
    node, rule = _parsed(kind, item), str(item.spec.get("rule", ""))
    if node is not None:
        return _bound(node)
    simple = item.spec.get("ruleSyntax") == "v2" and not re.search(r"[|!]|Regexp", rule)
    lists = re.findall(r"\bHost\(([^)]*)\)", rule) if simple else []
    return frozenset(name.lower() for name in re.findall(r"[`\"']([^`\"']+)", lists[0])) if lists else None


def _bound(node: Node) -> frozenset[str] | None:
    match node:
        case Host(value) | HostSNI(value) if "*" not in value and not value.startswith("."):
            return frozenset({value.lower().rstrip(".")})
        case And(parts):
            return next((hosts for part in parts if (hosts := _bound(part)) is not None), None)
        case Or(parts):
            bounds = [_bound(part) for part in parts]
            return None if None in bounds else frozenset[str]().union(*(hosts for hosts in bounds if hosts))
    return None


def _told(evidence: Evidence, kind: str, name: str, item: Item, found: _StandIn) -> str:
    certain, perhaps = found
    maybe = together(sorted({evidence.original(kind, one) for one in perhaps}))
    if certain is None:
        return f"get {_nothing(kind)}, or fall through to {maybe}" if maybe else f"get {_nothing(kind)}"
    words = f"fall through to {evidence.original(kind, certain[0])}"
    words += f" (or to {maybe})" if maybe else ""
    if kind != "http.routers":
        return words
    guarded = asks(evidence, certain[0], certain[1])
    if guarded is None:
        return f"{words}, whose authentication cannot be told"
    if guarded:
        return f"{words}, which asks for authentication"
    lost = " while this one does" if asks(evidence, name, item) else ""
    return f"{words}, which asks for no authentication{lost}"


def _nothing(kind: str) -> str:
    return "404" if kind == "http.routers" else "no answer"


def _stand_in(rivals: Iterable[_Rival], host: str, wanted: _Wanted) -> _StandIn:
    """The router that surely matches and ranks highest, and those that may match before it."""
    judged = [(rival, _matches(rival, host, wanted)) for rival in rivals]
    certain = max((rival for rival, answer in judged if answer), key=_rank, default=None)
    perhaps = [r[0] for r, answer in judged if answer is None and (certain is None or _rank(r) > _rank(certain))]
    return certain, perhaps


def _rank(rival: _Rival) -> tuple[int, str]:
    priority = rival[1].spec.get("priority", 0)
    return priority if isinstance(priority, int) else 0, rival[0]


def _parsed(kind: str, item: Item) -> Node | None:
    return None if item.spec.get("ruleSyntax") == "v2" else _read(str(item.spec.get("rule", "")), kind.split(".")[0])


@lru_cache(maxsize=65536)  # each rule is looked at from several sides
def _read(rule: str, protocol: str) -> Node | None:
    try:
        return rules.parse(rule, protocol)
    except rules.ParseError:
        return None


def _wanted(kind: str, item: Item) -> _Wanted:
    node = _parsed(kind, item)
    if node is None:  # perhaps the very reason why it is disabled
        return _Wanted(frozenset(name.lower() for name in _NAMED.findall(str(item.spec.get("rule", "")))))
    return _Wanted(rules.hosts(node), tuple(_facts(node)))


def _facts(node: Node) -> Iterator[Node]:
    if isinstance(node, And):
        for part in node.parts:
            yield from _facts(part)
    else:
        yield node


# ── does it match? True, False, or None: for some of these requests, or nobody can tell ──


def _matches(rival: _Rival, host: str, wanted: _Wanted) -> bool | None:
    return None if rival[2] is None else _judged(rival[2], host, wanted)


def _judged(node: Node, host: str, wanted: _Wanted) -> bool | None:
    if node in wanted.facts:
        return True
    match node:
        case And(parts):
            answers = [_judged(part, host, wanted) for part in parts]
            return False if False in answers else None if None in answers else True
        case Or(parts):
            answers = [_judged(part, host, wanted) for part in parts]
            return True if True in answers else None if None in answers else False
        case Not(part):
            answer = _judged(part, host, wanted)
            return None if answer is None else not answer
        case Host(value) | HostSNI(value):
            return _names(value.lower().rstrip("."), host.rstrip("."))
        case HostRegexp(value) if value in _EVERYTHING:
            return True
        case Path(value) | PathPrefix(value):
            return _leads(value, isinstance(node, PathPrefix), wanted)
    return None


def _names(pattern: str, host: str) -> bool | None:
    if pattern in ("*", host):
        return True
    if host.startswith("*."):
        return None if pattern.endswith(host[1:]) and "." not in pattern[: -len(host[1:])] else False
    return pattern.startswith("*.") and pattern[2:] == host.partition(".")[2]


def _leads(value: str, prefix: bool, wanted: _Wanted) -> bool | None:
    if prefix and value == "/":
        return True
    if wanted.path is not None:
        return wanted.path.startswith(value) if prefix else wanted.path == value
    if wanted.prefix is None:
        return None
    if prefix and wanted.prefix.startswith(value):
        return True
    return None if value.startswith(wanted.prefix) else False
