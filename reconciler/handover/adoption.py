"""Which hand-written files can become desired files as they are, and why the others cannot. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import PurePosixPath
from typing import Final

from reconciler import edit
from reconciler.git.bounds import path_fault, size_fault
from reconciler.secrets import find_secrets
from reconciler.traefik import kinds, language, render
from reconciler.traefik.foreign import Neighbours
from reconciler.traefik.kinds import Named
from state.model import Address, Problem, Snapshot, Spec, canonical
from state.sparing import dataclass

_TOML: Final = ".toml"
_MOST_FAULTS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """A hand-written file (relative to Traefik's directory) as the desired file it becomes."""

    file: str
    path: str
    content: bytes
    resources: Mapping[Named, Spec]
    converted: bool = False


@dataclass(frozen=True)
class Staying:
    """A file that stays where it is, and why."""

    file: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What becomes of every file. `settled` ones say only what is desired already, or adopted with another."""

    adopted: tuple[Adopted, ...] = ()
    settled: tuple[str, ...] = ()
    staying: tuple[Staying, ...] = ()

    def snapshot(self, instance: str) -> Snapshot:
        """All that would be desired anew."""
        return {Address(instance, *named): spec for one in self.adopted for named, spec in one.resources.items()}

    def file_of(self, address: Address) -> str:
        """The file that a resource is adopted from; "" where it is not adopted."""
        named = (address.kind, address.name)
        return next((one.file for one in self.adopted if named in one.resources), "")


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What files are adopted into: the instance's directory in the desired repo, and what stands there.

    `main`: what is desired already -> its path. `paths`: every path that is taken there.
    """

    directory: str
    main: Mapping[Named, tuple[str, Spec]] = field(default_factory=dict)
    paths: frozenset[str] = frozenset()


def sort_out(
    contents: Mapping[str, bytes], neighbours: Neighbours, ground: Ground, unfit: Mapping[str, str]
) -> Adoption:
    """Decide on each file, in the order in which Traefik reads them. `unfit` ones stay for the reason given."""
    sorting = _Sorting(neighbours, ground)
    for file in neighbours.files:
        reason = unfit.get(file) or ("" if file in contents else "it cannot be read by this account")
        sorting.take(file, contents.get(file, b""), reason)
    return Adoption(adopted=tuple(sorting.adopted), settled=tuple(sorting.settled), staying=tuple(sorting.staying))


class _Sorting:
    """What has been decided so far."""

    def __init__(self, neighbours: Neighbours, ground: Ground) -> None:
        self._neighbours = neighbours
        self._ground = ground
        self._paths = set(ground.paths)
        self._taken: dict[Named, str] = {}
        self.adopted: list[Adopted] = []
        self.settled: list[str] = []
        self.staying: list[Staying] = []

    def take(self, file: str, content: bytes, reason: str) -> None:
        candidate = reason or _candidate(file, content, self._free_path(file))
        if isinstance(candidate, str):
            self.staying.append(Staying(file, candidate))
        elif against := self._rival(candidate) or self._partly(candidate):
            self.staying.append(Staying(file, against))
        elif all(named in self._ground.main or named in self._taken for named in candidate.resources):
            self.settled.append(file)
        else:
            self.adopted.append(candidate)
            self._paths.add(candidate.path)
            self._taken.update(dict.fromkeys(candidate.resources, file))

    def _free_path(self, file: str) -> str:
        """The same name under the instance's directory, or one like it where that is taken."""
        place = PurePosixPath(self._ground.directory, file)
        if file.lower().endswith(_TOML):
            place = place.with_suffix(".yaml")
        path, number = place, 1
        while str(path) in self._paths:
            number += 1
            path = place.with_stem(f"{place.stem}-{number}")
        return str(path)

    def _rival(self, candidate: Adopted) -> str:
        """Another file, or main, says something else of one of these names: only a person knows which is meant."""
        for named, spec in candidate.resources.items():
            others = (o for o, held in self._neighbours.files.items() if o != candidate.file and named in held)
            for other in others:
                if not _same(self._neighbours.files[other][named], spec):
                    first = self._neighbours.names[named]
                    return (
                        f"{_told(named)} stands in {other} too, with other content (Traefik takes {first}'s): keep one"
                    )
            if named in self._ground.main and not _same(self._ground.main[named][1], spec):
                path = self._ground.main[named][0]
                return f"main says something else of {_told(named)} ({path}): make them equal"
        return ""

    def _partly(self, candidate: Adopted) -> str:
        """Some of its names have a home already, others do not: a whole file could not be adopted unchanged."""
        homes = {named: self._home(named) for named in candidate.resources}
        settled = {named: home for named, home in homes.items() if home}
        if not settled or len(settled) == len(homes):
            return ""
        named, home = next(iter(settled.items()))
        return f"{_told(named)} stands in {home} too, with the same content: keep it in one of them"

    def _home(self, named: Named) -> str:
        return self._taken.get(named) or self._ground.main.get(named, ("", None))[0]


def _candidate(file: str, content: bytes, path: str) -> Adopted | str:
    """The file by itself as a desired file, or why it cannot be one."""
    if b"{{" in content:
        return "it holds Go templates, which only Traefik can execute; Waypost serves plain values"
    if fault := path_fault(path, (path.split("/")[0],)) or size_fault(path, len(content)):
        return f"it cannot be a desired file: {fault}"
    if secrets := find_secrets(file, content.decode("utf-8", "replace")):
        return "it holds a secret: " + _listed(secrets)
    resources, problems = language.read_file(file, content)
    if problems:
        return "it cannot be a desired file: " + _listed(problems)
    if not resources:
        return "it defines nothing"
    if not file.lower().endswith(_TOML):
        return Adopted(file=file, path=path, content=content, resources=resources)
    return Adopted(file=file, path=path, content=written(resources), resources=resources, converted=True)


def written(resources: Mapping[Named, Spec]) -> bytes:
    """A native YAML file that holds exactly these resources. JSON (which is YAML) where Traefik would execute it."""
    text: bytes | None = None
    try:
        for (kind, name), spec in resources.items():
            text = edit.set_resource(text, kind, name, spec)
    except edit.EditError:
        text = None
    if text is None or b"{{" in text or language.read_file("", text) != (dict(resources), ()):
        return render.escape(canonical(kinds.join(resources)) + b"\n")
    return text


def _listed(problems: list[Problem] | tuple[Problem, ...]) -> str:
    more = len(problems) - _MOST_FAULTS
    shown = "; ".join(_placed(problem) for problem in problems[:_MOST_FAULTS])
    return shown + (f"; and {more} more" if more > 0 else "")


def _placed(problem: Problem) -> str:
    return f"line {problem.line}: {problem.message}" if problem.line else problem.message


def _told(named: Named) -> str:
    return f"{named[0]} '{named[1]}'"


def _same(one: Spec, other: Spec) -> bool:
    return canonical(one) == canonical(other)


def lines(adoption: Adoption) -> Iterator[str]:
    """What becomes of every file, for people."""
    for one in adoption.adopted:
        yield f"  + {one.file} → {one.path}" + (" (TOML, written as YAML)" if one.converted else "")
    for file in adoption.settled:
        yield f"  = {file}: all it says is desired already"
    for stays in adoption.staying:
        yield f"  . {stays.file} stays where it is: {stays.reason}"
