"""The MCP server that clients talk to: lists what a caller may call, lets calls through, says what came of them."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import mcp_types as protocol
from mcp.server import Server
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions
from mcp.server.models import InitializationOptions
from mcp.shared.exceptions import MCPError
from starlette.requests import Request

from shards.access import Caller
from shards.audit import Audit
from shards.gate import CALLER, STILL, Scope
from shards.kit import Call, Made, Refused
from shards.limits import Limits
from shards.metrics import Metrics
from shards.offers import Offer, Progress, in_thread
from shards.outcome import Outcome
from shards.registry import Registry
from shards.wire import announcing
from shards.wire.announcing import Announcer
from state.errors import LogError

INSTRUCTIONS = """\
Waypost keeps a homelab the way its Git repository says it should be. You read freely; every tool that writes \
only proposes: it makes one commit on a branch of its own and answers with the proposal and its plan (what would \
change, what people would lose, what conflicts). Nothing is live until a person has approved the proposal and the \
reconciler has applied and proven it. So: read first, propose once, show the person the plan and how to review it \
(`review` in the answer). An error names its code, what to mend and whether to try again."""

_logger = logging.getLogger("waypost.gateway")

_LONGEST_CLIENT = 80
_LONGEST_TOOL_NAME = 128

Context = ServerRequestContext[dict[str, Any], Any]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every call needs: the shards, the audit, the maker of request ids, and what clients may ask for."""

    registry: Registry
    audit: Audit
    new_request_id: Callable[[], str]
    limits: Limits
    metrics: Metrics
    announcer: Announcer

    def shown(self, caller: Caller, shard: str) -> dict[str, protocol.Tool]:
        """The tools of a shard, or of all, as this caller may see them."""
        offered = self.registry.offers(shard)
        return {name: offer.listing for name, offer in offered.items() if _is_open(offer, caller, name)}


