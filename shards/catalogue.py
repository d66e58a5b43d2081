"""Which of our own tools came when: a client knows those that were there when it was let in, and no later ones."""

from __future__ import annotations

import sys
from typing import Final

GENERATIONS: Final = (
    frozenset({
        "gateway_status", "proposals_list", "proposals_get", "proposals_withdraw", "history", "why",
        "traefik_list_routes", "traefik_get_route", "traefik_create_route", "traefik_update_route",
        "traefik_adopt_route", "traefik_delete_route", "traefik_add_dynamic_config", "traefik_get_backend_status",
        "traefik_check_ssl_status", "traefik_diagnose", "traefik_list_middlewares", "traefik_list_middleware_presets",
        "traefik_plan_changes", "traefik_validate_config", "traefik_reload_config", "traefik_explain_request",
        "traefik_route_history", "traefik_drift_report", "traefik_rollback", "traefik_get_traefik_docs",
        "dozzle_list_containers", "dozzle_tail_logs", "dozzle_search_logs", "dozzle_get_container_stats",
        "dozzle_get_dozzle_docs",
        "komodo_list_stacks", "komodo_get_stack", "komodo_get_stack_log", "komodo_recent_updates",
        "komodo_deploy_stack", "komodo_restart_stack", "komodo_get_komodo_docs",
        "authentik_list_applications", "authentik_get_blueprint", "authentik_create_application",
        "authentik_manage_flows", "authentik_sync_brand", "authentik_set_blueprint", "authentik_remove_blueprint",
        "authentik_get_authentik_docs",
        "gitea_list_repositories", "gitea_list_pull_requests", "gitea_list_webhooks", "gitea_list_deployments",
        "gitea_get_gitea_docs",
    }),
)  # fmt: skip
"""The first, and what each later release added. A generation that was released never changes; `reconciler/tokens` says
how many there are."""

OURS: Final = frozenset({"gateway", "traefik", "dozzle", "komodo", "authentik", "gitea"})
"""The shards whose tools come with Waypost. Another one is there because a person put it there, tool by tool."""

NEVER: Final = sys.maxsize
"""Of a tool of ours that stands in no generation: nobody knows it who was not given it by name."""


def since(shard: str, tool: str) -> int:
    """The generation of a tool, by the name by which clients call it; 0 for those of other people's shards."""
    if shard not in OURS:
        return 0
    return next((number for number, tools in enumerate(GENERATIONS, 1) if tool in tools), NEVER)
