"""Exchanges over HTTP that are over by a moment: finding the other side, our words, its headers and its body together.

A library's time-out is for one read. Who says a byte now and then keeps within it, and never comes to an end.
"""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx2

_PORTION: Final = 64 * 1024  # bytes that are sent at once: whoever takes few at a time is looked at between two


class TooSlow(Exception):
    """The moment has come, and the exchange is not over."""


def by(ends: float) -> Mapping[str, float]:
    """The extension of a request that has to be over at that moment of the transport's clock."""
    return {"ends": ends}


class Transport(httpx2.HTTPTransport):
    """Of requests that say `by` when they are over. Raises TooSlow then, while a body is read, too."""

    def __init__(self, verify: ssl.SSLContext | bool, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(verify=verify, trust_env=False)
        self._watch = _Watch(monotonic)
        pool: Any = self._pool  # httpx2 itself lets nobody in to where bytes are read
        pool._network_backend = _Lines(pool._network_backend, self._watch)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        ends = request.extensions["ends"]
        with self._watch.until(ends):
            response = super().handle_request(request)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Body(response.stream, self._watch, ends)
        return response


class _Watch(threading.local):
    """When the exchange of this thread is over: a kept line has one at a time, and each its own end."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ends = math.inf

    @contextmanager
    def until(self, ends: float) -> Iterator[None]:
        self._ends = ends
        try:
            yield
        except httpx2.TimeoutException:
            if self._monotonic() < ends:
                raise
            raise TooSlow from None
        finally:
            self._ends = math.inf

    def left(self, timeout: float | None) -> float:
        left = self._ends - self._monotonic()
        if left <= 0:
            raise TooSlow
        return left if timeout is None else min(timeout, left)


class _Body(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, watch: _Watch, ends: float) -> None:
        self._stream, self._watch, self._ends = stream, watch, ends

    def __iter__(self) -> Iterator[bytes]:
        pieces = iter(self._stream)
        while True:
            with self._watch.until(self._ends):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def close(self) -> None:
        self._stream.close()


class _Lines:
    """Opens lines as the one it stands before does."""

    def __init__(self, lines: Any, watch: _Watch) -> None:
        self._lines, self._watch = lines, watch

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **more: Any) -> _Line:
        return _Line(self._lines.connect_tcp(host, port, timeout=self._watch.left(timeout), **more), self._watch)


class _Line:
    """A line to the other side: no read and no write of it waits longer than the exchange has left."""

    def __init__(self, line: Any, watch: _Watch) -> None:
        self._line, self._watch = line, watch
        self.close, self.get_extra_info = line.close, line.get_extra_info

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str, timeout: float | None = None) -> _Line:
        secured = self._line.start_tls(ssl_context, server_hostname, self._watch.left(timeout))
        return _Line(secured, self._watch)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        read: bytes = self._line.read(max_bytes, self._watch.left(timeout))
        return read

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for begin in range(0, len(buffer), _PORTION):
            self._line.write(buffer[begin : begin + _PORTION], self._watch.left(timeout))
