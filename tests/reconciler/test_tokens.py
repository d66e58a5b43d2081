"""Tokens as a person makes, lists, rotates and revokes them on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from reconciler import client_config, founding, home, tokens
from reconciler.cli import waypost
from reconciler.ports import Disk
from reconciler.session import opened
from state import events

NOW = datetime(2026, 1, 2, tzinfo=UTC)
Run = Callable[..., Result]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return founding.create(tmp_path / "home", chosen={}, environ={}, now=lambda: datetime.now(UTC)).path


@pytest.fixture
def run(place: Path) -> Run:
    return lambda *words: CliRunner().invoke(waypost, ["--home", str(place), "token", *words])


def made(place: Path, raw: str) -> tokens.Token | str:
    return tokens.match(tokens.Keyring(place / "tokens.json", Disk()).tokens(), raw, datetime.now(UTC))


def test_a_token_is_printed_once_and_only_its_hash_is_kept(place: Path, run: Run) -> None:
    done = run("create", "claude", "--grant", "traefik", "--role", "read", "--json")
    raw = json.loads(done.stdout)["token"]
    token = made(place, raw)
    assert isinstance(token, tokens.Token)
    assert (token.name, token.role, token.grants) == ("claude", "read", ("traefik",))
    path = place / "tokens.json"
    assert raw.split("_", 2)[2] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_name_is_given_once(run: Run) -> None:
    assert run("create", "claude").exit_code == 0
    again = run("create", "claude")
    assert again.exit_code == 1
    assert "waypost token rotate claude" in again.stderr


def test_the_list_says_what_each_may_and_until_when(run: Run) -> None:
    assert "there is no token" in run("list").stdout
    run("create", "claude", "--expires", "3d")
    run("create", "display", "--role", "read", "--expires", "never")
    told = run("list").stdout
    assert re.search(r"claude +propose +everything +until .*waypost token rotate claude", told)
    assert re.search(r"display +read +everything +until it is revoked", told)
    assert "hash" not in run("list", "--json").stdout


def test_rotation_keeps_role_and_grants_and_lets_the_old_one_go_on_for_a_while(place: Path, run: Run) -> None:
    first = run("create", "claude", "--grant", "traefik").stdout.split()[0]
    second = run("rotate", "claude", "--overlap", "1h").stdout.split()[0]
    old, new = made(place, first), made(place, second)
    assert isinstance(old, tokens.Token) and isinstance(new, tokens.Token)
    assert new.grants == ("traefik",)
    assert old.expires and new.expires and old.expires < new.expires


def test_more_tools_are_granted_by_name_and_outlive_a_rotation(place: Path, run: Run) -> None:
    run("create", "claude", "--grant", "traefik")
    assert "may call komodo_list_stacks too" in run("grant", "claude", "komodo_list_stacks").stdout
    assert re.search(r"claude +propose +traefik, komodo_list_stacks +until", run("list").stdout)
    raw = run("rotate", "claude").stdout.split()[0]
    token = made(place, raw)
    assert isinstance(token, tokens.Token)
    assert (token.grants, token.also, token.knows) == (("traefik",), ("komodo_list_stacks",), tokens.NEWEST_TOOLS)
    with opened(home.open(place, {})) as one:
        [word] = [
            one.event for one in one.world.log.read(stream="tokens") if isinstance(one.event, events.ToolsGranted)
        ]
    assert (word.name, word.tools) == ("claude", ("komodo_list_stacks",))


def test_what_nothing_is_called_is_not_opened_and_what_is_near_is_named(place: Path, run: Run) -> None:
    run("create", "claude")
    for words, told in {
        ("grant", "claude", "komodo_list_stack"): "did you mean komodo_list_stacks",
        ("grant", "claude", "why", "weather_forecast"): "nothing here is called 'weather_forecast'",
        ("grant", "claude", "traefik"): "'traefik' is a shard and no tool",
        ("create", "ci", "--grant", "trafik"): "did you mean traefik",
    }.items():
        done = run(*words)
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1) and told in done.stderr, done.stderr
    [kept] = json.loads((place / "tokens.json").read_text())["tokens"]
    assert (kept["name"], kept.get("also")) == ("claude", None)


def test_tools_of_a_shard_elsewhere_are_opened_whether_it_is_there_or_not(place: Path, run: Run) -> None:
    declared = '[shards.the-weather]\nurl = "http://127.0.0.1:9/mcp"\ntools = ["forecast"]\n'
    (place / "shards.toml").write_text(declared)
    assert run("create", "claude", "--grant", "the-weather").exit_code == 0
    assert run("grant", "claude", "the_weather_forecast", "the_weather_ofTomorrow.v2").exit_code == 0
    assert "did you mean the_weather_forecast" in run("grant", "claude", "th_weather_forecast").stderr
    (place / "shards.toml").write_text("shards = what")
    assert "is not TOML" in run("grant", "claude", "why").stderr


def test_a_rotation_opens_nothing_that_came_later_and_the_list_says_so(place: Path, run: Run) -> None:
    run("create", "claude")
    tokens.Keyring(place / "tokens.json", Disk()).change(
        lambda all: [one.model_copy(update={"knows": 0}) for one in all]
    )
    raw = run("rotate", "claude", "--overlap", "1h").stdout.split()[0]
    token = made(place, raw)
    assert isinstance(token, tokens.Token) and token.knows == 0
    assert "everything, nothing that came later" in run("list").stdout


def test_what_is_revoked_opens_nothing_and_the_log_knows_why(place: Path, run: Run) -> None:
    raw = run("create", "claude").stdout.split()[0]
    assert "revoked: claude" in run("revoke", "claude", "--reason", "laptop sold").stdout
    assert made(place, raw) == "the token 'claude' was revoked"
    with opened(home.open(place, {})) as one:
        found = [recorded.event for recorded in one.world.log.read(stream="tokens")]
    assert isinstance(found[0], events.TokenMade) and found[0].name == "claude"
    assert isinstance(found[1], events.TokenRevoked) and found[1].reason == "laptop sold"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("revoke", "nobody"), "no token 'nobody' works; there are: none"),
        (("create", "../x"), "no name for a token"),
        (("create", "x", "--grant", "*"), "is no grant"),
        (("create", "x", "--expires", "soon"), "no length of time"),
        (("grant", "nobody", "why"), "no token 'nobody' works; there are: none"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_and_changes_nothing(
    place: Path, run: Run, words: tuple[str, ...], told: str
) -> None:
    done = run(*words)
    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    assert told in line
    assert not (place / "tokens.json").exists()


@given(st.text(max_size=80))
def test_no_other_text_is_a_token(text: str) -> None:
    token, raw = tokens.mint("a", "read", now=NOW, lasts=None, chance=lambda size: b"x" * size)
    assert (tokens.match([token], text, NOW) == token) == (text == raw)


def test_a_token_is_its_secret_and_not_its_name() -> None:
    """Lists show names and ids to whoever may read them."""
    token, raw = tokens.mint("a", "read", now=NOW, lasts=None, chance=lambda size: b"x" * size)
    other = tokens.mint("b", "read", now=NOW, lasts=None, chance=lambda size: b"y" * size)[1]
    name = raw.rpartition("_")[0]
    assert token.id in name and tokens.match([token], raw, NOW) == token
    for guessed in (f"{name}_{other.rpartition('_')[2]}", raw[:-1] + other[-1]):
        assert tokens.match([token], guessed, NOW) == "this is no token of this gateway"


@pytest.mark.parametrize("client", client_config.CLIENTS)
def test_every_client_is_told_where_the_gateway_is_and_never_a_token(place: Path, client: str) -> None:
    CliRunner().invoke(waypost, ["--home", str(place), "token", "create", client])
    done = CliRunner().invoke(waypost, ["--home", str(place), "client-config", client])
    assert done.exit_code == 0
    assert "http://127.0.0.1:9100/mcp" in done.output or "--stdio" in done.output
    assert not re.search(r"waypost_[0-9a-f]{12}_", done.output)
    if done.stdout.startswith("{"):
        json.loads(done.stdout)  # what goes into a file stands alone on standard output


def at_gateway(token: str, **more: str) -> dict[str, Any]:
    return {"url": "http://127.0.0.1:9100/mcp", "headers": {"Authorization": f"Bearer {token}"}, **more}


ASKED = {"type": "promptString", "id": "waypost-token", "description": "Token of Waypost", "password": True}
FILES: dict[str, dict[str, Any]] = {
    "claude-code": {"mcpServers": {"waypost": at_gateway("${WAYPOST_TOKEN}", type="http")}},
    "cursor": {"mcpServers": {"waypost": at_gateway("${env:WAYPOST_TOKEN}")}},
    "vscode": {"inputs": [ASKED], "servers": {"waypost": at_gateway("${input:waypost-token}", type="http")}},
}
"""What the documentation of each client asks for, with the token as a reference."""


def configured(place: Path, client: str) -> Any:
    return json.loads(CliRunner().invoke(waypost, ["--home", str(place), "client-config", client, "--json"]).stdout)


@pytest.mark.parametrize("client", FILES)
def test_a_client_that_knows_addresses_is_given_ours_and_where_its_token_comes_from(place: Path, client: str) -> None:
    assert json.loads(configured(place, client)["content"]) == FILES[client]


def test_claude_desktop_is_given_the_program_to_start_and_no_token(place: Path) -> None:
    [(name, started)] = json.loads(configured(place, "claude-desktop")["content"])["mcpServers"].items()
    assert (name, started.keys()) == ("waypost", {"command", "args"})
    assert started["args"] == ["--home", str(place), "serve-gateway", "--stdio"]
    assert Path(started["command"]).name == "waypost"


def test_open_webui_is_told_in_steps_for_it_reads_no_file(place: Path) -> None:
    told = configured(place, "open-webui")
    assert (told["file"], told["content"]) == ("", "")
    said = "\n".join(told["steps"])
    for part in ("MCP (Streamable HTTP)", "http://127.0.0.1:9100/mcp", "Bearer", "waypost token create open-webui"):
        assert part in said


def test_a_public_address_is_the_one_that_clients_are_told(place: Path) -> None:
    settings = {"WAYPOST_PUBLIC_URL": "https://waypost.example.org"}
    done = CliRunner().invoke(waypost, ["--home", str(place), "client-config", "cursor", "--json"], env=settings)
    told = json.loads(json.loads(done.stdout)["content"])
    assert told["mcpServers"]["waypost"]["url"] == "https://waypost.example.org/mcp"
    assert told["mcpServers"]["waypost"]["headers"] == {"Authorization": "Bearer ${env:WAYPOST_TOKEN}"}
