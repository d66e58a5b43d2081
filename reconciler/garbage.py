"""How often Python looks through everything it holds for garbage that refers to itself."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEW = 50_000
"""Objects made between two short looks; Python's own 700 are fewer than one answer of a Traefik brings."""
_SHORT = 20
"""Short looks to a longer one."""


@contextmanager
def seldom_looked_for() -> Iterator[None]:
    """What is wanted, live and applied is held for long and holds no circles: to look through thousands of routes
    again and again took a third of the time from a merge to its proof. Of a call of a tool, which is over in a moment,
    it took a tenth."""
    new, short, long = gc.get_threshold()
    gc.set_threshold(_NEW, _SHORT, long)
    try:
        yield
    finally:
        gc.set_threshold(new, short, long)
