"""Every tool of ours came with some generation, and each generation is known where tokens are made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler import tokens
from shards import catalogue
from shards.access import Caller
from shards.authentik_live import AuthentikAt
from shards.gitea_reading import GiteaAt
from shards.komodo_at import KomodoAt
from shards.log_sources import LogsAt
from tests.shards.serving import NOBODY, DesiredRepo, gateway_over


def test_every_tool_of_every_system_stands_in_a_generation(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whoever adds a tool adds a generation; one that was released is never changed."""
    directory = tmp_path_factory.mktemp("all")
    systems = {
        "komodo": (KomodoAt(url=NOBODY),),
        "authentik": (AuthentikAt(url=NOBODY),),
        "gitea": GiteaAt(url=NOBODY, repository="house/desired"),
        "logs": LogsAt(docker_url=NOBODY),
    }
    with gateway_over(DesiredRepo(directory / "desired.git"), directory / "gateway", **systems) as waypost:
        offered = {tool.name for tool in waypost.tools().tools}
    assert offered == frozenset().union(*catalogue.GENERATIONS)


def test_a_token_that_is_made_today_knows_all_generations() -> None:
    assert len(catalogue.GENERATIONS) == tokens.NEWEST_TOOLS
    assert sum(map(len, catalogue.GENERATIONS)) == len(frozenset().union(*catalogue.GENERATIONS))


def test_a_tool_elsewhere_is_open_to_older_tokens_that_are_not_narrowed_as_soon_as_a_person_declares_it() -> None:
    new: dict[str, Any] = {
        "shard": "weather",
        "tool": "weather_snow",
        "writes": False,
        "since": catalogue.since("weather", "weather_snow"),
    }
    old = Caller(name="old", role="read", knows=1)
    assert old.may(**new) and replace(old, grants=frozenset({"weather"})).may(**new)
    assert not replace(old, grants=frozenset({"traefik"})).may(**new)


def test_a_tool_of_ours_that_nobody_catalogued_is_known_to_nobody() -> None:
    assert catalogue.since("traefik", "traefik_reboot") == catalogue.NEVER
    assert catalogue.since("weather", "weather_forecast") == 0
