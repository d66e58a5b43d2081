"""The choice among routers: one table of an entry point, or the children of one router."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from reconciler.routing.beginnings import host_beginning
from reconciler.routing.evaluate import Rule, Test, http_test
from reconciler.routing.matchers import And, Host, HostRegexp, Node, Not, Or
from reconciler.routing.request import Seen
from reconciler.routing.routers import Router
from reconciler.routing.rules import looks_at

_MOST_REMEMBERED: Final = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranked:
    """A router in a table: compiled, with its priority as it counts and the middlewares that a request passes.

    `opaque` says why nobody here can tell whether it serves what its `rule` matches, or, without one, which requests
    it matches. `hosts` are the literal names without which it cannot match, None where there are none. `options` are
    the TLS options that it asks for, or else its entry point ("" the default ones). `below` are its children.
    """

    router: Router
    rule: Rule | None
    priority: int
    opaque: str = ""
    precedence: int = 0
    middlewares: tuple[str, ...] = ()
    hosts: frozenset[str] | None = None
    options: str = ""
    below: Layer | None = None

    @cached_property
    def shown(self) -> str:
        """Its name as answers give it."""
        return plain_name(self.router.name)

    @cached_property
    def service(self) -> str:
        """The name of its service as answers give it."""
        return plain_name(self.router.service)

    @cached_property
    def asks_of_host(self) -> Test | None:
        """Without this it does not match, whatever else a request holds; None where it asks nothing of the host."""
        asked = None if self.rule is None else of_host(self.rule.node)
        return None if asked is None or self.rule is None else http_test(asked, self.rule.release)

    @cached_property
    def key(self) -> tuple[int, int]:
        """Higher is asked first; routers of equal keys in an order that nobody can tell."""
        return self.priority, self.precedence


@dataclass(frozen=True, slots=True)
class Choice:
    """What a table makes of a request.

    `path` leads from the router that takes it to the child that serves it; `served` is False where the last of
    them has children and none matches. `tied` share the highest priority. `candidates` are names as answers give
    them, in order; `matched` the routers of the last table that was asked.
    """

    path: tuple[Ranked, ...] = ()
    candidates: tuple[str, ...] = ()
    matched: Sequence[Ranked] = ()
    tied: tuple[Ranked, ...] = ()
    unknown: str = ""

    @property
    def served(self) -> bool:
        return bool(self.path) and self.path[-1].below is None

    @property
    def words(self) -> str:
        """Why, in a sentence."""
        if self.unknown:
            return self.unknown
        if self.tied:
            named = ", ".join(one.shown for one in self.tied)
            return f"{named} match with the same priority {self.tied[0].priority}: chance decides at every reload"
        if not self.path:
            return "no router matches"
        last = self.path[-1]
        if last.below is not None:
            return f"{last.shown} takes the request, and none of its children matches"
        if len(self.matched) < 2:
            return f"{last.shown} is the only router that matches"
        following = self.matched[1]
        return f"{last.shown} matches with priority {last.priority}, before {following.shown} with {following.priority}"


_NOBODY: Final = Choice()


class Layer:
    """Routers in Traefik's order, findable by the literal hosts that they insist on."""

    def __init__(self, routers: Iterable[Ranked]) -> None:
        ordered = sorted(routers, key=lambda one: (-one.priority, -one.precedence, one.router.name))
        self.ranked: tuple[Ranked, ...] = tuple(ordered)
        self._plain = not any(one.opaque or one.below for one in ordered)
        self._remembered: dict[str, tuple[Ranked, ...]] = {}

    def near(self, host: str) -> Sequence[Ranked]:
        """All that may match a request for this host, in order."""
        found = self._remembered.get(host)
        if found is None:
            found = self._found(host)
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[host] = found
        return found

    def _found(self, host: str) -> tuple[Ranked, ...]:
        if not host.isascii():
            return self.ranked
        name = host.lower().rstrip(".")
        suffix = "." + name.partition(".")[2]
        few = {*self._by_host.get(name, ()), *self._by_host.get(suffix, ()), *self._by_pattern(host)}
        return tuple(map(self.ranked.__getitem__, sorted([*self._anywhere, *few])))

    def _by_pattern(self, host: str) -> Iterator[int]:
        """Those that ask for a host, though not by its literal name, and do not rule this one out."""
        seen = Seen(host=host)
        for length in self._lengths:
            for number in self._by_beginning.get(host[:length], ()) if length <= len(host) else ():
                asks = self.ranked[number].asks_of_host
                if asks is None or asks(seen):
                    yield number

    @cached_property
    def _by_host(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, one in enumerate(self.ranked):
            for host in one.hosts or ():
                found.setdefault(host, []).append(number)
        return found

    @cached_property
    def _anywhere(self) -> tuple[int, ...]:
        """Those that ask nothing of the host."""
        return tuple(number for number, one in enumerate(self.ranked) if one.hosts is None and one.asks_of_host is None)

    @cached_property
    def _by_beginning(self) -> dict[str, list[int]]:
        """The others without a literal host, by what hosts that match begin with."""
        found: dict[str, list[int]] = {}
        for number, one in enumerate(self.ranked):
            if one.rule is not None and one.hosts is None and one.asks_of_host is not None:
                found.setdefault(host_beginning(one.rule.node, one.rule.release), []).append(number)
        return found

    @cached_property
    def _lengths(self) -> list[int]:
        return sorted(set(map(len, self._by_beginning)))

    def choose(self, seen: Seen) -> Choice:
        """Who takes this request."""
        matched = [one for one in self.near(seen.host) if one.rule is None or one.rule.matches(seen)]
        if not matched:
            return _NOBODY
        first = matched[0]
        if self._plain and (len(matched) == 1 or matched[1].key != first.key):  # by far the most
            return Choice((first,), tuple([one.shown for one in matched]), matched)
        return _settled(matched, seen)


def _settled(found: Sequence[Ranked], seen: Seen) -> Choice:
    """The choice among routers that match, or may (those without a rule that can be read)."""
    matched = [one for one in found if not one.opaque]
    below = {id(one): one.below.choose(seen) for one in matched if one.below is not None}
    candidates = tuple(name for one in matched for name in _led_to(one, below.get(id(one))))
    first = matched[0] if matched else None
    hidden = [one for one in found if one.opaque and (first is None or one.key >= first.key)]
    if hidden:
        words = f"{hidden[0].shown} may take the request: {hidden[0].opaque}"
        return Choice(candidates=candidates, matched=matched, unknown=words)
    if first is None:
        return _NOBODY
    tied = tuple(one for one in matched if one.key == first.key)
    if len(tied) > 1:
        return Choice(candidates=candidates, matched=matched, tied=tied)
    inner = below.get(id(first))
    if inner is None:
        return Choice((first,), candidates, matched)
    return Choice((first, *inner.path), candidates, inner.matched or (first,), inner.tied, inner.unknown)


def _led_to(one: Ranked, inner: Choice | None) -> tuple[str, ...]:
    """The names that a router stands for among the candidates: those of its children that match, else its own."""
    return (inner.candidates if inner else ()) or (one.shown,)


def plain_name(name: str) -> str:
    """A qualified name as files write it: `gitea` for `gitea@file`; other providers' stay as they are.

    So does one of a file that has an `@` of its own: it would be taken for another provider's.
    """
    plain = name.removesuffix("@file")
    return name if "@" in plain else plain


def rank(name: str, precedence: Sequence[str]) -> int:
    """How a router's provider stands among those that the precedence lists: higher wins, unlisted ones lose."""
    provider = name.rpartition("@")[2]
    return len(precedence) - precedence.index(provider) if provider in precedence else 0


def insisted(node: Node) -> frozenset[str] | None:
    """The literal hosts without which a rule cannot match; `.a.test` for `*.a.test`. None where there are none.

    Names are lower case, without dots at the end.
    """
    match node:
        case Host(value):
            return _literal(value.lower().rstrip("."))
        case And(parts):
            bounds = [hosts for part in parts if (hosts := insisted(part)) is not None]
            return min(bounds, key=len, default=None)
        case Or(parts):
            return _union(insisted(part) for part in parts)
    return None


def of_host(node: Node) -> Node | None:
    """A rule about the host alone that matches whatever this one does; None where that is everything."""
    match node:
        case Host() | HostRegexp():
            return node
        case And(parts):
            found = [asked for part in parts if (asked := of_host(part)) is not None]
            return And(tuple(found)) if len(found) > 1 else found[0] if found else None
        case Or(parts):
            every = [of_host(part) for part in parts]
            return None if None in every else Or(tuple(asked for asked in every if asked is not None))
        case Not(part):
            return node if looks_at(part) == {"host"} else None
    return None


def _literal(value: str) -> frozenset[str] | None:
    if value.startswith("*."):
        return None if "*" in value[1:] else frozenset({value[1:]})
    return None if "*" in value or not value else frozenset({value})


def _union(bounds: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    found = frozenset[str]()
    for hosts in bounds:
        if hosts is None:
            return None
        found |= hosts
    return found
