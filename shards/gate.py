"""In front of every MCP address: who comes without a right to is told so, in a body that clients can read."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from reconciler.tokens import TokenError
from shards.access import Caller, TurnedAway

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Admit = Callable[[str, str], Caller | TurnedAway]
"""The Authorization and Host headers as sent -> who that is. Raises TokenError where nobody can tell."""

CALLER: Final = "waypost.caller"
"""Where in a request's scope it stands who was let in."""

TURNED_AWAY: Final = -32001
UNABLE: Final = -32002
UNKNOWN: Final = -32003
"""Codes of our own, in the range that the protocol leaves to servers."""

_logger = logging.getLogger("waypost.gateway")


class Gate:
    """An ASGI application that lets requests through to another one."""

    def __init__(self, app: App, admit: Admit, knows: Callable[[str], bool]) -> None:
        self._app = app
        self._admit = admit
        self._knows = knows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            caller = self._admit(_header(scope, b"authorization"), _header(scope, b"host"))
        except TokenError as error:
            _logger.error("nobody is let in: %s", error)
            await _answer(send, 503, UNABLE, "The gateway cannot read its tokens; a person has to look at its log.")
            return
        if isinstance(caller, TurnedAway):
            _logger.warning("turned away: %s", caller.reason, extra={"from": (scope.get("client") or ("?",))[0]})
            await _answer(send, 401, TURNED_AWAY, f"Not let in: {caller.reason}.")
            return
        shard = scope.get("path_params", {}).get("shard", "")
        if shard and not self._knows(shard):
            await _answer(send, 404, UNKNOWN, "There is no such shard here; /mcp has the tools of all of them.")
            return
        await self._app({**scope, CALLER: caller}, receive, send)


def _header(scope: Scope, name: bytes) -> str:
    """The header's only value; of one that was sent twice nobody knows which is meant."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ", ".join("?" for _ in values)


async def _answer(send: Send, status: int, code: int, message: str) -> None:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    body = json.dumps(error).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="waypost"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
