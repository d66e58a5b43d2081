"""One model of errors: whatever is refused, and wherever, a client finds under the same names what it can act on."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp_types as protocol
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from shards.declared import Declared, Listed
from shards.errors import Code
from shards.limits import Bounds
from tests import plain_http
from tests.conftest import wait_until
from tests.shards.elsewhere import QUICK
from tests.shards.serving import ERAS, NOBODY, Waypost
from tests.shards.test_oauth import Auth, auth

__all__ = ["auth"]  # a fixture, found by its name

MakeWaypost = Callable[..., Waypost]
Question = Callable[[Client], Awaitable[Any]]

DEAD = Declared(
    name="dead",
    url=f"{NOBODY}/mcp",
    prompts=frozenset({"explain"}),
    resources=frozenset({"dead://"}),
    patience=QUICK,
    tools=frozenset(),
)
DEAD_CODES = {"shard-down", "shard-unreachable"}


def within(error: BaseException) -> list[MCPError]:
    if isinstance(error, BaseExceptionGroup):
        return [one for each in error.exceptions for one in within(each)]
    return [error] if isinstance(error, MCPError) else []


@dataclass
class Knock:
    """What a client does, and by which way it comes."""

    waypost: Waypost
    question: Question
    token: str = ""
    path: str = "/mcp"
    headers: Mapping[str, str] = field(default_factory=dict)

    def error(self, era: str) -> MCPError:
        async def ask() -> MCPError:
            shown = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            headers = {**shown, **self.headers}
            found: list[MCPError] = []
            try:
                async with (
                    plain_http.AsyncClient(headers=headers, timeout=30) as http,
                    Client(streamable_http_client(self.waypost.url + self.path, http_client=http), mode=era) as client,
                ):
                    try:
                        await self.question(client)
                    except MCPError as error:
                        found.append(error)
            except* MCPError as group:  # of a handshake that fails it comes out wrapped
                found += within(group)
            return found[0]

        return anyio.run(ask)


def tools(client: Client) -> Awaitable[Any]:
    return client.list_tools()


def without_a_token(make: MakeWaypost, auth: Auth) -> Knock:
    waypost = make()
    waypost.token("claude")
    return Knock(waypost, tools)


def without_a_scope(make: MakeWaypost, auth: Auth) -> Knock:
    return Knock(make(issuer=auth.issuer), tools, token=auth.token(scope="openid"))


def at_no_shard(make: MakeWaypost, auth: Auth) -> Knock:
    return Knock(make(), tools, path="/mcp/nowhere")


def at_a_gateway_that_cannot_tell(make: MakeWaypost, auth: Auth) -> Knock:
    waypost = make()
    waypost.settings.tokens.write_bytes(b"{")
    return Knock(waypost, tools)


def with_too_much(make: MakeWaypost, auth: Auth) -> Knock:
    return Knock(make(), lambda client: client.call_tool("traefik_list_routes", {"padding": "x" * (5 << 20)}))


def by_a_strange_name(make: MakeWaypost, auth: Auth) -> Knock:
    waypost = make()
    return Knock(waypost, tools, token=waypost.token("claude"), headers={"Host": "evil.example.net"})


def from_a_page_elsewhere(make: MakeWaypost, auth: Auth) -> Knock:
    return Knock(make(), tools, headers={"Origin": "https://evil.example.net"})


def for_no_tool(make: MakeWaypost, auth: Auth) -> Knock:
    return Knock(make(), lambda client: client.call_tool("traefik_approve", {}))


def without_an_audit(make: MakeWaypost, auth: Auth) -> Knock:
    waypost = make()
    with sqlite3.connect(waypost.settings.outbox) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    other.close()
    return Knock(waypost, lambda client: client.call_tool("traefik_list_routes", {}))


def for_no_prompt(make: MakeWaypost, auth: Auth) -> Knock:
    return Knock(make(), lambda client: client.get_prompt("traefik_explain"))


def for_no_resource(make: MakeWaypost, auth: Auth) -> Knock:
    return Knock(make(), lambda client: client.read_resource("file:///etc/passwd"))


def beside_a_dead_shard(make: MakeWaypost) -> Waypost:
    waypost = make(discovery=Listed((DEAD,)))
    wait_until(lambda: "dead" in plain_http.get(f"{waypost.url}/health").json()["shards"], "the shard", 60)
    return waypost


def for_a_prompt_of_a_dead_shard(make: MakeWaypost, auth: Auth) -> Knock:
    return Knock(beside_a_dead_shard(make), lambda client: client.get_prompt("dead_explain"))


def for_a_resource_of_a_dead_shard(make: MakeWaypost, auth: Auth) -> Knock:
    return Knock(beside_a_dead_shard(make), lambda client: client.read_resource("dead://one"))


def for_a_completion_by_a_dead_shard(make: MakeWaypost, auth: Auth) -> Knock:
    prompt = protocol.PromptReference(name="dead_explain")
    return Knock(beside_a_dead_shard(make), lambda client: client.complete(prompt, {"name": "a", "value": "b"}))


def for_lists_too_often(make: MakeWaypost, auth: Auth) -> Knock:
    async def twice(client: Client) -> None:
        await client.list_prompts(cache_mode="refresh")
        await client.list_prompts(cache_mode="refresh")

    return Knock(make(bounds=Bounds(reads_rate=0.01, reads_burst=1)), twice)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "knocking, number, codes, retry",
    [
        (without_a_token, Code.TURNED_AWAY, {"not-let-in"}, False),
        (without_a_scope, Code.TURNED_AWAY, {"forbidden"}, False),
        (at_no_shard, Code.UNKNOWN, {"unknown-shard"}, False),
        (at_a_gateway_that_cannot_tell, Code.UNABLE, {"unable-to-tell"}, True),
        (with_too_much, Code.TOO_LARGE, {"too-large"}, False),
        (by_a_strange_name, Code.STRANGE, {"strange-host"}, False),
        (from_a_page_elsewhere, Code.STRANGE, {"strange-origin"}, False),
        (for_no_tool, protocol.INVALID_PARAMS, {"unknown-tool"}, False),
        (without_an_audit, protocol.INTERNAL_ERROR, {"unaudited"}, True),
        (for_no_prompt, protocol.INVALID_PARAMS, {"unknown-prompt"}, False),
        (for_no_resource, protocol.INVALID_PARAMS, {"unknown-resource"}, False),
        (for_a_prompt_of_a_dead_shard, Code.FAILED, DEAD_CODES, True),
        (for_a_resource_of_a_dead_shard, Code.FAILED, DEAD_CODES, True),
        (for_a_completion_by_a_dead_shard, Code.FAILED, DEAD_CODES, True),
        (for_lists_too_often, Code.FAILED, {"too-fast"}, True),
    ],
)
def test_every_refusal_says_what_it_is_whether_to_come_back_and_by_what_id_it_is_logged(
    make_waypost: MakeWaypost,
    auth: Auth,
    caplog: pytest.LogCaptureFixture,
    knocking: Callable[[MakeWaypost, Auth], Knock],
    number: int,
    codes: set[str],
    retry: bool,
    era: str,
) -> None:
    caplog.set_level("INFO", "waypost.gateway")
    knock = knocking(make_waypost, auth)
    error = knock.error(era)
    assert error.code == number and len(error.message) > 20
    assert error.data["code"] in codes and error.data["retry"] is retry
    after = error.data["retry_after_seconds"]
    assert (after is None or after > 0) and (after is not None or codes != {"too-fast"})
    logged = {getattr(record, "request_id", None) for record in caplog.records}
    assert error.data["request_id"] in logged
