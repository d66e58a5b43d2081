"""A repository from nothing, and one that was left locked: what happens before anybody can work in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pygit2
from pygit2.enums import RepositoryInitFlag

from reconciler.git.names import flush, flush_whole


def make(place: Path, branch: str) -> None:
    """A bare repository whose first branch has this name.

    Made beside and renamed: where its making is cut short, there is none. What stands there already and is no whole
    repository is completed in its place.
    """
    if os.path.lexists(place):
        sweep(place)
        _make(place, branch)
        return
    beside = place.with_name(f"{place.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    _make(beside, branch)
    flush_whole(beside)
    beside.rename(place)
    flush(place.parent)


def _make(place: Path, branch: str) -> None:
    flags = RepositoryInitFlag.BARE | RepositoryInitFlag.MKPATH
    pygit2.init_repository(os.fspath(place), flags=flags, initial_head=branch)


def sweep(place: Path) -> list[Path]:
    """Remove what a killed writer left locked; the paths."""
    swept = [path for path in _locks(place) if not path.is_symlink() and path.is_file()]
    for path in swept:
        path.unlink(missing_ok=True)
    return swept


def _locks(place: Path) -> Iterator[Path]:
    yield from place.glob("*.lock")
    for part in ("refs", "logs", "objects/info", "objects/pack"):
        yield from (place / part).rglob("*.lock")
