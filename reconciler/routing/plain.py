"""Rules that ask for literal hosts and one path and nothing else, which most do: decided without any search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from reconciler.routing.dimensions import language
from reconciler.routing.domain import PATHS
from reconciler.routing.matchers import And, Host, Node, Path, PathPrefix


class Plain(NamedTuple):
    """`hosts` None: every host. `path`: what the path begins with ("" where it may be `*` too), or (`whole`) is."""

    hosts: frozenset[str] | None
    path: str
    whole: bool

    def meet(self, other: Plain) -> Plain | None:
        """What both ask for together; None where nothing does."""
        hosts = self.hosts if other.hosts is None else other.hosts if self.hosts is None else self.hosts & other.hosts
        longer, shorter = (self, other) if len(self.path) >= len(other.path) else (other, self)
        nested = longer.path == shorter.path if shorter.whole else longer.path.startswith(shorter.path)
        return Plain(hosts, longer.path, longer.whole or shorter.whole) if nested and hosts != frozenset() else None

    def covers(self, other: Plain) -> bool:
        """Whether this matches all that the other one does."""
        return self.meet(other) == other


ANYTHING = Plain(None, "", False)


def plain_of(node: Node) -> Plain | None:
    """A rule in this form; None where it is not of this kind (or can never match, which others explain)."""
    match node:
        case Host(value) if not value.startswith("*"):
            return Plain(language(node).texts, "", False)
        case PathPrefix(value) | Path(value):
            return Plain(None, value, isinstance(node, Path)) if _is_path(value) else None
        case And(parts):
            found: Plain | None = ANYTHING
            for part in parts:
                other = plain_of(part)
                found = found.meet(other) if found and other else None
            return found
    return None


@lru_cache(20_000)
def _is_path(text: str) -> bool:
    return PATHS.matches(text)


def plain_meet(rules: Sequence[Plain]) -> Plain | None:
    """What all of them ask for together; None where nothing does."""
    found: Plain | None = ANYTHING
    for rule in rules:
        found = found.meet(rule) if found else None
    return found
