"""`adopt_route` for what container labels make: the exact labels, and every case that is refused with a way out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from reconciler import web
from tests.shards.serving import Answers, DesiredRepo, Waypost, gateway_over, served

DOCKER: dict[str, Any] = {
    # What the reconciler makes of a Traefik's answer about a container with labels.
    "router": "gitea@docker",
    "provider": "docker",
    "entry_points": ["websecure"],
    "priority": 19,
    "parents": [],
    "missing": [],
    "resources": [
        {
            "kind": "http.routers",
            "name": "gitea@docker",
            "spec": {
                "rule": "Host(`gitea.lab`)",
                "service": "gitea",
                "entryPoints": ["websecure"],
                "middlewares": ["slow@docker", "shared@docker", "lan@file"],
                "tls": {"certResolver": "le", "domains": [{"main": "lab", "sans": ["*.lab"]}]},
            },
            "whole": {
                "rule": "Host(`gitea.lab`)",
                "service": "gitea",
                "entryPoints": ["websecure"],
                "middlewares": ["slow@docker", "shared@docker", "lan@file"],
                "tls": {"certResolver": "le", "domains": [{"main": "lab", "sans": ["*.lab"]}]},
                "priority": 19,
            },
            "secrets": [],
            "used_by": [],
        },
        {
            "kind": "http.services",
            "name": "gitea@docker",
            "spec": {
                "loadBalancer": {
                    "servers": [{"url": "https://172.18.0.5:3000"}],
                    "sticky": {"cookie": {"name": "s"}},
                }
            },
            "secrets": [],
            "used_by": [],
        },
        {
            "kind": "http.middlewares",
            "name": "slow@docker",
            "spec": {"rateLimit": {"average": 10}},
            "secrets": [],
            "used_by": [],
        },
        {
            "kind": "http.middlewares",
            "name": "shared@docker",
            "spec": {"compress": {}},
            "secrets": [],
            "used_by": ["wiki@docker"],
        },
    ],
}  # fmt: skip

DATABASE: dict[str, Any] = {
    "router": "db@docker",
    "protocol": "tcp",
    "provider": "docker",
    "entry_points": ["postgres"],
    "priority": -1,
    "parents": [],
    "missing": [],
    "resources": [
        {
            "kind": "tcp.routers",
            "name": "db@docker",
            "spec": {
                "rule": "HostSNI(`*`)",
                "service": "db",
                "entryPoints": ["postgres"],
                "middlewares": ["lan@docker"],
                "tls": {"passthrough": True, "options": "strict@file"},
            },
            "secrets": [],
            "used_by": [],
        },
        {
            "kind": "tcp.services",
            "name": "db@docker",
            "spec": {
                "loadBalancer": {
                    "servers": [{"address": "172.18.0.7:5432", "tls": True}],
                    "proxyProtocol": {"version": 2},
                    "serversTransport": "inside@file",
                }
            },
            "secrets": [],
            "used_by": [],
        },
        {
            "kind": "tcp.middlewares",
            "name": "lan@docker",
            "spec": {"ipAllowList": {"sourceRange": ["192.168.0.0/16"]}},
            "secrets": [],
            "used_by": [],
        },
    ],
}


@dataclass
class Neighbourhood:
    """One gateway for all tests here: proposals leave main as it is."""

    waypost: Waypost
    answers: Answers
    desired: DesiredRepo


@pytest.fixture(scope="module")
def neighbourhood(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbourhood]:
    directory, answers = tmp_path_factory.mktemp("neighbourhood"), Answers()
    desired = DesiredRepo(directory / "desired.git")
    with (
        served(web.build(answers, ["127.0.0.1"])) as url,
        gateway_over(desired, directory / "gateway", reconciler_url=url) as waypost,
    ):
        yield Neighbourhood(waypost, answers, desired)


@pytest.fixture
def adopt(neighbourhood: Neighbourhood) -> Callable[..., Any]:
    """Adopt what the reconciler tells; gives the answer, or the refusal where `refused` is set."""

    def adopt(told: dict[str, Any], refused: bool = False, **more: Any) -> Any:
        neighbourhood.answers.told["foreign"] = told
        ask = neighbourhood.waypost.refusal if refused else neighbourhood.waypost.answer
        answer = ask("traefik_adopt_route", router=told["router"], reason="labels were the start", **more)
        return answer if refused else (answer, _files(neighbourhood.waypost, answer))

    return adopt


def _files(waypost: Waypost, answer: Any) -> dict[str, Any]:
    return {path: yaml.safe_load(waypost.file(answer["commit"], path) or b"") for path in answer["files"]}


def with_secret(told: dict[str, Any]) -> dict[str, Any]:
    told = copy.deepcopy(told)
    told["resources"][2]["spec"] = {"basicAuth": {"users": "•••"}}
    told["resources"][2]["secrets"] = ["basicAuth.users"]
    return told


def test_the_file_route_serves_before_the_labels_do_and_the_labels_are_named_exactly(adopt: Callable[..., Any]) -> None:
    answer, files = adopt(DOCKER, service_url="http://gitea:3000")
    http = files["traefik/gitea.yaml"]["http"]
    assert http["routers"]["gitea"] == {
        "rule": "Host(`gitea.lab`)",
        "service": "gitea",
        "entryPoints": ["websecure"],
        "middlewares": ["slow", "shared", "lan@file"],
        "tls": {"certResolver": "le", "domains": [{"main": "lab", "sans": ["*.lab"]}]},
        "priority": 20,
    }
    assert http["services"]["gitea"] == {
        "loadBalancer": {"servers": [{"url": "http://gitea:3000"}], "sticky": {"cookie": {"name": "s"}}}
    }
    assert http["middlewares"] == {"slow": {"rateLimit": {"average": 10}}, "shared": {"compress": {}}}
    assert answer["remove"] == [
        "traefik.http.routers.gitea.rule",
        "traefik.http.routers.gitea.service",
        "traefik.http.routers.gitea.entrypoints",
        "traefik.http.routers.gitea.middlewares",
        "traefik.http.routers.gitea.tls",
        "traefik.http.routers.gitea.tls.certresolver",
        "traefik.http.routers.gitea.tls.domains[0].main",
        "traefik.http.routers.gitea.tls.domains[0].sans",
        "traefik.http.routers.gitea.priority",
        "traefik.http.services.gitea.loadbalancer.server.port",
        "traefik.http.services.gitea.loadbalancer.server.scheme",
        "traefik.http.services.gitea.loadbalancer.server.url",
        "traefik.http.services.gitea.loadbalancer.sticky",
        "traefik.http.services.gitea.loadbalancer.sticky.cookie",
        "traefik.http.services.gitea.loadbalancer.sticky.cookie.name",
        "traefik.http.middlewares.slow.ratelimit.average",
    ]
    told = " ".join(answer["hand_over"])
    assert "traefik.enable=false" in told and "shared@docker" in told and answer["priority"] == 20


def test_a_tcp_route_goes_over_with_the_labels_of_tcp_and_a_priority_that_is_one(adopt: Callable[..., Any]) -> None:
    answer, files = adopt(DATABASE, service_url=["db:5432", "[fd00::7]:5432"])
    assert files["traefik/db.yaml"]["tcp"] == {
        "routers": {
            "db": {
                "rule": "HostSNI(`*`)",
                "service": "db",
                "entryPoints": ["postgres"],
                "middlewares": ["lan"],
                "tls": {"passthrough": True, "options": "strict@file"},
                "priority": 1,
            }
        },
        "services": {
            "db": {
                "loadBalancer": {
                    "servers": [{"address": "db:5432", "tls": True}, {"address": "[fd00::7]:5432", "tls": True}],
                    "proxyProtocol": {"version": 2},
                    "serversTransport": "inside@file",
                }
            }
        },
        "middlewares": {"lan": {"ipAllowList": {"sourceRange": ["192.168.0.0/16"]}}},
    }
    assert answer["remove"] == [
        "traefik.tcp.routers.db.rule",
        "traefik.tcp.routers.db.service",
        "traefik.tcp.routers.db.entrypoints",
        "traefik.tcp.routers.db.middlewares",
        "traefik.tcp.routers.db.tls",
        "traefik.tcp.routers.db.tls.passthrough",
        "traefik.tcp.routers.db.tls.options",
        "traefik.tcp.services.db.loadbalancer.server.port",
        "traefik.tcp.services.db.loadbalancer.server.tls",
        "traefik.tcp.services.db.loadbalancer.proxyprotocol.version",
        "traefik.tcp.services.db.loadbalancer.serverstransport",
        "traefik.tcp.middlewares.lan.ipallowlist.sourcerange",
    ]
    assert adopt(DATABASE, refused=True)["code"] == "backend-moves"
    for wrong in ("tcp://db:5432", "db:99999", "db:0", "..:1", "-:0", "-:1", "999.1.1.1:1", "[db]:1", "fd00::7:1"):
        assert adopt(DATABASE, refused=True, service_url=wrong)["code"] == "bad-backend", wrong


def test_servers_that_differ_do_not_say_how_another_one_is_reached(adopt: Callable[..., Any]) -> None:
    told = copy.deepcopy(DATABASE)
    servers = told["resources"][1]["spec"]["loadBalancer"]["servers"]
    servers.append({"address": "172.18.0.8:5432"})
    refused = adopt(told, refused=True, service_url="db:5432")
    assert (refused["code"], "TLS" in refused["message"]) == ("not-adoptable", True)
    _, files = adopt(told, service_url=["172.18.0.7:5432", "172.18.0.8:5432"])
    assert files["traefik/db.yaml"]["tcp"]["services"]["db"]["loadBalancer"]["servers"] == servers


@pytest.mark.parametrize(("before", "after"), [(-10, -9), (-2, -1), (-1, 1), (19, 20)])
def test_the_file_route_goes_right_above_the_foreign_one_and_past_no_other(
    adopt: Callable[..., Any], before: int, after: int
) -> None:
    answer, _ = adopt({**DOCKER, "priority": before}, service_url="http://gitea:3000")
    assert answer["priority"] == after


def test_a_web_service_keeps_its_options_but_not_those_that_hold_a_secret(adopt: Callable[..., Any]) -> None:
    told = copy.deepcopy(DOCKER)
    service = told["resources"][1]
    service["spec"]["loadBalancer"] = {
        "servers": [{"url": "http://172.18.0.5:3000", "preservePath": True}],
        "passHostHeader": False,
        "serversTransport": "inside@file",
        "healthCheck": {"path": "/up", "headers": {"Authorization": "•••"}},
    }
    service["secrets"] = ["loadBalancer.healthCheck.headers.Authorization"]
    answer, files = adopt(told, service_url="http://gitea:3000", name="git", instead={"gitea@docker": "compress"})
    http = files["traefik/git.yaml"]["http"]
    assert http["services"]["git"]["loadBalancer"] == {
        "servers": [{"url": "http://gitea:3000", "preservePath": True}],
        "passHostHeader": False,
        "serversTransport": "inside@file",
    }
    assert http["routers"]["git"]["service"] == "git", "service_url says what the service is, whatever is so named too"
    assert "healthCheck of gitea@docker" in " ".join(answer["hand_over"])


def test_the_address_of_a_container_is_no_backend_for_a_file(adopt: Callable[..., Any]) -> None:
    refused = adopt(DOCKER, refused=True)
    assert (refused["code"], "172.18.0.5" in refused["message"]) == ("backend-moves", True)
    fixed, files = adopt(DOCKER, service_url="https://172.18.0.5:3000")
    assert "172.18.0.5" in str(files)


def test_what_holds_a_secret_stays_where_it_is_or_is_replaced(adopt: Callable[..., Any]) -> None:
    told = with_secret(DOCKER)
    refused = adopt(told, refused=True, service_url="http://gitea:3000")
    assert (refused["code"], "basicAuth.users" in str(refused["problems"])) == ("secret", True)
    kept, files = adopt(told, service_url="http://gitea:3000", instead={"slow@docker": "slow@docker"})
    assert files["traefik/gitea.yaml"]["http"]["routers"]["gitea"]["middlewares"][0] == "slow@docker"
    assert not any(".slow." in label for label in kept["remove"]) and "slow@docker" in " ".join(kept["hand_over"])
    other, files = adopt(told, service_url="http://gitea:3000", instead={"slow@docker": "compress"})
    assert files["traefik/gitea.yaml"]["http"]["routers"]["gitea"]["middlewares"][0] == "compress"
    assert "traefik.http.middlewares.slow.basicauth.users" in other["remove"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"provider": "internal"}, "Traefik's own"),
        ({"provider": "file"}, "adopt-traefik"),
        ({"parents": ["root@docker"]}, "layer"),
        ({"missing": ["gone@docker"]}, "gone@docker"),
        ({"priority": 2**63 - 1001}, "highest priority"),
    ],
)
def test_what_cannot_be_adopted_says_why(adopt: Callable[..., Any], change: dict[str, Any], words: str) -> None:
    refused = adopt({**copy.deepcopy(DOCKER), **change}, refused=True)
    assert (refused["code"], words in refused["message"]) == ("not-adoptable", True), refused


@pytest.mark.parametrize(
    ("provider", "first"),
    [
        ("redis", "traefik/http/routers/gitea/"),
        ("http", "http.routers.gitea"),
        ("swarm", "traefik.http.routers.gitea.rule"),
    ],
)
def test_other_providers_keep_a_route_elsewhere(adopt: Callable[..., Any], provider: str, first: str) -> None:
    told = copy.deepcopy(DOCKER)
    told["provider"] = provider
    for one in (told, *told["resources"]):
        key = "router" if "router" in one else "name"
        one[key] = one[key].replace("@docker", f"@{provider}")
    told["resources"][0]["spec"]["middlewares"] = [f"slow@{provider}", f"shared@{provider}"]
    answer, _ = adopt(told, service_url="http://gitea:3000")
    assert answer["remove"][0] == first


def test_a_foreign_route_is_explained_and_never_changed(neighbourhood: Neighbourhood) -> None:
    waypost = neighbourhood.waypost
    before = waypost.proposals
    neighbourhood.answers.told["foreign"] = with_secret(DOCKER)
    shown = waypost.answer("traefik_get_route", name="gitea@docker")
    assert (shown["route"]["live"], shown["route"]["file"], shown["backends"]) == (
        "foreign", "docker", ["https://172.18.0.5:3000"],
    )  # fmt: skip
    for tool in ("traefik_update_route", "traefik_delete_route"):
        refused = waypost.refusal(tool, name="gitea@docker", reason="no more")
        assert (refused["code"], "adopt_route" in refused["message"]) == ("foreign-route", True)
    assert waypost.proposals == before


@pytest.fixture
def taken(neighbourhood: Neighbourhood) -> Iterator[None]:
    """The name `slow` means something else in the desired repo, for as long as a test."""
    mine = b"http:\n  middlewares:\n    slow: {retry: {attempts: 2}}\n"
    neighbourhood.desired.commit({"traefik/mine.yaml": mine})
    yield
    neighbourhood.desired.commit({"traefik/mine.yaml": None})


@pytest.mark.usefixtures("taken")
def test_a_name_that_is_taken_gives_way(adopt: Callable[..., Any]) -> None:
    _, files = adopt(DOCKER, service_url="http://gitea:3000")
    assert files["traefik/gitea.yaml"]["http"]["routers"]["gitea"]["middlewares"][:2] == ["slow-docker", "shared"]
    told = copy.deepcopy(DOCKER)
    told["router"] = told["resources"][0]["name"] = "grafana@docker"
    assert adopt(told, refused=True, service_url="http://g:1")["code"] == "already-exists"
    _, files = adopt(told, service_url="http://g:1", name="graphs")
    assert list(files) == ["traefik/graphs.yaml"]
