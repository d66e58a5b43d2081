"""`waypost shard new`: what it writes passes its tests, serves, registers and is called, without a line changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
import yaml

from reconciler.setting import Secret
from shards import declared, making
from shards.declared import Declared, Listed
from shards.making import MakingError
from tests.shards.elsewhere import QUICK, ROOT, free_port
from tests.shards.serving import Waypost
from tests.shards.test_elsewhere import until


def waypost(*arguments: str, **chosen: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reconciler", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, **chosen)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def tea(tmp_path: Path) -> Path:
    """A shard fresh from the template."""
    made = waypost("shard", "new", "tea-time", str(tmp_path / "tea"))
    assert made.returncode == 0, made.stderr
    assert f"{tmp_path}/tea/tea_time.py" in made.stdout
    return tmp_path / "tea"


def test_its_own_tests_pass_at_once(tea: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tea), str(tea)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tea}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tea, check=False)
    assert done.returncode == 0, done.stdout


def test_nothing_of_the_parrot_is_left_and_what_must_fit_fits(tea: Path) -> None:
    assert not [path.name for path in tea.iterdir() if "parrot" in (path.name + path.read_text()).lower()]
    shard = declared.read(tea / "shards.toml")["tea-time"]
    assert shard.tools == frozenset({"say_again"}) and shard.public_prefix == "tea_time_"
    compose = yaml.safe_load((tea / "compose.yaml").read_text())
    assert compose["services"]["tea_time"]["read_only"] is True
    assert "COPY tea_time.py" in (tea / "Dockerfile").read_text()


def test_it_registers_and_is_called(
    tea: Path, make_waypost: Callable[..., Waypost], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "WAYPOST_SHARD_LISTEN": f"127.0.0.1:{port}",
        "WAYPOST_SHARD_TOKEN": "env:TEA",
        "TEA": "leaves",
    }
    process = subprocess.Popen([sys.executable, "tea_time.py"], cwd=tea, env=environment, stderr=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("TEA", "leaves")
        shard = Declared(
            name="tea-time", url=f"http://127.0.0.1:{port}/mcp", tools=frozenset({"say_again"}), patience=QUICK,
            token=Secret("env:TEA"),
        )  # fmt: skip
        gateway = make_waypost(discovery=Listed((shard,)))
        until(lambda: httpx2.get(f"{gateway.url}/health").json()["shards"].get("tea-time", {}).get("state") == "up", 60)
        assert gateway.answer("tea_time_say_again", text="tea", times=2)["words"] == "tea tea"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["traefik", "Tea", "tea time", "../tea", "", "-tea", "x" * 40])
def test_a_name_that_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(MakingError, match="is no name for a shard"):
        making.make(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = waypost("shard", "new", "tea", str(tmp_path))
    assert done.returncode == 1 and "is there already" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
