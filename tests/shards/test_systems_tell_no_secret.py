"""Canaries in what Komodo, authentik, Gitea and containers hold and say, and every tool that reads one of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from reconciler import web
from reconciler.setting import Secret
from shards.authentik_live import AuthentikAt
from shards.covering import MARK, covered
from shards.gitea_reading import GiteaAt
from shards.komodo_at import KomodoAt
from shards.log_sources import LogsAt
from tests.authentik.fake_authentik import FakeAuthentik, running
from tests.dozzle.containers_told import Box, Containers, house
from tests.gitea.fake_gitea import FakeGitea
from tests.gitea.fake_gitea import running as gitea_running
from tests.komodo.fake_komodo import KEY, SECRET, FakeKomodo
from tests.komodo.fake_komodo import running as komodo_running
from tests.shards.serving import Answers, DesiredRepo, Waypost, gateway_over, served

CANARY = "cAnArY"
URL = f"https://ada:{CANARY}@files.lab/x?token={CANARY}"
BLUEPRINT = f"""\
version: 1
metadata: {{name: wiki}}
entries:
  - model: authentik_providers_oauth2.oauth2provider
    id: provider
    identifiers: {{name: wiki}}
    attrs: {{client_id: wiki, client_secret: {CANARY}7f3kQ9}}
  - model: authentik_core.application
    identifiers: {{slug: wiki}}
    attrs: {{name: Wiki, provider: !KeyOf provider, meta_launch_url: "{URL}"}}
