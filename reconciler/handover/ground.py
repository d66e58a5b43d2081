"""A directory that changes hands: its files, what Traefik makes of each step, and where originals are kept."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.config import Place
from reconciler.core.target import Observation, Target, TargetError
from reconciler.ports import Disk, Files
from reconciler.session import CommandError, Session, person
from reconciler.targets.owned import FOLDER, NAME
from reconciler.traefik import foreign, wire
from reconciler.traefik.foreign import Neighbours
from reconciler.traefik.kinds import Named
from state import events, views
from state.log import Entry
from state.model import Address, Spec, canonical
from state.sparing import dataclass

ORIGINALS = "originals"
"""Where in the home originals are kept: `originals/<instance>/<file>`."""

_STAGED = ".waypost-next"  # never ends like something that Traefik loads


@dataclass(frozen=True)
class Ground:
    """One instance's directory, with a person in front of it."""

    one: Session
    place: Place
    files: Files

    @property
    def instance(self) -> str:
        return self.place.name

    @property
    def directory(self) -> Path:
        return self.place.dynamic_dir

    @property
    def target(self) -> Target:
        return self.one.world.targets[self.instance]

    @property
    def handover(self) -> views.Handover:
        return self.one.world.log.view(views.Handover)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    def neighbours(self) -> Neighbours:
        """Every file that Traefik loads there, but for what is in our own folder."""
        return neighbours(self.directory, self.files)

    def observed(self) -> Observation:
        """The target as it is, fit for a step that must be proven. Raises CommandError where it is not."""
        seen = self.target.observe()
        if seen.witness:
            raise CommandError(f"Traefik cannot be asked, so nothing could be proven: {seen.witness}")
        for file, reason in seen.poison.items():
            raise CommandError(f"{file} keeps Traefik from loading anything; mend it first: {reason}")
        return seen

    def settled(self) -> Observation:
        """The target as it is, once it has read all that stands there: somebody may have just saved a file."""
        self.observed()
        if unread := self._unread():
            raise CommandError(f"nothing could be proven now: {unread}")
        return self.observed()

    def _unread(self) -> str:
        """Why the directory as it is now was not read; "" once it was.

        A probe leaves everything as it is, and is noticed only when the whole directory was read anew.
        """
        verdict = self.target.probe(self.one.world.chance(8).hex())
        return "" if verdict.outcome == "proven" else f"{verdict.evidence} {verdict.remedy}".strip()

    def unlike(self, before: Observation) -> list[str]:
        """In words, what Traefik serves otherwise than `before`, once it has read the directory as it is now."""
        try:
            if unread := self._unread():
                return [unread]
            after = self.observed()
        except (TargetError, CommandError) as error:
            return [str(error)]
        lost = sorted(set(after.restart_losses) - set(before.restart_losses))
        return wire.differences(before.served, after.served) + [f"{name} would be lost at a restart" for name in lost]

    # ── originals ────────────────────────────────────────────────────────────────────────────────

    def free_aside(self, file: str) -> str:
        """A place in the home for an original, never one that is taken; relative to the home."""
        number, to = 1, f"{ORIGINALS}/{self.instance}/{file}"
        while os.path.lexists(self.aside(to)):
            number += 1
            to = f"{ORIGINALS}/{self.instance}.{number}/{file}"
        return to

    def aside(self, to: str) -> Path:
        return self.one.home.path / to

    def unrecorded(self) -> Iterator[tuple[str, str]]:
        """Originals in the home that the log knows nothing of: (where it is kept, its file). A step was cut short."""
        known = self.handover.aside.get(self.instance, {})
        root = self.one.home.path / ORIGINALS
        for base in sorted(root.glob(f"{self.instance}*")) if root.is_dir() else ():
            if base.name != self.instance and not base.name.removeprefix(f"{self.instance}.").isdigit():
                continue
            for path in self.files.walk(base):
                to = str(path.relative_to(self.one.home.path))
                if path.name.endswith(_STAGED):
                    self.files.remove(path)
                elif to not in known:
                    yield to, str(path.relative_to(base))

    def move(self, source: Path, destination: Path) -> None:
        """Rename, durably; across file systems copy whole, then remove. Never over something that is there."""
        if os.path.lexists(destination):
            raise CommandError(f"{destination} is there already; move it away first")
        self.files.make_directory(destination.parent, 0o750 if self._at_home(destination) else 0o755)
        try:
            self.files.replace(source, destination)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._carry(source, destination)

    def write(self, path: Path, content: bytes) -> None:
        """A new file in the directory, whole from its first moment on."""
        self.files.make_directory(path.parent, 0o755)
        staged = path.with_name(path.name + _STAGED)
        self.files.write(staged, content, 0o644)
        self.files.replace(staged, path)

    def _carry(self, source: Path, destination: Path) -> None:
        content, status = self.files.read(source) or b"", source.stat()
        staged = destination.with_name(destination.name + _STAGED)
        self.files.write(staged, content, stat.S_IMODE(status.st_mode))
        try:
            os.chown(staged, status.st_uid, status.st_gid)
        except PermissionError:
            # It is ours now; Traefik under its own account must be able to read it or it refuses the directory.
            staged.chmod(stat.S_IMODE(status.st_mode) | (0 if self._at_home(destination) else 0o044))
        self.files.replace(staged, destination)
        self.files.remove(source)

    def _at_home(self, path: Path) -> bool:
        return path.is_relative_to(self.one.home.path)

    # ── telling ──────────────────────────────────────────────────────────────────────────────────

    def record(self, event: events.Event) -> None:
        self.one.world.log.append(Entry(stream=f"target/{self.instance}", event=event, actor=f"person:{person()}"))

    def address(self, named: Named) -> Address:
        return Address(self.instance, *named)

    def held(self, resources: Mapping[Named, Spec], side: Mapping[Address, Spec]) -> bool:
        """Does this side hold every one of these resources, just as it is?"""
        return all(
            self.address(named) in side and canonical(side[self.address(named)]) == canonical(spec)
            for named, spec in resources.items()
        )


