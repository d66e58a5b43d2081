"""In front of every MCP address: who comes without a right to is told so, in a body that clients can read."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from shards import errors
from shards.access import Caller, TurnedAway
from shards.errors import Code
from shards.kit import Refused

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

_UNABLE: Final = Refused(
    "unable-to-tell", "The gateway cannot tell who you are; a person has to look at its log.", retry=True
)
_UNKNOWN: Final = Refused("unknown-shard", "There is no such shard here; /mcp has the tools of all of them.")
_TOO_LARGE: Final = Refused("too-large", "This request is larger than 4 MiB, so nothing was done; send less.")

_SAID: Final = {
    403: (Code.STRANGE, errors.STRANGE_ORIGIN),
    413: (Code.TOO_LARGE, _TOO_LARGE),
    421: (Code.STRANGE, errors.STRANGE_HOST),
}
"""What the SDK says in a way that clients do not hand on, in our words."""

_logger = logging.getLogger("waypost.gateway")


class Gate:
    """An ASGI application that lets requests through to another one."""

    def __init__(
        self,
        app: App,
        admit: Admit,
        knows: Callable[[str], bool],
        challenge: str = "",
        new_request_id: Callable[[], str] = str,
    ) -> None:
        """`challenge` is what a client without a token is told about getting one."""
        self._app = app
        self._admit = admit
        self._knows = knows
        self._challenge = ", ".join(part for part in ('Bearer realm="waypost"', challenge) if part)
        self._new_request_id = new_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._admit(_header(scope, b"authorization"), _header(scope, b"host"))
        except Unable as error:
            _logger.error("nobody is let in: %s", error)
            await self._refuse(send, 503, Code.UNABLE, _UNABLE)
            return
        if isinstance(caller, TurnedAway):
            await self._turn_away(scope, send, caller)
            return
        shard = scope.get("path_params", {}).get("shard", "")
        if shard and not self._knows(shard):
            await self._refuse(send, 404, Code.UNKNOWN, _UNKNOWN)
            return
        still = functools.partial(self._would_be_let_in, caller, scope)
        await self._app({**scope, CALLER: caller, STILL: still}, receive, self._in_words(send))

    async def _turn_away(self, scope: Scope, send: Send, away: TurnedAway) -> None:
        _logger.warning("turned away: %s", away.reason, extra={"from": (scope.get("client") or ("?",))[0]})
        code = "forbidden" if away.status == 403 else "not-let-in"
        refusal = Refused(code, f"Not let in: {away.reason}.")
        await self._refuse(send, away.status, Code.TURNED_AWAY, refusal, self._challenge + _fault(away))

    def _in_words(self, send: Send) -> Send:
        """What the SDK refuses, so that clients hand on why."""
        said = False

        async def tell(message: Message) -> None:
            nonlocal said
            if message["type"] == "http.response.start" and message["status"] in _SAID:
                said = True
                await self._refuse(send, message["status"], *_SAID[message["status"]])
            elif not said:
                await send(message)

        return tell

    async def _refuse(self, send: Send, status: int, code: Code, refusal: Refused, challenge: str = "") -> None:
        request_id = self._new_request_id()
        _logger.info("refused: %s", refusal, extra={"request_id": request_id, "outcome": refusal.code})
        await _answer(
            send, status, {"code": code, "message": str(refusal), "data": errors.data(refusal, request_id)}, challenge
        )

    async def _would_be_let_in(self, caller: Caller, scope: Scope) -> bool:
        with contextlib.suppress(Unable):
            return caller == await self._admit(_header(scope, b"authorization"), _header(scope, b"host"))
        return True


def _header(scope: Scope, name: bytes) -> str:
    """The header's only value; of one that was sent twice nobody knows which is meant."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ", ".join("?" for _ in values)


def _fault(away: TurnedAway) -> str:
    return ', error="insufficient_scope"' if away.status == 403 else ""


async def _answer(send: Send, status: int, error: dict[str, Any], challenge: str) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if challenge:
        headers.append((b"www-authenticate", challenge.encode("latin-1", "replace")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
