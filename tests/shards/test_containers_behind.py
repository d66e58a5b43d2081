"""Which containers stand behind a route: by its backends, by labels, by the host that a label names; and no others."""

from __future__ import annotations

import pytest

from shards.containers import Container, Route, behind, level_of

GITEA = Container(
    id="4f66ad9a0b2e1111", name="house-gitea-1", state="running",
    labels={"com.docker.compose.project": "house", "com.docker.compose.service": "gitea"},
    addresses=("172.18.0.5", "git"), ports=(3000,),
)  # fmt: skip
WIKI = Container(
    id="99aa", name="wiki", state="exited",
    labels={"traefik.http.routers.wiki-web.rule": "Host(`wiki.lab`) || Host(`w.lab`)", "traefik.http.services.w.x": ""},
)  # fmt: skip
OTHER = Container(id="55bb", name="other", state="running", ports=(8080,), labels={"traefik.enable": "true"})
ALL = [GITEA, WIKI, OTHER]


@pytest.mark.parametrize(
    ("route", "found"),
    [
        (Route(backends=("http://gitea:3000",)), [GITEA]),
        (Route(backends=("http://house-gitea-1:3000",)), [GITEA]),
        (Route(backends=("http://172.18.0.5:3000",)), [GITEA]),
        (Route(backends=("http://git:3000",)), [GITEA]),
        (Route(backends=("http://4f66ad9a0b2e:3000",)), [GITEA]),
        (Route(backends=("http://127.0.0.1:3000",)), [GITEA]),
        (Route(backends=("http://host.docker.internal:8080",)), [OTHER]),
        (Route(backends=("http://10.0.0.9:3000",)), []),
        (Route(backends=("http://127.0.0.1:9999",)), []),
        (Route(backends=("not an address", "http://[::1")), []),
        (Route(router="wiki-web@docker"), [WIKI]),
        (Route(router="gone@docker", service="w@docker"), [WIKI]),
        (Route(host="w.lab"), [WIKI]),
        (Route(host="lab"), []),
        (Route(router="wiki-web", host="git.lab"), []),  # of a file: a name in labels means another
        (Route(), []),
    ],
)  # fmt: skip
def test_a_route_leads_to_its_containers(route: Route, found: list[Container]) -> None:
    assert behind(route, ALL) == found


def test_a_published_port_that_two_have_says_nothing() -> None:
    twin = Container(id="66", name="twin", state="running", ports=(3000,))
    assert behind(Route(backends=("http://127.0.0.1:3000",)), [*ALL, twin]) == []


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("2026-01-01 ERROR cannot open", "error"),
        ('{"level":"warn","err":"x"}', "warn"),
        ("panic: runtime error", "fatal"),
        ("Traceback (most recent call last):", "error"),
        ("terror on an errand", ""),
        ("[notice] started", "info"),
    ],
)
def test_a_line_names_its_level_or_none(text: str, level: str) -> None:
    assert level_of(text) == level
