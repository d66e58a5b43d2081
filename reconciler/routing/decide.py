"""Decisions about rules: does a request match all of these and none of those, is one rule inside another?

Every answer speaks of the requests of DOMAIN. Found comes with a request that the evaluator has confirmed; Nothing is
a proof; what is not modelled or takes too long is Unknown, which is something to look at and never a "no".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

from reconciler.routing.cubes import Cube, Search, Wanted
from reconciler.routing.domain import DOMAIN
from reconciler.routing.doors import followed
from reconciler.routing.evaluate import TcpTest, Test, http_test, tcp_test
from reconciler.routing.languages.products import Budget, Exceeded
from reconciler.routing.matchers import Node
from reconciler.routing.plain import Plain, plain_meet, plain_of
from reconciler.routing.request import NEWEST, PLAIN, Connection, Door, Refused, Request, look
from reconciler.routing.urls import Release
from reconciler.routing.witnesses import USUAL_HOST, connection_of, plain_request, request_of

__all__ = [
    "BUDGET", "DOMAIN", "Contained", "Escapes", "Found", "FoundConnection", "Nothing", "Unknown", "contains", "equal",
    "find", "find_connection", "meet",
]  # fmt: skip

BUDGET = 40_000


@dataclass(frozen=True, slots=True)
class Found:
    """There is such a request: this one."""

    witness: Request


@dataclass(frozen=True, slots=True)
class FoundConnection:
    """There is such a connection: this one."""

    witness: Connection


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is no such request in DOMAIN."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can tell; the reason in words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Contained:
    """Every request that matches the inner rule matches the outer one."""


@dataclass(frozen=True, slots=True)
class Escapes:
    """This request matches the inner rule and not the outer one."""

    witness: Request


def find(
    all_of: Sequence[Node],
    none_of: Sequence[Node] = (),
    *,
    budget: int = BUDGET,
    release: Release = NEWEST,
    door: Door = PLAIN,
) -> Found | Nothing | Unknown:
    """A request that all of these rules match and none of those, the shortest values for what they ask for.

    `door`: the entry point at which it arrives, of whose options a proof follows those that DOMAIN tells.
    """
    door = followed(door)
    inside, outside = [_known(node, release) for node in all_of], [_known(node, release) for node in none_of]
    quick = _quickly(inside, outside, release, door)
    if quick is not None:
        return quick
    search = Search(Budget(budget), release, door)
    wanted = _wanted(all_of, none_of)
    found = _searched(search, wanted, request_of, lambda request: _confirmed(request, inside, outside, release, door))
    return found if isinstance(found, Nothing | Unknown) else Found(found)


def find_connection(
    all_of: Sequence[Node], none_of: Sequence[Node] = (), *, budget: int = BUDGET, release: Release = NEWEST
) -> FoundConnection | Nothing | Unknown:
    """The same for TCP rules: a connection that all of these match and none of those."""
    inside, outside = [_tcp_test(node, release) for node in all_of], [_tcp_test(node, release) for node in none_of]

    def confirmed(connection: Connection) -> bool:
        return all(test(connection) for test in inside) and not any(test(connection) for test in outside)

    found = _searched(Search(Budget(budget), release), _wanted(all_of, none_of), connection_of, confirmed)
    return found if isinstance(found, Nothing | Unknown) else FoundConnection(found)


_Witness = TypeVar("_Witness", Request, Connection)


def _searched(
    search: Search, wanted: Iterable[Wanted], written: Callable[[Cube], _Witness], confirmed: Callable[[_Witness], bool]
) -> _Witness | Nothing | Unknown:
    try:
        for cube in search.cubes(wanted):
            witness = written(cube)
            if confirmed(witness):
                return witness
            search.doubts.append(cube.open or _NOT_WRITTEN)
    except Exceeded:
        return Unknown("it takes more steps than one answer may cost")
    return Unknown(search.doubts[0]) if search.doubts else Nothing()


def _wanted(all_of: Iterable[Node], none_of: Iterable[Node]) -> list[Wanted]:
    return [*(Wanted(node, True) for node in all_of), *(Wanted(node, False) for node in none_of)]


_NOT_WRITTEN = "no request can be written that shows it"


class _Known(NamedTuple):
    """What is worked out about a rule once."""

    test: Test
    plain: Plain | None


@lru_cache(50_000)
def _known(node: Node, release: Release) -> _Known:
    return _Known(http_test(node, release), plain_of(node))


@lru_cache(20_000)
def _tcp_test(node: Node, release: Release) -> TcpTest:
    return tcp_test(node, release)


def _quickly(
    inside: Sequence[_Known], outside: Sequence[_Known], release: Release, door: Door
) -> Found | Nothing | None:
    """The answer where all rules that have to match are plain; None where it takes a search."""
    plains = [one.plain for one in inside if one.plain is not None]
    if len(plains) < len(inside) or not plains:
        return None
    found = plain_meet(plains)
    if found is None:
        return Nothing()
    request = plain_request(min(found.hosts, key=len) if found.hosts else USUAL_HOST, found.path or "/", release)
    if _confirmed(request, inside, outside, release, door):
        return Found(request)
    return Nothing() if any(one.plain and one.plain.covers(found) for one in outside) else None


def _confirmed(
    request: Request, inside: Iterable[_Known], outside: Iterable[_Known], release: Release, door: Door
) -> bool:
    seen = look(request, door, release)
    if isinstance(seen, Refused):
        return False
    return all(one.test(seen) for one in inside) and not any(one.test(seen) for one in outside)


def meet(one: Node, other: Node, *, budget: int = BUDGET, release: Release = NEWEST) -> Found | Nothing | Unknown:
    """A request that both rules match."""
    return find((one, other), budget=budget, release=release)


def contains(
    outer: Node, inner: Node, *, budget: int = BUDGET, release: Release = NEWEST
) -> Contained | Escapes | Unknown:
    """Whether the outer rule matches everything that the inner one does."""
    match find((inner,), (outer,), budget=budget, release=release):
        case Found(witness):
            return Escapes(witness)
        case Nothing():
            return Contained()
        case unknown:
            return unknown


def equal(one: Node, other: Node, *, budget: int = BUDGET, release: Release = NEWEST) -> Contained | Escapes | Unknown:
    """Whether the two rules match the same requests; else a request that only one of them matches."""
    there = contains(one, other, budget=budget, release=release)
    return contains(other, one, budget=budget, release=release) if isinstance(there, Contained) else there