"""
COMPOSE = {"services": {"web": {"image": "jellyfin", "environment": {"DB_PASSWORD": CANARY, "BASE": URL}}}}
BY_HAND = {  # what a person pushed to main although nobody should: the plan holds it, and tools read main
    "authentik/wiki.yaml": BLUEPRINT.encode(),
    "komodo/media/stack.toml": b'[[stack]]\nname = "media"\n[stack.config]\nserver = "nas"\n',
    "komodo/media/compose.yaml": f"services: {{web: {{image: jellyfin, command: run --pass {CANARY}}}}}\n".encode(),
}
LINES = (
    f"login with password={CANARY}",
    f'{{"level": "error", "authorization": "Bearer {CANARY}abcdefgh0123"}}',
    f"fatal: cannot reach {URL}",
    f"Set-Cookie: session={CANARY}; Path=/",
)


@dataclass
class Planted:
    waypost: Waypost
    komodo: FakeKomodo
    authentik: FakeAuthentik
    gitea: FakeGitea


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    directory = tmp_path_factory.mktemp("planted")
    with contextlib.ExitStack() as stack:
        komodo_served = stack.enter_context(komodo_running())
        komodo, (gitea, gitea_url) = komodo_served.komodo, stack.enter_context(gitea_running(directory / "gitea.git"))
        authentik, containers = stack.enter_context(running()), stack.enter_context(house())
        plant_in_komodo(komodo)
        plant_in_authentik(authentik)
        plant_in_gitea(gitea)
        plant_in_containers(containers.containers)
        at = {
            "komodo": (
                KomodoAt(
                    url=komodo_served.url,
                    key=Secret("env:KEY_PLANTED"),
                    secret=Secret("env:SECRET_PLANTED"),
                ),
            ),
            "authentik": (AuthentikAt(url=authentik.url, token=Secret("env:RIGHT")),),
            "gitea": GiteaAt(
                url=gitea_url,
                repository="house/desired",
                token=Secret("env:RIGHT"),
            ),
            "logs": LogsAt(docker_url=containers.docker),
            "reconciler_url": stack.enter_context(served(web.build(Answers(), ["127.0.0.1"]))),
        }
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in {"KEY_PLANTED": KEY, "SECRET_PLANTED": SECRET, "RIGHT": "right"}.items():
            environment.setenv(name, value)
        desired = DesiredRepo(directory / "desired.git")
        desired.commit(BY_HAND)
        waypost = stack.enter_context(gateway_over(desired, directory / "gateway", **at))
        yield Planted(waypost, komodo, authentik, gitea)


def plant_in_komodo(komodo: FakeKomodo) -> None:
    komodo.has("media", file_contents=json.dumps(COMPOSE), environment=f"API_TOKEN = {CANARY}")
    komodo.logs["media"], komodo.complaints["media"] = "\n".join(LINES), LINES[0]
    komodo.failed("media", f"pull access denied for {URL}: password={CANARY}")


def plant_in_authentik(authentik: FakeAuthentik) -> None:
    oauth2 = "authentik_providers_oauth2.oauth2provider"
    made = authentik.make(oauth2, name="wiki", client_id="wiki", client_secret=CANARY)
    authentik.make("authentik_core.application", name="Wiki", slug="wiki", provider=made["pk"], launch_url=URL)


def plant_in_gitea(gitea: FakeGitea) -> None:
    gitea.repositories = [{"full_name": "house/desired", "clone_url": URL, "original_url": URL}]
    gitea.hooks = [
        {"id": 1, "active": True, "events": ["push"], "config": {"url": URL, "secret": CANARY}},
        {"id": 2, "active": True, "events": ["push"], "config": {"url": f"https://hooks.lab/{CANARY}"}},
    ]


def plant_in_containers(containers: Containers) -> None:
    labels = {"traefik.http.middlewares.x.basicauth.users": f"ada:$apr1${CANARY}", "backup.password": CANARY}
    box = Box("media", labels=labels, image="registry.lab/jellyfin:10")
    box.write(*LINES)
    containers.boxes = [box]


QUESTIONS: dict[str, dict[str, Any]] = {
    "komodo_list_stacks": {},
    "komodo_get_stack": {"stack": "media"},
    "komodo_get_stack_log": {"stack": "media"},
    "komodo_recent_updates": {"stack": "media"},
    "authentik_list_applications": {},
    "authentik_get_blueprint": {"name": "wiki"},
    "gitea_list_repositories": {},
    "gitea_list_pull_requests": {"state": "all"},
    "gitea_list_webhooks": {},
    "gitea_list_deployments": {},
    "dozzle_list_containers": {},
    "dozzle_tail_logs": {"container": "media"},
    "dozzle_search_logs": {"container": "media", "text": "e"},
    "dozzle_get_container_stats": {"container": "media"},
}
ELSEWHERE = ("traefik_", "gateway_", "proposals_", "history", "why")  # what Traefik says has a story of its own


@pytest.fixture(scope="module")
def told(planted: Planted) -> dict[str, str]:
    """What each tool answers, all of it."""
    return {name: planted.waypost.call(name, **given).model_dump_json() for name, given in QUESTIONS.items()}


def test_no_tool_that_reads_a_system_tells_a_secret(planted: Planted, told: dict[str, str]) -> None:
    listed = planted.waypost.tools().tools
    reading = {tool.name for tool in listed if tool.annotations and tool.annotations.read_only_hint}
    asked = {name for name in reading if not name.startswith(ELSEWHERE) and not name.endswith("_docs")}
    assert asked == QUESTIONS.keys(), "a new tool: ask it here as well"
    for name, answer in told.items():
        assert CANARY not in answer, (name, answer[max(0, answer.find(CANARY) - 200) :][:400])


def test_the_answers_hold_what_is_no_secret(told: dict[str, str]) -> None:
    """Or they would hold no canary for the wrong reason."""
    assert "jellyfin" in told["komodo_get_stack"] and "pull access denied" in told["komodo_recent_updates"]
    assert "client_id" not in told["authentik_get_blueprint"], "it stands on the line of the secret"
    assert "slug: wiki" in told["authentik_get_blueprint"] and "wiki" in told["authentik_list_applications"]
    assert "files.lab" in told["gitea_list_webhooks"] and "house/desired" in told["gitea_list_repositories"]
    assert all("login with password" in told[name] for name in ("dozzle_tail_logs", "komodo_get_stack_log"))


def test_a_proposal_shows_no_secret_that_stands_beside_what_it_changes(planted: Planted) -> None:
    refused = planted.waypost.refusal("authentik_set_blueprint", name="wiki", content=f"# {MARK}", reason="to try it")
    assert refused["code"] == "covered"
    proposed = planted.waypost.answer("authentik_remove_blueprint", name="wiki", reason="nobody reads it")
    told = planted.waypost.call("proposals_get", proposal=proposed["proposal"]).model_dump_json()
    assert CANARY not in told and MARK in json.loads(told)["structured_content"]["diff"]


def test_what_belongs_to_a_secret_is_covered_with_it() -> None:
    text = "a:\n  password: |\n    one\n\n    two\n  b: c\n"
    assert covered("authentik/x.yaml", text) == f"a:\n  # {MARK}\n  b: c\n"
    assert covered("authentik/x.yaml", "a: b\n") == "a: b\n"


def test_a_private_key_in_a_file_is_covered_to_its_end() -> None:
    key = ["-----BEGIN PRIVATE KEY-----", *[CANARY * 8] * 2, CANARY, "-----END PRIVATE KEY-----"]
    told = covered("traefik/x.yaml", "\n".join(["a:", "- keyFile: |", *(f"    {line}" for line in key), "  b: c", ""]))
    assert told == "\n".join(["a:", "- keyFile: |", *[f"    # {MARK}"] * 5, "  b: c", ""])
    assert covered("traefik/x.yaml", "\n".join([*(f"# {line}" for line in key), "a: b"])).endswith(f"# {MARK}\na: b")
    assert CANARY not in covered("traefik/x.yaml", "\n".join(["a: |", *(f"  {line}" for line in key[:-1])]))
