"""A shard in a process of its own: its tools over MCP for a gateway, and `/health`. The gateway keeps the audit."""

from __future__ import annotations

import functools
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

import mcp_types as protocol
import uvicorn
from mcp.server import Server
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reconciler import garbage
from reconciler.ports import SystemClock
from reconciler.setting import ENVIRON, ConfigError, Secret
from shards import outcome
from shards.access import Caller, TurnedAway
from shards.gate import Admit, Gate
from shards.kit import Call, Shard, Tool
from shards.offers import described, in_thread
from shards.wire.answering import answered
from shards.wire.asker import Context, client
from shards.wire.link import REQUEST_ID
from shards.wire.mirrored import Mirrored

_LAST_WORDS: Final = 5
"""Seconds that open answers get when the shard is told to end: a stream would be waited for without end."""

_LOOPBACK: Final = TransportSecuritySettings(
    enable_dns_rebinding_protection=True,
    allowed_hosts=[f"{name}{port}" for name in ("127.0.0.1", "localhost", "[::1]") for port in ("", ":*")],
)
"""For a shard that asks for no token, and so is for this machine: no web page that is looked at here may reach it."""

_ANY_NAME: Final = TransportSecuritySettings(enable_dns_rebinding_protection=False)
"""For one that asks: a web page has no token, and by which name the gateway reaches it nobody has to know."""

GATEWAY: Final = Caller(name="gateway", role="read")


def application(shard: Shard, token: str) -> Starlette:
    """What a shard answers: `/mcp` for whoever shows this token, `/health` for all.

    "" lets everybody in who calls it by a name of loopback, and no web page: one may bring a name that leads here.
    """
    tools = {tool.name: tool for tool in shard.tools()}
    server = _server(shard, tools)
    app = server.streamable_http_app(stateless_http=True, transport_security=_LOOPBACK if not token else _ANY_NAME)
    (mcp,) = (route for route in app.routes if isinstance(route, Route))

    async def health(_: Request) -> Response:
        manifest = {tool.name: {"title": tool.traits.title, "writes": tool.traits.writes} for tool in tools.values()}
        said = {"status": "ok", "shard": shard.name, "title": shard.title, "tools": manifest}
        return JSONResponse({**said, "version": version("waypost")})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with server.session_manager.run():
            yield

    gate = Gate(mcp.app, _admit(token), lambda _: True)
    return Starlette(routes=[Route("/health", health), Route("/mcp", gate)], lifespan=lifespan)


def _server(shard: Shard, tools: Mapping[str, Tool]) -> Server[dict[str, Any]]:
    clock, listed = SystemClock(), {name: described(name, tool) for name, tool in tools.items()}
    mirrored = Mirrored()

    def schema(name: str) -> Mapping[str, Any] | None:
        # Without this the SDK asks for the whole list with every call.
        return mirrored.of(name, listed[name].input_schema) if name in listed else None

    async def list_tools(context: Context, _: protocol.PaginatedRequestParams | None) -> protocol.ListToolsResult:
        return protocol.ListToolsResult(tools=list(listed.values()))

    async def call_tool(context: Context, params: protocol.CallToolRequestParams) -> protocol.CallToolResult:
        if params.name not in tools:
            raise MCPError(protocol.INVALID_PARAMS, f"There is no tool '{params.name[:128]}' here.")
        call = Call(
            request_id=str((context.meta or {}).get(REQUEST_ID, ""))[:100],
            client=client(context, GATEWAY),
            tool=params.name,
        )
        tool, arguments = tools[params.name], params.arguments or {}
        return answered(call, await in_thread(functools.partial(outcome.run, tool, call, arguments, clock)))

    return Server(
        shard.name,
        title=shard.title,
        get_tool_input_schema=schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _admit(token: str) -> Admit:
    expected = f"Bearer {token}".encode()

    async def admit(authorization: str, host: str) -> Caller | TurnedAway:
        if not token or hmac.compare_digest(authorization.encode("latin-1", "replace"), expected):
            return GATEWAY
        return TurnedAway("the gateway's token for this shard is needed")

    return admit


def serve(shard: Shard, environ: Mapping[str, str] = ENVIRON) -> None:
    """Serve a shard until told to end, by `WAYPOST_SHARD_LISTEN` (default 127.0.0.1:9200) and `WAYPOST_SHARD_TOKEN`
    (a reference, `env:NAME` or `file:/path`; without it only loopback is served). Raises ConfigError."""
    host, _, port = environ.get("WAYPOST_SHARD_LISTEN", "127.0.0.1:9200").rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535 or not host:
        raise ConfigError("WAYPOST_SHARD_LISTEN: right would be ADDRESS:PORT, such as 0.0.0.0:9200")
    reference = environ.get("WAYPOST_SHARD_TOKEN", "")
    if not reference and host not in ("127.0.0.1", "localhost", "[::1]"):
        raise ConfigError(f"WAYPOST_SHARD_TOKEN is not set, and {host} is not only this machine: set a token")
    token = Secret(reference, "WAYPOST_SHARD_TOKEN").reveal(environ) if reference else ""
    with garbage.seldom_looked_for():
        uvicorn.run(
            application(shard, token),
            host=host.strip("[]"),
            port=int(port),
            access_log=False,
            timeout_graceful_shutdown=_LAST_WORDS,
        )
