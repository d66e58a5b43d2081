"""What a shard elsewhere says, as far as it is handed on: bounded, cleaned, and without what it claims about harm.

Everything here looks at each part of what came once. A schema of a stranger is never evaluated: an expression or a
chain of references in it could hold up the whole gateway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import mcp_types as protocol
from mcp.shared.inbound import find_invalid_x_mcp_header
from mcp_types import methods
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION
from pydantic import BaseModel

from shards import untrusted
from shards.kit import Refused
from shards.outcome import LARGEST

_LONGEST_TITLE: Final = 200
_LONGEST_DESCRIPTION: Final = 4_000
_LARGEST_SCHEMA: Final = 100_000
"""Characters of the texts of one tool's schemas: every client is sent them with every list of tools."""

_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "number": (int, float),
    "integer": (int, float),  # 2.0 is one
    "null": type(None),
}


def is_usable(tool: protocol.Tool) -> bool:
    """Whether clients can be shown it: one schema that is none spoils the whole list, here or at some of them."""
    schemas = [tool.input_schema] if tool.output_schema is None else [tool.input_schema, tool.output_schema]
    if find_invalid_x_mcp_header(tool.input_schema):
        return False  # so MCP wants it
    return _size(schemas) <= _LARGEST_SCHEMA and _can_be_told(listing("", tool))


def _can_be_told(tool: protocol.Tool) -> bool:
    """Whether every era's list of tools can hold it, as it is after all that was taken out of it."""
    listed = protocol.ListToolsResult(tools=[tool], ttl_ms=0, cache_scope="private")
    told = listed.model_dump(mode="json", by_alias=True, exclude_none=True)
    try:
        for version in (LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION):
            methods.serialize_server_result("tools/list", version, told)
    except ValueError:
        return False
    return True


def listing(prefix: str, tool: protocol.Tool) -> protocol.Tool:
    """A tool as we vouch for it: what it says of itself is text, and what it claims about harm is no matter."""
    title = untrusted.short(tool.title or tool.name, _LONGEST_TITLE)
    return protocol.Tool(
        name=prefix + tool.name,
        title=title,
        description=untrusted.short(tool.description or title, _LONGEST_DESCRIPTION),
        input_schema=untrusted.cleaned(tool.input_schema),
        output_schema=_without_expressions(untrusted.cleaned(tool.output_schema)),
        annotations=protocol.ToolAnnotations(
            title=title, read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
        ),
    )


def _without_expressions(schema: Any) -> Any:
    """A schema that promises less: clients would run a stranger's expressions on his own answers, perhaps for ever."""
    if isinstance(schema, list):
        return [_without_expressions(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _without_expressions(each) for name, each in schema.items()}
    if isinstance(kept.get("pattern"), str):  # under that name a property has a schema, and no text
        del kept["pattern"]
    if "patternProperties" in kept:
        del kept["patternProperties"]
        kept.pop("additionalProperties", None)  # it was about all the others
    return kept


def answer(shard: str, tool: protocol.Tool, result: protocol.CallToolResult) -> protocol.CallToolResult:
    """The answer without tricks in its texts, and without what the shard says about itself.

    Raises Refused where it is too large, or not what the tool promised.
    """
    found = result if _is_small_and_clean(result) else _cleaned(shard, result)
    if not result.is_error and (fault := _misfit(tool.output_schema, result.structured_content)):
        raise Refused("shard-lies", f"The shard {shard} answered what it should not: {untrusted.short(fault, 200)}")
    promised = tool.output_schema is not None or isinstance(found.structured_content, dict)
    # Where nobody was promised it, the eras before take objects only.
    return found.model_copy(update={"meta": None, **({} if promised else {"structured_content": None})})


def _is_small_and_clean(result: protocol.CallToolResult) -> bool:
    """A look at all of it at once: most answers are, and each part of them is looked at in thrice the time."""
    try:
        told = result.model_dump_json(by_alias=True, exclude_none=True)
    except (ValueError, RecursionError):  # what is no text, or nests too deep
        return False
    return len(told) <= LARGEST and not untrusted.may_trick(told)


def _cleaned(shard: str, result: protocol.CallToolResult) -> protocol.CallToolResult:
    dumped = plain(result)
    if (size := _size(dumped)) > LARGEST:
        raise Refused(
            "too-large", f"The answer of the shard {shard} is {size:,} characters long, more than the {LARGEST:,} that "
            "are handed on; ask for less.",
        )  # fmt: skip
    return protocol.CallToolResult.model_validate(untrusted.cleaned(dumped))


def plain(said: BaseModel) -> dict[str, Any]:
    """What it said as plain data. Raises Refused where that goes deeper than any client would look."""
    try:
        return said.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"})
    except (ValueError, RecursionError) as fault:
        raise Refused("shard-lies", "The shard answered what nests too deep to be passed on.") from fault


def _misfit(schema: Mapping[str, Any] | None, content: Any) -> str:
    """How an answer breaks its promise at the first glance, "" where it does not; clients look closer."""
    if schema is None:
        return ""
    if not isinstance(content, dict):
        return "no structured content, though the tool promises one"
    if absent := [name for name in _plain(schema.get("required"), list) if name not in content]:
        return f"{absent[0]} is missing"
    promised = _plain(schema.get("properties"), dict)
    wrong = [name for name, value in content.items() if not _is_of(promised.get(name), value)]
    return f"{wrong[0]} is of another type than promised" if wrong else ""


def _is_of(schema: Any, value: Any) -> bool:
    told = schema.get("type") if isinstance(schema, dict) else None
    known = _TYPES.get(told) if isinstance(told, str) else None
    return known is None or (isinstance(value, known) and (told == "boolean" or not isinstance(value, bool)))


def _plain(value: Any, kind: type) -> Any:
    return value if isinstance(value, kind) else kind()


def _size(value: Any) -> int:
    return sum(map(len, _texts(value)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    else:
        yield " "  # a number counts as well, or a million of them would be nothing
