"""The one MCP endpoint: lists the tools of all shards, hands calls over, answers in both protocol eras."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager
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
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from reconciler.home import Lock
from reconciler.ports import Chance, Clock, Disk, SystemClock
from reconciler.query_client import QueryClient
from reconciler.tokens import Keyring
from shards import access, belongings
from shards.access import Caller
from shards.audit import Audit, Outcome
from shards.config import GatewaySettings
from shards.gate import CALLER, Admit, Gate
from shards.kit import Call, Refused, Shard, Tool
from shards.limits import Limits
from shards.own import Own
from shards.proposing import Desk, Proposed
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
    """What every front shares: the audit, the maker of request ids, what clients may ask for, and the workers."""

    audit: Audit
    new_request_id: Callable[[], str]
    limits: Limits
    workers: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(WORKERS))


@dataclass(frozen=True)
class Parts:
    """A gateway of a home, without a way in yet: what it offers, what all fronts share, what ends with it."""

    shards: tuple[Shard, ...]
    bench: Bench
    closing: tuple[Callable[[], None], ...]


def build(settings: GatewaySettings, *, clock: Clock | None = None, chance: Chance = os.urandom) -> Starlette:
    """The gateway of a home over HTTP, its clone and outbox made where they are missing.

    Raises GitError or LogError where its own directory cannot be used; an absent desired repo or reconciler is
    no reason not to start.
    """
    clock = clock or SystemClock()
    parts = _assembled(settings, clock, chance)
    admit = _door(settings, Keyring(settings.tokens, Disk()), clock)
    return application(settings, parts.shards, parts.bench, admit, closing=parts.closing)


async def serve_stdio(settings: GatewaySettings) -> None:
    """The gateway for the one client that started this process: who may start it may call it. Ends with its input."""
    parts = _assembled(settings, SystemClock(), os.urandom)
    server = _front("waypost", _together(map(_offers, parts.shards)), parts.bench, lambda _: access.LOCAL)
    with ExitStack() as stack:
        for close in reversed(parts.closing):
            stack.callback(close)
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())


def _assembled(settings: GatewaySettings, clock: Clock, chance: Chance) -> Parts:
    lock = belongings.hold(settings)
    alone = isinstance(lock, Lock)
    store = belongings.clone(settings, alone=alone)
    audit = Audit(belongings.outbox(settings, clock, alone=alone))
    query = QueryClient(settings.reconciler_url, timeout=settings.answer_within)
    desk = Desk(settings, store, audit, query, clock, chance)
    desk.recover()
    shards: list[Shard] = [Traefik(desk)]
    own = Own(desk, version("waypost"), [shard.name for shard in shards])
    letting_go = (lock.close,) if isinstance(lock, Lock) else ()
    bench = Bench(audit, functools.partial(_request_id, clock, chance), Limits(clock, settings.bounds))
    return Parts((*shards, own), bench, (query.close, audit.close, *letting_go))


def _door(settings: GatewaySettings, keyring: Keyring, clock: Clock) -> Admit:
    def admit(authorization: str, host: str) -> Caller | access.TurnedAway:
        return access.admit(keyring.tokens(), authorization, host=host, open_door=settings.loopback, now=clock.now())

    return admit


def _request_id(clock: Clock, chance: Chance) -> str:
    """Sorts by time, and nobody can guess the next one."""
    return f"{int(clock.now().timestamp() * 1000):012x}-{chance(8).hex()}"


def application(
    settings: GatewaySettings,
    shards: Sequence[Shard],
    bench: Bench,
    admit: Admit,
    *,
    closing: Sequence[Callable[[], None]] = (),
) -> Starlette:
    """The gateway over these shards: `/mcp` for all, `/mcp/<shard>` for one, `/health`.

    `admit` says who is let in to the first two; `closing` is called when it ends.
    """
    offers = {shard.name: _offers(shard) for shard in shards}
    fronts = {f"/mcp/{name}": _front(f"waypost-{name}", of_one, bench, _caller) for name, of_one in offers.items()}
    fronts["/mcp"] = _front("waypost", _together(offers.values()), bench, _caller)
    security = _security(settings)
    registry = {name: {"state": "up", "tools": len(of_one)} for name, of_one in offers.items()}
    routes: list[BaseRoute] = [Route("/health", functools.partial(_health, settings, registry))]
    for path, server in fronts.items():
        # Stateless also for the handshake era: a restart of the gateway loses no session because there is none.
        app = server.streamable_http_app(
            streamable_http_path=path, stateless_http=True, transport_security=security, host=settings.host
        )
        routes.extend(Route(path, Gate(route.app, admit)) for route in app.routes if isinstance(route, Route))

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

    def open_to(self, caller: Caller, name: str) -> bool:
        return caller.may(self.tool.shard, name, writes=self.tool.traits.writes)


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


def _front(
    name: str, offers: Mapping[str, Offer], bench: Bench, who: Callable[[ServerRequestContext[dict[str, Any]]], Caller]
) -> Server[dict[str, Any]]:
    """One MCP server over these offers, without a transport yet. `who` says who sent a request."""

    async def list_tools(
        context: ServerRequestContext[dict[str, Any]], _: protocol.PaginatedRequestParams | None
    ) -> protocol.ListToolsResult:
        caller = who(context)
        return protocol.ListToolsResult(
            tools=[offer.listing for name, offer in offers.items() if offer.open_to(caller, name)]
        )

    async def call_tool(
        context: ServerRequestContext[dict[str, Any]], params: protocol.CallToolRequestParams
    ) -> protocol.CallToolResult:
        caller = who(context)
        call = Call(
            request_id=bench.new_request_id(),
            client=_client(context, caller),
            tool=params.name[:_LONGEST_TOOL_NAME],
        )
        offer, arguments = offers.get(params.name), params.arguments or {}
        try:
            with _let(bench, caller, call, offer):
                outcome = await _call(bench, offer, call, arguments)
        except Refused as refusal:
            return await _turned_down(bench, offer, call, arguments, refusal)
        if isinstance(outcome.answer, Proposed):
            bench.limits.proposed(caller.name)
        return _result(call, outcome)

    return Server(
        name,
        version=version("waypost"),
        title="Waypost",
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": CacheHint(ttl_ms=60_000, scope="private")},
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _call(bench: Bench, offer: Offer | None, call: Call, arguments: Mapping[str, Any]) -> Outcome:
    if offer is None:
        refusal = Outcome(refusal=Refused("unknown-tool", "there is no such tool"))
        await _in_a_worker(bench, lambda: bench.audit.note(call, "", arguments, refusal))
        raise MCPError(protocol.INVALID_PARAMS, f"There is no tool '{call.tool}' here; tools/list has them all.")
    # Not abandoned when the client hangs up: what was begun is finished and audited.
    return await _in_a_worker(bench, lambda: bench.audit.carry_out(offer.tool, call, arguments))


def _let(bench: Bench, caller: Caller, call: Call, offer: Offer | None) -> AbstractContextManager[None]:
    """Raises Refused where this caller may not make this call, or not now."""
    writes = offer is not None and offer.tool.traits.writes
    if offer and not offer.open_to(caller, call.tool):
        whose = f"The token '{caller.name}'" if caller.name else "This client"
        raise Refused("forbidden", f"{whose} may not call {call.tool}; tools/list has what it may call.")
    # Of names that are no tools there are as many as anybody likes: they share one measure.
    return bench.limits.counted(caller.name, call.tool if offer else "", writes=writes)


async def _turned_down(
    bench: Bench, offer: Offer | None, call: Call, arguments: Mapping[str, Any], refusal: Refused
) -> protocol.CallToolResult:
    shard = offer.tool.shard if offer else ""
    await _in_a_worker(bench, lambda: bench.audit.note(call, shard, arguments, Outcome(refusal=refusal)))
    return _refusal(call, refusal)


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


def _caller(context: ServerRequestContext[dict[str, Any]]) -> Caller:
    """Who the gate let in. Whoever came by another way than the gate may do nothing."""
    found = context.request.scope.get(CALLER) if isinstance(context.request, Request) else None
    return found if isinstance(found, Caller) else Caller(name="", role="read", grants=frozenset({""}))


def _client(context: ServerRequestContext[dict[str, Any]], caller: Caller) -> str:
    """Who calls: the token's name, and behind it what the client says it is, which is a claim and no proof.

    The stateless handshake era tells only a user agent.
    """
    params = context.session.client_params
    if params is not None:
        claimed = f"{params.client_info.name}/{params.client_info.version}"
    else:
        request = context.request
        claimed = request.headers.get("user-agent", "") if isinstance(request, Request) else ""
    plain = "".join(character for character in claimed if character.isprintable())
    told = plain.strip()[:_LONGEST_CLIENT] or "unknown"
    return f"{caller.name} ({told})" if caller.name else told


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
    later = f"in {refusal.after:.0f} s" if refusal.after and refusal.after >= 1 else "later"
    again = f"The same call may succeed {later}." if refusal.retry else "The same call will fail again."
    lines = [f"{refusal.code}: {refusal}", *(f"- {problem}" for problem in problems), f"{again} ({call.request_id})"]
    return protocol.CallToolResult(
        is_error=True,
        content=[protocol.TextContent(text="\n".join(lines))],
        structured_content={
            "code": refusal.code,
            "message": str(refusal),
            "problems": problems,
            "retry": refusal.retry,
            "retry_after_seconds": refusal.after,
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
