"""Requests worth trying at a place where two versions of Traefik may read them, or the rules, differently."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Final, NamedTuple

from reconciler.routing.decide import Found, find
from reconciler.routing.matchers import And, Node, Not
from reconciler.routing.planes import Claimant, Plane, node_of
from reconciler.routing.regions import is_ordinary
from reconciler.routing.request import Request
from reconciler.routing.urls import Release

MOST_RIVALS: Final = 8
"""So many others are looked at that may match the same requests as one router."""
_MOST_SPELT: Final = 300
"""Of so many routers requests are tried in every spelling: what a spelling does is the same for all."""
_ENDINGS: Final = (
    "/", "//", "/./", "/../x", "%2F", "%2f", "%5C", "%00", "%3B", "%25", "%3F", "%23", "%2e", ";a=1", "?a;b=1",
    "?a=%zz", "#a", "%zz", "\\", "%C3%A9",
)  # fmt: skip
_WHOLE: Final = (("CONNECT", "x:443"), ("OPTIONS", "*"), ("GET", "x"), ("GET", "//x"), ("GET", "http://x/"))


class Trial(NamedTuple):
    """A request, and the router that it is about."""

    request: Request
    about: Claimant


def trials(plane: Plane, release: Release) -> Iterator[Trial]:
    """For each router what only it matches, what others match too, what just misses it, and odd spellings of that.

    What matters most comes first, so that whoever stops has seen something of every router.
    """
    alone = list(_alone(plane, release))
    yield from alone
    yield from chain.from_iterable(_beside_rivals(one, plane, release) for one in plane.claimants)
    yield from chain.from_iterable(_just_missed(one, plane, release) for one in plane.claimants)
    yield from chain.from_iterable(map(_spelt, islice(alone, _MOST_SPELT)))


def _alone(plane: Plane, release: Release) -> Iterator[Trial]:
    for one in plane.claimants:
        yield from _found(plane, one, one.nodes, (), release)


def _beside_rivals(one: Claimant, plane: Plane, release: Release) -> Iterator[Trial]:
    """What another matches too, and what that one does not."""
    near = (other for other in plane.near(one.bound) if other is not one and other.meets(one))
    for other in islice(near, MOST_RIVALS):
        yield from _found(plane, one, (*one.nodes, *other.nodes), (), release)
        yield from _found(plane, one, one.nodes, (node_of(other.root),), release)


def _just_missed(one: Claimant, plane: Plane, release: Release) -> Iterator[Trial]:
    """What matches all of a rule but one part."""
    for node in one.nodes:
        if isinstance(node, And):
            for part in node.parts:
                rest = tuple(other for other in (*one.nodes, *node.parts) if other not in (node, part))
                yield from _found(plane, one, (*rest, Not(part)), (), release)


def _found(
    plane: Plane, one: Claimant, all_of: tuple[Node, ...], none_of: tuple[Node, ...], release: Release
) -> Iterator[Trial]:
    found = find(tuple(dict.fromkeys(all_of)), none_of, release=release)
    if isinstance(found, Found):
        yield Trial(replace(found.witness, entry_point=plane.place[0], tls=plane.place[1]), one)


def _spelt(trial: Trial) -> Iterator[Trial]:
    """The same in spellings that versions read differently, or refuse."""
    request, about = trial
    if not is_ordinary(request):
        return
    path = request.target.partition("?")[0].rstrip("/")
    for ending in _ENDINGS:
        yield Trial(replace(request, target=f"{path}{ending}"), about)
    for method, target in _WHOLE:
        yield Trial(replace(request, method=method, target=target), about)
    if request.host:
        for host in (f"{request.host}.", request.host.upper(), f"{request.host}:1"):
            yield Trial(replace(request, host=host), about)
