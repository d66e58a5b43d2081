"""What is asked over /query/* about a target: refused where it is none of the kind, told where it answers strangely."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler import app, founding, home, telling, web
from reconciler.core.target import Observation
from reconciler.serve import Reconciler
from reconciler.traefik.api import Item
from reconciler.world import World
from tests import plain_http
from tests.shards.serving import NOBODY, served

QUESTIONS = (
    'explain?request={"method":"GET","url":"http://a.lab/"}&instance=',
    "encryption?instance=",
    "foreign?router=a@docker&instance=",
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A reconciler whose only target is a Komodo that is away."""
    place = tmp_path_factory.mktemp("asked") / "home"
    (secret := place.parent / "secret").write_text("right")
    chosen = {
        "WAYPOST_KOMODO_URL": NOBODY,
        "WAYPOST_KOMODO_KEY": f"file:{secret}",
        "WAYPOST_KOMODO_SECRET": f"file:{secret}",
    }
    founding.create(place, chosen=chosen, environ={}, now=lambda: datetime.now(UTC))
    made = home.open(place, {})
    with app.locked(made) as world:
        assert isinstance(world, World)
        with served(web.build(Reconciler(made, world), ["127.0.0.1"])) as address:
            yield address


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("instance", ["komodo", "nowhere", ""])
def test_what_only_a_traefik_can_tell_is_asked_of_no_other(url: str, question: str, instance: str) -> None:
    answer = plain_http.get(f"{url}/query/{question}{instance}")
    assert answer.status_code == 404
    assert answer.json()["error"] == f"there is no traefik instance '{instance}'; there are: none"


def test_any_target_can_be_looked_at(url: str) -> None:
    assert plain_http.get(f"{url}/query/live?instance=komodo").status_code == 503
    answer = plain_http.get(f"{url}/query/live?instance=nowhere")
    assert (answer.status_code, answer.json()["error"]) == (404, "there is no instance 'nowhere'; there are: komodo")


@pytest.mark.parametrize(
    "said",
    [
        {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}, "serverStatus": "UP"},
        {"loadBalancer": {"servers": 7}, "serverStatus": ["UP"]},
        {"loadBalancer": []},
    ],
)
def test_services_that_are_told_in_shapes_of_nobodys_are_told_without_what_is_strange(said: dict[str, Any]) -> None:
    seen = Observation(live={}, file="", served={"http.services": {"s@file": Item("enabled", (), said)}})
    assert telling.live(seen)["services"] in ({}, {"s@file": {"servers": {"http://127.0.0.1:1": ""}}})
