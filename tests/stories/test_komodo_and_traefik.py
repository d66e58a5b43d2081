"""Labels of a stack are routes of a real Traefik: seen before a person says yes, held where they cost somebody."""

from __future__ import annotations

import json

import pytest

from reconciler import home
from tests.komodo.fake_komodo import KEY, SECRET, FakeKomodo, Serving

ASKED = {
    "http": {
        "routers": {
            "films": {
                "rule": "Host(`films.lab`)",
                "service": "noop@internal",
                "entryPoints": ["web"],
                "middlewares": ["door"],
            }
        },
        "middlewares": {"door": {"basicAuth": {"users": ["ada:$apr1$q8eZFHjF$Fvmkk//V6Btlaf2i/ju5n/"]}}},
    }
}
STACK = '[[stack]]\nname = "media"\n[stack.config]\nserver = "nas"\n'


def labelled(rule):
    labels = {"traefik.http.routers.jelly.rule": rule, "traefik.http.routers.jelly.entrypoints": "web"}
    compose = {"services": {"web": {"image": "jellyfin:10", "labels": labels}}}
    return {"komodo/media/stack.toml": STACK, "komodo/media/compose.yaml": compose}


@pytest.fixture
def both(tmp_path, house):
    """The house, with a Komodo beside its Traefik, and a route that asks who is there."""
    serving = Serving(FakeKomodo())
    for name, text in (("key", KEY), ("secret", SECRET)):
        (tmp_path / name).write_text(text)
    with (house.home.path / "waypost.env").open("a") as settings:
        settings.write(f"\nWAYPOST_KOMODO_URL={serving.url}\nWAYPOST_KOMODO_KEY=file:{tmp_path / 'key'}\n")
        settings.write(f"WAYPOST_KOMODO_SECRET=file:{tmp_path / 'secret'}\nWAYPOST_KOMODO_DEADLINE=2s\n")
    house.home = home.open(house.home.path, {})
    house.komodo = serving.komodo
    house.push({"traefik/films.yaml": ASKED})
    assert house.run().state == "applied"
    yield house
    serving.close()
    assert serving.komodo.faults == []


def test_a_route_that_labels_would_bring_stands_in_the_plan_of_the_proposal(both, waypost):
    id = both.propose(labelled("Host(`jelly.lab`)"))
    told = json.loads(waypost("show", id, "--json")[1])["plan"]
    assert any("jelly.lab" in one["told"] for one in told["effects"]), told["effects"]
    assert told["losses"] == []


def test_a_label_that_ties_with_a_route_of_ours_is_an_error_before_anything_is_deployed(both, waypost):
    id = both.propose(labelled("Host(`films.lab`)"))
    told = json.loads(waypost("show", id, "--json")[1])["plan"]
    [tie] = [one for one in told["problems"] if "match the same requests with the same priority" in one["message"]]
    assert tie["severity"] == "error" and "`films` and `jelly@docker`" in tie["message"]
    assert "Set the label `traefik.http.routers.jelly.priority: 18` on the service of `jelly@docker`" in tie["message"]
    both.push(labelled("Host(`films.lab`)"))
    both.run()
    assert both.komodo.done() == []
    remedied = labelled("Host(`films.lab`)")
    labels = remedied["komodo/media/compose.yaml"]["services"]["web"]["labels"]
    labels["traefik.http.routers.jelly.priority"] = 18
    told = json.loads(waypost("show", both.propose(remedied), "--json")[1])["plan"]
    assert not [one for one in told["problems"] if one["severity"] == "error"]


def test_labels_that_would_open_what_asks_who_is_there_are_held_until_somebody_has_seen_it(both):
    both.push(labelled("Host(`films.lab`) && PathPrefix(`/`)"))
    outcome = both.run()
    assert outcome.state == "held"
    assert any("films.lab would answer without authentication" in str(one) for one in outcome.plan.refusals)
    assert both.komodo.done() == []
    with both.session() as person:
        person.consent(person.plan().plan)
    assert both.run().state == "applied"
    assert both.komodo.done() == ["DeployStack media"]


@pytest.mark.parametrize(
    "label",
    [
        {"traefik.http.routers.jelly.rule": "${WHAT}"},
        ["${WHAT}.http.routers.jelly.rule=Host(`films.lab`) && PathPrefix(`/`)"],
    ],
    ids=["its rule", "its name"],
)
def test_a_label_that_is_filled_in_when_it_is_deployed_brings_no_route_that_nobody_has_seen(both, label):
    files = {"komodo/media/stack.toml": STACK, "komodo/media/compose.yaml": {"services": {"web": {"labels": label}}}}
    files["komodo/media/compose.yaml"]["services"]["web"]["image"] = "jellyfin:10"
    both.push(files)
    outcome = both.run()
    assert outcome.state == "held"
    assert any("a route that is known only when it is deployed" in str(one) for one in outcome.plan.refusals)
    assert both.komodo.done() == []
