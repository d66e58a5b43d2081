"""A call over HTTP to a shard that keeps no sessions: one request, one answer, a connection that is kept for the next.

Of all that the SDK's client does, a call of this era needs nothing, and it costs the gateway more than the rest of the
call together. So calls go out here, blocking, in threads; the SDK keeps watch over the shard and lists what it offers.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.from_thread
import anyio.to_thread
import mcp_types as protocol
import orjson
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import encode_header_value
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from shards.offers import Progress
from state.sparing import dataclass

MOST_BYTES: Final = 16 << 20
"""Of one answer: what is more is not read."""

_CLIENT: Final = {"name": "waypost", "version": "1"}


class PostError(OSError):
    """The shard did not answer as this era asks; the message says how it did."""


def speaks(version: str) -> bool:
    """Whether a shard of this revision keeps no sessions."""
    return version in MODERN_PROTOCOL_VERSIONS


@dataclass
class Post:
    """Calls to one shard, as many at once as it is given.

    `within` is how many seconds connecting may take, `seconds` an answer.
    """

    url: str
    version: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext
    within: float
    seconds: float
    at_once: int
    _idle: list[http.client.HTTPConnection] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=itertools.count)
    _closed: bool = False

    def __post_init__(self) -> None:
        self._threads = anyio.CapacityLimiter(self.at_once)

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        meta: Mapping[str, Any],
        progress: Progress | None,
        mirrored: Mapping[str, str] | None = None,
    ) -> protocol.CallToolResult:
        """What a tool answers; `mirrored`: the headers in which it wants to have arguments as well.

        Raises MCPError where the shard refuses, OSError or ValueError where it answers wrong.

        A call that is cancelled is cut off: in this era that is how a shard hears of it.
        """
        exchange = _Exchange(self._connection(), self._asked(tool, arguments, meta, progress, mirrored or {}))
        relay = partial(_relay, progress) if progress else None
        try:
            run = partial(exchange.carry_out, relay, self._fresh)
            answer = await anyio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._threads)
        except BaseException:
            exchange.cut_off()
            raise
        if exchange.is_reusable and not self._closed:
            self._idle.append(exchange.connection)
        else:
            exchange.connection.close()
        return _result(answer)

    def close(self) -> None:
        """Keep no connection any more; calls under way come to their end."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _asked(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        meta: Mapping[str, Any],
        progress: Progress | None,
        mirrored: Mapping[str, str],
    ) -> _Request:
        id = next(self._ids)
        said = {
            "io.modelcontextprotocol/protocolVersion": self.version,
            "io.modelcontextprotocol/clientInfo": _CLIENT,
            "io.modelcontextprotocol/clientCapabilities": {},
            **meta,
            **({"progressToken": id} if progress else {}),
        }
        params = {"name": tool, "arguments": arguments, "_meta": said}
        content = orjson.dumps({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
        headers = {
            **self.headers,
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "MCP-Protocol-Version": self.version,
            "Mcp-Method": "tools/call",
            "Mcp-Name": encode_header_value(tool),
            **mirrored,
        }
        place = urlsplit(self.url)
        path = f"{place.path or '/'}{'?' + place.query if place.query else ''}"
        return _Request(id, path, content, headers, self.seconds)

    def _connection(self) -> http.client.HTTPConnection:
        return self._idle.pop() if self._idle else self._fresh()

    def _fresh(self) -> http.client.HTTPConnection:
        place = urlsplit(self.url)
        if place.scheme == "https":
            return http.client.HTTPSConnection(str(place.hostname), place.port, timeout=self.within, context=self.tls)
        return http.client.HTTPConnection(str(place.hostname), place.port, timeout=self.within)


@dataclass(frozen=True)
class _Request:
    id: int
    path: str
    content: bytes
    headers: Mapping[str, str]
    seconds: float


Relay = Callable[[Mapping[str, Any]], None]


@dataclass
class _Exchange:
    """One request and what comes back, in a thread of its own."""

    connection: http.client.HTTPConnection
    request: _Request
    is_reusable: bool = False
    _ended: bool = False

    def carry_out(self, relay: Relay | None, fresh: Callable[[], http.client.HTTPConnection]) -> dict[str, Any]:
        try:
            with self._response(fresh) as response:
                answer = self._read(response, relay)
                self.is_reusable = not response.will_close and response.isclosed()
        except http.client.HTTPException as fault:
            raise PostError(f"it hung up, or speaks no HTTP: {type(fault).__name__}") from fault
        return answer

    def cut_off(self) -> None:
        """End it from outside: whoever waits for the answer wakes up."""
        self._ended = True
        with contextlib.suppress(OSError):
            if self.connection.sock is not None:
                self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def _response(self, fresh: Callable[[], http.client.HTTPConnection]) -> http.client.HTTPResponse:
        kept = self.connection.sock is not None
        try:
            return self._sent()
        except (http.client.RemoteDisconnected, ConnectionError):
            if not kept or self._ended:
                raise
        # A kept connection that was closed in this very moment: nothing of the question was heard.
        self.connection.close()
        self.connection = fresh()
        return self._sent()

    def _sent(self) -> http.client.HTTPResponse:
        if self.connection.sock is None:
            self.connection.connect()
        if self.connection.sock is not None:
            self.connection.sock.settimeout(self.request.seconds)
        if self._ended:
            raise PostError("it was given up before it was asked")
        self.connection.request("POST", self.request.path, self.request.content, dict(self.request.headers))
        return self.connection.getresponse()

    def _read(self, response: http.client.HTTPResponse, relay: Relay | None) -> dict[str, Any]:
        kind = response.headers.get_content_type()
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise PostError("it packs its answers, though it was asked not to")  # who knows how large they are
        if kind == "text/event-stream":
            return self._streamed(response, relay)
        content = response.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise PostError(f"its answer is longer than {MOST_BYTES:,} bytes")
        if kind != "application/json":
            raise PostError(f"it answers with status {response.status} and {kind}")
        return self._answer(content) or _no_answer()

    def _streamed(self, response: http.client.HTTPResponse, relay: Relay | None) -> dict[str, Any]:
        left, data = MOST_BYTES, bytearray()
        while line := response.readline(left + 1):
            left -= len(line)
            if left < 0:
                raise PostError(f"its answer is longer than {MOST_BYTES:,} bytes")
            if line.startswith(b"data:"):
                data += line[5:].strip() + b"\n"
            elif not line.strip() and data:
                if (answer := self._answer(bytes(data), relay)) is not None:
                    response.read(left)  # the end of it, so that the connection can be used again
                    return answer
                data.clear()
        return _no_answer()

    def _answer(self, content: bytes, relay: Relay | None = None) -> dict[str, Any] | None:
        """The answer to our question, or None where this is something else that the shard says meanwhile."""
        said = orjson.loads(content)
        if not isinstance(said, dict):
            raise PostError("it answers with no message of MCP")
        if ("result" in said or "error" in said) and said.get("id", self.request.id) in (self.request.id, None):
            return said
        if relay and said.get("method") == "notifications/progress" and isinstance(said.get("params"), dict):
            relay(said["params"])
        return None


def _no_answer() -> dict[str, Any]:
    raise PostError("it ended its answer before it said anything")


def _relay(progress: Progress, said: Mapping[str, Any]) -> None:
    anyio.from_thread.run(_relayed, progress, said)


async def _relayed(progress: Progress, said: Mapping[str, Any]) -> None:
    done, total, message = said.get("progress"), said.get("total"), said.get("message")
    if isinstance(done, int | float) and isinstance(total, int | float | None):
        await progress(float(done), total, message if isinstance(message, str) else None)


def _result(said: Mapping[str, Any]) -> protocol.CallToolResult:
    if "error" not in said:
        result = said["result"]
        if isinstance(result, dict) and result.get("resultType", "complete") != "complete":
            raise ValueError("it asks back, and nobody here may answer that")
        return protocol.CallToolResult.model_validate(result, by_name=False)
    error = protocol.ErrorData.model_validate(said["error"])
    raise MCPError(error.code, error.message, error.data)
