"""README is executed: its commands exist, its example works, its tables are made from the code."""

import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from reconciler import config, founding, planning
from reconciler.cli import waypost
from reconciler.session import opened
from shards import catalogue, declared
from state.events import EVENTS
from state.model import Address

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def events_table() -> str:
    """Every event with the first line of its documentation."""
    rows = [f"| `{name}` | {(event.__doc__ or '').splitlines()[0]} |" for name, event in EVENTS.items()]
    return "\n".join(["| event | what happened |", "|---|---|", *rows]) + "\n"


def commands_table() -> str:
    """Every command with the first sentence of its help."""
    rows = [f"| `{name}` | {_first_sentence(command.help or '')} |" for name, command in waypost.commands.items()]
    return "\n".join(["| command | does |", "|---|---|", *rows]) + "\n"


def _first_sentence(text: str) -> str:
    return re.split(r"\n\n|(?<=\.)\s", text.strip())[0].replace("\n", " ")


BLOCKS = {"settings": config.table, "events": events_table, "commands": commands_table}


@pytest.mark.parametrize("name", list(BLOCKS))
def test_generated_tables_are_up_to_date(name):
    text = README.read_text()
    wanted = re.sub(
        rf"(<!-- {name} -->\n).*?(<!-- end -->)",
        lambda found: found[1] + BLOCKS[name]() + found[2],
        text,
        flags=re.DOTALL,
    )
    if os.environ.get("UPDATE_DOCS"):
        README.write_text(wanted)
    assert text == wanted, "run: UPDATE_DOCS=1 .venv/bin/python -m pytest tests/test_readme.py"


def shell_lines():
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


def commands():
    for line in shell_lines():
        words = shlex.split(line, comments=True)
        if words and words[0].rpartition("/")[2] == "waypost":
            yield words[1:]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_shown_exists_with_its_options(words):
    context = waypost.make_context("waypost", list(words), resilient_parsing=True)
    rest = [*context._protected_args, *context.args] if hasattr(context, "_protected_args") else context.args
    name, command, arguments = waypost.resolve_command(context, rest)
    assert isinstance(command, click.Command)
    command.make_context(name, arguments, parent=context)


def test_every_command_is_in_the_readme_and_has_help():
    for name, command in waypost.commands.items():
        assert command.help, name
        assert f"| `{name}` |" in README.read_text()


def test_the_first_real_route_of_the_readme_becomes_a_plan(tmp_path, traefik):
    home = founding.create(
        tmp_path / "waypost",
        chosen={
            "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(traefik.directory),
            "WAYPOST_TRAEFIK_API_URL": traefik.url,
        },
        environ={},
        now=lambda: datetime.now(UTC),
    )
    script = next(block for block in re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL) if "wiki" in block)
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Ada"),
        **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "ada@home"),
    }
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, check=True, capture_output=True)
    with opened(home) as session:
        plan = planning.plan_main(session.world, session.head()).plan
    assert Address.parse("traefik/http.routers/wiki") in {change.address for change in plan.changes}
    assert not plan.held


def test_every_shard_of_ours_is_a_system_that_it_tells_of_with_as_many_tools_as_there_are():
    table = README.read_text().partition("| system | in the desired repo |")[2].partition("\n\n")[0]
    told = {row.split("|")[1].strip(): row.split("|")[4] for row in table.splitlines() if row.startswith("| ")}
    named = {name.lower() for names in told for name in names.split(", ")}
    assert named >= catalogue.OURS - {"gateway"}  # which is Waypost itself
    ours = [tool for tools in catalogue.GENERATIONS for tool in tools if tool.startswith("traefik_")]
    assert told["Traefik"].strip().startswith(f"{len(ours)} tools:")


def test_the_two_commands_it_opens_with_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test"):
        assert f"make {target}" in shell_lines() or any(f"make {target}" in line for line in shell_lines())
        assert re.search(rf"^{target}:", makefile, re.M)


def test_help_teaches():
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for word in ("init", "approve", "Exit codes"):
        assert word in done.stdout


def test_the_shards_toml_it_shows_is_one(tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "shards.toml").write_text(block)
    shard = declared.read(tmp_path / "shards.toml")["weather"]
    assert (shard.tools, shard.seconds) == (frozenset({"forecast"}), 10)
