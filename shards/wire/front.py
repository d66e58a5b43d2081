"""The MCP server that clients meet: what it says of itself, what it lists, and where their requests go."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import field
from importlib.metadata import version
from typing import Any

import mcp_types as protocol
from mcp.server import Server
from mcp.server._otel import OpenTelemetryMiddleware
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import NotificationOptions
from mcp.server.models import InitializationOptions
from starlette.requests import Request

from shards.access import Caller
from shards.gate import STILL
from shards.kit import Refused
from shards.wire import announcing
from shards.wire.asker import Context, shard
from shards.wire.calling import Bench, called
from shards.wire.further import fail
from shards.wire.mirrored import Mirrored
from state.sparing import dataclass

INSTRUCTIONS = """\
Waypost keeps a homelab the way its Git repository says it should be. You read freely; every tool that writes \
only proposes: it makes one commit on a branch of its own and answers with the proposal and its plan (what would \
change, what people would lose, what conflicts). Nothing is live until a person has approved the proposal and the \
reconciler has applied and proven it. So: read first, propose once, show the person the plan and how to review it \
(`review` in the answer). An error names its code, what to mend and whether to try again."""


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


@dataclass(frozen=True)
class _Front:
    """What happens to each kind of request. `who` says who sent it."""

    bench: Bench
    who: Callable[[Context], Caller]
    mirrored: Mirrored = field(default_factory=Mirrored)

    async def list_tools(self, context: Context, _: protocol.PaginatedRequestParams | None) -> protocol.ListToolsResult:
        shown = self.bench.shown(self.who(context), shard(context.request))
        return protocol.ListToolsResult(tools=list(shown.values()))

    async def call_tool(self, context: Context, params: protocol.CallToolRequestParams) -> protocol.CallToolResult:
        return await called(self.bench, self.who(context), context, params)

    async def listen(
        self, context: Context, params: protocol.SubscriptionsListenRequestParams
    ) -> protocol.SubscriptionsListenResult:
        caller = self.who(context)
        view = functools.partial(self.bench.shown, caller, shard(context.request))
        still = context.request.scope[STILL] if isinstance(context.request, Request) else announcing.always
        try:
            return await announcing.listen(
                self.bench.announcer, caller.name, view, still, context, params.notifications
            )
        except Refused as refusal:
            fail(refusal, self.bench.new_request_id(), {})

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """What a tool takes, where it wants any of that in headers as well: the SDK compares these with every call, and
        without this asks for the whole list of tools to do so."""
        offer = self.bench.registry.offered(name)
        return self.mirrored.of(name, offer.listing.input_schema) if offer else None


def server(bench: Bench, who: Callable[[Context], Caller]) -> Server[dict[str, Any]]:
    """One MCP server over all shards, without a transport yet. `who` says who sent a request.

    Which shard a request is for stands in its path (`/mcp/<shard>`); none: all of them.
    """
    front = _Front(bench, who)
    made = _Announcing(
        "waypost",
        version=version("waypost"),
        title="Waypost",
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": CacheHint(ttl_ms=60_000, scope="private")},
        get_tool_input_schema=front.schema,
        on_list_tools=front.list_tools,
        on_call_tool=front.call_tool,
        on_subscriptions_listen=front.listen,
    )
    # Each call made a span, which nobody collects.
    made.middleware[:] = [one for one in made.middleware if not isinstance(one, OpenTelemetryMiddleware)]
    return made
