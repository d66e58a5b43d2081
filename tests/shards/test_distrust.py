"""What a shard elsewhere says of its tools: shown to clients only where no client takes offence at it."""

from __future__ import annotations

from typing import Any

import mcp_types as protocol
import pytest
from mcp_types import methods
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS

from shards.wire import distrust

ODD: list[dict[str, Any]] = [
    {"type": "string"},
    {"type": "object", "ty\u200bpe": ["object"]},  # without what shows nothing, the second stands for the first
    {"type": "object", "properties": 5},
    {"type": "object", "properties": {"city": "a string"}},
    {"type": "object", "required": "city"},
    {"type": "object", "required": [1]},
    {"type": "object", "$schema": 7},
]
PLAIN: list[dict[str, Any]] = [
    {"type": "object"},
    {"type": "object", "properties": {"city": True}, "required": ["city"], "additionalProperties": False},
    {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}], "x-of-theirs": "all\u200b well"},
]


def tool(schema: dict[str, Any], answer: dict[str, Any] | None = None) -> protocol.Tool:
    return protocol.Tool(name="ask", input_schema=schema, output_schema=answer)


@pytest.mark.parametrize("schema", ODD)
def test_a_schema_that_some_era_refuses_keeps_its_tool_out_of_every_list(schema: dict[str, Any]) -> None:
    assert not distrust.is_usable(tool(schema))
    assert not distrust.is_usable(tool({"type": "object"}, schema))


@pytest.mark.parametrize("schema", PLAIN)
@pytest.mark.parametrize("version", KNOWN_PROTOCOL_VERSIONS)
def test_what_is_shown_can_be_told_in_every_revision(version: str, schema: dict[str, Any]) -> None:
    for one in (tool(schema), tool({"type": "object"}, schema)):
        assert distrust.is_usable(one)
        listed = protocol.ListToolsResult(tools=[distrust.listing("peer_", one)], ttl_ms=0, cache_scope="private")
        told = listed.model_dump(mode="json", by_alias=True, exclude_none=True)
        methods.serialize_server_result("tools/list", version, told)
