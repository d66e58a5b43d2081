"""What people call a sort of requests: by the hosts that rules name, never by one that a search made up."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from reconciler.routing import rules
from reconciler.routing.decide import Found, find
from reconciler.routing.matchers import Host, HostRegexp, HostSNI, HostSNIRegexp, Node
from reconciler.routing.planes import Claimant, planes
from reconciler.routing.request import Request
from reconciler.routing.routers import Router
from reconciler.routing.rules import ParseError
from reconciler.routing.sorts import Change
from reconciler.routing.treatments import Serving, Treatment

MOST_HOSTS: Final = 200
"""So many hosts of one sort of requests are told apart; more are named as if they all belonged to it."""
EVERY: Final = "every host"
EVERY_OTHER: Final = "every other host"
_STRANGERS: Final = ("stranger.example", "another.invalid")
_EXACT: Final = re.compile(r"\^((?:[a-z0-9-]|\\\.)+)\$")

Pair = tuple[Claimant | None, Claimant | None]


class Namer:
    """Says of each change for which hosts it holds. `before` and `after` are what the change leads from and to."""

    def __init__(self, before: Serving, after: Serving) -> None:
        self._before, self._after = before, after

    def named(self, one: Change, pairs: Sequence[Pair], others: Collection[str] = ()) -> Change:
        """The change with its hosts; `pairs` are who gets such requests before and after.

        `others` are hosts that stand in rules which change.
        """
        literal = sorted({host for pair in pairs for side in pair if side for host in mentioned(side)})
        if one.witness is None:
            return replace(one, host=literal[0] if literal else EVERY, hosts=tuple(literal or (EVERY,)))
        own = self._own(one, one.witness, literal, others)
        beside = [(host, self._request(one, host, pairs, literal)) for host in literal[:MOST_HOSTS] if host != own]
        found = [where(own, one.witness), *(where(host, request) for host, request in beside if request)]
        return replace(one, host=own, hosts=(*found, *literal[MOST_HOSTS:]))

    def _own(self, one: Change, witness: Request, literal: Iterable[str], others: Collection[str]) -> str:
        """The host of the witness as a rule has it, or in words. A dot at its end is told: rules may mind it."""
        host = (witness.host or "").lower()
        bare = host.rstrip(".")
        dots, wildcard = host[len(bare) :], "*." + bare.partition(".")[2]
        if not host or bare in {name.rstrip(".") for name in (*literal, *others)}:
            return host
        if wildcard in literal:
            return wildcard + dots
        if not all(self._belongs(one, replace(witness, host=stranger)) for stranger in _STRANGERS):
            return f"hosts like {host}"
        return EVERY_OTHER if self._others_are_named(one) else EVERY

    def _others_are_named(self, one: Change) -> bool:
        place = one.entry_point, one.tls
        sides = (planes(serving.table).get(place) for serving in (self._before, self._after))
        return any(root.hosts for plane in sides if plane for root in plane.layer.ranked)

    def _request(self, one: Change, host: str, pairs: Sequence[Pair], literal: Sequence[str]) -> Request | None:
        """A request of this sort for that host; for a wildcard one that no other name stands for."""
        for request in self._tries(one, host, pairs, literal if host.startswith("*") else ()):
            if self._belongs(one, request):
                return request
        return None

    def _tries(self, one: Change, host: str, pairs: Sequence[Pair], without: Sequence[str]) -> Iterator[Request]:
        none_of = tuple(Host(other) for other in without if other != host)
        if one.witness is not None and not host.startswith("*"):
            yield replace(one.witness, host=host)
        for pair in pairs:
            nodes = (node for side in pair if side is not None for node in side.nodes)
            found = find(tuple(dict.fromkeys((Host(host), *nodes))), none_of, release=self._before.table.release)
            if isinstance(found, Found):
                yield replace(found.witness, entry_point=one.entry_point, tls=one.tls)

    def _belongs(self, one: Change, request: Request) -> bool:
        sort = (one.before, one.after)
        if one.unknown and one.witness is not None:  # there `before` and `after` are only supposed
            sort = self._treated(one.witness)
        return self._treated(request) == sort

    def _treated(self, request: Request) -> tuple[Treatment | None, Treatment | None]:
        return self._before.treatment(request), self._after.treatment(request)


def where(host: str, request: Request) -> str:
    """A host, and the path of a request where that is more than "/"."""
    path = request.target.partition("?")[0]
    if path == "/" or not path.startswith("/"):
        return host or "requests without a host"
    if not host:
        return f"{path} without a host"
    return f"{path} for {host}" if " " in host else f"{host}{path}"


def mentioned(one: Claimant) -> Iterator[str]:
    """Every host that stands in a rule which leads to a claimant."""
    for each in one.path:
        node = _node(each.router)
        found = list(_mentioned(node)) if node else []
        yield from found or (f"*{host}" if host.startswith(".") else host for host in each.hosts or ())


def hosts_of(router: Router) -> list[str]:
    """Every host that the rule of a router asks for by name; none where it cannot be read."""
    node = _node(router)
    return sorted({*filter(_is_name, rules.hosts(node)), *_exact(node)}) if node else []


def _node(router: Router) -> Node | None:
    try:
        return rules.parse(router.rule, router.protocol)
    except ParseError:
        return None


def _mentioned(node: Node) -> Iterator[str]:
    """Every host that stands in a rule, asked for or excepted."""
    named = (part.value.lower() for part in rules.conditions(node) if isinstance(part, Host | HostSNI))
    yield from filter(_is_name, named)
    yield from _exact(node)


def _exact(node: Node) -> Iterator[str]:
    """Hosts that are asked for by regular expressions which match nothing else."""
    for part in rules.conditions(node):
        if isinstance(part, HostRegexp | HostSNIRegexp) and (exact := _EXACT.fullmatch(part.value)):
            yield exact[1].replace("\\.", ".")


def _is_name(host: str) -> bool:
    return bool(host.strip("*."))
