"""What a shard elsewhere says of its tools and of its troubles: shown only where it does no harm to be shown."""

from __future__ import annotations

import os
import ssl
from typing import Any

import httpx2
import mcp_types as protocol
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.exceptions import MCPError
from mcp_types import methods
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS

from reconciler.ports import SystemClock
from shards import untrusted
from shards.declared import Declared
from shards.wire import distrust, link
from shards.wire.remote import Link, Surroundings
from tests.shards.misbehaving.world import NoShelf

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


@pytest.mark.parametrize("header", ["", "two words", 7, "Twice"])
def test_a_tool_that_wants_what_is_no_header_is_not_offered(header: Any) -> None:
    city = {"type": "string", "x-mcp-header": header}
    other = {"type": "string", "x-mcp-header": "twice"}
    assert not distrust.is_usable(tool({"type": "object", "properties": {"city": city, "other": other}}))


@pytest.mark.parametrize("schema", PLAIN)
@pytest.mark.parametrize("version", KNOWN_PROTOCOL_VERSIONS)
def test_what_is_shown_can_be_told_in_every_revision(version: str, schema: dict[str, Any]) -> None:
    for one in (tool(schema), tool({"type": "object"}, schema)):
        assert distrust.is_usable(one)
        listed = protocol.ListToolsResult(tools=[distrust.listing("peer_", one)], ttl_ms=0, cache_scope="private")
        told = listed.model_dump(mode="json", by_alias=True, exclude_none=True)
        methods.serialize_server_result("tools/list", version, told)


_TEXT = st.text(st.sampled_from("ab1\\\r\n\t\x00\x1b[m\x7f\x85\u200b\u202e\ufeffäß\U000e0041"), max_size=12)
_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(_TEXT, _PLAIN, st.dictionaries(_TEXT, _PLAIN, max_size=2), st.booleans())
def test_of_an_answer_all_is_handed_on_that_is_no_trick_and_nothing_else(
    text: str, content: Any, meta: dict[str, Any], is_error: bool
) -> None:
    said = [protocol.TextContent(text=text, _meta=meta)]
    result = protocol.CallToolResult(content=said, structured_content=content, is_error=is_error, _meta=meta)
    tool = protocol.Tool(name="ask", input_schema={"type": "object"})
    found = distrust.plain(distrust.answer("far", tool, result))
    wanted = untrusted.cleaned(distrust.plain(result))
    if not isinstance(content, dict):
        wanted.pop("structuredContent", None)
    assert found == wanted
    assert distrust.answer("far", tool, result).meta is None


CANARY = "Hx7canary4Qm"
KEY_IN_ADDRESS = f"https://shard.example.org/mcp?api_key={CANARY}"


@pytest.mark.parametrize(
    "fault",
    [
        MCPError(protocol.INTERNAL_ERROR, f"cannot log in: password={CANARY}"),
        MCPError(protocol.INTERNAL_ERROR, f"Authorization: Bearer {CANARY}"),
        ExceptionGroup("several", [httpx2.ConnectError(f"401 Unauthorized for url '{KEY_IN_ADDRESS}'")]),
        OSError(f"amqp://guest:{CANARY}@rabbit refused"),
    ],
)
def test_a_fault_is_told_without_the_secret_that_it_quotes(fault: Exception) -> None:
    assert CANARY not in link.words(fault)
    assert link.words(MCPError(protocol.INTERNAL_ERROR, "the cellar is flooded")) == "the cellar is flooded"


def test_where_a_shard_is_is_told_without_the_key_in_its_address() -> None:
    around = Surroundings(clock=SystemClock(), chance=os.urandom, tls=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    shard = Declared(name="far", url=KEY_IN_ADDRESS, tools=frozenset({"ask"}))
    told = Link(shard, NoShelf(), around).standing().as_json()
    assert CANARY not in str(told) and told["where"].startswith("https://shard.example.org/mcp")
