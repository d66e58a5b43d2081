"""Arguments that a tool wants in headers as well: looked for once in each schema, and compared with every call."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from mcp.server import Server

from shards.declared import Declared, Listed
from shards.wire.mirrored import Mirrored
from tests.shards.elsewhere import QUICK
from tests.shards.serving import served
from tests.shards.test_elsewhere import MakeWaypost, _mirrored, _told, state, until


def schema(**city: object) -> dict[str, object]:
    return {"type": "object", "properties": {"city": {"type": "string", **city}}}


def test_only_a_schema_that_wants_headers_is_compared_with_them() -> None:
    mirrored, wants = Mirrored(), schema(**{"x-mcp-header": "City"})
    assert mirrored.of("forecast", wants) is wants
    assert mirrored.of("forecast", wants) is wants
    assert mirrored.of("history", schema()) is None
    assert mirrored.of("broken", schema(**{"x-mcp-header": "no header"})) is None


def test_a_tool_that_is_listed_anew_is_looked_at_anew() -> None:
    mirrored, wants, other = Mirrored(), schema(**{"x-mcp-header": "City"}), schema()
    for given, found in ((other, None), (wants, wants), (other, None), (wants, wants)):
        assert mirrored.of("forecast", given) is found


def test_a_header_that_says_something_else_than_its_argument_is_refused(make_waypost: MakeWaypost) -> None:
    particular = Server("particular", on_list_tools=_mirrored, on_call_tool=_told)
    with served(particular.streamable_http_app(stateless_http=True)) as url:
        shard = Declared(name="particular", url=f"{url}/mcp", tools=frozenset({"ask"}), patience=QUICK)
        waypost = make_waypost(discovery=Listed((shard,)))
        until(lambda: state(waypost, "particular") == "up")
        assert ask(waypost.url, "Kiel") == 200
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(waypost.url, "Rome")
        assert refused.value.code == 400 and b"does not match" in refused.value.read()


def ask(url: str, header: str) -> int:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "particular_ask", "arguments": {"city": "Kiel"}, "_meta": meta}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "particular_ask",
        "Mcp-Param-City": header,
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/mcp", body, headers), timeout=30) as answer:
        return int(answer.status)
