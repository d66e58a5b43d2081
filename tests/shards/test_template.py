"""`waypost shard new`: what it writes passes its tests, serves, registers and is called, without a line changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from reconciler.cli import main
from shards import declared, making
from shards.making import MakingError
from tests.shards.elsewhere import ROOT


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
    compose = yaml.safe_load((tea / "compose.yaml").read_text())
    assert compose["services"]["tea_time"]["read_only"] is True
    assert "COPY tea_time.py" in (tea / "Dockerfile").read_text()


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
