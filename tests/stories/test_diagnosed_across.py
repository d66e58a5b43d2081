"""Why is Gitea a 404? Where the answer stands in no configuration: the container behind it, the deploy, who may in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.setting import Secret
from shards.authentik_live import AuthentikAt
from shards.komodo_at import KomodoAt
from shards.log_sources import LogsAt
from tests.authentik.fake_authentik import running
from tests.conftest import wait_until
from tests.dozzle.containers_told import Box, House, house
from tests.komodo.fake_komodo import KEY, SECRET, FakeKomodo
from tests.komodo.fake_komodo import Serving as ServingKomodo
from tests.shards.serving import gateway_over
from tests.stories.town import Serving, Town

NOTHING_THERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def docker() -> Iterator[House]:
    with house() as one:
        yield one


@contextlib.contextmanager
def asked_through(town: Town, directory: Path, **more: Any) -> Iterator[Town]:
    """The town, asked through a gateway that can look at more than Traefik."""
    settings = town.waypost.settings
    gateway = gateway_over(
        town.waypost.desired,
        directory,
        reconciler_url=settings.reconciler_url,
        ca_file=settings.ca_file,
        answer_within=30.0,
        **more,
    )
    with gateway as waypost:
        yield replace(town, waypost=waypost)


@pytest.fixture(scope="module")
def asking(town: Town, docker: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The town, asked through a gateway that can look at containers too."""
    with asked_through(town, tmp_path_factory.mktemp("across"), logs=LogsAt(docker_url=docker.docker)) as one:
        yield one


@pytest.fixture(autouse=True)
def nothing_forbidden_was_asked(docker: House) -> Iterator[None]:
    docker.containers.quiet()
    yield
    assert docker.containers.faults == []


def evidence(told: Any, source: str) -> Any:
    return next(one for one in told["evidence"] if one["source"] == source)


def test_a_container_that_ended_took_its_route_along(asking: Town, docker: House) -> None:
    box = Box(
        "git", state="exited", status="Exited (1) 2 minutes ago",
        labels={"traefik.http.routers.git.rule": "Host(`git.across`)", "traefik.http.services.git.x.y": "3000"},
    )  # fmt: skip
    box.write("starting", ago=timedelta(minutes=3))
    box.write("FATAL: cannot open database: password=cAnArY", ago=timedelta(minutes=2), output="stderr")
    docker.containers.boxes = [box, Box("other")]
    told = asking.ask("traefik_diagnose", what="http://git.across/", status=404)
    assert told["most_likely"]["cause"] == "container-down"
    assert "container git is exited (Exited (1) 2 minutes ago)" in told["most_likely"]["said"]
    found = evidence(told, "containers")
    assert found["outcome"] == "trouble" and not told["partial"]
    complaint = found["details"][-1]
    assert "cannot open database" in complaint and complaint.startswith("<untrusted-") and "cAnArY" not in str(told)


def test_a_container_that_was_never_started_is_told_before_its_dead_backend(asking: Town, docker: House) -> None:
    docker.containers.boxes = [Box("wiki", state="created", status="Created", published={3000: 9})]
    service = {"loadBalancer": {"servers": [{"url": NOTHING_THERE}]}}
    router = {"rule": "Host(`wiki.across`)", "service": "wiki", "entryPoints": ["web"]}
    asking.want({"traefik/wiki.yaml": {"http": {"routers": {"wiki": router}, "services": {"wiki": service}}}})
    told = asking.ask("traefik_diagnose", what="wiki", status=502)
    assert [told["most_likely"]["cause"], *(one["cause"] for one in told["besides"])][:2] == [
        "container-down", "backend-down",
    ]  # fmt: skip


def test_what_runs_behind_a_route_is_told_and_is_no_cause(asking: Town, docker: House) -> None:
    docker.containers.boxes = [Box("app", health="healthy", published={80: asking.application.server_port})]
    service = {"loadBalancer": {"servers": [{"url": asking.application.url}]}}
    router = {"rule": "Host(`app.across`)", "service": "app", "entryPoints": ["web"]}
    asking.want({"traefik/app.yaml": {"http": {"routers": {"app": router}, "services": {"app": service}}}})
    wait_until(lambda: asking.house.status("app.across") == 200, "the route")
    told = asking.ask("traefik_diagnose", what="app")
    assert told["most_likely"]["cause"] == "all-is-well"
    assert evidence(told, "containers")["said"] == "container app runs and is healthy"


