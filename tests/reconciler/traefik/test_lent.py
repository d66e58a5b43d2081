"""A route from container labels as Traefik answers about one: what its owner wrote, without what Traefik added."""

from __future__ import annotations

from typing import Any

from reconciler.core.redact import COVERED
from reconciler.core.target import Observation
from reconciler.traefik.api import Item
from reconciler.traefik.lent import lent
from shards import labels

OBSERVED = {"accessLogs": True, "metrics": True, "tracing": True, "traceVerbosity": "minimal"}
DOORS = (
    {"name": "web", "address": ":80"},
    {"name": "admin", "address": ":8443", "http": {"middlewares": ["safe@file"]}},
    {"name": "websecure", "address": ":443", "http": {"tls": {"certResolver": "le"}, "middlewares": ["safe@file"]}},
)


def router(**more: Any) -> dict[str, Any]:
    return {
        "entryPoints": ["web"],
        "service": "gitea",
        "rule": "Host(`gitea.lab`)",
        "priority": 17,
        "observability": OBSERVED,
        "status": "enabled",
        "using": ["web"],
        **more,
    }


ROUTERS = {
    # A container with labels on both entry points: Traefik copies its router for the one with options of its own.
    "gitea@docker": router(middlewares=["auth@docker", "lan@file"]),
    "websecure-gitea@docker": router(
        entryPoints=["websecure"],
        using=["websecure"],
        tls={"certResolver": "le"},
        middlewares=["safe@file", "auth@docker", "lan@file"],
    ),
    # One at two such entry points: copies are all that is left of it.
    "admin-wiki@docker": router(
        rule="Host(`wiki.lab`)", service="wiki", entryPoints=["admin"], using=["admin"], middlewares=["safe@file"]
    ),
    "websecure-wiki@docker": router(
        rule="Host(`wiki.lab`)",
        service="wiki",
        entryPoints=["websecure"],
        using=["websecure"],
        tls={"certResolver": "le"},
        middlewares=["safe@file"],
    ),
}
SERVICES = {
    "gitea@docker": {
        "loadBalancer": {
            "servers": [{"url": "http://172.18.0.5:3000"}],
            "strategy": "wrr",
            "passHostHeader": True,
            "responseForwarding": {"flushInterval": "100ms"},
        },
        "status": "enabled",
        "usedBy": ["gitea@docker", "websecure-gitea@docker"],
        "serverStatus": {"http://172.18.0.5:3000": "UP"},
    },
    "wiki@docker": {"loadBalancer": {"servers": [{"url": "http://172.18.0.6:80"}], "passHostHeader": False}},
}
MIDDLEWARES = {
    "auth@docker": {
        "basicAuth": {"users": ["ada:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"], "realm": "home"},
        "status": "enabled",
        "usedBy": ["gitea@docker", "websecure-gitea@docker", "grafana@docker"],
    }
}


STREAMS = {
    "tcp.routers": {
        "gitea@docker": {
            "entryPoints": ["ssh"], "using": ["ssh"], "service": "gitea", "rule": "HostSNI(`*`)", "priority": -1,
            "middlewares": ["lan@docker"], "tls": {"passthrough": False, "options": "strict@file"}, "status": "enabled",
        }
    },
    "tcp.services": {
        "gitea@docker": {
            "loadBalancer": {"servers": [{"address": "172.18.0.5:22"}]}, "usedBy": ["gitea@docker", "git@docker"],
        }
    },
    "tcp.middlewares": {"lan@docker": {"ipAllowList": {"sourceRange": ["192.168.0.0/16"]}, "status": "enabled"}},
    "udp.routers": {"names@docker": {"entryPoints": ["dns"], "using": ["dns"], "service": "names"}},
    "udp.services": {"names@docker": {"loadBalancer": {"servers": [{"address": "172.18.0.5:53"}]}}},
}  # fmt: skip


def told(name: str, protocol: str = "") -> dict[str, Any]:
    served = {"http.routers": ROUTERS, "http.services": SERVICES, "http.middlewares": MIDDLEWARES, **STREAMS}
    items = {kind: {one: Item("enabled", (), spec) for one, spec in held.items()} for kind, held in served.items()}
    found = lent(Observation(live={}, served=items, doors=DOORS), name, protocol)
    assert found is not None
    return found


def test_a_router_is_told_as_its_owner_wrote_it_with_all_its_entry_points() -> None:
    found = told("gitea@docker")
    route, service, auth = found["resources"]
    assert route["spec"] == {
        "entryPoints": ["web", "websecure"],
        "service": "gitea",
        "rule": "Host(`gitea.lab`)",
        "middlewares": ["auth@docker", "lan@file"],
    }
    assert (found["priority"], found["provider"], found["missing"]) == (17, "docker", [])
    assert service["spec"] == {"loadBalancer": {"servers": [{"url": "http://172.18.0.5:3000"}]}}
    assert told("websecure-gitea@docker") == found, "a copy is named after its entry point, and is the same route"
    assert (service["used_by"], auth["used_by"]) == ([], ["grafana@docker"])


