"""A house with two Komodos and two authentiks: each tool looks at the one that is meant, a diagnosis at all of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.setting import Secret
from shards import config
from shards.authentik_live import AuthentikAt
from shards.knowing import Heard, Known, certain_cause
from shards.komodo_at import KomodoAt
from tests.authentik.fake_authentik import FakeAuthentik, running
from tests.komodo.fake_komodo import KEY, SECRET, FakeKomodo, Serving
from tests.shards.serving import NOBODY, DesiredRepo, Waypost, gateway_over

POLICY = b"""\
version: 1
targets:
  lab-stacks: {kind: komodo, directory: lab/stacks}
  lab-id: {kind: authentik, directory: lab/id}
"""
TABLES = """\
[lab-stacks]
kind = "komodo"
url = "{komodo}"
key = "file:/nowhere"
secret = "file:/nowhere"
read_key = "env:KEY"
read_secret = "env:SECRET"

[lab-id]
kind = "authentik"
url = "{authentik}"
token = "file:/nowhere"
read_token = "env:TOKEN"
"""
MEDIA = b'[[stack]]\nname = "media"\n[stack.config]\nserver = "nas"\n'


@dataclass
class House:
    waypost: Waypost
    komodos: dict[str, FakeKomodo]
    authentiks: dict[str, FakeAuthentik]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The default instances of both kinds, and one of each besides, as a person describes them in a home."""
    home = tmp_path_factory.mktemp("several")
    desired = DesiredRepo(home / "desired.git")
    desired.commit({"waypost.yaml": POLICY, "lab/stacks/media/stack.toml": MEDIA})
    komodos = {name: FakeKomodo() for name in ("komodo", "lab-stacks")}
    with contextlib.ExitStack() as stack:
        urls = {name: stack.enter_context(contextlib.closing(Serving(one))).url for name, one in komodos.items()}
        authentiks = {name: stack.enter_context(running()) for name in ("authentik", "lab-id")}
        (home / "targets.toml").write_text(TABLES.format(komodo=urls["lab-stacks"], authentik=authentiks["lab-id"].url))
        environ = {
            "KEY": KEY,
            "SECRET": SECRET,
            "TOKEN": "right",
            "WAYPOST_KOMODO_URL": urls["komodo"],
            "WAYPOST_KOMODO_READ_KEY": "env:KEY",
            "WAYPOST_KOMODO_READ_SECRET": "env:SECRET",
            "WAYPOST_AUTHENTIK_URL": authentiks["authentik"].url,
            "WAYPOST_AUTHENTIK_READ_TOKEN": "env:TOKEN",
        }
        told = config.read(home, environ)
        chosen = {"komodo": told.komodo, "authentik": told.authentik}
        waypost = stack.enter_context(gateway_over(desired, home / "gateway", **chosen))
        yield House(waypost, komodos, authentiks)
    assert [fault for one in komodos.values() for fault in one.faults] == []


def test_a_tool_looks_at_the_komodo_that_is_named(house: House) -> None:
    house.komodos["komodo"].has("books")
    house.komodos["lab-stacks"].has("media", file_contents=json.dumps({"services": {"web": {}}}))
    listed = house.waypost.answer("komodo_list_stacks")
    assert [one["name"] for one in listed["stacks"]] == ["books"]
    listed = house.waypost.answer("komodo_list_stacks", instance="lab-stacks")
    assert [(one["name"], one["state"], one["file"]) for one in listed["stacks"]] == [
        ("media", "running", "lab/stacks/media/stack.toml")
    ]
    [web] = house.waypost.answer("komodo_get_stack", stack="media", instance="lab-stacks")["services"]
    assert (web["service"], web["state"]) == ("web", "running")


def test_a_tool_looks_at_the_authentik_that_is_named(house: House) -> None:
    house.authentiks["lab-id"].make("authentik_core.application", slug="wiki", name="Wiki", launch_url="")
    listed = house.waypost.answer("authentik_list_applications", instance="lab-id")
    assert ("wiki", True) in [(one["slug"], one["live"]) for one in listed["applications"]]
    listed = house.waypost.answer("authentik_list_applications")
    assert (listed["unknown"], "wiki" in [one["slug"] for one in listed["applications"]]) == ("", False)


