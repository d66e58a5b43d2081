"""In front of every MCP address: who comes without a right to is told so, in a body that clients can read."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from shards.access import Caller, TurnedAway
from shards.errors import Code

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Admit = Callable[[str, str], Awaitable[Caller | TurnedAway]]
"""The Authorization and Host headers as sent -> who that is. Raises Unable where nobody can tell."""


class Unable(Exception):
    """Nobody can tell who comes; the message is for the operator."""


CALLER: Final = "waypost.caller"
"""Where in a request's scope it stands who was let in."""

STILL: Final = "waypost.still"
"""Where in a request's scope there is a way to ask whether the same caller would be let in now, with the same rights:
for what lasts longer than a request does."""

_logger = logging.getLogger("waypost.gateway")


class Gate:
    """An ASGI application that lets requests through to another one."""

    def __init__(self, app: App, admit: Admit, knows: Callable[[str], bool], challenge: str = "") -> None:
        """`challenge` is what a client without a token is told about getting one."""
        self._app = app
        self._admit = admit
        self._knows = knows
        self._challenge = ", ".join(part for part in ('Bearer realm="waypost"', challenge) if part)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._admit(_header(scope, b"authorization"), _header(scope, b"host"))
        except Unable as error:
            _logger.error("nobody is let in: %s", error)
            await _answer(
                send, 503, Code.UNABLE, "The gateway cannot tell who you are; a person has to look at its log."
            )
            return
        if isinstance(caller, TurnedAway):
            _logger.warning("turned away: %s", caller.reason, extra={"from": (scope.get("client") or ("?",))[0]})
            told = f"Not let in: {caller.reason}."
            await _answer(send, caller.status, Code.TURNED_AWAY, told, self._challenge + _fault(caller))
            return
        shard = scope.get("path_params", {}).get("shard", "")
        if shard and not self._knows(shard):
            await _answer(send, 404, Code.UNKNOWN, "There is no such shard here; /mcp has the tools of all of them.")
            return
        still = functools.partial(self._would_be_let_in, caller, scope)
        await self._app({**scope, CALLER: caller, STILL: still}, receive, _in_words(send))

    async def _would_be_let_in(self, caller: Caller, scope: Scope) -> bool:
        with contextlib.suppress(Unable):
            return caller == await self._admit(_header(scope, b"authorization"), _header(scope, b"host"))
        return True


def _in_words(send: Send) -> Send:
    """Of a request that is too large the SDK says so in a way that clients do not hand on."""
    said = False

    async def tell(message: Message) -> None:
        nonlocal said
        if message["type"] == "http.response.start" and message["status"] == 413:
            said = True
            await _answer(
                send, 413, Code.TOO_LARGE, "This request is larger than 4 MiB, so nothing was done; send less."
            )
        elif not said:
            await send(message)

    return tell


def _header(scope: Scope, name: bytes) -> str:
    """The header's only value; of one that was sent twice nobody knows which is meant."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ", ".join("?" for _ in values)


def _fault(away: TurnedAway) -> str:
    return ', error="insufficient_scope"' if away.status == 403 else ""


async def _answer(send: Send, status: int, code: Code, message: str, challenge: str = "") -> None:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    body = json.dumps(error).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if challenge:
        headers.append((b"www-authenticate", challenge.encode("latin-1", "replace")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
