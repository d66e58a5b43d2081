"""How a shard elsewhere is reached over HTTP: nowhere but the declared address, and no answer without a bound."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Final

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from reconciler.setting import ConfigError
from shards import masking
from shards.declared import Declared
from shards.wire.posting import MOST_BYTES, Post, speaks

_LONGEST_WORDS: Final = 200

Trust = Callable[[], ssl.SSLContext]

REQUEST_ID: Final = "waypost/request-id"
"""Where a shard finds, in a call's metadata, by which id the gateway knows it."""

PAUSE: Final = 1.0
"""Seconds before a stream of a shard's own is listened to, or taken up where it broke off. How soon it is again, the
shard says itself, and the SDK's client takes its word: one that says "at once" would keep a processor busy for good."""

CUT_OFF: Final = (httpx2.HTTPError, OSError, anyio.ClosedResourceError, anyio.BrokenResourceError, ExceptionGroup)
"""What a connection that breaks raises, a task group's word for any of it included."""


@contextlib.asynccontextmanager
async def dialled(shard: Declared, tls: Trust) -> AsyncIterator[Client]:
    """A connection over HTTP, to nowhere but the declared address. Raises ConfigError where its token cannot be had."""
    token = shard.token
    http = httpx2.AsyncClient(
        headers={"Accept-Encoding": "identity", **({"Authorization": f"Bearer {token.for_header()}"} if token else {})},
        timeout=httpx2.Timeout(shard.longest, connect=shard.patience.within),
        follow_redirects=False,
        transport=_Bounded(verify=tls(), trust_env=False),
    )
    transport = streamable_http_client(shard.url, http_client=http)
    async with http, Client(transport, read_timeout_seconds=shard.longest + 1) as client:
        yield client


def posted(shard: Declared, tls: Trust, client: Client) -> Post | None:
    """How calls go past the SDK's client to the shard that it is connected to; None where that keeps sessions."""
    version = client.protocol_version
    if not speaks(version):
        return None
    token = shard.token
    return Post(
        url=shard.url,
        version=version,
        headers={"Authorization": f"Bearer {token.for_header()}"} if token else {},
        tls=tls(),
        within=shard.patience.within,
    )


def words(fault: BaseException) -> str:
    """A fault in a few words on one line, without a traceback and without secrets.

    They go into the log, and on a page that is open to everybody.
    """
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    if isinstance(fault, TimeoutError):
        return "it does not answer in time"
    if isinstance(fault, ConfigError):
        return str(fault)
    return masking.told(" ".join(str(fault).split()) or type(fault).__name__)[:_LONGEST_WORDS]


class _Bounded(httpx2.AsyncHTTPTransport):
    """HTTP, save that no answer can fill the memory of who asks, or keep him asking without a pause."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            await anyio.sleep(PAUSE)
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.ReadError("it packs its answers, though it was asked not to")  # who knows how large they are
        response.stream = _Counted(response.stream)
        return response


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MOST_BYTES
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise httpx2.ReadError(f"its answer is longer than {MOST_BYTES:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
