"""In which order stacks are deployed: what comes `after` another waits for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def ordered(names: Iterable[str], after: Mapping[str, Iterable[str]]) -> list[str]:
    """These stacks, each behind those it comes after; else by name. Members of a ring come last, by name."""
    waiting, done = sorted(set(names)), list[str]()
    while waiting:
        free = [name for name in waiting if not any(one in waiting for one in after.get(name, ()))]
        done += free or waiting
        waiting = [name for name in waiting if free and name not in free]
    return done


def rings(after: Mapping[str, Iterable[str]]) -> list[str]:
    """The stacks that wait for themselves, by way of others."""
    waiting = set(after)
    while free := {name for name in waiting if not any(one in waiting for one in after[name])}:
        waiting -= free
    # What only waits for a ring is no part of one.
    while loose := {name for name in waiting if not any(name in after[one] for one in waiting)}:
        waiting -= loose
    return sorted(waiting)
