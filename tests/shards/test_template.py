"""`waypost shard new`: what it writes passes its tests, serves, registers and is called, without a line changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from reconciler.cli import main
from shards import declared, making
from shards.making import MakingError
from tests import plain_http
from tests.conftest import wait_until
from tests.ports import free_port
from tests.shards.elsewhere import ROOT

SCHEMA = get_builtin_schema("vendor.compose-spec")
SPECIFICATION = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
PROCESSES = ("reconciler", "gateway")


@pytest.fixture(scope="module")
def tea(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard fresh from the template. That it registers and is called is one of the verification points."""
    place = tmp_path_factory.mktemp("shards") / "tea"
    command = [sys.executable, "-m", "reconciler", "shard", "new", "tea-time", str(place)]
    made = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert made.returncode == 0, made.stderr
    assert f"{place}/tea_time.py" in made.stdout
    return place


def test_its_own_tests_pass_at_once(tea: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tea), str(tea)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tea}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tea, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_of_the_parrot_is_left_and_what_must_fit_fits(tea: Path) -> None:
    files = [path for path in tea.iterdir() if path.is_file()]
    assert not [path.name for path in files if "parrot" in (path.name + path.read_text()).lower()]
    shard = declared.read(tea / "shards.toml")["tea-time"]
    assert shard.tools == frozenset({"say_again"}) and shard.public_prefix == "tea_time_"


@pytest.mark.parametrize("name", ["parrot-two", "parrots"])
def test_a_parrot_of_another_name_has_that_name_everywhere(name: str, tmp_path: Path) -> None:
    making.make(name, tmp_path / "new")
    assert list(declared.read(tmp_path / "new" / "shards.toml")) == [name]
    assert f'name = "{name}"' in (tmp_path / "new" / f"{name.replace('-', '_')}.py").read_text()


# ── its container, without an engine ─────────────────────────────────────────────────────────────

HOUSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


@dataclass(frozen=True)
class Image:
    """What its Dockerfile makes, in a directory that stands for the container's root."""

    root: Path
    came_from: str
    directory: Path
    command: list[str]
    environment: dict[str, str]
    port: int
    user: str

    @classmethod
    def built(cls, shard: Path, root: Path) -> Image:
        lines = [line for line in (shard / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
        said: dict[str, list[str]] = {}
        for instruction, words in (line.split(" ", 1) for line in lines):
            said.setdefault(instruction, []).append(words)
        for source, target in (words.split() for words in said.pop("COPY")):
            (root / target.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(shard / source, root / target.lstrip("/"))
        once = {instruction: words for instruction, [words] in said.items()}
        image = cls(
            root=root,
            came_from=once.pop("FROM"),
            directory=root / once.pop("WORKDIR").lstrip("/"),
            command=[*json.loads(once.pop("ENTRYPOINT")), *json.loads(once.pop("CMD"))],
            environment=dict(words.split("=", 1) for words in once.pop("ENV").split()),
            port=int(once.pop("EXPOSE")),
            user=once.pop("USER"),
        )
        assert not once, f"nobody looks at {list(once)}"
        return image


@pytest.fixture(scope="module")
def image(tea: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image.built(tea, tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def beside(tea: Path) -> dict[str, Any]:
    """What its compose file adds to the house."""
    return dict(yaml.safe_load((tea / "compose.yaml").read_text()))


def test_its_image_is_waypost_and_runs_as_nobody_of_the_house(image: Image) -> None:
    assert image.came_from == HOUSE["services"]["gateway"]["image"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", image.user)
    assert image.user not in {service.get("user") for name, service in HOUSE["services"].items() if name in PROCESSES}


def test_its_compose_file_fits_beside_that_of_the_house(tea: Path, beside: dict[str, Any]) -> None:
    assert not list(SPECIFICATION.iter_errors(beside))
    [service] = beside["services"].keys() - HOUSE["services"].keys()
    mine = beside["services"][service]
    assert mine["read_only"] is True and mine["cap_drop"] == ["ALL"]
    assert (tea.parent / mine["build"]).samefile(tea)
    assert f"-f {tea.name}/compose.yaml" in (tea / "compose.yaml").read_text()
    assert beside["secrets"].keys() == set(mine["secrets"]) and not beside["secrets"].keys() & HOUSE["secrets"].keys()
    assert (
        beside["networks"].keys() == set(mine["networks"]) and not beside["networks"].keys() & HOUSE["networks"].keys()
    )


def test_the_gateway_finds_it_where_its_entry_says(tea: Path, image: Image, beside: dict[str, Any]) -> None:
    shard = declared.read(tea / "shards.toml")["tea-time"]
    address = urlsplit(shard.url)
    mine = beside["services"][address.hostname]
    assert (address.port, address.path) == (image.port, "/mcp")
    assert image.environment["WAYPOST_SHARD_LISTEN"] == f"0.0.0.0:{image.port}"
    assert set(mine["networks"]) & set(beside["services"]["gateway"]["networks"])
    # The same name in each of the two containers: there from its secret, here from the gateway's directory of them.
    reference = mine["environment"]["WAYPOST_SHARD_TOKEN"]
    assert shard.token and shard.token.reference == reference
    [secret] = mine["secrets"]
    assert reference == f"file:/run/secrets/{secret}"
    assert "/run/secrets" in {mount["target"] for mount in HOUSE["services"]["gateway"]["volumes"] if "target" in mount}


def test_its_container_starts_is_healthy_and_writes_nothing(
    image: Image, beside: dict[str, Any], tmp_path: Path
) -> None:
    mine, port = beside["services"]["tea_time"], free_port()
    (tmp_path / "tea_time").write_text("a token of a container")
    told = {**image.environment, **mine["environment"], "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    told = {name: text.replace("/run/secrets", str(tmp_path)) for name, text in told.items()}
    told["WAYPOST_SHARD_LISTEN"] = told["WAYPOST_SHARD_LISTEN"].replace(str(image.port), str(port))
    environment = {**os.environ, **told, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    [kind, *check] = mine["healthcheck"]["test"]
    check = [words.replace(f":{image.port}/", f":{port}/") for words in check]

    def is_healthy() -> bool:
        done = subprocess.run(check, env=environment, cwd=image.directory, capture_output=True, check=False)
        return done.returncode == 0

    laid_out = sorted(image.root.rglob("*"))
    assert kind == "CMD" and not is_healthy()
    with subprocess.Popen(image.command, cwd=image.directory, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: process.poll() is not None or is_healthy(), "the container", 60)
            assert process.poll() is None
            url = f"http://127.0.0.1:{port}/mcp"
            assert plain_http.post(url, json={}).status_code == 401
            known = {"Authorization": "Bearer a token of a container"}
            assert plain_http.post(url, json={}, headers=known).status_code != 401
        finally:
            process.kill()
    assert sorted(image.root.rglob("*")) == laid_out


@pytest.mark.parametrize("name", ["traefik", "Tea", "tea time", "../tea", "", "-tea", "x" * 40])
def test_a_name_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(MakingError, match="is no name for a shard"):
        making.make(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_is_there_already_is_left_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit) as end:
        main(["shard", "new", "tea", str(tmp_path)])
    assert end.value.code == 1 and "is there already" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