@pytest.mark.parametrize(
    ("tool", "arguments", "there"),
    [
        ("komodo_list_stacks", {}, "komodo, lab-stacks"),
        ("komodo_restart_stack", {"stack": "media", "reason": "stuck"}, "komodo, lab-stacks"),
        ("authentik_list_applications", {}, "authentik, lab-id"),
        ("authentik_remove_blueprint", {"name": "x", "reason": "because"}, "authentik, lab-id"),
        ("traefik_list_routes", {}, "traefik"),
        ("traefik_diagnose", {"what": "git.lab"}, "traefik"),
        ("traefik_route_history", {"name": "git"}, "traefik"),
        ("traefik_explain_request", {"url": "https://git.lab"}, "traefik"),
        (
            "traefik_add_dynamic_config",
            {"kind": "http.middlewares", "name": "x", "spec": {"compress": {}}, "reason": "because"},
            "traefik",
        ),
    ],
)
@pytest.mark.parametrize("other", ["nowhere", "of another kind"])
def test_an_instance_that_is_none_of_its_kind_is_refused_with_those_there_are(
    house: House, tool: str, arguments: dict[str, object], there: str, other: str
) -> None:
    kind = {"traefik": "lab-stacks"}.get(tool.partition("_")[0], "traefik")
    named = other if other == "nowhere" else kind
    refused = house.waypost.refusal(tool, **arguments, instance=named)
    assert refused["code"] == "unknown-instance"
    assert refused["message"].startswith(
        f"There is no {tool.partition('_')[0]} instance '{named}'; there are: {there}."
    )


def test_a_diagnosis_looks_at_all_of_them_and_says_who_said_what(house: House) -> None:
    failing = house.komodos["lab-stacks"].has("films", file_contents=json.dumps({"services": {"web": {}}}))
    failing.state, failing.containers = "down", {}
    house.authentiks["authentik"].down = True
    told = house.waypost.answer("traefik_diagnose", what="films.lab", status=502)
    house.authentiks["authentik"].down = False
    heard = [(one["source"], one["outcome"], one["said"]) for one in told["evidence"]]
    assert ("deploys", "unknown", "komodo: no stack that Komodo knows is behind it") in heard
    assert ("deploys", "trouble", "lab-stacks: stack films is down") in heard
    missing = [(source, said) for source, outcome, said in heard if outcome == "missing" and source == "identity"]
    assert [(source, said.partition(":")[0]) for source, said in missing] == [("identity", "authentik")]
    assert [outcome for source, outcome, said in heard if said.startswith("lab-id: ")] == ["unknown"]


def test_documentation_may_be_asked_for_the_version_of_any_of_them(house: House) -> None:
    listed = {tool.name: tool.input_schema["properties"] for tool in house.waypost.tools().tools}
    assert listed["komodo_get_komodo_docs"]["instance"]["pattern"] == "^(komodo|lab-stacks)$"
    assert listed["authentik_get_authentik_docs"]["instance"]["default"] == "authentik"


def test_a_house_with_one_of_each_sees_nothing_of_that(house: House, tmp_path: Path) -> None:
    one = {"komodo": (KomodoAt(url=NOBODY),), "authentik": (AuthentikAt(url=NOBODY, token=Secret("env:NO")),)}
    with gateway_over(house.waypost.desired, tmp_path / "gateway", **one) as waypost:
        listed = {tool.name: tool.input_schema["properties"] for tool in waypost.tools().tools}
        told = waypost.answer("traefik_diagnose", what="films.lab", status=502)
    assert listed["komodo_get_komodo_docs"].keys() == {"topic", "version"}
    assert not [one for one in told["evidence"] if one["said"].startswith(("authentik: ", "komodo: "))]


FINE, DOWN = Known(outcome="fine", said="it runs"), Known(outcome="trouble", said="it is down", cause="it is down")
NOBODYS = Known(outcome="trouble", said="nobody's", cause="nobody's", found=False)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ([DOWN], "it is down"),
        ([NOBODYS], "nobody's"),
        ([NOBODYS, DOWN], "it is down"),
        ([NOBODYS, NOBODYS], "nobody's"),
        ([FINE, DOWN], ""),
        ([FINE, NOBODYS], ""),
        (["away", DOWN], "it is down"),
        (["away", NOBODYS], ""),
        (["away"], ""),
        ([], ""),
    ],
    ids=str,
)
def test_of_several_instances_those_that_know_the_thing_decide(said: list[Known | str], cause: str) -> None:
    assert certain_cause([Heard(of="deploys", said=one) for one in said]) == cause
