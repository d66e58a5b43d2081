"""Prompts and resources of shards elsewhere, as far as a person declared them: passed on, cleaned, and audited.

Nothing of ours has any. They carry text and nothing else: whatever asks something of the client, or tells it something
unasked, is not passed on, because a shard elsewhere is not to be trusted with the person at the client.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, NoReturn, TypeVar, cast
from urllib.parse import unquote

import mcp_types as protocol
from mcp.server import Server
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel

from shards import errors, untrusted
from shards.access import Caller
from shards.declared import Declared
from shards.kit import Call, Refused
from shards.outcome import LARGEST, Outcome, asked
from shards.registry import Remote
from shards.wire import asker, calling, distrust
from shards.wire.asker import Context
from shards.wire.calling import Bench
from shards.wire.elsewhere import HUNG_UP
from state.errors import LogError

_MOST: Final = 500
"""Prompts or resources of one shard that are passed on."""

MISSING: Final = "waypost/missing"
"""Where in the `_meta` of a list it stands of which shards nothing could be listed, and why: name -> reason."""

_STEPS: Final = re.compile(r"[/\\?#]")

_Item = TypeVar("_Item", bound=protocol.Prompt | protocol.Resource | protocol.ResourceTemplate)
_Result = TypeVar("_Result", bound=protocol.Result)
_Said = TypeVar("_Said", bound=BaseModel)

_logger = logging.getLogger("waypost.gateway")


class Further:
    """What a client may ask for besides tools."""

    def __init__(self, bench: Bench, who: Callable[[Context], Caller]) -> None:
        self._bench = bench
        self._who = who

    def add_to(self, server: Server[dict[str, Any]]) -> None:
        page = protocol.PaginatedRequestParams
        server.add_request_handler("prompts/list", page, self.prompts)
        server.add_request_handler("prompts/get", protocol.GetPromptRequestParams, self.prompt)
        server.add_request_handler("resources/list", page, self.resources)
        server.add_request_handler("resources/templates/list", page, self.templates)
        server.add_request_handler("resources/read", protocol.ReadResourceRequestParams, self.resource)
        server.add_request_handler("completion/complete", protocol.CompleteRequestParams, self.completion)

    # ── lists ────────────────────────────────────────────────────────────────────────────────────

    async def prompts(self, context: Context, _: protocol.PaginatedRequestParams) -> protocol.ListPromptsResult:
        async def of(remote: Remote) -> list[protocol.Prompt]:
            listed = await remote.listed(protocol.ListPromptsRequest(), protocol.ListPromptsResult)
            prefix = remote.shard.public_prefix
            known = (prompt for prompt in listed.prompts[:_MOST] if prompt.name in remote.shard.prompts)
            return [prompt.model_copy(update={"name": prefix + prompt.name}) for prompt in known]

        listed, meta = await self._all(context, lambda shard: shard.prompts, of)
        return protocol.ListPromptsResult(prompts=listed, _meta=meta)

    async def resources(self, context: Context, _: protocol.PaginatedRequestParams) -> protocol.ListResourcesResult:
        async def of(remote: Remote) -> list[protocol.Resource]:
            listed = await remote.listed(protocol.ListResourcesRequest(), protocol.ListResourcesResult)
            return [resource for resource in listed.resources[:_MOST] if _is_declared(remote, resource.uri)]

        listed, meta = await self._all(context, lambda shard: shard.resources, of)
        return protocol.ListResourcesResult(resources=listed, _meta=meta)

    async def templates(
        self, context: Context, _: protocol.PaginatedRequestParams
    ) -> protocol.ListResourceTemplatesResult:
        async def of(remote: Remote) -> list[protocol.ResourceTemplate]:
            listed = await remote.listed(protocol.ListResourceTemplatesRequest(), protocol.ListResourceTemplatesResult)
            return [each for each in listed.resource_templates[:_MOST] if _is_declared(remote, each.uri_template)]

        listed, meta = await self._all(context, lambda shard: shard.resources, of)
        return protocol.ListResourceTemplatesResult(resource_templates=listed, _meta=meta)

    async def _all(
        self,
        context: Context,
        declared: Callable[[Declared], frozenset[str]],
        of: Callable[[Remote], Awaitable[list[_Item]]],
    ) -> tuple[list[_Item], Any]:
        """Of all shards that this caller may ask; of one that is away what it listed last. What is missing because it
        never did is named beside the list."""
        caller, missing = self._who(context), dict[str, str]()

        async def those(remote: Remote) -> list[_Item]:
            try:
                return [_cleaned(item) for item in await of(remote)]
            except Refused as refusal:
                _logger.warning("the shard %s does not say what it has: %s", remote.shard.name, refusal)
                if not _knows_no_such(refusal):
                    missing[remote.shard.name] = f"{refusal.code}: {refusal}"
                return []

        remotes = [
            remote
            for remote in self._bench.registry.remotes(asker.shard(context.request))
            if declared(remote.shard) and caller.may(remote.shard.name, "", writes=False)
        ]
        with self._counted(caller, "lists"):
            listed = [item for each in await asyncio.gather(*map(those, remotes)) for item in each]
        return listed, {MISSING: missing} if missing else None

    # ── what stands in them ──────────────────────────────────────────────────────────────────────

    async def prompt(self, context: Context, params: protocol.GetPromptRequestParams) -> protocol.GetPromptResult:
        remote, name = self._of_prompt(context, params.name)
        request = protocol.GetPromptRequest(
            params=protocol.GetPromptRequestParams(name=name, arguments=params.arguments)
        )
        given = {"name": params.name, "arguments": params.arguments or {}}
        return await self._told(context, remote, given, request, protocol.GetPromptResult)

    async def resource(
        self, context: Context, params: protocol.ReadResourceRequestParams
    ) -> protocol.ReadResourceResult:
        remote = self._of_resource(context, params.uri)
        request = protocol.ReadResourceRequest(params=protocol.ReadResourceRequestParams(uri=params.uri))
        return await self._told(context, remote, {"uri": params.uri}, request, protocol.ReadResourceResult)

    async def completion(self, context: Context, params: protocol.CompleteRequestParams) -> protocol.CompleteResult:
        ref: protocol.PromptReference | protocol.ResourceTemplateReference = params.ref
        if isinstance(ref, protocol.PromptReference):
            remote, name = self._of_prompt(context, ref.name)
            ref = protocol.PromptReference(name=name)
        else:
            remote = self._of_resource(context, ref.uri)
        asked = protocol.CompleteRequestParams(ref=ref, argument=params.argument, context=params.context)
        with self._counted(self._who(context), "completion"):
            return _cleaned(await remote.ask(protocol.CompleteRequest(params=asked), protocol.CompleteResult))

    @contextmanager
    def _counted(self, caller: Caller, what: str) -> Iterator[None]:
        """Within the limits of this caller. A refusal is told as the protocol wants it."""
        try:
            with self._bench.limits.counted(caller.name, what, writes=False):
                yield
        except Refused as refusal:
            fail(refusal, self._bench.new_request_id(), {})

    def _of_prompt(self, context: Context, name: str) -> tuple[Remote, str]:
        for remote in self._remotes(context, name):
            bare = name.removeprefix(remote.shard.public_prefix)
            if bare in remote.shard.prompts and name == remote.shard.public_prefix + bare:
                return remote, bare
        raise self._unknown(Refused("unknown-prompt", "There is no such prompt here; prompts/list has them all."), {})

    def _of_resource(self, context: Context, address: str) -> Remote:
        for remote in self._remotes(context, address):
            if _is_declared(remote, address):
                return remote
        # In both eras the code of this revision: that of the revisions before is retired.
        raise self._unknown(Refused("unknown-resource", "There is no such resource here."), {"uri": address})

    def _unknown(self, refusal: Refused, given: Mapping[str, Any]) -> MCPError:
        return _error(protocol.INVALID_PARAMS, str(refusal), refusal, self._bench.new_request_id(), given)

    def _remotes(self, context: Context, name: str) -> list[Remote]:
        caller, remotes = self._who(context), self._bench.registry.remotes(asker.shard(context.request))
        return [remote for remote in remotes if caller.may(remote.shard.name, name, writes=False)]

    async def _told(
        self,
        context: Context,
        remote: Remote,
        given: Mapping[str, Any],
        request: protocol.ClientRequest,
        expected: type[_Result],
    ) -> _Result:
        """What the shard says, recorded like a call."""
        caller = self._who(context)
        call = Call(
            request_id=self._bench.new_request_id(), client=asker.client(context, caller), tool=str(request.method)
        )
        clock = self._bench.registry.clock
        started, outcome = clock.monotonic(), HUNG_UP

        async def ask() -> _Result:
            with self._bench.limits.counted(caller.name, call.tool, writes=False):
                return _cleaned(await remote.ask(request, expected))

        try:
            outcome = await asked(call, ask)
        finally:  # also of one that the client gave up: it may have been asked
            await self._note(call, remote, given, replace(outcome, seconds=clock.monotonic() - started))
        if outcome.refusal:
            fail(outcome.refusal, call.request_id, given)
        return cast(_Result, outcome.answer)

    async def _note(self, call: Call, remote: Remote, given: Mapping[str, Any], outcome: Outcome) -> None:
        try:
            await self._bench.audit.noted(call, remote.shard.name, given, outcome)
        except LogError as fault:
            raise calling.unaudited(fault, call) from fault


def _knows_no_such(refusal: Refused) -> bool:
    """Whether a shard was asked for what it has none of: not all that have resources have templates."""
    cause = refusal.__cause__
    return isinstance(cause, MCPError) and cause.code == protocol.METHOD_NOT_FOUND


def _is_declared(remote: Remote, address: str) -> bool:
    """Whether it begins as a person declared. One that climbs up from there (`/../`) may lead anywhere."""
    climbs = ".." in _STEPS.split(unquote(address))
    return not climbs and any(address.startswith(beginning) for beginning in remote.shard.resources)


def _cleaned(said: _Said) -> _Said:
    """Without tricks, and without what the shard says about itself. Raises Refused where it is too long."""
    plain = untrusted.cleaned(distrust.plain(said))
    if (size := len(str(plain))) > LARGEST:
        raise Refused("too-large", f"The answer is {size:,} characters long, more than the {LARGEST:,} passed on.")
    return type(said).model_validate(plain)


def fail(refusal: Refused, request_id: str, given: Mapping[str, Any]) -> NoReturn:
    """Raises what a client is told of a refusal, as the protocol wants it."""
    code = protocol.INVALID_PARAMS if refusal.code == "shard-refused" else errors.Code.FAILED
    raise _error(code, f"{refusal.code}: {refusal}", refusal, request_id, given)


def _error(code: int, words: str, refusal: Refused, request_id: str, given: Mapping[str, Any]) -> MCPError:
    _logger.info("refused: %s", refusal, extra={"request_id": request_id, "outcome": refusal.code})
    return MCPError(code, words, {**errors.data(refusal, request_id), **given})
