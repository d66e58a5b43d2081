"""A new shard from the template: a directory that serves, is tested and can be registered at once."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from shards.declared import OURS

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
_LEFT_OUT: Final = ("__pycache__",)


class MakingError(Exception):
    """A shard cannot be made so; the message says what to do."""


def make(name: str, directory: Path) -> list[Path]:
    """Write the shard `name` into a directory that is empty or not there yet; the files. Raises MakingError."""
    if name in OURS or not _NAME.fullmatch(name):
        raise MakingError(f"'{name}' is no name for a shard: a-z, 0-9 and '-', and none of {', '.join(sorted(OURS))}")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise MakingError(f"{directory} is there already: name another place with --directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        place = directory.resolve().name
        return [_write(directory / _said(file, name, place), _said(text, name, place)) for file, text in _template()]
    except OSError as fault:
        raise MakingError(f"{directory} cannot be written: {fault.strerror or fault}") from fault


def _template() -> Iterator[tuple[str, str]]:
    for file in sorted(resources.files("shards").joinpath("template").iterdir(), key=lambda each: each.name):
        if file.name not in _LEFT_OUT:
            yield file.name, file.read_text("utf-8")


def _said(text: str, name: str, place: str) -> str:
    """The template's words with the parrot's name exchanged: Parrot the class, parrot the module, the shard, and the
    directory it stands in."""
    module = name.replace("-", "_")
    said = {
        r"(?<=build: \./)parrot|(?<=-f )parrot(?=/)": place,
        r'(?<=name = ")parrot(?=")|(?<=shards\.)parrot(?=\])|(?<=shard new )parrot': name,
        r'(?<=title = ")Parrot(?=")': name.replace("-", " ").capitalize(),
        "Parrot": "".join(part.capitalize() for part in name.split("-")),
        "parrot": module,
    }
    words = dict(enumerate(said.values(), 1))
    parrots = re.compile("|".join(f"({parrot})" for parrot in said))
    return parrots.sub(lambda found: words[found.lastindex or 0], text)


def _write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m shards.making NAME [DIRECTORY]`, which `waypost shard new` runs. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="waypost shard new", description="Write a shard from the template.")
    parser.add_argument("name")
    parser.add_argument("directory", type=Path, nargs="?")
    given = parser.parse_args(arguments)
    directory = given.directory or Path(given.name)
    try:
        files = make(given.name, directory)
    except MakingError as fault:
        print(f"waypost: {fault}", file=sys.stderr)  # noqa: T201 - a person reads it
        return 1
    for path in files:
        print(path)  # noqa: T201
    print(f"next: cd {directory} && python -m pytest, then read its README.md")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
