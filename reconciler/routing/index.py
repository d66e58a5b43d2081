"""Which rules could match a request that this one matches? Found by host and path, so that cost follows the answer.

A bound is what a rule keeps to for certain: literal hosts, beginnings of paths. Rules whose bounds do not meet cannot
overlap; those whose bounds meet may, and whoever asks has to look closer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Generic, TypeVar

from reconciler.routing.beginnings import beginning_of, host_beginning
from reconciler.routing.choosing import insisted
from reconciler.routing.evaluate import http_test
from reconciler.routing.matchers import And, Host, HostRegexp, Node, Not, Or, Path, PathPrefix, PathRegexp
from reconciler.routing.request import Seen

ANYWHERE: Final = ("",)
_MOST_BEGINNINGS: Final = 200


@dataclass(frozen=True, slots=True)
class Bound:
    """`hosts`: literal names, lower case, without dots at the end, `.a.test` for `*.a.test`; None: any host.

    `beginnings`: every path that matches begins with one of these.
    """

    hosts: frozenset[str] | None = None
    beginnings: tuple[str, ...] = ANYWHERE


@lru_cache(50_000)
def bound_of(node: Node) -> Bound:
    """What a rule keeps to."""
    return Bound(insisted(node), _beginnings(node) or ANYWHERE)


def bound_of_all(bounds: Sequence[Bound]) -> Bound:
    """What a request keeps to that matches rules of all these bounds: the narrowest of each."""
    hosts = [bound.hosts for bound in bounds if bound.hosts is not None]
    beginnings = [bound.beginnings for bound in bounds]
    return Bound(min(hosts, key=len, default=None), max(beginnings, key=_narrowness, default=ANYWHERE))


def bounds_meet(one: Bound, other: Bound) -> bool:
    """Whether what keeps to these may overlap."""
    return bool(Index([(one, None)]).near(other))


def _narrowness(beginnings: Sequence[str]) -> int:
    return min(map(len, beginnings), default=0)


def _beginnings(node: Node) -> tuple[str, ...] | None:
    match node:
        case Path(value) | PathPrefix(value):
            return (value,)
        case PathRegexp():
            return (beginning_of(node),)
        case And(parts):
            found = [one for part in parts if (one := _beginnings(part)) is not None]
            return max(found, key=_narrowness, default=None)
        case Or(parts):
            several = [_beginnings(part) for part in parts]
            if any(one is None for one in several):
                return None
            joined = tuple(dict.fromkeys(text for one in several for text in one or ()))
            return joined if len(joined) <= _MOST_BEGINNINGS else None
    return None


Item = TypeVar("Item")


class Index(Generic[Item]):
    """Things with bounds, found by the bounds that theirs meet. Several with one bound keep their order."""

    def __init__(self, items: Iterable[tuple[Bound, Item]]) -> None:
        self._items: list[Item] = []
        self._all = _Beginnings()
        self._anywhere = _Beginnings()
        self._by_host: dict[str, _Beginnings] = {}
        self._under: dict[str, list[str]] = {}
        for bound, item in items:
            self._add(bound, item)

    def _add(self, bound: Bound, item: Item) -> None:
        number = len(self._items)
        self._items.append(item)
        for beginning in bound.beginnings:
            self._all.add(beginning, number)
            for place in self._places(bound.hosts):
                place.add(beginning, number)

    def _places(self, hosts: frozenset[str] | None) -> Iterator[_Beginnings]:
        if hosts is None:
            yield self._anywhere
        for host in hosts or ():
            if host not in self._by_host:
                self._by_host[host] = _Beginnings()
                self._under.setdefault(_suffix(host), []).append(host)
            yield self._by_host[host]

    def __len__(self) -> int:
        return len(self._items)

    def near(self, bound: Bound) -> list[Item]:
        """Everything that could overlap with what keeps to this bound, in order."""
        numbers: set[int] = set()
        for place in self._near(bound.hosts):
            for beginning in bound.beginnings:
                place.collect(beginning, numbers)
        return [self._items[number] for number in sorted(numbers)]

    def _near(self, hosts: frozenset[str] | None) -> Iterator[_Beginnings]:
        if hosts is None:
            yield self._all
            return
        yield self._anywhere
        names = {name for host in hosts for name in (host, _suffix(host))}
        names.update(name for host in hosts if host.startswith(".") for name in self._under.get(host, ()))
        for name in names:
            if name in self._by_host:
                yield self._by_host[name]


def _suffix(host: str) -> str:
    """The wildcard that stands for a host: `.a.test` for `x.a.test`."""
    return "." + host.partition(".")[2]


class _Beginnings:
    """Numbers by the beginnings of paths."""

    def __init__(self) -> None:
        self._by_text: dict[str, list[int]] = {}

    def add(self, beginning: str, number: int) -> None:
        if beginning not in self._by_text:
            self._by_text[beginning] = []
            self.__dict__.pop("_sorted", None)
            self.__dict__.pop("_lengths", None)
        self._by_text[beginning].append(number)

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._by_text)

    @cached_property
    def _lengths(self) -> list[int]:
        return sorted(set(map(len, self._by_text)))

    def collect(self, beginning: str, into: set[int]) -> None:
        """Add the numbers of everything that this beginning leads to, or that leads to it."""
        for length in self._lengths:
            if length >= len(beginning):
                break
            into.update(self._by_text.get(beginning[:length], ()))
        for at in range(bisect_left(self._sorted, beginning), len(self._sorted)):
            if not self._sorted[at].startswith(beginning):
                break
            into.update(self._by_text[self._sorted[at]])


# ── a closer look, where one of the two names its hosts ──────────────────────────────────────────


def may_meet(one: Node, other: Node) -> bool:
    """Whether two rules whose bounds meet may overlap, as far as the literal hosts of either tell."""
    first, second = host_beginning(one), host_beginning(other)
    if not (first.startswith(second) or second.startswith(first)):
        return False
    hosts = min((found for node in (one, other) if (found := bound_of(node).hosts) is not None), key=len, default=None)
    if hosts is None or any(host.startswith(".") for host in hosts):
        return True
    return any(
        _allows(one, name) and _allows(other, name) for host in hosts for name in (host, host + ".", host + "..")
    )


def _allows(node: Node, host: str) -> bool:
    return _for_host(node, host) is not False


def _for_host(node: Node, host: str) -> bool | None:
    """Whether a rule matches requests for a host; None: that hangs on more than the host."""
    match node:
        case And(parts):
            answers = [_for_host(part, host) for part in parts]
            return False if False in answers else None if None in answers else True
        case Or(parts):
            answers = [_for_host(part, host) for part in parts]
            return True if True in answers else None if None in answers else False
        case Not(part):
            answer = _for_host(part, host)
            return None if answer is None else not answer
        case Host() | HostRegexp():
            return _host_test(node, host)
    return None


@lru_cache(100_000)
def _host_test(node: Host | HostRegexp, host: str) -> bool:
    return http_test(node)(Seen(host=host))
