"""What other people's files in Traefik's directory hold, read the way Traefik reads them, as far as that goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from reconciler import document
from reconciler.ports import Files
from reconciler.traefik import decoder, kinds
from reconciler.traefik.kinds import Named
from state.model import Problem, Spec


@dataclass(frozen=True)
class Neighbours:
    """The names that other files define -> the file that wins it, and what is wrong with those files.

    Files are named relative to the directory. An "error" is one for which Traefik rejects the whole directory;
    "warning" is what could not be read here, or what Traefik ignores. `files` holds each file's resources.
    """

    names: Mapping[Named, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    files: Mapping[str, Mapping[Named, Spec]] = field(default_factory=dict)

    @cached_property
    def specs(self) -> Mapping[Named, tuple[Spec, ...]]:
        """What each name is in every file that has it, the one that wins first."""
        found: dict[Named, tuple[Spec, ...]] = {}
        for resources in self.files.values():
            for name, spec in resources.items():
                found[name] = (*found.get(name, ()), spec)
        return found


def read_neighbours(files: Files, directory: Path, ours: Path) -> Neighbours:
    """Every file below `directory` that Traefik loads, except ours. Never raises; what cannot be read is a problem."""
    contents, unread, problems = dict[str, bytes](), dict[str, str](), list[Problem]()
    try:
        for path in files.walk(directory):
            if path != ours and kinds.is_loaded(path.name):
                read_into(files, path, str(path.relative_to(directory)), contents, unread)
    except OSError as error:
        place = str(error.filename or directory)
        problems.append(Problem(message=f"cannot be listed: {error.strerror or error}", file=place))
    found = neighbours(contents, unread)
    return Neighbours(found.names, problems + found.problems, found.files)


def read_into(files: Files, path: Path, name: str, contents: dict[str, bytes], unread: dict[str, str]) -> None:
    """Read one file under its name into `contents`, or into `unread` why it cannot be read."""
    try:
        content = files.read(path)
    except OSError as error:
        unread[name] = error.strerror or str(error)
        return
    if content is not None:
        contents[name] = content


def neighbours(
    contents: Mapping[str, bytes], unread: Mapping[str, str], *, largest: int = document.LARGEST
) -> Neighbours:
    """What these files define, in the order in which Traefik reads them; `unread` says why some have no content.

    Where two files define a name the first wins: files are read depth first, entries in the order of their bytes.
    A file of more than `largest` bytes is not read.
    """
    problems = [
        Problem(message=f"cannot be read: {reason}", file=name, severity="warning") for name, reason in unread.items()
    ]
    names, found = dict[Named, str](), dict[str, Mapping[Named, Spec]]()
    for name, content in contents.items():
        found[name] = _resources(content, name, problems, largest)
        for key in found[name]:
            first = names.setdefault(key, name)
            if first != name and key[0] != kinds.CERTIFICATES:
                message = f"{key[0]} '{key[1]}' is ignored here: {first} is read first and holds it too"
                problems.append(Problem(message=message, file=name, severity="warning"))
    return Neighbours(names, problems, found)


def _resources(content: bytes, name: str, problems: list[Problem], largest: int) -> Mapping[Named, Spec]:
    if b"{{" in content:
        message = "holds Go templates, which only Traefik can execute; what it defines is not known here"
        problems.append(Problem(message=message, file=name, severity="warning"))
        return {}
    read = document.read(name, content, trusting=True, most=largest)
    shaped = kinds.examine(read.value)
    problems.extend(read.problems)
    severity = "error" if decoder.rejects(read.value) else "warning"
    for fault in () if read.problems else shaped.faults:
        problems.append(read.problem(fault.path, fault.message, severity=severity))
    return shaped.resources
