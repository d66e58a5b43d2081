"""A shard elsewhere on loopback, in both eras of MCP: it answers well, save to one question."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.fuzz.edges_of_traefik import WIRE
from tests.fuzz.mutating import Mutator, written
from tests.fuzz.stub import HEAD, Stub, answer

Framing = Literal["json", "events", "wire"]

ID = "@@@@@@@@"
"""Stands for the id of the question, which is put in for it."""

EVENTS = HEAD.replace(b"application/json", b"text/event-stream")
NOTHING = b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
NO_STREAM = b"HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
NOTICE = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
STEP = b"event: message\nid: 7\ndata: " + written(NOTICE) + b"\n\n"

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "pattern": "^[a-z]+$", "description": "Where."}},
    "required": ["city"],
}
TOOL = {
    "name": "forecast", "title": "Forecast", "description": "Tells the weather.", "inputSchema": SCHEMA,
    "outputSchema": SCHEMA, "annotations": {"readOnlyHint": True, "title": "x"}, "_meta": {"a": 1},
}  # fmt: skip
TEXT = {"type": "text", "text": "sunny", "annotations": {"audience": ["user"], "priority": 0.5}}
LINK = {"type": "resource_link", "uri": "weather://reports/now", "name": "now", "mimeType": "text/plain", "size": 5}
ABILITIES = {"tools": {"listChanged": True}, "prompts": {}, "resources": {"subscribe": True}, "completions": {}}
RESULTS: Mapping[str, dict[str, Any]] = {
    "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": ABILITIES},
    "initialize": {
        "protocolVersion": "2025-11-25", "capabilities": ABILITIES, "serverInfo": {"name": "w", "version": "1"},
    },
    "tools/list": {"tools": [TOOL, {"name": "undeclared", "inputSchema": {"type": "object"}}]},
    "tools/call": {"content": [TEXT, LINK], "structuredContent": {"city": "here"}, "isError": False},
    "prompts/list": {"prompts": [{"name": "daily", "arguments": [{"name": "city", "required": True}]}]},
    "prompts/get": {"description": "asks", "messages": [{"role": "user", "content": TEXT}]},
    "resources/list": {"resources": [{"name": "now", "uri": "weather://reports/now", "mimeType": "text/plain"}]},
    "resources/templates/list": {"resourceTemplates": [{"name": "of", "uriTemplate": "weather://reports/{city}"}]},
    "resources/read": {"contents": [{"uri": "weather://reports/now", "text": "sunny"}, {"uri": "x:/", "blob": "AA=="}]},
    "completion/complete": {"completion": {"values": ["here", "there"], "total": 2, "hasMore": False}},
}  # fmt: skip


@dataclass(frozen=True)
class Odd:
    """One answer that is not as it should be: at which path, to which question."""

    path: str
    method: str
    framing: Framing
    content: bytes

    def framed(self, id: int) -> bytes:
        content = self.content.replace(f'"{ID}"'.encode(), str(id).rjust(len(ID) + 2).encode())
        if self.framing == "wire":
            return content
        return (EVENTS if self.framing == "events" else HEAD) % len(content) + content


def said(method: str) -> dict[str, Any]:
    """A whole answer to this method, in the era without sessions; the other one passes over what is more in it."""
    result = {"resultType": "complete", "cacheScope": "private", "ttlMs": 0, **RESULTS[method]}
    return {"jsonrpc": "2.0", "id": ID, "result": result}


ERROR = {"jsonrpc": "2.0", "id": ID, "error": {"code": -32602, "message": "no such city", "data": {"a": [1]}}}


def odd(mutator: Mutator, path: str, method: str, usual: dict[str, Any] | None = None) -> Odd:
    """What such a shard might answer instead of that."""
    whole = usual or said(method)
    roll = mutator.chance.random()
    if roll < 0.15:
        return Odd(path, method, "wire", mutator.content([*WIRE, answer(written(whole))]))
    content = mutator.document([whole, whole, ERROR], [written(whole), written(ERROR)])
    if roll < 0.6:
        return Odd(path, method, "json", content)
    events = STEP + b"event: message\ndata: " + content + b"\n\n"
    return Odd(path, method, "events", events if roll < 0.8 else mutator.content([events, b"id: 1\nretry: 0\n\n"]))


class Peer(Stub):
    """`/legacy/…` keeps to the era of the handshake; `tools`: what these answer instead of the usual."""

    def __init__(self) -> None:
        super().__init__()
        self.odd: Odd | None = None

    def said(self, path: str, body: bytes) -> bytes:
        if not body:
            return self.answers.get(path) or self._rest()
        asked = json.loads(body)
        method, id = asked.get("method", ""), asked.get("id")
        if id is None or method not in RESULTS:
            return NOTHING
        if self.odd and (self.odd.path, self.odd.method) == (path, self.question(asked)):
            return self.odd.framed(id)
        if path.startswith("/legacy/") and method == "server/discover":
            return answer(written({**ERROR, "id": id}))
        return answer(written({**self.usual(asked), "id": id}))

    def _rest(self) -> bytes:
        """What is told to whoever missed the end of a stream."""
        return self.odd.framed(0) if self.odd and self.odd.framing == "events" else NO_STREAM

    def question(self, asked: Mapping[str, Any]) -> str:
        """What was asked, as an odd answer names it."""
        return str(asked["method"])

    def usual(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to that, while it is well."""
        return said(asked["method"])


@contextlib.contextmanager
def serving(peer: Peer) -> Iterator[Peer]:
    thread = threading.Thread(target=peer.serve)
    thread.start()
    try:
        yield peer
    finally:
        peer.close()
        thread.join()
