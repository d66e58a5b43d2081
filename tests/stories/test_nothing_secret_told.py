"""What Traefik's API shows and nobody may tell a model: canaries in every such place, and every tool that reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.stories.town import Town

CANARY = "cAnArY"
HASH = f"ada:$apr1$H6uskkkW${CANARY}hwj1TmHQOJSb"

FOREIGN: dict[str, Any] = {
    "basic": {"basicAuth": {"users": [HASH]}},
    "digest": {"digestAuth": {"users": [f"ada:home:{CANARY}0d1f"]}},
    "asked": {"headers": {"customRequestHeaders": {"X-Api": CANARY, "Cookie": f"session={CANARY}"}}},
    "told": {"headers": {"customResponseHeaders": {"X-Internal": CANARY}}},
    "forward": {
        "forwardAuth": {
            "address": f"http://ada:{CANARY}@127.0.0.1:9/?token={CANARY}",
            "tls": {"cert": "x", "key": f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----"},
        }
    },
    "limit": {"rateLimit": {"average": 1, "redis": {"endpoints": ["127.0.0.1:9"], "password": CANARY}}},
    "plugged": {"plugin": {"gate": {"apiSecretThing": CANARY, "deep": {"list": [CANARY]}}}},
    "refused": {"basicAuth": {"users": [f"{CANARY}-without-a-colon"]}},
}


@pytest.fixture(scope="module", autouse=True)
def planted(town: Town) -> None:
    routers = {
        name: {"rule": f"Host(`{name}.secret`)", "service": "hidden", "middlewares": [name], "entryPoints": ["web"]}
        for name in FOREIGN
    }
    hidden = {
        "loadBalancer": {
            "servers": [{"url": f"http://ada:{CANARY}@127.0.0.1:9"}],
            "healthCheck": {"path": "/", "headers": {"X-Health": CANARY}},
        }
    }
    transport = {"certificates": [{"certFile": CANARY, "keyFile": CANARY}]}
    town.neighbour(
        routers=routers, services={"hidden": hidden}, middlewares=FOREIGN, serversTransports={"own": transport}
    )
    town.want(
        {
            "traefik/own.yaml": {
                "http": {
                    "routers": {
                        "own": {"rule": "Host(`own.secret`)", "service": "noop@internal", "middlewares": ["own"]}
                    },
                    "middlewares": {"own": {"headers": {"customRequestHeaders": {"X-Key": "harmless"}}}},
                }
            }
        }
    )
    town.house.edit_live("harmless", CANARY)  # somebody puts a secret into our live file by hand
    town.house.push({"traefik/own.yaml": changed()})  # and the desired repo moves on: a conflict shows both sides
    town.reconciler.pass_now()
    for number, wrong in enumerate((CANARY, [CANARY])):  # files that Traefik cannot read, and complains of
        broken = {"http": {"middlewares": {"broken": {"basicAuth": wrong}}}}
        town.house.traefik.drop(f"broken{number}.yml", json.dumps(broken))
    town.reconciler.pass_now()
    yield
    for broken in town.house.traefik.directory.glob("broken*.yml"):
        broken.unlink()
    town.house.edit_live(CANARY, "harmless")
    town.house.push({"traefik/own.yaml": None})
    town.reconciler.pass_now()
    town.neighbour()


def changed() -> dict[str, Any]:
    return {
        "http": {
            "routers": {"own": {"rule": "Host(`own.secret`)", "service": "noop@internal", "middlewares": ["own"]}},
            "middlewares": {"own": {"headers": {"customRequestHeaders": {"X-Key": "wanted"}}}},
        }
    }


def questions() -> dict[str, list[dict[str, Any]]]:
    """Tool that reads -> the arguments to try it with."""
    hosts = [f"{name}.secret" for name in (*FOREIGN, "own")]
    resources = [f"traefik/http.middlewares/{name}" for name in ("own", "basic@http", "told@http")]
    return {
        "traefik_list_routes": [{}],
        "traefik_get_route": [{"name": name} for name in ("own", *(f"{one}@http" for one in FOREIGN))],
        "traefik_list_middlewares": [{}],
        "traefik_list_middleware_presets": [{}],
        "traefik_plan_changes": [{}],
        "traefik_validate_config": [{"content": "http: {}"}],
        "traefik_reload_config": [{}],
        "traefik_explain_request": [{"url": f"http://{host}/"} for host in hosts],
        "traefik_get_backend_status": [{}],
        "traefik_check_ssl_status": [{}],
        "traefik_diagnose": [{"what": "own"}, {"what": "http://refused.secret/", "status": 404}, {"what": "basic"}],
        "traefik_route_history": [{"name": "own"}],
        "traefik_drift_report": [{}],
        "gateway_status": [{}],
        "proposals_list": [{}],
        "proposals_get": [],  # of proposals, which hold no secrets
        "history": [{"limit": 500}, *({"resource": one} for one in resources)],
        "why": [{"resource": one} for one in resources],
        "traefik_get_traefik_docs": [],  # reads documentation, nothing of Traefik's
    }


def test_no_tool_that_reads_tells_a_secret(town: Town) -> None:
    asked = questions()
    reading = {tool.name for tool in town.waypost.tools().tools if tool.annotations.read_only_hint}
    assert reading <= asked.keys(), "a new tool: ask it here as well"
    for name in sorted(reading):
        for arguments in asked[name]:
            told = json.dumps(town.call(name, **arguments))
            assert CANARY not in told, (name, arguments, told[max(0, told.find(CANARY) - 300) :][:400])


def test_a_proposal_takes_no_secret_over(town: Town) -> None:
    for name in FOREIGN:
        refused = town.call("traefik_adopt_route", router=f"{name}@http", reason="to see what it holds")
        assert refused["isError"] and CANARY not in json.dumps(refused), (name, refused)


def test_the_canaries_were_there_to_be_told(town: Town) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", town.house.traefik.ports["traefik"], timeout=5)
    connection.request("GET", "/api/rawdata")
    data = json.loads(connection.getresponse().read())
    connection.close()
    assert all(CANARY in json.dumps(data["middlewares"][f"{name}@http"]) for name in FOREIGN)
    assert CANARY in json.dumps(data["services"]) and CANARY in json.dumps(data["middlewares"]["own@file"])