def test_a_secret_is_covered_and_its_place_is_told() -> None:
    auth = told("gitea@docker")["resources"][2]
    assert auth["spec"] == {"basicAuth": {"users": COVERED, "realm": "home"}}
    assert auth["secrets"] == ["basicAuth.users"]


def test_where_only_copies_are_left_what_the_entry_points_gave_them_is_left_out() -> None:
    found = told("websecure-wiki@docker")
    route = found["resources"][0]["spec"]
    assert (found["router"], route["entryPoints"]) == ("wiki@docker", ["admin", "websecure"])
    assert "tls" not in route and "middlewares" not in route
    assert found["resources"][1]["spec"]["loadBalancer"]["passHostHeader"] is False


def test_routers_of_tcp_and_udp_are_told_with_what_they_need() -> None:
    found = told("gitea@docker", "tcp")
    route, service, lan = found["resources"]
    assert (found["protocol"], found["priority"], route["kind"]) == ("tcp", -1, "tcp.routers")
    assert route["spec"] == {
        "entryPoints": ["ssh"], "service": "gitea", "rule": "HostSNI(`*`)", "middlewares": ["lan@docker"],
        "tls": {"options": "strict@file"},
    }  # fmt: skip
    assert (service["kind"], service["used_by"]) == ("tcp.services", ["git@docker"])
    assert (lan["kind"], lan["spec"]) == ("tcp.middlewares", {"ipAllowList": {"sourceRange": ["192.168.0.0/16"]}})
    assert told("gitea@docker")["protocol"] == "http", "HTTP comes first where nobody says which"
    names = told("names@docker")
    assert (names["protocol"], names["priority"], len(names["resources"])) == ("udp", 0, 2)
    assert names["resources"][0]["spec"] == {"entryPoints": ["dns"], "service": "names"}


def labels_of(found: dict[str, Any]) -> list[str]:
    return [
        label
        for one in found["resources"]
        for label in labels.of("docker", one["kind"], one["name"].rpartition("@")[0], one["whole"])
    ]


def test_its_labels_are_those_of_the_documentation_and_none_is_forgotten_that_says_what_traefik_fills_in() -> None:
    assert labels_of(told("gitea@docker")) == [
        "traefik.http.routers.gitea.entrypoints",
        "traefik.http.routers.gitea.service",
        "traefik.http.routers.gitea.rule",
        "traefik.http.routers.gitea.priority",
        "traefik.http.routers.gitea.observability.accesslogs",
        "traefik.http.routers.gitea.observability.metrics",
        "traefik.http.routers.gitea.observability.tracing",
        "traefik.http.routers.gitea.observability.traceverbosity",
        "traefik.http.routers.gitea.middlewares",
        "traefik.http.services.gitea.loadbalancer.server.port",
        "traefik.http.services.gitea.loadbalancer.server.url",
        "traefik.http.services.gitea.loadbalancer.strategy",
        "traefik.http.services.gitea.loadbalancer.passhostheader",
        "traefik.http.services.gitea.loadbalancer.responseforwarding.flushinterval",
        "traefik.http.middlewares.auth.basicauth.users",
        "traefik.http.middlewares.auth.basicauth.realm",
    ]


def test_a_switch_has_a_label_of_its_own_beside_those_that_say_more() -> None:
    keys = labels_of(told("gitea@docker", "tcp"))
    of_tls = ["tls", "tls.passthrough", "tls.options"]
    assert [key for key in keys if ".tls" in key] == [f"traefik.tcp.routers.gitea.{rest}" for rest in of_tls]
    assert "traefik.tcp.routers.gitea.priority" in keys
    only_copies = labels_of(told("wiki@docker"))
    assert "traefik.http.routers.wiki.priority" in only_copies and not any("websecure-" in key for key in only_copies)


def test_what_a_container_says_of_its_server_is_named_whatever_it_is() -> None:
    spec = {"loadBalancer": {"servers": [{"url": "http://172.18.0.5:80", "weight": 2, "preservePath": True}]}}
    keys = list(labels.of("docker", "http.services", "gitea", spec))
    assert [key.rpartition(".")[2] for key in keys] == ["port", "url", "weight", "preservepath"]


def test_what_nobody_serves_is_not_told_of() -> None:
    assert lent(Observation(live={}, doors=DOORS), "gitea@docker") is None
