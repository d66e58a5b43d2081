"""Clients hear of it when the list of their tools is another one, each in the way of its era of the protocol.

The era of 2026-07-28 asks with `subscriptions/listen`; those before it keep a stream open with a GET. Nothing is
remembered for a client that does not listen, and nothing is said but that the list has to be asked for again.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import field
from typing import Any, Final

import anyio
import mcp_types as protocol
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.streamable_http import check_accept_headers
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import Response

from reconciler.ports import Chance
from shards.gate import App, Message, Receive, Scope, Send
from shards.kit import Refused
from state.sparing import dataclass

LOOKS_EVERY: Final = 1.0
"""Seconds between two looks at what is offered, while anybody listens."""

ASKS_EVERY: Final = 5.0
"""Seconds between two looks at whether those who listen may still come in."""

SIGN_OF_LIFE: Final = 15.0
"""Seconds without news after which a stream says that it is still there, which also finds out who is not."""

MOST_OF_ONE: Final = 32
MOST: Final = 512
"""Streams of one token, and of all: each costs a connection."""

View = Mapping[str, object]
"""What a client would be told if it asked for its tools now; equal as long as it would be told the same."""


Still = Callable[[], Awaitable[bool]]
"""Whether who listens would be let in now, with the same rights."""


class Crowded(Exception):
    """There are streams enough."""


@dataclass(eq=False)
class Stream:
    """One client that listens. Of changes that it was not told yet, it is told once."""

    whose: str
    view: Callable[[], View]
    still: Still
    _seen: View = field(init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _over: bool = False

    def __post_init__(self) -> None:
        self._seen = self.view()

    def look(self) -> None:
        now = self.view()
        if now != self._seen:
            self._seen = now
            self._changed.set()

    def end(self) -> None:
        self._over = True
        self._changed.set()

    async def news(self) -> bool:
        """Wait until the list is another one: true. False once there will be no more to tell."""
        await self._changed.wait()
        if not self._over:
            self._changed.clear()
        return not self._over


class Announcer:
    """All who listen. It looks for itself: what is offered changes far from here, and seldom."""

    def __init__(self, offered: Callable[[], View]) -> None:
        self._offered = offered
        self._known: View = {}
        self._streams: set[Stream] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._streams)

    @contextmanager
    def listening(self, whose: str, view: Callable[[], View], still: Still) -> Iterator[Stream]:
        """Raises Crowded where there is no room for another one."""
        theirs = sum(stream.whose == whose for stream in self._streams)
        if self._closed or theirs >= MOST_OF_ONE or len(self._streams) >= MOST:
            raise Crowded
        stream = Stream(whose, view, still)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    async def run(self) -> None:
        """Look, until cancelled."""
        for second in itertools.count(1):
            await asyncio.sleep(LOOKS_EVERY)
            if self._streams:
                self.look()
            if second * LOOKS_EVERY % ASKS_EVERY == 0:
                await self._part_with_those_turned_away()

    async def _part_with_those_turned_away(self) -> None:
        for stream in list(self._streams):
            if not await stream.still():
                stream.end()

    def look(self) -> None:
        if (offered := self._offered()) != self._known:
            self._known = offered
            for stream in self._streams:
                stream.look()

    def close(self) -> None:
        """Every stream ends, and there will be no new one: a server that ends would wait for them."""
        self._closed = True
        for stream in self._streams:
            stream.end()


async def listen(
    announcer: Announcer,
    whose: str,
    view: Callable[[], View],
    still: Still,
    context: ServerRequestContext[Any, Any],
    asked: protocol.SubscriptionFilter,
) -> protocol.SubscriptionsListenResult:
    """Answer `subscriptions/listen`: the request lasts as long as there may be news. Only tools change here.

    Raises Refused where it cannot be listened to.
    """
    number, wanted = context.request_id, bool(asked.tools_list_changed)
    if number is None:
        raise Refused("no-id", "Listening needs a request with an id.")
    meta: Any = {SUBSCRIPTION_ID_META_KEY: number}
    honored = protocol.SubscriptionFilter(tools_list_changed=wanted or None)
    told = protocol.SubscriptionsAcknowledgedNotificationParams(notifications=honored, _meta=meta)
    try:
        with announcer.listening(whose, view, still) as stream:
            acknowledged = protocol.SubscriptionsAcknowledgedNotification(params=told)
            await context.session.send_notification(acknowledged, related_request_id=number)
            while await stream.news():
                if wanted:
                    changed = protocol.ToolListChangedNotification(params=protocol.NotificationParams(_meta=meta))
                    await context.session.send_notification(changed, related_request_id=number)
    except Crowded:
        raise Refused(
            "too-many-streams", "Too many streams are open; close one, or ask for the list.", retry=True
        ) from None
    return protocol.SubscriptionsListenResult(_meta=meta)


async def always() -> bool:
    """Who started this process may stay."""
    return True


async def keep_told(announcer: Announcer, view: Callable[[], View], session: ServerSession) -> None:
    """Tell a client of the eras before, over the one connection that it has, until cancelled."""
    with suppress(Crowded), announcer.listening("", view, always) as stream:
        while await stream.news():
            await session.send_tool_list_changed()


# ── the eras before, over HTTP ──────────────────────────────────────────────────────────────────────────────

_VERSION: Final = b"mcp-protocol-version"
_SESSION: Final = b"mcp-session-id"

_CHANGED: Final = json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
_EVENT: Final = f"event: message\r\ndata: {_CHANGED}\r\n\r\n".encode()
_ALIVE: Final = b": still here\r\n\r\n"


class Listening:
    """An ASGI application in front of the SDK's, which has no use for a GET: it keeps no sessions."""

    def __init__(
        self,
        app: App,
        announcer: Announcer,
        who: Callable[[Scope], tuple[str, Callable[[], View], Still]],
        security: TransportSecuritySettings,
        chance: Chance,
    ) -> None:
        """`who` says whose a request is, what its client would be told of its tools, and whether it may stay."""
        self._app = app
        self._announcer = announcer
        self._who = who
        self._security = TransportSecurityMiddleware(security)
        self._chance = chance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        version = headers.get(_VERSION, b"").decode("latin-1")
        if scope["method"] == "GET" and (not version or version in HANDSHAKE_PROTOCOL_VERSIONS):
            await self._answer(Request(scope, receive), send)
        elif scope["method"] == "POST" and not version and _SESSION not in headers:
            await self._app(scope, receive, self._naming(send))
        else:
            await self._app(scope, receive, send)

    def _naming(self, send: Send) -> Send:
        """Some clients listen only in a session. So the answer to the first request names one; as nothing is kept
        under that name, it never ends and no restart loses it."""

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                session = (_SESSION, self._chance(16).hex().encode())
                message = {**message, "headers": [*message.get("headers", ()), session]}
            await send(message)

        return named

    async def _answer(self, request: Request, send: Send) -> None:
        whose, view, still = self._who(request.scope)
        refusal = await self._security.validate_request(request)
        if refusal is None and not check_accept_headers(request)[1]:
            refusal = Response("A stream is text/event-stream; accept it.", status_code=406)
        if refusal is not None:
            await refusal(request.scope, request.receive, send)
            return
        try:
            with self._announcer.listening(whose, view, still) as stream:
                await _streamed(stream, request, send)
        except Crowded:
            # The one refusal that clients take for what it is: there is no stream, and all else works.
            refusal = Response("Too many streams are open.", status_code=405, headers={"Allow": "POST"})
            await refusal(request.scope, request.receive, send)


async def _streamed(stream: Stream, request: Request, send: Send) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_until_it_hangs_up, request, stream)
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache, no-transform")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _ALIVE, "more_body": True})
        while (said := await _next(stream)) is not None:
            await send({"type": "http.response.body", "body": said, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        group.cancel_scope.cancel()


async def _next(stream: Stream) -> bytes | None:
    try:
        async with asyncio.timeout(SIGN_OF_LIFE):
            return _EVENT if await stream.news() else None
    except TimeoutError:
        return _ALIVE


async def _until_it_hangs_up(request: Request, stream: Stream) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    stream.end()