def test_while_nobody_can_tell_of_containers_the_rest_is_told(town: Town, tmp_path: Path) -> None:
    # A gateway of its own: one whose Docker was away does not ask it again for a while.
    with asked_through(town, tmp_path, logs=LogsAt(docker_url=NOTHING_THERE)) as asking:
        told = asking.ask("traefik_diagnose", what="http://nowhere.across/", status=404)
    assert (told["most_likely"]["cause"], told["partial"]) == ("no-route", True)
    found = evidence(told, "containers")
    assert found["outcome"] == "missing" and "Docker" in found["said"]


@pytest.fixture
def komodo(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServingKomodo]:
    """A Komodo that the gateway may look at."""
    monkeypatch.setenv("KEY_OF_THIS_TEST", KEY)
    monkeypatch.setenv("SECRET_OF_THIS_TEST", SECRET)
    with contextlib.closing(ServingKomodo(FakeKomodo())) as one:
        yield one
    assert one.komodo.faults == []
    assert not [asked for asked in one.komodo.asked if not asked.startswith("read/")]


def test_komodos_last_deploy_is_told_where_it_left_nothing_behind_a_route(
    town: Town, komodo: ServingKomodo, tmp_path: Path
) -> None:
    stack = komodo.komodo.has("films", file_contents='{"services": {"web": {}}}')
    stack.state, stack.containers = "down", {}
    komodo.komodo.failed("films", "no such image: films:2 password=cAnArY")
    service = {"loadBalancer": {"servers": [{"url": NOTHING_THERE}]}}
    router = {"rule": "Host(`films.across`)", "service": "films", "entryPoints": ["web"]}
    town.want({"traefik/films.yaml": {"http": {"routers": {"films": router}, "services": {"films": service}}}})
    at = KomodoAt(
        url=komodo.url,
        key=Secret("env:KEY_OF_THIS_TEST", "WAYPOST_KOMODO_READ_KEY"),
        secret=Secret("env:SECRET_OF_THIS_TEST", "WAYPOST_KOMODO_READ_SECRET"),
    )
    with asked_through(town, tmp_path, komodo=(at,)) as asking:
        told = asking.ask("traefik_diagnose", what="films", status=502)
    assert "stack films is down, and its last DeployStack failed" in str(told["most_likely"])
    found = evidence(told, "deploys")
    assert found["outcome"] == "trouble" and not told["partial"]
    complaint = found["details"][-1]
    assert complaint.startswith("<untrusted-") and "no such image: films:2" in complaint and "cAnArY" not in str(told)


@pytest.fixture
def own_application() -> Iterator[Serving]:
    """Not the town's: a server that is served only to those who were asked must not become open to all elsewhere."""
    with Serving(lambda path: (200, b"hello")) as one:
        yield one
        one.shutdown()


def test_why_is_gitea_a_404_is_answered_by_who_knows_whom(
    town: Town, docker: House, own_application: Serving, tmp_path: Path
) -> None:
    """The route asks authentik who comes, and authentik knows no such application."""
    docker.containers.boxes = [Box("git", health="healthy", published={3000: own_application.server_port})]
    service = {"loadBalancer": {"servers": [{"url": own_application.url}]}}
    router = {"rule": "Host(`git.known`)", "service": "git", "entryPoints": ["web"], "middlewares": ["authentik-door"]}
    door = {"forwardAuth": {"address": f"{town.application.url}/missing"}}
    content = {"routers": {"git": router}, "services": {"git": service}, "middlewares": {"authentik-door": door}}
    town.want({"traefik/git.yaml": {"http": content}})
    wait_until(lambda: town.house.status("git.known") == 404, "authentik's answer")
    with running() as authentik:
        knowing = {
            "logs": LogsAt(docker_url=docker.docker),
            "authentik": (AuthentikAt(url=authentik.url, token=Secret("right")),),
        }
        with asked_through(town, tmp_path, **knowing) as asking:
            told = asking.ask("traefik_diagnose", what="git.known", status=404)
    assert told["most_likely"]["cause"] == "identity"
    assert "has no application at git.known" in told["most_likely"]["said"]
    outcomes = {one["source"]: one["outcome"] for one in told["evidence"]}
    assert (outcomes["identity"], outcomes["containers"], told["partial"]) == ("trouble", "fine", False)
