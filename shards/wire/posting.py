"""A call over HTTP to a shard that keeps no sessions: one request, one answer, a connection that is kept for the next.

Of all that the SDK's client does, a call of this era needs nothing, and it costs the gateway more than the rest of the
call together. So calls go out here; the SDK keeps watch over the shard and lists what it offers.
"""

from __future__ import annotations

import itertools
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlsplit

import mcp_types as protocol
import orjson
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import encode_header_value
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from shards.offers import Progress
from shards.wire.connection import STREAM, Answer, Connection, Finding, PostError, connected
from state.sparing import dataclass

MOST_BYTES: Final = 16 << 20
"""Of one answer: what is more is not read."""

_CLIENT: Final = {"name": "waypost", "version": "1"}

_NO_HEADER: Final = re.compile(r"[\r\n\0]")
"""What would end a header, and begin another one."""


def speaks(version: str) -> bool:
    """Whether a shard of this revision keeps no sessions."""
    return version in MODERN_PROTOCOL_VERSIONS


@dataclass
class Post:
    """Calls to one shard. `within` is how many seconds connecting may take; how long an answer may take, and how many
    of them are waited for at once, whoever calls decides."""

    url: str
    version: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext
    within: float
    _idle: list[Connection] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=itertools.count)
    _closed: bool = False

    def __post_init__(self) -> None:
        self._place = urlsplit(self.url)
        self._port = self._place.port or (443 if self._place.scheme == "https" else 80)
        self._finding = Finding(str(self._place.hostname), self._port)
        self._always = _head(self._place, {**self.headers, **_ALWAYS, "MCP-Protocol-Version": self.version})

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
        id = next(self._ids)
        request = self._request(id, tool, arguments, meta, progress, mirrored or {})
        return _result(await self._answered(request, _Reader(id, progress)))

    def close(self) -> None:
        """Keep no connection any more; calls under way come to their end."""
        self._closed = True
        while self._idle:
            self._idle.pop().cut_off()

    def _request(
        self,
        id: int,
        tool: str,
        arguments: Mapping[str, Any],
        meta: Mapping[str, Any],
        progress: Progress | None,
        mirrored: Mapping[str, str],
    ) -> bytes:
        said = {
            "io.modelcontextprotocol/protocolVersion": self.version,
            "io.modelcontextprotocol/clientInfo": _CLIENT,
            "io.modelcontextprotocol/clientCapabilities": {},
            **meta,
            **({"progressToken": id} if progress else {}),
        }
        params = {"name": tool, "arguments": arguments, "_meta": said}
        content = orjson.dumps({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
        headers = {"Mcp-Name": encode_header_value(tool), **mirrored, "Content-Length": str(len(content))}
        return b"".join((self._always, _lines(headers), b"\r\n", content))

    async def _answered(self, request: bytes, reader: _Reader) -> dict[str, Any]:
        connection, is_kept = self._kept(), True
        if connection is None:
            connection, is_kept = await self._fresh(), False
        answer = connection.ask(request, MOST_BYTES)
        try:
            try:
                await answer.head()
            except OSError:
                if not is_kept or answer.is_heard:
                    raise
                # A kept connection that was closed in this very moment: nothing of the question was heard.
                connection.cut_off()
                connection = await self._fresh()
                answer = connection.ask(request, MOST_BYTES)
                await answer.head()
            said = await reader.read(answer)
        except BaseException:
            connection.cut_off()
            raise
        if connection.is_free and not self._closed:
            self._idle.append(connection)
        else:
            connection.cut_off()
        return said

    def _kept(self) -> Connection | None:
        while self._idle:
            if (connection := self._idle.pop()).is_free:
                return connection
            connection.cut_off()
        return None

    async def _fresh(self) -> Connection:
        tls = self.tls if self._place.scheme == "https" else None
        return await connected(self._finding, str(self._place.hostname), self._port, tls, self.within)


_ALWAYS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "Accept-Encoding": "identity",
    "Mcp-Method": "tools/call",
}


_IN_A_PATH: Final = "/%:@!$&'()*+,;=~?[]"


def _head(place: SplitResult, headers: Mapping[str, str]) -> bytes:
    """How every request begins."""
    path = quote(f"{place.path or '/'}{'?' + place.query if place.query else ''}", safe=_IN_A_PATH)
    host = place.netloc.rpartition("@")[2]
    host = host if host.isascii() else host.encode("idna").decode()
    return f"POST {path} HTTP/1.1\r\n".encode("ascii") + _lines({"Host": host, **headers})


def _lines(headers: Mapping[str, str]) -> bytes:
    if any(map(_NO_HEADER.search, headers.values())):
        raise ValueError("what would end a header cannot be in one")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")


@dataclass(frozen=True)
class _Reader:
    """Finds in what comes the answer to the question of that id, and relays how far that is."""

    id: int
    progress: Progress | None

    async def read(self, answer: Answer) -> dict[str, Any]:
        if answer.is_packed:
            raise PostError("it packs its answers, though it was asked not to")  # who knows how large they are
        if answer.kind == STREAM:
            return await self._streamed(answer)
        content = await answer.content()
        if answer.kind != "application/json":
            raise PostError(f"it answers with status {answer.status} and {answer.kind or 'no kind of content'}")
        return self._answer(orjson.loads(content)) or _no_answer()

    async def _streamed(self, answer: Answer) -> dict[str, Any]:
        data = bytearray()
        while line := await answer.line():
            if line.startswith(b"data:"):
                data += line[5:].strip() + b"\n"
            elif not line.strip() and data:
                said = orjson.loads(data)
                if (found := self._answer(said)) is not None:
                    await answer.content()  # the end of it, so that the connection can be used again
                    return found
                await self._relay(said)
                data.clear()
        return _no_answer()

    def _answer(self, said: Any) -> dict[str, Any] | None:
        """The answer to our question, or None where this is something else that the shard says meanwhile."""
        if not isinstance(said, dict):
            raise PostError("it answers with no message of MCP")
        if ("result" in said or "error" in said) and said.get("id", self.id) in (self.id, None):
            return said
        return None

    async def _relay(self, said: Mapping[str, Any]) -> None:
        params = said.get("params")
        if self.progress is None or said.get("method") != "notifications/progress" or not isinstance(params, dict):
            return
        done, total, message = params.get("progress"), params.get("total"), params.get("message")
        if isinstance(done, int | float) and isinstance(total, int | float | None):
            await self.progress(float(done), total, message if isinstance(message, str) else None)


def _no_answer() -> dict[str, Any]:
    raise PostError("it ended its answer before it said anything")


def _result(said: Mapping[str, Any]) -> protocol.CallToolResult:
    if "error" not in said:
        result = said["result"]
        if isinstance(result, dict) and result.get("resultType", "complete") != "complete":
            raise ValueError("it asks back, and nobody here may answer that")
        return protocol.CallToolResult.model_validate(result, by_name=False)
    error = protocol.ErrorData.model_validate(said["error"])
    raise MCPError(error.code, error.message, error.data)
