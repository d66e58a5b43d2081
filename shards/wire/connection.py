"""A connection over HTTP/1.1 to a shard: one request after the other, and of each answer no more than is bounded.

It lives on the event loop: a thread for each call, and a parser of HTTP in Python, cost the gateway a fifth of what
it does for a call.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from socket import SOCK_STREAM
from typing import Final, cast

import httptools

STREAM: Final = "text/event-stream"

_LARGEST_HEAD: Final = 64 << 10
"""Bytes until an answer begins; so many headers no shard sends."""


class PostError(OSError):
    """The shard did not answer as this era asks; the message says how it did."""


class Answer:
    """An answer as far as it has come. `status`, `kind` (its media type) and `is_packed` stand in its head.

    `is_heard`: some of it has come, so the question got there. `may_be_followed`: by another one, over its connection.
    """

    def __init__(self, most: int) -> None:
        """`most`: how many bytes are read of it."""
        self.status = 0
        self.kind = ""
        self.is_packed = False
        self.is_heard = False
        self.may_be_followed = False
        self._most = most
        self._come = self._come_of_body = 0
        self._has_head = self._has_length = self._is_whole = False
        self._body = bytearray()
        self._fault: OSError | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._parser = httptools.HttpResponseParser(self)

    async def head(self) -> None:
        """Wait for its head, and where it is no stream for all of it.

        This, and what follows, raises OSError where it breaks off, is too long, or is no HTTP.
        """
        while not self._has_head:
            await self._more()

    async def content(self) -> bytearray:
        while not self._is_whole:
            await self._more()
        return self._body

    async def lines(self) -> AsyncIterator[bytes]:
        """Its lines, each as soon as it has come."""
        looked_at = 0
        while True:
            if end := self._body.find(b"\n", looked_at) + 1:
                line = bytes(self._body[:end])
                del self._body[:end]
                looked_at = 0
                yield line
            elif self._is_whole:
                return
            else:
                looked_at = len(self._body)
                await self._more()

    async def _more(self) -> None:
        if self._fault:
            raise self._fault
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    # ── what comes ───────────────────────────────────────────────────────────────────────────────

    def feed(self, data: bytes) -> None:
        if self._is_whole:  # nobody asked for what comes behind it
            self.may_be_followed = False
            return
        self.is_heard = True
        self._come += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as fault:
            self._fail(PostError(f"it speaks no HTTP that is understood: {type(fault).__name__}"))
        if self._come_of_body > self._most or self._come > 2 * self._most + _LARGEST_HEAD:
            self._is_whole = False
            self._fail(PostError(f"its answer is longer than {self._most:,} bytes"))
        elif not self._has_head and self._come > _LARGEST_HEAD:
            self._fail(PostError(f"its answer does not begin within {_LARGEST_HEAD:,} bytes"))
        self._wake()

    def end(self, fault: Exception | None) -> None:
        """No more will come. Where nobody said how long the answer is, it ends with the connection."""
        self.may_be_followed = False
        if self._has_head and not self._has_length and not fault:
            self._is_whole = True
        self._fail(fault if isinstance(fault, OSError) else PostError("it hung up before it had answered"))
        self._wake()

    def _fail(self, fault: OSError) -> None:
        self.may_be_followed = False
        if not self._is_whole and not self._fault:
            self._fault = fault

    def _wake(self) -> None:
        waiting = self._waiting
        if waiting is None or waiting.done():
            return
        if self._fault:
            waiting.set_exception(self._fault)
        elif self._is_whole or (self._has_head and self.kind == STREAM):  # of all else nobody wants a part
            waiting.set_result(None)

    # ── what the parser finds ────────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        if self._is_whole:  # of another answer, that nobody asked for
            self.may_be_followed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_head:
            return
        name = name.lower()
        if name == b"content-type":
            self.kind = self.kind or value.partition(b";")[0].strip().lower().decode("latin-1")
        elif name == b"content-encoding":
            self.is_packed = self.is_packed or value.strip().lower() != b"identity"
        elif name in (b"content-length", b"transfer-encoding"):
            self._has_length = True

    def on_headers_complete(self) -> None:
        if not self._has_head:
            self.status = self._parser.get_status_code()
            self._has_head = self.status >= 200

    def on_body(self, body: bytes) -> None:
        if not self._is_whole:
            self._come_of_body += len(body)
            self._body += body

    def on_message_complete(self) -> None:
        if not self._has_head:  # "go on" and the like
            self.kind, self.is_packed, self._has_length = "", False, False
        elif not self._is_whole:
            self._is_whole, self.may_be_followed = True, self._parser.should_keep_alive()


class Connection(asyncio.Protocol):
    """A connection that is asked one thing after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None

    def ask(self, request: bytes, most: int) -> Answer:
        """The answer to that, of which nothing has come yet, and `most` bytes are read."""
        self._answer = Answer(most)
        if self._transport is None or self._transport.is_closing():
            self._answer.end(None)
        else:
            self._transport.write(request)
        return self._answer

    @property
    def is_free(self) -> bool:
        """Whether it can be asked something."""
        is_open = self._transport is not None and not self._transport.is_closing()
        return is_open and (self._answer is None or self._answer.may_be_followed)

    def cut_off(self) -> None:
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's by their class

    def data_received(self, data: bytes) -> None:
        if self._answer:
            self._answer.feed(data)
        else:
            self.cut_off()

    def connection_lost(self, fault: Exception | None) -> None:
        self._transport = None
        if self._answer:
            self._answer.end(fault)


async def connected(host: str, port: int, tls: ssl.SSLContext | None, within: float) -> Connection:
    """A new connection, to the first address of that name that takes it. Raises OSError."""
    loop = asyncio.get_running_loop()
    fault = OSError("its name has no address")
    for *_, address in await loop.getaddrinfo(host, port, type=SOCK_STREAM):
        try:
            async with asyncio.timeout(within):
                _, made = await loop.create_connection(
                    Connection, str(address[0]), port, ssl=tls, server_hostname=host if tls else None
                )
        except OSError as problem:  # a TimeoutError is one
            fault = problem
        else:
            return made
    raise fault
