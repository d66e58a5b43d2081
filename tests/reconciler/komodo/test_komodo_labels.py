"""Labels in compose files are routes like any: read as Traefik's docker provider reads them, and seen in a plan."""

import pytest

from reconciler.core import guard
from reconciler.core.policy import Policy
from reconciler.core.target import Observation
from reconciler.komodo.foreseen import foreseen
from reconciler.komodo.labels import of_compose, of_stacks
from reconciler.traefik.api import Item
from reconciler.traefik.consequences import Before, consequences
from state.model import Address


def compose(labels, **services):
    return {"services": {"web": {"image": "a", "labels": labels}, **services}}


def test_labels_become_what_a_file_would_say():
    labels = {
        "traefik.enable": True,
        "traefik.http.routers.jelly.rule": "Host(`jelly.lab`)",
        "Traefik.HTTP.Routers.jelly.EntryPoints": "web, websecure",
        "traefik.http.routers.jelly.middlewares": "auth@file,slow",
        "traefik.http.routers.jelly.tls": True,
        "traefik.http.routers.jelly.tls.certresolver": "le",
        "traefik.http.routers.jelly.tls.domains[0].main": "lab",
        "traefik.http.routers.jelly.tls.domains[0].sans": "a.lab,b.lab",
        "traefik.http.routers.jelly.priority": 7,
        "traefik.http.services.jelly.loadbalancer.server.port": "8096",
        "traefik.http.services.jelly.loadbalancer.passhostheader": "false",
        "traefik.http.middlewares.slow.ratelimit.average": "5",
        "traefik.http.middlewares.sec.headers.customrequestheaders.X-Who": "me",
        "traefik.http.middlewares.zip.compress": "true",
        "traefik.docker.network": "proxy",
        "com.example": "else",
    }
    found = of_compose("media", compose(labels))
    assert found.faults == found.notes == ()
    assert found.kinds == {
        "http.routers": {
            "jelly": {
                "rule": "Host(`jelly.lab`)",
                "entryPoints": ["web", "websecure"],
                "middlewares": ["auth@file", "slow"],
                "tls": {"certResolver": "le", "domains": [{"main": "lab", "sans": ["a.lab", "b.lab"]}]},
                "priority": 7,
                "service": "jelly",
            }
        },
        "http.services": {
            "jelly": {"loadBalancer": {"passHostHeader": False, "servers": [{"url": "http://web:8096"}]}}
        },
        "http.middlewares": {
            "slow": {"rateLimit": {"average": 5}},
            "sec": {"headers": {"customRequestHeaders": {"X-Who": "me"}}},
            "zip": {"compress": {}},
        },
    }


def test_a_router_is_one_however_long_its_name_is():
    name = "a" * 1_000
    [router] = (
        of_compose("media", compose({f"traefik.http.routers.{name}.rule": "Host(`a.lab`)"}))
        .kinds["http.routers"]
        .values()
    )
    assert router == {"rule": "Host(`a.lab`)", "service": "web-media"}


def test_what_traefik_adds_by_itself_is_added():
    labels = ["traefik.http.routers.a.rule=Host(`a.lab`)", "traefik.tcp.routers.t.rule=HostSNI(`*`)"]
    kinds = of_compose("media", compose(labels)).kinds
    assert kinds["http.routers"]["a"]["service"] == "web-media"
    assert kinds["http.services"] == {"web-media": {"loadBalancer": {"servers": [{"url": "http://web"}]}}}
    assert kinds["tcp.services"] == {"web-media": {"loadBalancer": {"servers": [{"address": "web:"}]}}}


@pytest.mark.parametrize("labels", [{}, {"traefik.enable": "false", "traefik.http.routers.a.rule": "x"}, {"a": "b"}])
def test_a_container_that_is_not_served_makes_nothing(labels):
    assert of_compose("media", compose(labels)).kinds == {}


