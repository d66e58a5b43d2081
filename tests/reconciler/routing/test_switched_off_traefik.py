"""What Traefik has only if it was started so: plugins, services of its own, middlewares of entry points."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from reconciler.explaining import Ground, of_api, of_directory
from reconciler.routing.asking import Asked
from reconciler.routing.request import Request
from reconciler.routing.routers import EntryPoint
from reconciler.traefik.api import TraefikApi

OWN = ("noop", "api", "dashboard", "ping", "prometheus", "rest", "acme-http")
STARTED: Mapping[str, dict[str, Any]] = {
    "with what is usual": {},
    "with ping, metrics and REST, without a dashboard": {
        "api": {"dashboard": False},
        "ping": {"manualRouting": True},
        "metrics": {"prometheus": {"manualRouting": True}},
        "providers": {"rest": {}},
    },
    "with an entry point that gives what is not there": {"entryPoints": {"web": {"http": {"middlewares": ["x@file"]}}}},
    "with an entry point that has options of observability": {
        "entryPoints": {"web": {"observability": {"accessLogs": False}}}
    },
    "with an entry point that gives a plugin": {"entryPoints": {"web": {"http": {"middlewares": ["plug@file"]}}}},
}


def dynamic() -> dict[str, Any]:
    rules = {name: {"service": f"{name}@internal"} for name in OWN}
    rules["plugged"] = {"service": "noop@internal", "middlewares": ["plug"]}
    rules["chained"] = {"service": "noop@internal", "middlewares": ["chain"]}
    rules["stripped"] = {"service": "noop@internal", "middlewares": ["dashboard_stripprefix@internal"]}
    rules["redirected"] = {"service": "noop@internal", "middlewares": ["redirect-web-to-websecure@internal"]}
    routers = {name: {"rule": f"Host(`{name}.test`)", "entryPoints": ["web"], **spec} for name, spec in rules.items()}
    routers["parent"] = {"rule": "Host(`parent.test`)", "entryPoints": ["web"]}
    routers["child"] = {"rule": "PathPrefix(`/`)", "parentRefs": ["parent"], **rules["plugged"]}
    routers["rest-of-it"] = {"rule": "PathPrefix(`/`)", "priority": 1, "service": "noop@internal"}
    middlewares: dict[str, Any] = {
        "plug": {"plugin": {"demo": {"a": 1}}},
        "chain": {"chain": {"middlewares": ["plug"]}},
    }
    for name, spec in routers.items():
        middlewares[f"x-{name}"] = {"headers": {"customResponseHeaders": {"X-Router": name}}}
        spec["middlewares"] = [f"x-{name}", *spec.get("middlewares", ())]
    return {"http": {"routers": routers, "middlewares": middlewares}}


@pytest.fixture(params=STARTED)
def running(
    request: pytest.FixtureRequest, start_traefik: Callable[..., Any], until: Callable[..., None]
) -> Iterator[Any]:
    traefik = start_traefik(static=STARTED[request.param])
    traefik.drop("all.yml", json.dumps(dynamic()))
    until(lambda: "x-child@file" in traefik.names(), "loading")
    yield traefik


def answers(ground: Ground) -> dict[str, tuple[str | None, str]]:
    """Host -> the router that gets its requests, and why nobody can tell."""
    hosts = [name for name in dynamic()["http"]["routers"] if name != "child"]
    asked = {name: ground.answer(Asked(Request(host=f"{name}.test", target="/", entry_point="web"))) for name in hosts}
    return {name: (answer.router, answer.unknown) for name, answer in asked.items()}


def served(traefik: Any, host: str) -> str | None:
    """Who really gets its requests; what Traefik serves itself goes through our header too."""
    _, router = traefik.get(f"{host}.test")
    return router or None


def test_what_a_running_traefik_lacks_serves_nothing_and_what_files_cannot_tell_is_unknown(running: Any) -> None:
    doors = running.static["entryPoints"]["web"].get("http", {}).get("middlewares", [])
    web = EntryPoint(name="web", port=80, middlewares=tuple(doors), special=bool(doors))
    with closing(TraefikApi(running.url)) as api:
        live = answers(of_api(api))
    offline = answers(of_directory(running.directory, [web]))
    truth = {host: served(running, host) for host in live}
    assert {host: router for host, (router, _) in live.items()} == truth
    assert not any(unknown for _, unknown in live.values())
    told = {host: router for host, (router, unknown) in offline.items() if not unknown}
    presumed = {"api", "dashboard", "stripped"}
    assert {host: router for host, router in told.items() if host not in presumed} == {
        host: truth[host] for host in told if host not in presumed
    }


def test_files_alone_name_what_they_cannot_tell(tmp_path: Any) -> None:
    (tmp_path / "all.yml").write_text(json.dumps(dynamic()))
    found = answers(of_directory(tmp_path, [EntryPoint(name="web", port=80)]))
    unknown = {host: why for host, (_, why) in found.items() if why}
    assert unknown.keys() == {
        "ping", "prometheus", "rest", "acme-http", "plugged", "chained", "parent", "redirected",
    }  # fmt: skip
    assert "plugin 'demo' of middleware 'plug'" in unknown["chained"]
    assert "ping@internal" in unknown["ping"]
    assert found["noop"] == ("noop", "") and found["api"] == ("api", "") and found["rest-of-it"] == ("rest-of-it", "")
