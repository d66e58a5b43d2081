"""Who is let in to the gateway, and what they may see and call there: over real HTTP, in both protocol eras."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import httpx2
import pytest

from reconciler import tokens
from shards import catalogue
from shards.errors import Code
from state.events import ToolCalled
from tests import plain_http
from tests.shards.serving import ERAS, ROUTE, Waypost, now

MakeWaypost = Callable[..., Waypost]
ACCEPT = {"Accept": "application/json, text/event-stream"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


def status(waypost: Waypost, authorization: str = "", **headers: str) -> int:
    return knock(waypost, authorization, **headers).status_code


def knock(waypost: Waypost, authorization: str = "", **headers: str) -> httpx2.Response:
    shown = {"Authorization": authorization} if authorization else {}
    return plain_http.post(f"{waypost.url}/mcp", json=LIST, headers={**ACCEPT, **shown, **headers})


def test_without_any_token_whoever_sits_at_this_machine_may_call(waypost: Waypost) -> None:
    assert status(waypost) == 200


def test_behind_a_proxy_everybody_seems_to_sit_at_this_machine_so_a_token_is_needed(make_waypost: MakeWaypost) -> None:
    waypost = make_waypost(public_urls=("https://waypost.example.org",))
    assert status(waypost, Host="waypost.example.org") == 401
    assert status(waypost) == 200


def test_bound_to_more_than_loopback_nobody_comes_in_without_a_token(make_waypost: MakeWaypost) -> None:
    waypost = make_waypost(host="0.0.0.0")
    answer = knock(waypost)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "waypost token create" in answer.json()["error"]["message"]
    assert status(waypost, f"Bearer {waypost.token('claude')}") == 200


def test_once_there_is_a_token_one_is_needed_even_when_all_have_ended(waypost: Waypost) -> None:
    raw = waypost.token("claude")
    assert status(waypost) == 401
    assert status(waypost, f"Bearer {raw}") == 200
    assert status(waypost, f"bearer {raw}") == 200
    waypost.keyring.change(lambda known: tokens.revoked(known, "claude", now()))
    assert status(waypost, f"Bearer {raw}") == 401
    assert status(waypost) == 401


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Basic dTpw", "Bearer waypost_", "Bearer waypost_0123456789ab_" + "A" * 43, "Bearer \xe9"],
)
def test_what_is_no_token_opens_nothing(waypost: Waypost, authorization: str) -> None:
    waypost.token("claude")
    answer = plain_http.post(
        f"{waypost.url}/mcp", json=LIST, headers=[*ACCEPT.items(), (b"authorization", authorization.encode("latin-1"))]
    )
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == Code.TURNED_AWAY


def test_two_authorizations_are_none(waypost: Waypost) -> None:
    shown = f"Bearer {waypost.token('claude')}"
    twice = [*ACCEPT.items(), ("Authorization", shown), ("Authorization", shown)]
    assert plain_http.post(f"{waypost.url}/mcp", json=LIST, headers=twice).status_code == 401


def test_an_expired_token_opens_nothing_and_says_when_it_ended(waypost: Waypost) -> None:
    raw = waypost.token("claude", now=now() - timedelta(days=2), lasts=timedelta(days=1))
    answer = knock(waypost, f"Bearer {raw}")
    assert answer.status_code == 401
    assert "expired" in answer.json()["error"]["message"]


def test_a_rotated_token_works_beside_its_successor_until_the_overlap_is_over(waypost: Waypost) -> None:
    old = waypost.token("claude")
    waypost.keyring.change(lambda known: tokens.ending(known, "claude", now() + timedelta(hours=1)))
    new = waypost.token("claude")
    assert [status(waypost, f"Bearer {raw}") for raw in (old, new)] == [200, 200]
    waypost.keyring.change(lambda known: tokens.ending(known, "claude", now()) if known else known)
    assert status(waypost, f"Bearer {old}") == 401


@pytest.mark.parametrize("damage", [b"", b"{", b'{"tokens": [{"id": "x"}]}', b"[]"])
def test_where_the_tokens_cannot_be_read_nobody_comes_in(waypost: Waypost, damage: bytes) -> None:
    raw = waypost.token("claude")
    waypost.settings.tokens.write_bytes(damage)
    for shown in ("", f"Bearer {raw}"):
        answer = knock(waypost, shown)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == Code.UNABLE


@pytest.mark.parametrize("era", ERAS)
def test_a_reader_sees_and_calls_only_what_reads(waypost: Waypost, era: str) -> None:
    reader, proposer = waypost.token("display", "read"), waypost.token("claude")
    seen = {tool.name: tool for tool in waypost.tools(era, token=reader).tools}
    everything = {tool.name: tool for tool in waypost.tools(era, token=proposer).tools}
    assert seen and all(tool.annotations and tool.annotations.read_only_hint for tool in seen.values())
    assert "traefik_create_route" in everything.keys() - seen.keys()
    refused = waypost.call("traefik_create_route", era, token=reader, **ROUTE)
    assert refused.is_error and refused.structured_content["code"] == "forbidden"
    assert not waypost.proposals


def test_a_grant_narrows_to_a_shard_or_a_tool(waypost: Waypost) -> None:
    whole, single = waypost.token("a", grants=("traefik",)), waypost.token("b", grants=("traefik_list_routes", "why"))
    assert all(tool.name.startswith("traefik_") for tool in waypost.tools(token=whole).tools)
    assert {tool.name for tool in waypost.tools(token=single).tools} == {"traefik_list_routes", "why"}
    assert waypost.call("gateway_status", token=whole).is_error
    assert not waypost.call("traefik_list_routes", token=single).is_error


@pytest.mark.parametrize("era", ERAS)
def test_a_tool_that_came_after_a_token_is_closed_to_it_until_it_is_granted_by_name(
    make_waypost: MakeWaypost, era: str
) -> None:
    """Of generation 0 is whoever was let in before there was any tool of ours; shards elsewhere are let in by name."""
    waypost = make_waypost()
    raw = waypost.token("old", knows=0)
    assert waypost.tools(era, token=raw).tools == []
    refused = waypost.call("traefik_list_routes", era, token=raw)
    assert refused.is_error and refused.structured_content["code"] == "forbidden"
    assert "waypost token grant 'old' traefik_list_routes" in refused.structured_content["message"]
    waypost.keyring.change(lambda known: tokens.granted(known, "old", ["traefik_list_routes"], now()))
    assert [tool.name for tool in waypost.tools(era, token=raw).tools] == ["traefik_list_routes"]
    assert not waypost.call("traefik_list_routes", era, token=raw).is_error


def test_a_grant_for_a_shard_opens_no_later_tool_of_it_and_no_role_opens_by_a_grant(waypost: Waypost) -> None:
    narrow = waypost.token("narrow", grants=("traefik", "why"), knows=0)
    assert [tool.name for tool in waypost.tools(token=narrow).tools] == ["why"]
    reader = waypost.token("display", "read", knows=0, also=("traefik_create_route",))
    assert waypost.tools(token=reader).tools == []
    refused = waypost.refusal("traefik_create_route", token=reader, **ROUTE)
    assert refused["code"] == "forbidden" and "waypost token grant" not in refused["message"]


def test_a_token_of_an_earlier_waypost_opens_what_it_did(waypost: Waypost) -> None:
    raw = waypost.token("claude")
    [kept] = json.loads(waypost.settings.tokens.read_text())["tokens"]  # as an older one can read it
    assert kept.keys() <= {"id", "name", "role", "grants", "hash", "made", "expires", "revoked"}, (
        "an older one reads it"
    )
    assert {tool.name for tool in waypost.tools(token=raw).tools} == {
        name for name in catalogue.GENERATIONS[0] if name.startswith("traefik_") or "_" not in name
    } | {"gateway_status", "proposals_list", "proposals_get", "proposals_withdraw"}


def test_the_decision_is_about_the_tool_in_the_body_and_not_in_a_header(waypost: Waypost) -> None:
    reader = waypost.token("display", "read")
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "traefik_create_route", "arguments": ROUTE}}  # fmt: skip
    lying = {**ACCEPT, "Authorization": f"Bearer {reader}", "Mcp-Name": "traefik_list_routes", "Mcp-Method": "ping"}
    answer = plain_http.post(f"{waypost.url}/mcp", json=call, headers=lying)
    assert "forbidden" in answer.text or answer.status_code == 400
    assert not waypost.proposals


def test_the_audit_names_the_token_and_what_the_client_claims_and_records_what_was_forbidden(waypost: Waypost) -> None:
    reader = waypost.token("display", "read")
    waypost.call("traefik_create_route", token=reader, **ROUTE)
    [row] = waypost.outbox()
    assert isinstance(row.event, ToolCalled)
    assert row.event.outcome == "forbidden"
    assert row.event.client.startswith("display (")


def test_no_secret_of_a_token_is_kept_anywhere(waypost: Waypost) -> None:
    raw = waypost.token("claude")
    assert not waypost.call("traefik_list_routes", token=raw).is_error
    secret = raw.split("_", 2)[2].encode()
    files = [path for path in waypost.settings.directory.parent.rglob("*") if path.is_file()]
    assert files and all(secret not in path.read_bytes() for path in files)
    assert json.loads(waypost.settings.tokens.read_bytes())["tokens"][0]["name"] == "claude"


def test_health_needs_no_token(waypost: Waypost) -> None:
    waypost.token("claude")
    assert plain_http.get(f"{waypost.url}/health").status_code == 200