class _Announcing(Server[dict[str, Any]]):
    """The SDK takes it for granted that nobody announces anything to clients of the eras before."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        told = notification_options or NotificationOptions(tools_changed=True)
        return super().create_initialization_options(told, experimental_capabilities, extensions)

    def get_capabilities(self, *given: Any, **named: Any) -> protocol.ServerCapabilities:
        """Only changes of tools are announced; who may listen is taken by the SDK to hear of everything."""
        found = super().get_capabilities(*given, **named)
        if found.prompts:
            found.prompts.list_changed = False
        if found.resources:
            found.resources.list_changed = found.resources.subscribe = False
        return found


def server(bench: Bench, who: Callable[[Context], Caller]) -> Server[dict[str, Any]]:
    """One MCP server over all shards, without a transport yet. `who` says who sent a request.

    Which shard a request is for stands in its path (`/mcp/<shard>`); none: all of them.
    """

    async def list_tools(context: Context, _: protocol.PaginatedRequestParams | None) -> protocol.ListToolsResult:
        return protocol.ListToolsResult(tools=list(bench.shown(who(context), shard(context.request)).values()))

    async def listen(
        context: Context, params: protocol.SubscriptionsListenRequestParams
    ) -> protocol.SubscriptionsListenResult:
        caller, of = who(context), shard(context.request)
        view = functools.partial(bench.shown, caller, of)
        still = context.request.scope[STILL] if isinstance(context.request, Request) else announcing.always
        return await announcing.listen(bench.announcer, caller.name, view, still, context, params.notifications)

    async def call_tool(context: Context, params: protocol.CallToolRequestParams) -> protocol.CallToolResult:
        caller = who(context)
        call = Call(
            request_id=bench.new_request_id(),
            client=client(context, caller),
            tool=params.name[:_LONGEST_TOOL_NAME],
        )
        offer, arguments = bench.registry.offer(params.name, shard(context.request)), params.arguments or {}
        measure = (offer.shard, call.tool) if offer else ("", "")
        try:
            with _let(bench, caller, call, offer), bench.metrics.running(*measure):
                outcome = await _called(bench, offer, call, arguments, _progress(context))
        except Refused as refusal:
            outcome = Outcome(refusal=refusal)
            await _noted(bench, offer, call, arguments, outcome)
        except LogError as fault:
            raise unaudited(fault) from fault
        if offer:
            bench.metrics.ended(offer.shard, call.tool, outcome.code, outcome.seconds)
        if isinstance(outcome.answer, Made):
            bench.limits.proposed(caller.name)
        return answered(call, outcome)

    def schema(name: str) -> Mapping[str, Any] | None:
        # Without this the SDK asks for the whole list with every call.
        offer = bench.registry.offers().get(name)
        return offer.listing.input_schema if offer else None

    return _Announcing(
        "waypost",
        version=version("waypost"),
        title="Waypost",
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": CacheHint(ttl_ms=60_000, scope="private")},
        get_tool_input_schema=schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_subscriptions_listen=listen,
    )


def shard(request: object) -> str:
    """Which shard a request is for, "" for all."""
    return str(request.path_params.get("shard", "")) if isinstance(request, Request) else ""


def _is_open(offer: Offer, caller: Caller, name: str) -> bool:
    return caller.may(offer.shard, name, writes=offer.writes)


def _let(bench: Bench, caller: Caller, call: Call, offer: Offer | None) -> AbstractContextManager[None]:
    """Raises Refused where this caller may not make this call, or not now."""
    if offer and not _is_open(offer, caller, call.tool):
        whose = f"The token '{caller.name}'" if caller.name else "This client"
        raise Refused("forbidden", f"{whose} may not call {call.tool}; tools/list has what it may call.")
    # Of names that are no tools there are as many as anybody likes: they share one measure.
    return bench.limits.counted(caller.name, call.tool if offer else "", writes=offer is not None and offer.writes)


async def _called(
    bench: Bench, offer: Offer | None, call: Call, arguments: Mapping[str, Any], progress: Progress | None
) -> Outcome:
    if offer is None:
        unknown = Outcome(refusal=Refused("unknown-tool", "there is no such tool"))
        await _noted(bench, None, call, arguments, unknown)
        raise MCPError(protocol.INVALID_PARAMS, f"There is no tool '{call.tool}' here; tools/list has them all.")
    return await offer.carry_out(bench.audit, call, arguments, progress)


async def _noted(bench: Bench, offer: Offer | None, call: Call, arguments: Mapping[str, Any], outcome: Outcome) -> None:
    try:
        await in_thread(lambda: bench.audit.note(call, offer.shard if offer else "", arguments, outcome))
    except LogError as fault:
        raise unaudited(fault) from fault


def unaudited(fault: LogError) -> MCPError:
    """Without a durable audit there is no answer, whatever was done."""
    _logger.error("the audit cannot be written: %s", fault)
    message = "The gateway cannot write its audit, so it gives no answer; a person has to look at its log."
    return MCPError(protocol.INTERNAL_ERROR, message)


def _progress(context: Context) -> Progress | None:
    """A way to tell the client how far its call is, where it asked for that."""
    if not (context.meta or {}).get("progress_token"):
        return None

    async def tell(done: float, total: float | None, message: str | None) -> None:
        await context.session.report_progress(done, total, message)

    return tell


def client(context: Context, caller: Caller) -> str:
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


def caller(context: Context) -> Caller:
    """Who the gate let in. Whoever came by another way than the gate may do nothing."""
    return let_in(context.request.scope if isinstance(context.request, Request) else {})


def let_in(scope: Scope) -> Caller:
    """Whom the gate let in with a request."""
    found = scope.get(CALLER)
    return found if isinstance(found, Caller) else Caller(name="", role="read", grants=frozenset({""}))


# ── what came of it ──────────────────────────────────────────────────────────────────────────────


def answered(call: Call, outcome: Outcome) -> protocol.CallToolResult:
    """What came of a call, as clients are told it."""
    if outcome.refusal is not None:
        return _refusal(call, outcome.refusal)
    if isinstance(outcome.answer, protocol.CallToolResult):  # from elsewhere: as it is
        return outcome.answer
    assert outcome.answer is not None
    return protocol.CallToolResult(
        content=[protocol.TextContent(text=outcome.text)], structured_content=outcome.answer.model_dump(mode="json")
    )


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
