"""What the reconciler says of itself, for a page that must not hang on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from reconciler.query_client import Answer, Away
from shards.offers import in_thread

_WAITS: Final = 1.0
"""Seconds. Whoever asks how the gateway is has little patience, and is answered without the reconciler then."""


class Heard:
    """Asks the reconciler beside everything else: one question at a time, which whoever comes meanwhile shares."""

    def __init__(self, ask: Callable[[], Answer], waits: float = _WAITS) -> None:
        self._ask = ask
        self._waits = waits
        self._asking: asyncio.Task[Answer] | None = None

    async def now(self) -> Answer:
        """Its answer, or why there is none yet."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(in_thread(self._ask), name="the reconciler is asked")
        try:
            return await asyncio.wait_for(asyncio.shield(self._asking), self._waits)
        except TimeoutError:
            return Away("the reconciler did not answer at once")