def neighbours(directory: Path, files: Files) -> Neighbours:
    """Every file in a directory that Traefik loads, but for what is in our own folder."""
    found = foreign.read_neighbours(files, directory, directory / NAME)
    outside = {file: resources for file, resources in found.files.items() if not file.startswith(f"{FOLDER}/")}
    names: dict[Named, str] = {}
    for file, resources in outside.items():
        for named in resources:
            names.setdefault(named, file)
    problems = [problem for problem in found.problems if not problem.file.startswith(f"{FOLDER}/")]
    return Neighbours(names, problems, outside)


def watched(one: Session, directory: Path) -> Ground | None:
    """The ground of the instance whose Traefik watches this directory, if one does."""
    for place in one.home.settings.places:
        with contextlib.suppress(OSError):
            if place.dynamic_dir.samefile(directory):
                return Ground(one, place, Disk())
    return None


def of_instance(one: Session, name: str = "") -> Ground:
    """The ground of an instance by its name; without one, of the only instance there is."""
    places = {place.name: place for place in one.home.settings.places}
    if not name and len(places) == 1:
        name = next(iter(places))
    if name not in places:
        there = ", ".join(places) or "none; set WAYPOST_TRAEFIK_DYNAMIC_DIR"
        raise CommandError(f"there is no target '{name}'; this home has {there}" if name else f"name a target: {there}")
    return Ground(one, places[name], Disk())


def require_alone(one: Session) -> None:
    """Steps that are proven one by one need the home for themselves."""
    if one.running:
        raise CommandError(
            f"a reconciler (process {one.running}) holds this home: stop it for this step, and start it again after"
        )
    one.require_switched_on("moved")
