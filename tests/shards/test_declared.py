"""shards.toml: a person says which shards run elsewhere; faults are told all at once, and nothing is lost by them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.setting import ConfigError
from shards import declared
from shards.declared import Watched
from tests import plain_http
from tests.ports import free_port
from tests.shards.test_elsewhere import MakeWaypost, until

WEATHER = """
[shards.weather]
url = "http://weather:9200/mcp"
token = "env:WEATHER"
tools = ["forecast"]
seconds = 5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shards.toml"


def test_what_it_says_is_what_is_declared(file: Path) -> None:
    file.write_text(WEATHER)
    shard = declared.read(file)["weather"]
    assert (shard.url, shard.tools, shard.seconds) == ("http://weather:9200/mcp", frozenset({"forecast"}), 5)
    assert shard.token and shard.token.reference == "env:WEATHER" and shard.public_prefix == "weather_"


def test_every_fault_is_told_at_once_with_its_place(file: Path) -> None:
    file.write_text(
        """
colour = "red"
[shards.traefik]
url = "http://weather:9200/mcp"
tools = ["forecast"]
[shards.weather]
url = "weather:9200"
tools = []
token = "hunter2hunter2"
every = 5
"""
    )
    with pytest.raises(ConfigError) as told:
        declared.read(file)
    faults = "\n".join(told.value.faults)
    for words in ("'colour'", "'traefik' is the name of one of Waypost's own", "url: right would be", "tools:",
                  "token: right would be a reference", "every:"):  # fmt: skip
        assert words in faults
    assert "hunter2" not in faults


@pytest.mark.parametrize(
    "content",
    ["[shards", "a = " + "[" * 50_000, "shards = 3", "\x00", "[shards.weather]\nurl = 3", "[shards]\nweather = 1"],
)
def test_whatever_stands_there_is_a_clear_fault(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError, match="shards.toml"):
        declared.read(file)


def test_no_file_is_no_shards_and_a_change_is_seen(file: Path) -> None:
    watched = Watched(file)
    assert watched.declared() == {}
    file.write_text(WEATHER)
    assert list(watched.declared()) == ["weather"]
    file.write_text(WEATHER + WEATHER.replace("weather]", "second]"))
    assert list(watched.declared()) == ["weather", "second"]
    file.unlink()
    assert watched.declared() == {}


def test_a_running_gateway_follows_the_file_and_keeps_what_it_had_while_that_is_broken(
    file: Path, make_waypost: MakeWaypost
) -> None:
    waypost = make_waypost(discovery=Watched(file))

    def health() -> dict[str, object]:
        return dict(plain_http.get(f"{waypost.url}/health").json())

    file.write_text(WEATHER.replace("weather:9200", f"127.0.0.1:{free_port()}").replace("env:WEATHER", "file:/nowhere"))
    until(lambda: "weather" in health()["shards"])  # type: ignore[operator]
    file.write_text("[shards")
    until(lambda: "is not TOML" in str(health().get("trouble")))
    assert "weather" in health()["shards"]  # type: ignore[operator]
    file.unlink()
    until(lambda: "weather" not in health()["shards"])  # type: ignore[operator]
    assert "trouble" not in health()
