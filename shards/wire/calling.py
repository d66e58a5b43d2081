"""One call of a tool: let through or refused, counted, carried out, audited, answered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import mcp_types as protocol
from mcp.shared.exceptions import MCPError

from shards import errors
from shards.access import Caller
from shards.audit import Audit
from shards.kit import Call, Made, Refused
from shards.limits import Limits
from shards.metrics import Metrics
from shards.offers import Offer, Progress
from shards.outcome import Outcome
from shards.registry import Registry
from shards.wire.announcing import Announcer
from shards.wire.answering import answered
from shards.wire.asker import Context, client, shard
from state.errors import LogError
from state.sparing import dataclass

_logger = logging.getLogger("waypost.gateway")

_LONGEST_TOOL_NAME = 128


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
        return {name: offer.listing for name, offer in offered.items() if is_open(offer, caller, name)}


def is_open(offer: Offer, caller: Caller, name: str) -> bool:
    """Whether this caller may know of a tool, and call it."""
    return caller.may(offer.shard, name, writes=offer.writes, since=offer.since)


async def called(
    bench: Bench, caller: Caller, context: Context, params: protocol.CallToolRequestParams
) -> protocol.CallToolResult:
    """What a client is told of its call. Raises MCPError for what is no tool, and where no audit can be kept."""
    call = Call(
        request_id=bench.new_request_id(),
        client=client(context, caller),
        tool=params.name[:_LONGEST_TOOL_NAME],
        caller=caller.name,
    )
    offer, arguments = bench.registry.offer(params.name, shard(context.request)), params.arguments or {}
    measure = (offer.shard, call.tool) if offer else ("", "")
    try:
        with _let(bench, caller, call, offer), bench.metrics.running(*measure):
            outcome = await _carried_out(bench, offer, call, arguments, _progress(context))
    except Refused as refusal:
        outcome = Outcome(refusal=refusal)
        await _noted(bench, offer, call, arguments, outcome)
    except LogError as fault:
        raise unaudited(fault, call) from fault
    if offer:
        bench.metrics.ended(offer.shard, call.tool, outcome.code, outcome.seconds)
    if isinstance(outcome.answer, Made):
        bench.limits.proposed(caller.name)
    return answered(call, outcome)


def _let(bench: Bench, caller: Caller, call: Call, offer: Offer | None) -> AbstractContextManager[None]:
    """Raises Refused where this caller may not make this call, or not now."""
    if offer and not is_open(offer, caller, call.tool):
        whose = f"The token '{caller.name}'" if caller.name else "This client"
        raise Refused(
            "forbidden",
            f"{whose} may not call {call.tool}{_news(offer, caller, call.tool)}; tools/list has what it may call.",
        )
    # Of names that are no tools there are as many as anybody likes: they share one measure.
    return bench.limits.counted(caller.name, call.tool if offer else "", writes=offer is not None and offer.writes)


def _news(offer: Offer, caller: Caller, tool: str) -> str:
    """What a person does about a tool that is newer than what the client may call."""
    if offer.since <= caller.knows or not caller.has_role_for(writes=offer.writes):
        return ""
    return f", which came with a newer Waypost: a person opens it with {caller.opened_by(tool)}"


async def _carried_out(
    bench: Bench, offer: Offer | None, call: Call, arguments: Mapping[str, Any], progress: Progress | None
) -> Outcome:
    if offer is None:
        unknown = Refused("unknown-tool", "there is no such tool")
        await _noted(bench, None, call, arguments, Outcome(refusal=unknown))
        told = f"There is no tool '{call.tool}' here; tools/list has them all."
        raise MCPError(protocol.INVALID_PARAMS, told, errors.data(unknown, call.request_id))
    return await offer.carry_out(bench.audit, call, arguments, progress)


async def _noted(bench: Bench, offer: Offer | None, call: Call, arguments: Mapping[str, Any], outcome: Outcome) -> None:
    try:
        await bench.audit.noted(call, offer.shard if offer else "", arguments, outcome)
    except LogError as fault:
        raise unaudited(fault, call) from fault


def unaudited(fault: LogError, call: Call) -> MCPError:
    """Without a durable audit there is no answer, whatever was done."""
    _logger.error("the audit cannot be written: %s", fault, extra={"request_id": call.request_id})
    message = "The gateway cannot write its audit, so it gives no answer; a person has to look at its log."
    refusal = Refused("unaudited", message, retry=True)
    return MCPError(protocol.INTERNAL_ERROR, message, errors.data(refusal, call.request_id))


def _progress(context: Context) -> Progress | None:
    """A way to tell the client how far its call is, where it asked for that."""
    if (context.meta or {}).get("progress_token") is None:  # 0 is one
        return None

    async def tell(done: float, total: float | None, message: str | None) -> None:
        await context.session.report_progress(done, total, message)

    return tell
