"""`waypost shard`: shards of one's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from reconciler.cli.group import waypost


@waypost.group()
def shard() -> None:
    """Shards of your own.

    \b
    waypost shard new weather        a shard that serves and passes its tests at once
    """


@shard.command()
@click.argument("name")
@click.argument("directory", required=False, type=click.Path(path_type=Path))
def new(name: str, directory: Path | None) -> None:
    """Write a shard NAME from the template into DIRECTORY (by default ./NAME): code, tests, container, registration."""
    # The agents' side is never imported from here: it is a process of its own.
    command = [sys.executable, "-m", "shards.making", name, *([str(directory)] if directory else [])]
    raise SystemExit(subprocess.run(command, check=False).returncode)
