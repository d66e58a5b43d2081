"""What a plan does to requests, as guards and people see it: sorts of requests, and who answers them. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from state.model import Problem


@dataclass(frozen=True, kw_only=True)
class Answering:
    """Who answers one sort of requests. `routes` are addresses: none where nobody does, several where chance decides.

    `asks`: in every case somebody asks who is there. `known` is False where nobody can tell who answers.
    """

    routes: tuple[str, ...] = ()
    asks: bool = False
    known: bool = True

    @property
    def is_open(self) -> bool:
        """Whether a request may be answered without anybody asking who is there."""
        return not self.asks and (bool(self.routes) or not self.known)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One sort of requests that a plan treats differently. `told` says it in a sentence, with a request as witness.

    `hosts` are those for which it holds, as people call them, each with a path where that is more than "/"; the one
    of the witness is the first, and `host` names a few of them for a sentence. `exposed` are those of `hosts` to which
    the internet gets a way that it did not have. `unknown` is why nobody can tell, "" where it is certain. `odd`:
    hardly any client sends such requests, and nobody loses anything by them. `stake`: a digest of all that causes it,
    of which the witness is only one example.
    `data` is the same for machines.
    """

    told: str
    host: str
    hosts: tuple[str, ...]
    entry_point: str
    before: Answering
    after: Answering
    exposed: tuple[str, ...] = ()
    unknown: str = ""
    odd: bool = False
    stake: str = ""
    data: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, kw_only=True)
class Gone:
    """A host name that loses the route which answered for it. `told` says in words what is left.

    `theirs`: the route is somebody else's.
    """

    host: str
    route: str
    told: str
    theirs: bool = False
    stake: str = ""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A host that a route newly answers for at a public entry point; not `certain` where somebody may have before."""

    host: str
    route: str
    entry_point: str
    certain: bool = True
    stake: str = ""


@dataclass(frozen=True, kw_only=True)
class LetIn:
    """What decides who may come in, and will let in others than it did. `told` says how, `hosts` for whom."""

    address: str
    told: str
    hosts: tuple[str, ...]
    stake: str = ""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A router that gets no request any more, because another does: one of ours (`by_ours`) and one of others'."""

    loser: str
    winner: str
    by_ours: bool
    told: str  # the hosts, for a sentence
    hosts: tuple[str, ...]
    stake: str = ""


@dataclass(frozen=True, kw_only=True)
class Effects:
    """All that one instance's part of a plan does to requests, what matters most first.

    `problems` are what is wrong with the routes that it changes, among all others: an "error" holds the plan.
    `gone` are the host names without a route afterwards, `lately` those that went in the steps before, at which nobody
    looked. `hosts` counts the names in rules before, `routes` the routes before and in those steps, `left`
    the routes afterwards.
    """

    all: tuple[Effect, ...] = ()
    gone: tuple[Gone, ...] = ()
    reached: tuple[Reached, ...] = ()
    let_in: tuple[LetIn, ...] = ()
    taken: tuple[Taken, ...] = ()
    lately: tuple[str, ...] = ()
    hosts: int = 0
    routes: int = 0
    left: int = 0
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
