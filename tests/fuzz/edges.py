"""Every place where bytes from outside come in."""

from __future__ import annotations

from tests.fuzz import (
    edges_of_agents,
    edges_of_authentik,
    edges_of_certificates,
    edges_of_documentation,
    edges_of_files,
    edges_of_gitea,
    edges_of_keeping,
    edges_of_komodo,
    edges_of_letting_in,
    edges_of_log,
    edges_of_rules,
    edges_of_secrets,
    edges_of_shards,
    edges_of_systems,
    edges_of_traefik,
    edges_of_webhooks,
)

EDGES = (
    *edges_of_files.EDGES,
    *edges_of_rules.EDGES,
    *edges_of_traefik.EDGES,
    *edges_of_log.EDGES,
    *edges_of_keeping.EDGES,
    *edges_of_agents.EDGES,
    *edges_of_letting_in.EDGES,
    *edges_of_documentation.EDGES,
    *edges_of_gitea.EDGES,
    *edges_of_authentik.EDGES,
    *edges_of_komodo.EDGES,
    *edges_of_secrets.EDGES,
    *edges_of_shards.EDGES,
    *edges_of_systems.EDGES,
    *edges_of_webhooks.EDGES,
    *edges_of_certificates.EDGES,
)
