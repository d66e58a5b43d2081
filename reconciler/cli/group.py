"""The command group itself, and what every command begins with: a home, a session, known failures in words."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from reconciler.cli.parts import config, git_errors, homes, log_errors, manifest, sessions, targets
from reconciler.cli.printing import say

_STOPPED_READING: Final = 141
"""What a shell reports of any command whose reader went away: 128 and SIGPIPE's number."""


def expected() -> tuple[type[Exception], ...]:
    """What can go wrong and is explained by its own words; anything else is a fault of ours."""
    return (
        manifest.BackupError,
        sessions.CommandError,
        config.ConfigError,
        homes.HomeError,
        git_errors.GitError,
        log_errors.LogError,
        targets.TargetError,
        OSError,
        ValueError,
    )


class Commands(click.Group):
    """Commands in the order of a first evening, every known failure one clear message."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, SystemExit, KeyboardInterrupt):
            raise  # nothing to explain, so nothing to load either
        except BrokenPipeError:
            # Whoever read what is printed has enough of it; what is left in the buffer must not complain again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(_STOPPED_READING) from None
        except expected() as error:
            for line in str(error).splitlines() or [type(error).__name__]:
                say(f"waypost: {line}", err=True)
            raise SystemExit(getattr(error, "exit_code", 1)) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--home", type=click.Path(path_type=Path), envvar="WAYPOST_HOME", help="The home; default: here, or ~/waypost."
)
@click.version_option(package_name="waypost")
@click.pass_context
def waypost(context: click.Context, home: Path | None) -> None:
    """Keep a homelab the way its Git repository says: a model proposes, a person approves, every change is proven.

    \b
    First evening:   waypost init, then waypost up, then connect an MCP client to http://127.0.0.1:9100/mcp
    Reviewing:       waypost proposals, waypost show ID, waypost approve ID
    Looking:         waypost plan, waypost drift, waypost history, waypost why RESOURCE
    Undoing:         git revert in any clone, or waypost rollback REVISION

    \b
    Exit codes: 0 fine or nothing to do, 1 error, 2 changes or drift pending, 3 refused or in conflict.
    """
    context.obj = home


as_json = click.option("--json", "as_json", is_flag=True, help="Print data for machines.")


def the_home(context: click.Context) -> homes.Home:
    return homes.open(the_place(context))


def the_place(context: click.Context) -> Path:
    """Where the home is, or would be."""
    return context.obj or config.locate(os.environ)


def named(place: Path) -> str:
    """How a command is told of this home, where it would not find it by itself."""
    return "" if config.locate(os.environ).absolute() == place.absolute() else f" --home {shlex.quote(str(place))}"


@contextmanager
def session(context: click.Context) -> Iterator[sessions.Session]:
    with sessions.opened(the_home(context), lambda line: say(f"waypost: {line}", err=True)) as one:
        if one.stale:
            say(f"waypost: this is as of the last fetch: {one.stale}", err=True)
        yield one
