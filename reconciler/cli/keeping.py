"""Commands that keep a home safe: back up, check, restore, and put old events away."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.group import as_json, session, the_home, the_place, waypost
from reconciler.cli.looking import log
from reconciler.cli.parts import events, homes, log_errors, making, outboxes, restoring, sessions
from reconciler.cli.printing import on_the_way, print_told, say

if TYPE_CHECKING:
    from reconciler.backups.checking import Found
    from reconciler.backups.making import Made


@waypost.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Write over a file of that name.")
@as_json
@click.pass_context
def backup(context: click.Context, file: Path, overwrite: bool, as_json: bool) -> None:
    """Put the whole home into one FILE while everything runs, and read it back: log, desired repo, settings, outboxes.

    Secrets that settings only refer to are not in it. The file is for its owner alone: keep it so.
    """
    home, tell = the_home(context), _progress(as_json)

    def check(file: Path, scratch: Path) -> Found:
        return restoring.check(file, scratch=scratch, now=_now, tell=tell)

    made = making.make(home, file, now=_now, tell=tell, check=check, overwrite=overwrite)
    _record(home, made)
    data = {"file": str(made.path), "size": made.size, **made.found.as_json()}
    print_told(data, [f"backup: {made.path}, {made.size:,} bytes, read back and good", *made.found.lines()], as_json)


@waypost.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Only read all of it, and say whether it is good.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="With --check: where to unpack; default: beside it.",
)
@as_json
@click.pass_context
def restore(
    context: click.Context, file: Path, directory: Path | None, check: bool, scratch: Path | None, as_json: bool
) -> None:
    """Make a home of a backup FILE, in a DIRECTORY that is empty or not there yet; every part is verified first."""
    tell = _progress(as_json)
    if check:
        found = restoring.check(file, scratch=scratch, now=_now, tell=tell)
        return print_told(found.as_json(), [f"{file} is good", *found.lines()], as_json)
    place = directory or the_place(context)
    found = restoring.restore(file, place, person=sessions.person(), now=_now, tell=tell)
    lines = [f"restored to {place.absolute()}", *found.lines(), "next: waypost doctor, then: waypost up"]
    return print_told({"home": str(place.absolute()), **found.as_json()}, lines, as_json)


@log.command()
@click.option("--keep", type=click.IntRange(min=1), default=1_000, show_default=True, help="Newest events left out.")
@as_json
@click.pass_context
def archive(context: click.Context, keep: int, as_json: bool) -> None:
    """Seal old events into a compressed segment now; a running reconciler does so by itself, by its policy."""
    with session(context) as one:
        if one.running:
            raise sessions.CommandError(
                f"a reconciler (process {one.running}) holds this home, and seals by the policy's `log`: stop it first"
            )
        history = one.world.log
        through = history.head().seq - keep
        if through <= history.sealed():
            return print_told({"sealed": None}, ["nothing to seal: no more events are live than that"], as_json)
        segment = history.seal(through, "a person asked for it")
        history.shrink()
    data = {"sealed": {"first": segment.first, "last": segment.last, "file": segment.file}}
    return print_told(data, [f"events {segment.first:,} to {segment.last:,} are sealed in {segment.file}"], as_json)


def _progress(as_json: bool) -> Callable[[str], None]:
    """Steps on their way, each said once."""
    step, last = on_the_way(as_json), [""]

    def tell(line: str) -> None:
        if line != last[0]:
            step(f"  {line} …")
            last[0] = line

    return tell


def _record(home: homes.Home, made: Made[Found]) -> None:
    """Let the log know, by way of the people's outbox; a home that cannot be written was backed up all the same."""
    read = made.manifest
    said = events.BackupMade(
        file=str(made.path),
        seq=read.seq,
        hash=read.hash,
        size=made.size,
        digest=made.digest,
        reason="a person asked for it",
    )
    try:
        with contextlib.closing(outboxes.Outbox.open(home.people_path, _now, create=True)) as people:
            people.put(said, stream="backups", actor=sessions.person())
    except log_errors.LogError as fault:
        say(f"waypost: the backup is good, and the log does not know of it: {fault}", err=True)


def _now() -> datetime:
    return datetime.now(UTC)
