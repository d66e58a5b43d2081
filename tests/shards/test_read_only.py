"""The kill switch: whatever a tool would do, nothing is proposed, nothing withdrawn, and reading goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler import web
from shards.authentik_live import AuthentikAt
from shards.komodo_at import KomodoAt
from state.events import ToolCalled
from tests import plain_http
from tests.shards.serving import NOBODY, ROUTE, Answers, DesiredRepo, Waypost, gateway_over, served

BLUEPRINT = """\
version: 1
entries:
- model: authentik_core.application
  identifiers: {slug: x}
  attrs: {name: X}
"""
FILES = {
    "komodo/media/stack.toml": b'[[stack]]\nname = "media"\n[stack.config]\nserver = "nas"\n',
    "komodo/media/compose.yaml": b"services:\n  web: {image: jellyfin}\n",
    "authentik/x.yaml": BLUEPRINT.encode(),
}
FOREIGN = {
    "router": "wiki@docker",
    "provider": "docker",
    "entry_points": ["web"],
    "priority": 16,
    "parents": [],
    "missing": [],
    "resources": [
        {
            "kind": kind,
            "name": "wiki@docker",
            "spec": spec,
            "secrets": [],
            "used_by": [],
        }
        for kind, spec in (
            ("http.routers", {"rule": "Host(`wiki.lab`)", "service": "wiki", "entryPoints": ["web"]}),
            ("http.services", {"loadBalancer": {"servers": [{"url": "http://172.18.0.5:3000"}]}}),
        )
    ],
}
STEP = {"kind": "password", "name": "mine-password", "order": 10}
WHY = {"reason": "to see what happens"}

CALLS: dict[str, dict[str, Any]] = {
    "traefik_create_route": ROUTE,
    "traefik_update_route": {"name": "grafana", "host": "graphs.example.org"},
    "traefik_adopt_route": {"router": "wiki@docker", "service_url": "http://wiki:3000"},
    "traefik_delete_route": {"name": "grafana"},
    "traefik_add_dynamic_config": {"kind": "http.middlewares", "name": "pack", "spec": {"compress": {}}},
    "traefik_rollback": {},
    "komodo_deploy_stack": {"stack": "media"},
    "komodo_restart_stack": {"stack": "media"},
    "authentik_create_application": {"slug": "wiki", "title": "Wiki", "external_host": "https://wiki.lab"},
    "authentik_manage_flows": {"slug": "mine", "title": "Mine", "designation": "authentication", "steps": [STEP]},
    "authentik_sync_brand": {"title": "Home"},
    "authentik_set_blueprint": {"name": "y", "content": BLUEPRINT.replace("x", "y")},
    "authentik_remove_blueprint": {"name": "x"},
    "proposals_withdraw": {},
}
"""For every tool that writes, a call that does it."""


@pytest.fixture
def systems(answers: Answers) -> Iterator[dict[str, Any]]:
    """Settings of a gateway that has every shard with tools that write."""
    answers.told["foreign"] = FOREIGN
    with served(web.build(answers, ["127.0.0.1"])) as url:
        yield {"reconciler_url": url, "komodo": (KomodoAt(url=NOBODY),), "authentik": (AuthentikAt(url=NOBODY),)}


def left_behind(waypost: Waypost) -> tuple[Any, ...]:
    """All references, and what the outbox holds besides the audit."""
    written = [row.id for row in waypost.outbox() if not isinstance(row.event, ToolCalled)]
    return waypost.clone.references("refs/"), waypost.desired.store.references("refs/"), written


def test_no_tool_of_any_shard_changes_anything_while_the_switch_is_on(
    tmp_path: Path, desired: DesiredRepo, systems: dict[str, Any], answers: Answers
) -> None:
    """Neither while it is on for the gateway, nor for the reconciler alone."""
    first = desired.main
    desired.commit(FILES)
    calls = {tool: {**WHY, **arguments} for tool, arguments in CALLS.items()}
    calls["traefik_rollback"]["revision"] = first
    with gateway_over(desired, tmp_path / "gateway", **systems) as waypost:
        assert {tool.name for tool in waypost.tools().tools if not tool.annotations.read_only_hint} == calls.keys()
        made = {tool: waypost.answer(tool, **calls[tool]) for tool in calls if tool != "proposals_withdraw"}
        calls["proposals_withdraw"]["proposal"] = made.popitem()[1]["proposal"]
    with gateway_over(desired, tmp_path / "gateway", read_only=True, **systems) as waypost:
        nothing_changes(waypost, calls)
    answers.told["status"] = {"read_only": True}
    with gateway_over(desired, tmp_path / "gateway", **systems) as waypost:
        nothing_changes(waypost, calls)
    answers.told["status"] = {"read_only": False}
    with gateway_over(desired, tmp_path / "gateway", **systems) as waypost:
        assert waypost.answer("proposals_withdraw", **calls["proposals_withdraw"])["withdrawn"]
        health = plain_http.get(f"{waypost.url}/health").json()
        assert (health["read_only"], health["reconciler"]) == (False, "up")


def nothing_changes(waypost: Waypost, calls: dict[str, dict[str, Any]]) -> None:
    before = left_behind(waypost)
    for tool, arguments in calls.items():
        refusal = waypost.refusal(tool, **arguments)
        assert (tool, refusal["code"], refusal["retry"]) == (tool, "read-only", False)
        assert "WAYPOST_READ_ONLY" in refusal["message"]
    assert left_behind(waypost) == before
    assert waypost.answer("traefik_list_routes")["routes"] and waypost.answer("gateway_status")["read_only"]
    assert plain_http.get(f"{waypost.url}/health").json()["read_only"]
