"""What every host or path that matches a rule begins with, as far as regular expressions tell."""

from __future__ import annotations

from functools import lru_cache

from reconciler.routing.dimensions import language
from reconciler.routing.languages.trees import Unmodelled
from reconciler.routing.matchers import And, HostRegexp, Node, PathRegexp
from reconciler.routing.request import NEWEST
from reconciler.routing.urls import Release


@lru_cache(50_000)
def host_beginning(node: Node, release: Release = NEWEST) -> str:
    """What every host that matches begins with; "" where nothing is known of it."""
    match node:
        case HostRegexp():
            return beginning_of(node, release)
        case And(parts):
            return max((host_beginning(part, release) for part in parts), key=len)
    return ""


def beginning_of(node: HostRegexp | PathRegexp, release: Release = NEWEST) -> str:
    """What every text begins with in which an expression finds something."""
    try:
        return language(node, release).beginning
    except Unmodelled:
        return ""
