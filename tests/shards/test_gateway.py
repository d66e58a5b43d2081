"""The endpoint itself: both eras, paths, health, hosts, the list of tools, the shape of errors, the audit."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp.shared.exceptions import MCPError

from state.events import ProposalMade, ToolCalled
from tests import plain_http
from tests.shards.serving import ERAS, ROUTE, Waypost

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}

ROOT = Path(__file__).parents[2]

MakeWaypost = Callable[..., Waypost]


@pytest.mark.parametrize("era", ERAS)
def test_both_eras_list_the_same_tools(waypost: Waypost, era: str) -> None:
    names = [tool.name for tool in waypost.tools(era).tools]
    assert {"traefik_create_route", "traefik_list_routes", "gateway_status", "proposals_list", "why"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("era", ERAS)
def test_both_eras_can_propose(waypost: Waypost, era: str) -> None:
    result = waypost.call("traefik_create_route", era, **ROUTE)
    assert not result.is_error
    assert waypost.proposals == {result.structured_content["branch"]: result.structured_content["commit"]}


def test_a_shard_has_an_address_of_its_own_with_the_same_names(waypost: Waypost) -> None:
    names = {tool.name for tool in waypost.tools(path="/mcp/traefik").tools}
    assert names and all(name.startswith("traefik_") for name in names)
    assert {tool.name for tool in waypost.tools(path="/mcp/gateway").tools}.isdisjoint(names)


def test_every_tool_tells_a_model_what_it_is_for_and_what_it_answers(waypost: Waypost) -> None:
    for tool in waypost.tools().tools:
        assert tool.description and len(tool.description) > 40, tool.name
        assert tool.annotations and tool.annotations.title, tool.name
        assert tool.output_schema and tool.output_schema["type"] == "object", tool.name
        assert tool.input_schema["type"] == "object", tool.name
        assert tool.input_schema["additionalProperties"] is False, tool.name


def test_tools_that_write_say_so_and_all_the_others_only_read(waypost: Waypost) -> None:
    writing = {tool.name for tool in waypost.tools().tools if not tool.annotations.read_only_hint}
    assert writing == {
        "traefik_adopt_route",
        "traefik_create_route",
        "traefik_update_route",
        "traefik_delete_route",
        "traefik_add_dynamic_config",
        "traefik_rollback",
        "proposals_withdraw",
    }


def test_approval_is_no_tool(waypost: Waypost) -> None:
    assert not [tool.name for tool in waypost.tools().tools if "approve" in tool.name or "merge" in tool.name]


def test_health_shows_the_shards(waypost: Waypost) -> None:
    health = plain_http.get(f"{waypost.url}/health").json()
    assert health["status"] == "ok"
    assert health["shards"]["traefik"]["state"] == "up"
    assert health["shards"]["traefik"]["tools"] > 5
    assert not health["read_only"] and "cannot be reached" in health["reconciler"]


def test_health_does_not_wait_for_a_reconciler_that_hangs(make_waypost: MakeWaypost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        waypost = make_waypost(reconciler_url=address, answer_within=60.0)
        health = plain_http.get(f"{waypost.url}/health", timeout=60).json()
    assert (health["status"], health["read_only"]) == ("ok", False)
    assert health["reconciler"] == "the reconciler did not answer at once"


STRANGE = ["evil.example.net", "127.0.0.1.evil.example.net:9100", "localhost.evil:80"]
OPEN = ["/health", "/metrics"]


@pytest.mark.parametrize("host", STRANGE)
def test_a_strange_host_name_is_turned_away_whatever_it_shows(make_waypost: MakeWaypost, host: str) -> None:
    waypost = make_waypost()
    shown = {"Authorization": f"Bearer {waypost.token('claude')}"}
    for headers, status in ({}, 401), (shown, 421):
        answer = plain_http.post(f"{waypost.url}/mcp", json=PING, headers={**ACCEPT, **headers, "Host": host})
        assert answer.status_code == status


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize("host", [*STRANGE, "evil.example.net.", "1.evil", "[::1].evil", "a b", "x@localhost", ""])
def test_so_it_is_where_no_token_is_needed_and_it_is_told_what_to_set(waypost: Waypost, host: str, path: str) -> None:
    answer = plain_http.get(f"{waypost.url}{path}", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["code"] == "strange-host" and "WAYPOST_PUBLIC_URL" in answer.json()["message"]


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:1", "gateway:9100", "my_gateway", "192.0.2.7:9100", "[2001:db8::1]"]
)
def test_names_that_no_stranger_can_bring_to_lead_here_are_admitted_there(
    waypost: Waypost, host: str, path: str
) -> None:
    assert plain_http.get(f"{waypost.url}{path}", headers={"Host": host}).status_code == 200


def test_a_web_page_from_elsewhere_is_turned_away(waypost: Waypost) -> None:
    origin = {**ACCEPT, "Origin": "https://evil.example.net"}
    assert plain_http.post(f"{waypost.url}/mcp", json=PING, headers=origin).status_code == 403


@pytest.mark.parametrize("path", OPEN)
def test_no_page_but_our_own_reads_what_needs_no_token(make_waypost: MakeWaypost, path: str) -> None:
    waypost = make_waypost(public_urls=("https://waypost.example.org",))
    ours = {"https://waypost.example.org": 200, "http://localhost:9100": 200}
    for origin, status in {**ours, "https://evil.example.net": 403, "null": 403}.items():
        for host in ("waypost.example.org", "127.0.0.1:9100"):
            answer = plain_http.get(f"{waypost.url}{path}", headers={"Host": host, "Origin": origin})
            assert answer.status_code == status, (host, origin)
    assert "WAYPOST_PUBLIC_URL" in answer.json()["message"]


def test_what_scrapes_the_gateway_by_the_configuration_that_comes_along_is_admitted(waypost: Waypost) -> None:
    scraped = yaml.safe_load((ROOT / "monitoring/prometheus.yaml").read_text())["scrape_configs"]
    [job] = [job for job in scraped if job["job_name"] == "waypost-gateway"]
    for target in job["static_configs"][0]["targets"]:
        assert plain_http.get(f"{waypost.url}/metrics", headers={"Host": target}).status_code == 200


def test_the_public_address_is_admitted_and_only_that(make_waypost: MakeWaypost) -> None:
    waypost = make_waypost(public_urls=("https://waypost.example.org",))
    shown = {**ACCEPT, "Authorization": f"Bearer {waypost.token('claude')}"}
    for host, status in {"waypost.example.org": 200, "waypost.example.org:444": 421, "example.org": 421}.items():
        answer = plain_http.post(f"{waypost.url}/mcp", json=PING, headers={**shown, "Host": host})
        assert answer.status_code == status, host


def test_an_unknown_tool_is_a_protocol_error_and_audited(waypost: Waypost) -> None:
    with pytest.raises(MCPError, match="no tool 'traefik_approve'"):
        waypost.call("traefik_approve")
    [row] = waypost.outbox()
    assert isinstance(row.event, ToolCalled)
    assert (row.event.tool, row.event.outcome) == ("traefik_approve", "unknown-tool")


def test_arguments_that_do_not_fit_are_all_named_and_never_repeated(waypost: Waypost) -> None:
    refusal = waypost.refusal("traefik_create_route", name="../etc", host="a.example.org", password="hunter2hunter2")
    assert refusal["code"] == "bad-arguments"
    assert refusal["retry"] is False
    text = "\n".join(refusal["problems"])
    for field in ("name", "service_url", "reason", "password"):
        assert field in text
    assert "hunter2" not in str(refusal)
    assert not waypost.proposals


@pytest.mark.parametrize("strange", [{"k" * 1_000_000: 1}, {f"strange{number}": 1 for number in range(9_000)}])
def test_of_faults_without_number_no_more_are_told_than_anybody_reads(
    waypost: Waypost, strange: dict[str, int]
) -> None:
    refusal = waypost.refusal("traefik_get_route", **strange)
    assert refusal["code"] == "bad-arguments" and "name: Field required" in refusal["problems"]
    assert len(str(refusal)) < 20_000


@pytest.mark.parametrize(
    "many",
    [
        {"middlewares": [1] * 500_000},
        {f"strange{number}": 1 for number in range(50_000)},
        {"service_url": {"deep": [{"down": [1] * 10_000}]}},
    ],
)
def test_arguments_without_number_are_refused_unread(waypost: Waypost, many: dict[str, Any]) -> None:
    refusal = waypost.refusal("traefik_create_route", **many)
    assert refusal["problems"] == ["arguments: more than 10,000 values"] and not refusal["retry"]


@pytest.mark.parametrize("era", ERAS)
def test_every_call_is_audited_before_its_answer(waypost: Waypost, era: str) -> None:
    assert not waypost.call("traefik_list_routes", era).is_error
    [row] = waypost.outbox()
    assert isinstance(row.event, ToolCalled)
    assert (row.event.tool, row.event.shard, row.event.outcome) == ("traefik_list_routes", "traefik", "ok")
    assert row.request_id and row.actor == row.event.client != ""


def test_the_audit_keeps_no_arguments(waypost: Waypost) -> None:
    waypost.refusal("traefik_create_route", **{**ROUTE, "service_url": "http://admin:hunter2hunter2@10.0.0.1"})
    assert b"hunter2" not in b"".join(path.read_bytes() for path in waypost.settings.directory.glob("outbox.db*"))
    [row] = waypost.outbox()
    assert isinstance(row.event, ToolCalled)
    assert row.event.outcome == "bad-backend"
    assert len(row.event.arguments_digest) == 64


def test_a_refusal_that_quotes_a_secret_is_withheld_from_the_audit(waypost: Waypost) -> None:
    waypost.refusal("traefik_create_route", **{**ROUTE, "host": "http://admin:hunter2hunter2@gitea.example.org"})
    assert b"hunter2" not in b"".join(path.read_bytes() for path in waypost.settings.directory.glob("outbox.db*"))


def test_the_request_id_joins_commit_audit_and_error(waypost: Waypost) -> None:
    proposed = waypost.answer("traefik_create_route", **ROUTE)
    commit = waypost.clone.commit(proposed["commit"])
    assert {row.request_id for row in waypost.outbox()} == {commit.trailers["Waypost-Request"]}
    refusal = waypost.refusal("traefik_create_route", **{**ROUTE, "name": "x", "host": "no host"})
    assert waypost.outbox()[-1].request_id == refusal["request_id"]


def test_what_a_client_says_it_is_makes_nobody_else_the_author_of_its_proposal(waypost: Waypost) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    body["params"] = {"name": "traefik_create_route", "arguments": ROUTE}  # type: ignore[assignment]
    headers = {"Accept": "application/json, text/event-stream", "User-Agent": "Ada <ada@example.org>"}
    assert plain_http.post(f"{waypost.url}/mcp", json=body, headers=headers).status_code == 200
    [commit] = waypost.proposals.values()
    assert "@example.org" not in waypost.clone.commit(commit).author_email


def test_a_gateway_starts_without_a_desired_repo_and_says_what_is_missing(make_waypost: MakeWaypost, tmp_path) -> None:
    waypost = make_waypost(source=tmp_path / "nowhere.git")
    refusal = waypost.refusal("traefik_create_route", **ROUTE)
    assert refusal["code"] == "repository"
    assert "nowhere.git" in refusal["message"]
    assert waypost.answer("gateway_status")["main_trouble"]


@pytest.mark.parametrize("strange", [2**80, "\ud800", {"a": [float("1e400")]}])
def test_strange_json_is_refused_and_audited_like_any_other(waypost: Waypost, strange: object) -> None:
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "traefik_create_route", "arguments": {**ROUTE, "host": strange}},
    }
    answer = plain_http.post(f"{waypost.url}/mcp", content=json.dumps(body), headers=ACCEPT)
    assert answer.status_code in (200, 400)
    assert waypost.proposals == {}
    assert waypost.answer("gateway_status")["main"]


def test_no_answer_leaves_when_the_audit_cannot_be_written(waypost: Waypost) -> None:
    with sqlite3.connect(waypost.settings.outbox) as other, pytest.raises(MCPError, match="audit"):
        other.execute("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        other.commit()
        waypost.call("traefik_create_route", **ROUTE)
    other.close()
    assert waypost.proposals == {}


def test_what_a_killed_gateway_had_not_recorded_is_recorded_at_the_next_start(
    make_waypost: MakeWaypost, waypost: Waypost
) -> None:
    proposed = waypost.answer("traefik_create_route", **ROUTE)
    with sqlite3.connect(waypost.settings.outbox) as other:
        other.execute("DELETE FROM outbox")
    other.close()
    [row] = make_waypost().outbox()
    assert isinstance(row.event, ProposalMade)
    assert (row.event.proposal, row.event.commit) == (proposed["proposal"], proposed["commit"])
    assert row.request_id == waypost.clone.commit(proposed["commit"]).trailers["Waypost-Request"]
