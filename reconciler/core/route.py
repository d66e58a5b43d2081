"""One way in, as people see it, and where two of them may meet. Pure; how hosts are matched comes in as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stretch:
    """The paths that begin with `start`, or just that one path where it is `exact`."""

    start: str
    exact: bool = False

    def meets(self, other: Stretch) -> bool:
        if self.exact and other.exact:
            return self.start == other.start
        shorter, longer = sorted((self, other), key=lambda one: len(one.start))
        return longer.start.startswith(shorter.start) and not (shorter.exact and shorter.start != longer.start)


@dataclass(frozen=True, slots=True)
class Part:
    """What a route may take of one host's requests: at most `paths`; all of them for sure if `whole`."""

    paths: frozenset[Stretch]
    whole: bool = False

    def meets(self, other: Part) -> bool:
        return any(one.meets(two) for one in self.paths for two in other.paths)


NOTHING = Part(frozenset())
ALL = Part(frozenset({Stretch("")}), whole=True)
UNKNOWN = Part(ALL.paths)
"""May be all of it, may be nothing."""

Reach = Callable[[str], Part]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way in: the hosts it answers for, whether it asks who is there, and where it listens.

    A route without a literal host stands with its whole rule in `hosts`. `broad`: it may answer for other hosts,
    too. `entry_points` empty means the default ones. `swallows`: it takes every plain connection to its entry
    points, before anybody looks for a host. `reach` tells what it may take of a host's requests; without one it
    takes all of those in `hosts`.
    """

    address: str
    hosts: frozenset[str]
    rule: str
    authenticated: bool
    entry_points: frozenset[str] = frozenset()
    priority: int = 0
    tls: bool = False
    broad: bool = False
    swallows: bool = False
    reach: Reach | None = field(default=None, compare=False)

    @property
    def shape(self) -> tuple[object, ...]:
        """What decides which requests it gets; a route of the same shape is the same way in under any name."""
        return self.rule, self.priority, self.entry_points, self.tls, self.swallows

    def part(self, host: str) -> Part:
        if self.swallows:
            return ALL
        if self.reach:
            return self.reach(host)
        return ALL if host in self.hosts else NOTHING

    def beside(self, other: Route) -> bool:
        """May both be asked about one request? They share an entry point, or one of them does not say where it is."""
        if (self.swallows and other.tls) or (other.swallows and self.tls):
            return False
        return not (self.entry_points and other.entry_points) or bool(self.entry_points & other.entry_points)

    def outranks(self, other: Route) -> bool:
        """Does it get every request that both match, for sure?"""
        return self.priority > other.priority and self.tls == other.tls

    def common(self, other: Route) -> Iterator[str]:
        """The hosts (or rules, where there is no literal host) of which both may take the same requests."""
        for host in sorted({host for route in (self, other) if not route.swallows for host in route.hosts}):
            if self.part(host).meets(other.part(host)):
                yield host


class Nearby:
    """Routes, found by the hosts they may answer for: cost follows who can meet, not how many there are."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = list(routes)
        self._broad = [route for route in self._routes if route.broad]
        self._narrow: dict[str, list[Route]] = {}
        for route in self._routes:
            for host in () if route.broad else route.hosts:
                self._narrow.setdefault(host, []).append(route)

    def at(self, host: str) -> list[Route]:
        """Those that may answer for this host."""
        return self._narrow.get(host, []) + self._broad

    def of(self, route: Route) -> list[Route]:
        """Those that may meet this one, in order of their addresses."""
        if route.broad:
            return self._routes
        found = {one.address: one for host in route.hosts for one in self.at(host)}
        return [found[address] for address in sorted(found)]
