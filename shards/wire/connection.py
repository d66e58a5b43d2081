"""A connection over HTTP/1.1 to a shard: one request after the other, and of each answer no more than is bounded.

It lives on the event loop: a thread for each call, and a parser of HTTP in Python, cost the gateway a fifth of what
it does for a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from functools import partial
from typing import Any, Final, cast

import anyio
import anyio.to_thread
import httptools

STREAM: Final = "text/event-stream"

_LARGEST_HEAD: Final = 64 << 10
"""Bytes until an answer begins; so many headers no shard sends."""


_AT_A_TIME: Final = 16 << 10
"""Bytes of lines that are read before others have their turn."""


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
        self._come = self._come_of_body = self._looked_at = self._without_pause = 0
        self._has_head = self._has_length = self._is_whole = False
        self._body = bytearray()
        self._fault: OSError | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    async def head(self) -> None:
        """Wait for its head, and where it is no stream for all of it.

        This, and what follows, raises OSError where it breaks off, is too long, or is no HTTP.
        """
        while not self._has_head:
            await self._more()

    async def content(self) -> bytearray:
        """All of its body; it is kept nowhere else."""
        while not self._is_whole:
            await self._more()
        body, self._body = self._body, bytearray()
        return body

    async def line(self) -> bytes:
        """The next line of its body as soon as it has come, b"" where none will."""
        while not (end := self._body.find(b"\n", self._looked_at) + 1):
            if self._is_whole:
                return b""
            self._looked_at = len(self._body)
            await self._more()
        line = bytes(self._body[:end])
        del self._body[:end]
        self._looked_at = 0
        await self._pause_after(end)
        return line

    async def _pause_after(self, read: int) -> None:
        """Whoever sends many lines at once keeps nobody else waiting while they are read."""
        self._without_pause += read
        if self._without_pause > _AT_A_TIME:
            self._without_pause = 0
            await asyncio.sleep(0)

    async def _more(self) -> None:
        if self._fault:
            raise self._fault
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    # ── what comes ───────────────────────────────────────────────────────────────────────────────

    @property
    def is_over(self) -> bool:
        """Whether all has come, or nothing more is wanted."""
        return self._is_whole or self._fault is not None

    def feed(self, data: bytes) -> None:
        """What comes before it is over. Of one read the end may belong to nothing that was asked."""
        assert self._parser is not None
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
        if self._has_head and not self._has_length and not fault and not self._fault:
            self._is_whole = True
        self._fail(fault if isinstance(fault, OSError) else PostError("it hung up before it had answered"))
        self._wake()

    def _fail(self, fault: OSError) -> None:
        self.may_be_followed = False
        if not self._is_whole and not self._fault:
            self._fault = fault
            self._body = bytearray()

    def _wake(self) -> None:
        if self.is_over:
            self._parser = None  # which knows us: a large body would stay until somebody looks for garbage
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
            assert self._parser is not None
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
            assert self._parser is not None
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
        if self._answer and not self._answer.is_over:
            self._answer.feed(data)
        else:
            self.cut_off()  # nobody asked for this
            return
        if self._answer.is_over and not self._answer.may_be_followed:
            self.cut_off()

    def connection_lost(self, fault: Exception | None) -> None:
        self._transport = None
        if self._answer:
            self._answer.end(fault)


class Finding:
    """Finds the addresses of a name. A lookup cannot be interrupted, so there is one at a time, which all share."""

    def __init__(self, host: str, port: int) -> None:
        self._asked = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        self._lookup: asyncio.Task[list[Any]] | None = None

    async def addresses(self) -> list[Any]:
        """As `socket.getaddrinfo` tells them. Raises OSError."""
        with contextlib.suppress(OSError):
            return self._asked(flags=socket.AI_NUMERICHOST)  # there is nothing to look up
        if self._lookup is None or self._lookup.done():
            search = anyio.to_thread.run_sync(self._asked, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
            self._lookup = asyncio.create_task(search)
            self._lookup.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._lookup)


async def connected(finding: Finding, host: str, port: int, tls: ssl.SSLContext | None, within: float) -> Connection:
    """A new connection, to the first address of that name that takes it. Raises OSError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(within):
        addresses = await finding.addresses()
    fault = OSError("its name has no address")
    for *_, address in addresses:
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
