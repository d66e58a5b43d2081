"""Every tool of ours came with some generation, and each generation is known where tokens are made."""

from __future__ import annotations

import pytest

from reconciler import tokens
from shards import catalogue
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


def test_a_tool_of_ours_that_nobody_catalogued_is_known_to_nobody() -> None:
    assert catalogue.since("traefik", "traefik_reboot") == catalogue.NEVER
    assert catalogue.since("weather", "weather_forecast") == 0