@pytest.mark.parametrize(
    ("label", "value", "words"),
    [
        ("traefik.http.routers.a.rul", "x", "Traefik knows no 'rul' there"),
        ("traefik.http.routers.a.priority", "high", "its value is no number"),
        ("traefik.http.routers.a.rule.x", "y", "'rule' has nothing inside it"),
        ("traefik.http.middlewares.m.compres", "true", "Traefik knows no 'compres' there"),
        ("traefik.http.services.s.loadbalancer.passhostheader", "maybe", "neither true nor false"),
    ],
)
def test_what_traefik_would_not_take_is_told(label, value, words):
    [fault] = of_compose("media", compose({label: value, "traefik.http.routers.b.rule": "Host(`b`)"})).faults
    assert words in fault
    assert "media: service 'web'" in fault


def test_what_only_traefik_knows_is_a_note():
    found = of_compose("media", compose({"traefik.http.routers.a.entrypoints": "web"}))
    assert "default rule" in found.notes[0]
    assert found.kinds["http.routers"] == {}
    several = {
        "traefik.http.services.a.loadbalancer.server.port": "1",
        "traefik.http.services.b.loadbalancer.server.port": "2",
    }
    fault = of_compose("media", compose({**several, "traefik.http.routers.r.rule": "Host(`r`)"})).faults
    assert "names no service, and there are several" in fault[0]


def test_one_name_for_two_things_is_told_and_makes_neither():
    one, other = (compose({"traefik.http.routers.a.rule": f"Host(`{host}.lab`)"}) for host in "xy")
    found = of_stacks({"media": one, "books": other})
    assert "http.routers/a is said differently in books and media" in found.faults[0]
    assert "http.routers" not in found.kinds
    assert of_stacks({"media": one}).kinds["http.routers"]["a"]


DOORS = ({"name": "web", "address": ":80", "http": {}},)
ASKED = {"rule": "Host(`films.lab`)", "service": "x", "middlewares": ["auth"], "entryPoints": ["web"]}
OURS = {
    Address("traefik", "http.routers", "films"): ASKED,
    Address("traefik", "http.services", "x"): {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}},
    Address("traefik", "http.middlewares", "auth"): {"basicAuth": {"users": ["a:$apr1$x$y"]}},
}


def listed(kinds, provider):
    return {
        kind: {f"{name}@{provider}": Item("enabled", (), {**spec, "status": "enabled"}) for name, spec in held.items()}
        for kind, held in kinds.items()
    }


def seen(*stacks):
    """A Traefik that serves ours and the labels of these stacks."""
    served = {address.kind: {} for address in OURS}
    for address, spec in OURS.items():
        served[address.kind][f"{address.name}@file"] = Item("enabled", (), {**spec, "status": "enabled"})
    for stack in stacks:
        for kind, held in listed(of_compose("media", stack).kinds, "docker").items():
            served.setdefault(kind, {}).update(held)
    return Observation(live=OURS, served=served, doors=DOORS, version="3.7.15")


def on(stack):
    return {Address("komodo", "compose", "media"): stack}


def effects(before, after):
    look = seen(*before.values())
    will_be = foreseen(look, before, after)
    return consequences("traefik", Before(OURS, {}), OURS, look, ("*auth*",), (), None, will_be)


ROUTE = {"traefik.http.routers.jelly.rule": "Host(`jelly.lab`)", "traefik.http.routers.jelly.entrypoints": "web"}


def test_a_route_that_labels_bring_stands_in_the_witness_diff():
    done = effects({}, on(compose(ROUTE)))
    assert any("jelly.lab" in effect.told and "jelly@docker" in effect.told for effect in done.all)


def test_a_route_that_goes_with_its_labels_is_a_loss():
    done = effects(on(compose(ROUTE)), on(compose({})))
    assert [(gone.host, gone.theirs) for gone in done.gone] == [("jelly.lab", True)]


def test_labels_that_open_what_asked_who_is_there_are_a_loss():
    taking = {**ROUTE, "traefik.http.routers.jelly.rule": "Host(`films.lab`) && PathPrefix(`/`)"}
    done = effects({}, on(compose(taking)))
    losses = guard.losses("traefik", done, (), Policy())
    assert any(loss.guard == "authentication" and "films.lab would answer without" in loss.lost for loss in losses)


def test_another_image_under_the_same_labels_changes_nothing_on_the_wire():
    one, other = on(compose(ROUTE)), on({"services": {"web": {"image": "b", "labels": ROUTE}}})
    look = seen(*one.values())
    assert foreseen(look, one, other) is look
