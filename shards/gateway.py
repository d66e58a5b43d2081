"""The one MCP endpoint: lists the tools of all shards, hands calls over, answers in both protocol eras."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import mcp_types as protocol
from mcp.server import Server
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from reconciler.home import Lock
from reconciler.ports import Chance, Clock, SystemClock
from reconciler.query_client import QueryClient
from shards import belongings
from shards.audit import Audit, Outcome
from shards.config import GatewaySettings
from shards.kit import Call, Refused, Shard, Tool
from shards.own import Own
from shards.proposing import Desk
from shards.traefik import Traefik
from state.errors import LogError

INSTRUCTIONS = """\
Waypost keeps a homelab the way its Git repository says it should be. You read freely; every tool that writes \
only proposes: it makes one commit on a branch of its own and answers with the proposal and its plan (what would \
change, what people would lose, what conflicts). Nothing is live until a person has approved the proposal and the \
reconciler has applied and proven it. So: read first, propose once, show the person the plan and how to review it \
(`review` in the answer). An error names its code, what to mend and whether to try again."""

_logger = logging.getLogger("waypost.gateway")
_Answer = TypeVar("_Answer")

WORKERS = 16
"""Tool calls that run at once; the rest waits its turn."""

_LONGEST_CLIENT = 80
_LONGEST_TOOL_NAME = 128


@dataclass(frozen=True)
class Bench:
    """What every front shares: the audit, the maker of request ids, and a bounded number of workers."""

    audit: Audit
    new_request_id: Callable[[], str]
    workers: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(WORKERS))


def build(settings: GatewaySettings, *, clock: Clock | None = None, chance: Chance = os.urandom) -> Starlette:
    """The gateway of a home, its clone and outbox made where they are missing.

    Raises GitError or LogError where its own directory cannot be used; an absent desired repo or reconciler is
    no reason not to start.
    """
    clock = clock or SystemClock()
    lock = belongings.hold(settings)
    alone = isinstance(lock, Lock)
    store = belongings.clone(settings, alone=alone)
    audit = Audit(belongings.outbox(settings, clock, alone=alone))
    query = QueryClient(settings.reconciler_url, timeout=settings.answer_within)
    desk = Desk(settings, store, audit, query, clock, chance)
    desk.recover()
    shards: list[Shard] = [Traefik(desk)]
    own = Own(desk, version("waypost"), [shard.name for shard in shards])
    bench = Bench(audit, functools.partial(_request_id, clock, chance))
    letting_go = (lock.close,) if isinstance(lock, Lock) else ()
    return application(settings, [*shards, own], bench, closing=(query.close, audit.close, *letting_go))


def _request_id(clock: Clock, chance: Chance) -> str:
    """Sorts by time, and nobody can guess the next one."""
    return f"{int(clock.now().timestamp() * 1000):012x}-{chance(8).hex()}"


def application(
    settings: GatewaySettings, shards: Sequence[Shard], bench: Bench, *, closing: Sequence[Callable[[], None]] = ()
) -> Starlette:
    """The gateway over these shards: `/mcp` for all, `/mcp/<shard>` for one, `/health`.

    `closing` is called when it ends.
    """
    offers = {shard.name: _offers(shard) for shard in shards}
    fronts = {f"/mcp/{name}": _front(f"waypost-{name}", of_one, bench) for name, of_one in offers.items()}
    fronts["/mcp"] = _front("waypost", _together(offers.values()), bench)
    security = _security(settings)
    registry = {name: {"state": "up", "tools": len(of_one)} for name, of_one in offers.items()}
    routes: list[BaseRoute] = [Route("/health", functools.partial(_health, settings, registry))]
    for path, server in fronts.items():
        # Stateless also for the handshake era: a restart of the gateway loses no session because there is none.
        app = server.streamable_http_app(
            streamable_http_path=path, stateless_http=True, transport_security=security, host=settings.host
        )
        routes.extend(app.routes)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for close in reversed(closing):
                stack.callback(close)
            for server in fronts.values():
                await stack.enter_async_context(server.session_manager.run())
            yield

    return Starlette(routes=routes, lifespan=lifespan)


@dataclass(frozen=True)
class Offer:
    """A tool under the name by which clients call it, as tools/list tells it."""

    tool: Tool
    listing: protocol.Tool


def _offers(shard: Shard) -> dict[str, Offer]:
    names = {shard.prefix + tool.name: tool for tool in shard.tools()}
    return {name: Offer(tool, _described(name, tool)) for name, tool in names.items()}


def _together(offers: Iterable[Mapping[str, Offer]]) -> dict[str, Offer]:
    """The offers of all shards. Two tools of one name are a fault of the program, found at start."""
    found: dict[str, Offer] = {}
    for of_one in offers:
        if twice := found.keys() & of_one.keys():
            raise ValueError(f"two shards offer {', '.join(sorted(twice))}")
        found |= of_one
    return found


def _front(name: str, offers: Mapping[str, Offer], bench: Bench) -> Server[dict[str, Any]]:
    """One MCP server over these offers, without a transport yet."""
    listed = [offer.listing for offer in offers.values()]

    async def list_tools(
        _: ServerRequestContext[dict[str, Any]], __: protocol.PaginatedRequestParams | None
    ) -> protocol.ListToolsResult:
        return protocol.ListToolsResult(tools=listed)

    async def call_tool(
        context: ServerRequestContext[dict[str, Any]], params: protocol.CallToolRequestParams
    ) -> protocol.CallToolResult:
        call = Call(request_id=bench.new_request_id(), client=_client(context), tool=params.name[:_LONGEST_TOOL_NAME])
        return await _call(bench, offers.get(params.name), call, params.arguments or {})

    return Server(
        name,
        version=version("waypost"),
        title="Waypost",
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": CacheHint(ttl_ms=60_000, scope="private")},
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _call(bench: Bench, offer: Offer | None, call: Call, arguments: Mapping[str, Any]) -> protocol.CallToolResult:
    if offer is None:
        refusal = Outcome(refusal=Refused("unknown-tool", "there is no such tool"))
        await _in_a_worker(bench, lambda: bench.audit.note(call, "", arguments, refusal))
        raise MCPError(protocol.INVALID_PARAMS, f"There is no tool '{call.tool}' here; tools/list has them all.")
    # Not abandoned when the client hangs up: what was begun is finished and audited.
    return _result(call, await _in_a_worker(bench, lambda: bench.audit.carry_out(offer.tool, call, arguments)))


def _described(name: str, tool: Tool) -> protocol.Tool:
    traits = tool.traits
    return protocol.Tool(
        name=name,
        title=traits.title,
        description=tool.description,
        input_schema=tool.arguments.model_json_schema(),
        output_schema=tool.answer.model_json_schema(mode="serialization"),
        annotations=protocol.ToolAnnotations(
            title=traits.title,
            read_only_hint=not traits.writes,
            destructive_hint=traits.destructive,
            idempotent_hint=traits.idempotent or not traits.writes,
            open_world_hint=False,
        ),
    )


async def _in_a_worker(bench: Bench, work: Callable[[], _Answer]) -> _Answer:
    """Do it in a worker thread. Without a durable audit there is no answer, whatever was done."""
    try:
        return await anyio.to_thread.run_sync(work, limiter=bench.workers)
    except LogError as fault:
        _logger.error("the audit cannot be written: %s", fault)
        message = "The gateway cannot write its audit, so it gives no answer; a person has to look at its log."
        raise MCPError(protocol.INTERNAL_ERROR, message) from fault


def _client(context: ServerRequestContext[dict[str, Any]]) -> str:
    """Who the client says it is. A claim, not a proof; the stateless handshake era tells only a user agent."""
    params = context.session.client_params
    if params is not None:
        claimed = f"{params.client_info.name}/{params.client_info.version}"
    else:
        request = context.request
        claimed = request.headers.get("user-agent", "") if isinstance(request, Request) else ""
    plain = "".join(character for character in claimed if character.isprintable())
    return plain.strip()[:_LONGEST_CLIENT] or "unknown"


def _result(call: Call, outcome: Outcome) -> protocol.CallToolResult:
    if outcome.answer is not None:
        return protocol.CallToolResult(
            content=[protocol.TextContent(text=outcome.answer.model_dump_json(exclude_none=True))],
            structured_content=outcome.answer.model_dump(mode="json"),
        )
    assert outcome.refusal is not None
    return _refusal(call, outcome.refusal)


def _refusal(call: Call, refusal: Refused) -> protocol.CallToolResult:
    """The one shape of every error: a stable code, sentences, whether to retry, the request id."""
    problems = [str(problem) for problem in refusal.problems]
    again = "The same call may succeed later." if refusal.retry else "The same call will fail again."
    lines = [f"{refusal.code}: {refusal}", *(f"- {problem}" for problem in problems), f"{again} ({call.request_id})"]
    return protocol.CallToolResult(
        is_error=True,
        content=[protocol.TextContent(text="\n".join(lines))],
        structured_content={
            "code": refusal.code,
            "message": str(refusal),
            "problems": problems,
            "retry": refusal.retry,
            "request_id": call.request_id,
        },
    )


async def _health(settings: GatewaySettings, registry: Mapping[str, Any], _: Request) -> Response:
    # Never asks the reconciler: a health check must not hang on somebody else's health.
    return JSONResponse(
        {"status": "ok", "version": version("waypost"), "read_only": settings.read_only, "shards": registry}
    )


def _security(settings: GatewaySettings) -> TransportSecuritySettings:
    """Loopback by any port, and exactly the public addresses: a web page elsewhere must not reach us by DNS."""
    names = ["127.0.0.1", "localhost", "[::1]"]
    public = [urlsplit(url) for url in settings.public_urls]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*names, *(f"{name}:*" for name in names), *(url.netloc for url in public)],
        allowed_origins=[
            *(f"http://{name}{port}" for name in names for port in ("", ":*")),
            *(f"{url.scheme}://{url.netloc}" for url in public),
        ],
    )
