"""A shard elsewhere that offers what the protocol's conformance suite asks for, by the names that it asks for.

It is no part of Waypost. Only here does a shard have no prefix: the suite knows nothing of gateways.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import mcp_types as protocol
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette

from shards.declared import Declared
from state.sparing import dataclass

Context = ServerRequestContext[Any, Any]
Answer = protocol.CallToolResult | protocol.InputRequiredResult

PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SILENCE: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQAAAAA="

NOTHING: Final[dict[str, Any]] = {"type": "object", "properties": {}}

VOCABULARY: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Unprefixed(Declared):
    """A shard whose tools keep their names."""

    @property
    def public_prefix(self) -> str:
        return ""


def declared(url: str) -> Declared:
    return Unprefixed(
        name="everything",
        url=url,
        tools=frozenset(TOOLS),
        prompts=frozenset(PROMPTS),
        resources=frozenset({"test://"}),
    )


def application() -> Starlette:
    server = Server(
        "everything",
        on_list_tools=_tools,
        on_call_tool=_call,
        on_list_prompts=_prompts,
        on_get_prompt=_prompt,
        on_list_resources=_resources,
        on_list_resource_templates=_templates,
        on_read_resource=_resource,
        on_completion=_complete,
    )
    return server.streamable_http_app(stateless_http=True)


# ── tools ────────────────────────────────────────────────────────────────────────────────────────


def _text(text: str) -> protocol.TextContent:
    return protocol.TextContent(text=text)


def _embedded(address: str, kind: str, text: str) -> protocol.EmbeddedResource:
    return protocol.EmbeddedResource(resource=protocol.TextResourceContents(uri=address, mime_type=kind, text=text))


_IMAGE: Final = protocol.ImageContent(data=PIXEL, mime_type="image/png")

_SAID: Final[Mapping[str, list[protocol.ContentBlock]]] = {
    "test_simple_text": [_text("This is a simple text response for testing.")],
    "test_image_content": [_IMAGE],
    "test_audio_content": [protocol.AudioContent(data=SILENCE, mime_type="audio/wav")],
    "test_embedded_resource": [_embedded("test://embedded-resource", "text/plain", "Contents that came along.")],
    "test_multiple_content_types": [
        _text("Several kinds at once:"),
        _IMAGE,
        _embedded("test://mixed-content-resource", "application/json", json.dumps({"test": "data", "value": 123})),
    ],
    "json_schema_2020_12_tool": [_text("It fits.")],
}


async def _progressing(context: Context) -> Answer:
    for done in (0, 50, 100):
        await context.session.report_progress(done, 100, f"{done} of 100")
    return protocol.CallToolResult(content=[_text("done")])


async def _logging(context: Context) -> Answer:
    for step in ("begun", "under way", "ended"):
        await context.session.send_log_message(level="info", data=step, related_request_id=context.request_id)
    return protocol.CallToolResult(content=[_text("logged")])


async def _failing(_: Context) -> Answer:
    return protocol.CallToolResult(content=[_text("This tool fails on purpose.")], is_error=True)


async def _plain(_: Context) -> Answer:
    """Would log, had anybody asked for it."""
    return protocol.CallToolResult(content=[_text("not logged")])


async def _demanding(context: Context) -> Answer:
    """Cannot do without a client that takes samples."""
    capabilities = context.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        told = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(protocol.MISSING_REQUIRED_CLIENT_CAPABILITY, "This needs sampling.", told)
    return protocol.CallToolResult(content=[_text("sampled")])


async def _asking(_: Context) -> Answer:
    """Asks the person at the client: first of all, and again as long as nobody answers."""
    schema: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    question = protocol.ElicitRequest(
        params=protocol.ElicitRequestFormParams(message="What is your name?", requested_schema=schema)
    )
    return protocol.InputRequiredResult(input_requests={"user_name": question}, request_state="asked")


_ASKS = (
    "elicitation",
    "sampling",
    "list_roots",
    "request_state",
    "multiple_inputs",
    "multi_round",
    "tampered_state",
    "capabilities",
)

_DONE: Final[Mapping[str, Callable[[Context], Awaitable[Answer]]]] = {
    "test_tool_with_progress": _progressing,
    "test_tool_with_logging": _logging,
    "test_error_handling": _failing,
    "test_logging_tool": _plain,
    "test_missing_capability": _demanding,
    "test_streaming_elicitation": _asking,
    "test_sampling": _asking,
    "test_elicitation": _asking,
    "test_elicitation_sep1034_defaults": _asking,
    "test_elicitation_sep1330_enums": _asking,
    **{f"test_input_required_result_{what}": _asking for what in _ASKS},
}

TOOLS: Final = (*_SAID, *_DONE)


async def _tools(_: Context, __: Any) -> protocol.ListToolsResult:
    return protocol.ListToolsResult(
        tools=[
            protocol.Tool(
                name=name,
                description=f"Answers what the suite expects of {name}.",
                input_schema=VOCABULARY if name.startswith("json_schema") else NOTHING,
            )
            for name in TOOLS
        ]
    )


async def _call(context: Context, params: protocol.CallToolRequestParams) -> Answer:
    if params.name in _SAID:
        return protocol.CallToolResult(content=_SAID[params.name])
    return await _DONE[params.name](context)


# ── prompts and resources ────────────────────────────────────────────────────────────────────────

_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
}

PROMPTS: Final = tuple(_ARGUMENTS)

_FIXED: Final[Mapping[str, tuple[str, str]]] = {
    "test://static-text": ("text/plain", "Text that never changes."),
    "test://static-binary": ("image/png", PIXEL),
    "test://watched-resource": ("text/plain", "Text that somebody may watch."),
}
_TEMPLATE: Final = "test://template/{id}/data"


async def _prompts(_: Context, __: Any) -> protocol.ListPromptsResult:
    return protocol.ListPromptsResult(
        prompts=[
            protocol.Prompt(
                name=name,
                description=f"Says what the suite expects of {name}.",
                arguments=[protocol.PromptArgument(name=argument, required=True) for argument in arguments],
            )
            for name, arguments in _ARGUMENTS.items()
        ]
    )


async def _prompt(_: Context, params: protocol.GetPromptRequestParams) -> protocol.GetPromptResult:
    given = params.arguments or {}
    said: dict[str, list[protocol.ContentBlock]] = {
        "test_simple_prompt": [_text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments": [
            _text(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'")
        ],
        "test_prompt_with_embedded_resource": [
            _embedded(given.get("resourceUri", ""), "text/plain", "Contents that came along."),
            _text("Please look at the resource above."),
        ],
        "test_prompt_with_image": [_IMAGE, _text("Please look at the image above.")],
    }
    messages = [protocol.PromptMessage(role="user", content=content) for content in said[params.name]]
    return protocol.GetPromptResult(messages=messages)


async def _resources(_: Context, __: Any) -> protocol.ListResourcesResult:
    listed = [
        protocol.Resource(uri=address, name=address[7:], description="For the suite.", mime_type=kind)
        for address, (kind, _) in _FIXED.items()
    ]
    return protocol.ListResourcesResult(resources=listed)


async def _templates(_: Context, __: Any) -> protocol.ListResourceTemplatesResult:
    template = protocol.ResourceTemplate(uri_template=_TEMPLATE, name="template", mime_type="application/json")
    return protocol.ListResourceTemplatesResult(resource_templates=[template])


async def _resource(_: Context, params: protocol.ReadResourceRequestParams) -> protocol.ReadResourceResult:
    address = params.uri
    if found := re.fullmatch(r"test://template/(\w+)/data", address):
        text = json.dumps({"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"})
        contents = protocol.TextResourceContents(uri=address, mime_type="application/json", text=text)
        return protocol.ReadResourceResult(contents=[contents])
    if address not in _FIXED:
        raise MCPError(protocol.INVALID_PARAMS, "Resource not found", {"uri": address})
    kind, said = _FIXED[address]
    if kind.startswith("image/"):
        return protocol.ReadResourceResult(
            contents=[protocol.BlobResourceContents(uri=address, mime_type=kind, blob=said)]
        )
    return protocol.ReadResourceResult(contents=[protocol.TextResourceContents(uri=address, mime_type=kind, text=said)])


async def _complete(_: Context, __: protocol.CompleteRequestParams) -> protocol.CompleteResult:
    return protocol.CompleteResult(completion=protocol.Completion(values=[], total=0, has_more=False))
