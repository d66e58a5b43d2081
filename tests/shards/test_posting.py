"""A call over HTTP to a shard without sessions: whatever stands at the other end, it is an answer or an error."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import ssl
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from shards.wire import posting
from shards.wire.connection import Answer, Finding
from shards.wire.posting import Post

Script = Callable[[socket.socket, bytes], None]

_Found = TypeVar("_Found")


class Peer:
    """A server whose every connection is answered by a script, with the request as it came."""

    def __init__(self, loop: str) -> None:
        self.loop = loop
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self.hung_up = threading.Event()
        self.script: Script = lambda connection, _: answer(connection, result())
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._hear, args=(connection,)).start()

    def _hear(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with connection, contextlib.suppress(OSError):
            while request := self._read(connection):
                self.requests.append(request)
                self.script(connection, request)
        self.hung_up.set()

    def _read(self, connection: socket.socket) -> bytes:
        found = b""
        while b"\r\n\r\n" not in found:
            if not (more := connection.recv(65536)):
                return b""
            found += more
        head, _, body = found.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body


def answer(connection: socket.socket, content: bytes, kind: str = "application/json", **headers: str) -> None:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n{more}\r\n"
    connection.sendall(head.encode() + content)


def result(id: int = 0, text: str = "done", **more: object) -> bytes:
    said = {"content": [{"type": "text", "text": text}], **more}
    return json.dumps({"jsonrpc": "2.0", "id": id, "result": said}).encode()


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def listening(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """It is asked from the loop of a gateway over stdio, and from that of one over HTTP."""
    peer = Peer(request.param)
    yield peer
    peer.close()


@pytest.fixture
def peer(listening: Peer) -> Peer:
    listening.requests, listening.connections = [], 0
    listening.script = lambda connection, _: answer(connection, result())
    listening.hung_up.clear()
    return listening


def post(peer: Peer, **chosen: Any) -> Post:
    given = {"within": 5.0, "headers": {"Authorization": "Bearer abc"}, **chosen}
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return Post(url=f"http://127.0.0.1:{peer.port}/mcp?a=b", version="2026-07-28", tls=tls, **given)


def call(peer: Peer, times: int = 1, **chosen: Any) -> CallToolResult:
    async def calls() -> CallToolResult:
        with contextlib.closing(post(peer, **chosen)) as one:
            for _ in range(times):
                found = await one.call("add", {"one": 1}, {"waypost/request-id": "r1"}, None)
            return found

    return run(peer, calls)


def run(peer: Peer, calls: Callable[[], Awaitable[_Found]]) -> _Found:
    return anyio.run(calls, backend_options={"use_uvloop": peer.loop == "uvloop"})


def answering(content: bytes, kind: str = "application/json", **headers: str) -> Script:
    return lambda connection, _: answer(connection, content, kind, **headers)


JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"


def saying(said: bytes) -> Script:
    """Says that, byte for byte, and hangs up."""

    def say(connection: socket.socket, request: bytes) -> None:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_RDWR)

    return say


def by_number(connection: socket.socket, request: bytes) -> None:
    answer(connection, result(json.loads(request.partition(b"\r\n\r\n")[2])["id"]))


def test_a_call_says_all_that_the_revision_asks_for(peer: Peer) -> None:
    assert call(peer).content[0].text == "done"  # type: ignore[union-attr]
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /mcp?a=b HTTP/1.1\r\n")
    for line in (b"MCP-Protocol-Version: 2026-07-28", b"Mcp-Method: tools/call", b"Mcp-Name: add", b"Bearer abc"):
        assert line in head
    params = json.loads(body)["params"]
    assert params["_meta"]["waypost/request-id"] == "r1"
    assert params["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"


def test_a_connection_is_kept_for_the_next_call(peer: Peer) -> None:
    peer.script = by_number
    call(peer, times=3)
    assert (len(peer.requests), peer.connections) == (3, 1)


def test_a_kept_connection_that_was_closed_meanwhile_is_made_anew(peer: Peer) -> None:
    def once(connection: socket.socket, request: bytes) -> None:
        by_number(connection, request)
        raise ConnectionAbortedError  # and reads nothing more: what came meanwhile was not heard

    peer.script = once
    call(peer, times=3)
    assert len(peer.requests) == 3


def test_an_answer_may_come_in_any_way_that_http_knows(peer: Peer) -> None:
    pieces = b"".join(b"%x;x=y\r\n%b\r\n" % (len(each), each) for each in (result()[:9], result()[9:]))
    for said in (
        JSON + b"\r\n" + result(),
        JSON.replace(b"1.1", b"1.0") + b"\r\n" + result(),
        JSON + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\nX-After: all\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Encoding: gzip\r\n\r\n"
        + JSON + b"Content-Length: %d\r\n\r\n" % len(result()) + result(),
    ):  # fmt: skip
        peer.script = saying(said)
        assert call(peer).content[0].text == "done"  # type: ignore[union-attr]


def test_an_answer_may_come_byte_by_byte(peer: Peer) -> None:
    def drip(connection: socket.socket, request: bytes) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = b"event: message\r\ndata: " + result() + b"\r\n\r\n"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(stream)
        for byte in head + stream:
            connection.sendall(bytes([byte]))

    peer.script = drip
    assert call(peer).content[0].text == "done"  # type: ignore[union-attr]


def test_what_comes_behind_an_answer_answers_nothing(peer: Peer) -> None:
    def twice(connection: socket.socket, request: bytes) -> None:
        one = JSON + b"Content-Length: %d\r\n\r\n" % len(result(text="false")) + result(text="false")
        connection.sendall(one + one.replace(b'"id": 0', b'"id": 1'))

    async def calls() -> CallToolResult:
        with contextlib.closing(post(peer)) as one:
            await one.call("add", {}, {}, None)
            peer.script = by_number
            return await one.call("add", {}, {}, None)

    peer.script = twice
    assert run(peer, calls).content[0].text == "done"  # type: ignore[union-attr]
    assert peer.connections == 2


PROGRESS = b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


async def heard(done: float, total: float | None, message: str | None) -> None:
    await anyio.sleep(0)


def without_end(connection: socket.socket, request: bytes) -> None:
    connection.sendall(STREAM)
    while True:
        connection.sendall(PROGRESS * 1000)


@pytest.mark.parametrize("script", [without_end, saying(STREAM + PROGRESS * 3000)])
def test_a_stream_is_cut_off_where_it_is_too_long(peer: Peer, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    async def calls() -> None:
        with contextlib.closing(post(peer)) as one:
            await one.call("add", {}, {}, heard)

    monkeypatch.setattr(posting, "MOST_BYTES", 100_000)
    peer.script = script
    with pytest.raises(OSError, match="longer than 100,000 bytes"):
        run(peer, calls)
    assert peer.hung_up.wait(20)


def test_who_speaks_without_being_asked_is_cut_off(peer: Peer) -> None:
    cut = threading.Event()

    def pour(connection: socket.socket, request: bytes) -> None:
        answer(connection, result())
        try:
            while True:
                connection.sendall(b"more " * 10_000)
        except OSError:
            cut.set()

    async def calls() -> bool:
        with contextlib.closing(post(peer)) as one:
            await one.call("add", {}, {}, None)
            return await anyio.to_thread.run_sync(cut.wait, 20)

    peer.script = pour
    assert run(peer, calls)


def test_an_answer_that_nobody_needs_is_gone_at_once() -> None:
    found = Answer(1_000)
    found.feed(JSON + b"Content-Length: 2\r\n\r\n{}")
    left = weakref.ref(found)
    gc.disable()
    try:
        del found
        assert left() is None
    finally:
        gc.enable()


def test_a_name_that_cannot_be_found_is_looked_up_once_for_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = threading.Event(), []

    def look_up(host: str, port: int, *, type: int, flags: int = 0) -> list[object]:
        if flags:
            raise OSError("no number")
        asked.append(host)
        assert found.wait(20)
        return []

    async def wait() -> None:
        finding = Finding("shard.lab", 80)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(finding.addresses(), 0.01)
        found.set()
        assert await finding.addresses() == []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    asyncio.run(wait())
    assert asked == ["shard.lab"]


def test_nothing_in_a_header_begins_another_one(peer: Peer) -> None:
    async def calls() -> None:
        with contextlib.closing(post(peer)) as one:
            await one.call("add", {}, {}, None, {"Mcp-Param-One": "1\r\nAuthorization: Bearer mine"})

    with pytest.raises(ValueError, match="end a header"):
        run(peer, calls)
    assert not peer.requests


def test_one_that_hangs_up_on_a_fresh_connection_is_not_asked_twice(peer: Peer) -> None:
    peer.script = lambda connection, _: connection.shutdown(socket.SHUT_RDWR)
    with pytest.raises(OSError):
        call(peer)
    assert len(peer.requests) == 1


def test_how_far_it_is_comes_before_the_answer(peer: Peer) -> None:
    steps = [{"progress": 1, "total": 2, "message": "half"}, {"progress": "x"}, {"progress": 2}]
    told = [{"jsonrpc": "2.0", "method": "notifications/progress", "params": step} for step in steps]
    lines = [f"event: message\ndata: {json.dumps(one)}\n\n" for one in told]
    stream = "".join([": hello\n\n", *lines, f"data: {result().decode()}\n\n"]).encode()
    peer.script = answering(stream, "text/event-stream")
    heard: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None = None, message: str | None = None) -> None:
        heard.append((done, total, message))

    async def calls() -> CallToolResult:
        with contextlib.closing(post(peer)) as one:
            return await one.call("add", {}, {}, progress)

    assert run(peer, calls).content
    assert heard == [(1.0, 2, "half"), (2.0, None, None)]


def test_a_call_that_is_given_up_is_cut_off_over_there(peer: Peer) -> None:
    peer.script = lambda connection, _: None

    async def calls() -> None:
        with contextlib.closing(post(peer)) as one, anyio.move_on_after(20) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.call, "add", {}, {}, None)
                while not peer.requests:
                    await anyio.sleep(0.01)
                tasks.cancel_scope.cancel()
        assert not scope.cancelled_caught

    run(peer, calls)
    assert peer.hung_up.wait(20)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (answering(b"<html>", "text/html"), "text/html"),
        (answering(b"[1]"), "no message of MCP"),
        (answering(b"{}"), "ended its answer"),
        (answering(b"", "text/event-stream"), "ended its answer"),
        (answering(result(), Content_Encoding="gzip"), "packs its answers"),
        (answering(result(resultType="input_required")), "asks back"),
        (answering(result(99)), "ended its answer"),
        (answering(b'{"id":0,"result":null}'), "CallToolResult"),
        (answering(b'{"id":0,"error":[]}'), "ErrorData"),
        (saying(b"SSH-2.0-x\r\n\r\n"), "no HTTP"),
        (saying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), "no HTTP"),
        (saying(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000), "does not begin"),
        (saying(b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000), "does not begin"),
        (saying(JSON + b"Content-Length: 500\r\n\r\n" + b"{"), "hung up"),
        (saying(JSON + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"), "hung up"),
        (saying(JSON + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n1\r\n{\r\n"), "no HTTP"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error_that_says_so(peer: Peer, script: Script, says: str) -> None:
    peer.script = script
    with pytest.raises((OSError, ValueError), match=says):
        call(peer)


def test_an_answer_without_end_is_not_read_to_its_end(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "MOST_BYTES", 1_000)
    for kind in ("application/json", "text/event-stream"):
        peer.script = answering(b"data: " + b"x" * 5_000, kind)
        with pytest.raises(OSError, match="longer than 1,000 bytes"):
            call(peer)


def test_a_refusal_keeps_its_code_and_its_words(peer: Peer) -> None:
    peer.script = answering(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"no"}}')
    with pytest.raises(MCPError) as refused:
        call(peer)
    assert (refused.value.code, refused.value.message) == (-32001, "no")


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200) | st.sampled_from([b'{"id":0,"result":', b'data: {"id":0', b"\xff", b"data:\n\n"]),
    st.sampled_from(["application/json", "text/event-stream", "text/plain"]),
)
def test_any_bytes_are_an_answer_or_an_error(listening: Peer, content: bytes, kind: str) -> None:
    listening.script = answering(content, kind)
    with contextlib.suppress(OSError, ValueError, MCPError):
        call(listening)
