"""Ports for servers that must be told theirs.

Asking the kernel for a free port and closing it gives a port that anybody gets a moment later: another test's server,
or the stub beside it. These lie below those that the kernel hands out, each process of a test run has some thousands to
itself, and none is named twice until all were.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator

FIRST = 10_000
EACH = 5_000  # four processes run the tests; the kernel's own begin at 32,768


def _of_this_process() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    first = FIRST + worker * EACH
    started = os.getpid() * 61 % EACH  # two runs at once begin at different places
    return itertools.cycle([*range(first + started, first + EACH), *range(first, first + started)])


_numbers = _of_this_process()


def free_port() -> int:
    """A port of loopback, for TCP and UDP, at which nothing listens."""
    return next(port for port in _numbers if _is_free(port))


def free_ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]


def _is_free(port: int) -> bool:
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind(("", port))
    except OSError:
        return False
    return True
