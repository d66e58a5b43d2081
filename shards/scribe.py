"""Writes down what happens to shards while the gateway goes on: a slow disk must not hold up every call."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec

_What = ParamSpec("_What")

_logger = logging.getLogger("waypost.gateway")


class Scribe:
    """One hand: what it is told is written in that order, each after the other, and nobody waits for it."""

    def __init__(self) -> None:
        self._hand = ThreadPoolExecutor(1, thread_name_prefix="scribe")

    def later(self, write: Callable[_What, None]) -> Callable[_What, None]:
        """The same, at once over for who asks."""

        def tell(*what: _What.args, **named: _What.kwargs) -> None:
            self._hand.submit(write, *what, **named).add_done_callback(_require_written)

        return tell

    def close(self) -> None:
        """Ends when all is written."""
        self._hand.shutdown()


def _require_written(done: Future[None]) -> None:
    if fault := done.exception():
        _logger.error("what happened to a shard was not written down: %s", fault)
