"""Sorts of requests that a change treats differently: each with a witness, and what people would mind about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from reconciler.routing.matchers import Node
from reconciler.routing.regions import is_ordinary, test_of
from reconciler.routing.request import PLAIN, Door, Refused, Request, look
from reconciler.routing.treatments import Treatment, order


@dataclass(frozen=True, kw_only=True)
class Change:
    """One sort of requests that are treated differently, with a witness.

    Where `unknown` says why nobody can tell, `region` are the rules that all such requests match, `before` and `after`
    are what is supposed (None: anything), and there may be no witness.

    `host` is that of the witness as a rule names it, or in words where none does ("every host"). `hosts` are all that
    rules name and that belong to the sort, the witness's first, each with a path where that is more than "/".
    """

    entry_point: str
    tls: bool
    before: Treatment | None
    after: Treatment | None
    witness: Request | None = None
    unknown: str = ""
    authentication_lost: bool = False
    newly_public: bool = False
    host_gone: bool = False
    target_changed: bool = False
    region: tuple[Node, ...] = field(default=(), compare=False, repr=False)
    host: str = field(default="", compare=False)
    hosts: tuple[str, ...] = field(default=(), compare=False)

    @property
    def importance(self) -> int:
        """0 is what a person must see first."""
        if self.unknown:
            return 3
        if self.witness is not None and not is_ordinary(self.witness):
            return 8
        marks = (self.authentication_lost, self.newly_public, self.host_gone)
        return next((number for number, mark in enumerate(marks) if mark), _IMPORTANCE.get(self._kind, 7))

    @property
    def _kind(self) -> str:
        if self.after is not None and self.after.kind == "tied":
            return "tied"
        if self.before is not None and self.after is not None and self.before.served and not self.after.served:
            return "lost"
        return "target" if self.target_changed else "other"

    def covers(self, request: Request, before: Treatment, after: Treatment, door: Door = PLAIN) -> bool:
        """Whether a request that is treated so and then so is of this sort, or may be; `door` is where it arrives."""
        if (request.entry_point, request.tls) != (self.entry_point, self.tls):
            return False
        if not self.unknown:
            return (self.before, self.after) == (before, after)
        seen = look(request, door)
        return not isinstance(seen, Refused) and all(test_of(node)(seen) for node in self.region)


_IMPORTANCE: Final[Mapping[str, int]] = {"tied": 4, "lost": 5, "target": 6}


@dataclass(frozen=True)
class Changes:
    """All changes, the most important first."""

    classes: tuple[Change, ...] = ()

    @property
    def total(self) -> int:
        return len(self.classes)

    def first(self, most: int) -> tuple[Change, ...]:
        """No more than so many; `total` says how many there are."""
        return self.classes[:most]

    @cached_property
    def known(self) -> tuple[Change, ...]:
        return tuple(one for one in self.classes if not one.unknown)

    @cached_property
    def unknown(self) -> tuple[Change, ...]:
        return tuple(one for one in self.classes if one.unknown)


def sorting(one: Change) -> tuple[object, ...]:
    """The order in which people are told: what matters most first, and the same in every run."""
    witness = one.witness
    told = (witness.host or "", witness.target, witness.method) if witness else ("", "", "")
    sides = tuple(((), order(side))[side is not None] if side else () for side in (one.before, one.after))
    return one.importance, one.entry_point, one.tls, told, sides, one.unknown, repr(one.region)


def plainness(request: Request | None) -> tuple[object, ...]:
    """Lower for requests that are more like those that people make."""
    if request is None:
        return (9,)
    size = len(request.target) + len(request.host or "")
    odd = not is_ordinary(request), len(request.headers), request.method != "GET"
    return *odd, size, request.target, request.host or "", request.method, request.headers, request.client_ip
