"""The doctor's look at one Traefik: may this account write there, does the API answer, does Traefik see it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from reconciler.config import Place
from reconciler.core.target import TargetError, Verdict
from reconciler.doctor.finding import Finding, fail, ok, warn
from reconciler.doctor.machine import space
from reconciler.home import NETWORK_FILE_SYSTEMS, file_system
from reconciler.ports import Disk
from reconciler.targets.owned import FOLDER
from reconciler.traefik import kinds


class Answer(Protocol):
    """What a Traefik says of itself."""

    @property
    def version(self) -> str: ...


class Witness(Protocol):
    """The part of a Traefik's API that is asked. Both raise TargetError."""

    def version(self) -> Answer: ...

    def support_dump(self) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True)
class Binary:
    """The traefik program that candidates are checked with; `version` is "" where it does not run."""

    path: Path
    version: str


def none_configured() -> Finding:
    """There is no target at all."""
    return warn("targets", "no Traefik is managed", "Set WAYPOST_TRAEFIK_DYNAMIC_DIR to the directory that it watches")


def examine(
    place: Place, witness: Witness | None, binary: Binary | None, probe: Callable[[Place], Verdict] | None
) -> Iterator[Finding]:
    """Everything about one instance. Without `probe` nothing is written that Traefik could notice."""
    name, directory = place.name, place.dynamic_dir
    there = directory_is_there(name, directory)
    yield there
    if there.level != "fail":
        yield may_write(name, directory)
        yield one_file_system(name, directory)
        yield space(f"{name}'s directory", directory)
        yield everything_readable(name, directory)
    version = ""
    if witness is not None:
        answered, version = api_answers(name, witness)
        yield answered
        if answered.level != "fail":
            yield watches(name, directory, witness)
    yield shadow(name, binary, version)
    if probe is not None:
        yield sees(name, place, probe)


def directory_is_there(name: str, directory: Path) -> Finding:
    """Whether the dynamic directory exists, and where changes in it are noticed."""
    check = f"{name}: directory"
    try:
        next((directory / FOLDER if (directory / FOLDER).is_dir() else directory).iterdir(), None)
    except OSError as fault:
        return fail(check, *_not_there(directory, fault))
    kind = file_system(directory)
    if kind in NETWORK_FILE_SYSTEMS:
        return warn(
            check,
            f"{directory} is on {kind}: a Traefik on another machine does not notice what is written here",
            "Run the reconciler on Traefik's own machine; `waypost doctor --probe` shows whether it sees anything",
        )
    return ok(check, f"{directory}{f' on {kind}' if kind else ''}")


def _not_there(directory: Path, fault: OSError) -> tuple[str, str]:
    """Why a directory cannot be looked into, and what to do about it."""
    match fault:
        case PermissionError():
            return f"this account may not look into {fault.filename}", f"Let the reconciler's account read {directory}"
        case FileNotFoundError():
            what = "does not exist (or is not mounted here)"
        case NotADirectoryError():
            what = "is not a directory"
        case _:
            what = f"cannot be looked into: {fault.strerror}"
    return f"{directory} {what}", "Correct WAYPOST_TRAEFIK_DYNAMIC_DIR, or make or mount it"


def may_write(name: str, directory: Path) -> Finding:
    """Whether this account can write, rename and touch there; tried for real where Traefik does not watch."""
    check, folder = f"{name}: writing", directory / FOLDER
    remedy = f"Let the reconciler's account write {folder}: make that directory and give it to the account"
    if not folder.is_dir():
        if os.access(directory, os.W_OK | os.X_OK):
            return ok(check, f"{folder} is not there yet and can be made")
        return fail(check, f"this account may not make {folder}", remedy)
    try:
        _try_out(folder)
    except OSError as fault:
        return fail(check, f"this account cannot write, rename and touch in {folder}: {fault.strerror}", remedy)
    if not os.access(folder, os.W_OK):
        return fail(check, f"this account may not touch {folder}, so Traefik could not be woken", remedy)
    return ok(check, f"files can be written, renamed and touched in {folder}")


def _try_out(folder: Path) -> None:
    """The steps of an apply with a file that Traefik does not load. It does not watch this folder either."""
    disk, staged, final = Disk(), folder / ".waypost-doctor.next", folder / ".waypost-doctor"
    try:
        disk.write(staged, b"waypost doctor was here\n")
        disk.replace(staged, final)
        os.utime(final)
    finally:
        disk.remove(staged)
        disk.remove(final)


def one_file_system(name: str, directory: Path) -> Finding:
    """Whether what Traefik watches and what we write are one file system."""
    check, folder = f"{name}: file system", directory / FOLDER
    if folder.is_symlink():
        return fail(
            check, f"{folder} is a link, and Traefik does not follow one to a directory", "Make it a real directory"
        )
    if folder.is_dir() and folder.stat().st_dev != directory.stat().st_dev:
        return fail(
            check,
            f"{folder} is a file system of its own, so a change in it is not noticed above",
            f"Mount {directory} whole",
        )
    return ok(check, "one file system")


def everything_readable(name: str, directory: Path) -> Finding:
    """Whether a file stands there that Traefik may be unable to read: one is enough to stop the whole directory."""
    check = f"{name}: neighbours"
    broken = [path for path in directory.rglob("*") if not _readable(path)]
    if broken:
        return warn(
            check,
            f"{broken[0]} cannot be read by this account (or is a link to nowhere); if Traefik cannot either, it "
            "loads nothing of this directory",
            "Repair or remove it",
        )
    return ok(check, "every file there can be read")


def _readable(path: Path) -> bool:
    if path.is_dir():
        return path.is_symlink() or os.access(path, os.R_OK | os.X_OK)  # Traefik passes over a linked directory
    return not kinds.is_loaded(path.name) or os.access(path, os.R_OK)


def api_answers(name: str, witness: Witness) -> tuple[Finding, str]:
    """Whether the API answers, with the version; "" where it does not."""
    check = f"{name}: API"
    try:
        version = witness.version().version
    except TargetError as fault:
        remedy = fault.remedy or "See that Traefik runs with its API on, and that WAYPOST_TRAEFIK_API_URL is right"
        return fail(check, str(fault), remedy), ""
    major = version.removeprefix("v").split(".")[0]
    if major.isdigit() and major != "3":  # a build without a number is its builder's own responsibility
        found = f"Traefik {version} answers, and Waypost speaks the language of version 3"
        return fail(check, found, "Run a Traefik of version 3"), version
    return ok(check, f"Traefik {version}"), version


def watches(name: str, directory: Path, witness: Witness) -> Finding:
    """Whether Traefik says that it watches this directory."""
    check = f"{name}: file provider"
    ask = "`waypost doctor --probe` writes a marker and asks Traefik whether it sees it"
    try:
        dump = witness.support_dump()
    except TargetError as fault:
        return warn(check, f"its configuration could not be read: {fault}", ask)
    if dump is None:
        return warn(check, "this Traefik does not tell which directory it watches", ask)
    return _provider(check, directory, _part(_part(dump, "providers"), "file"), ask)


def _part(document: Any, key: str) -> Any:
    return document.get(key) if isinstance(document, Mapping) else None


def _provider(check: str, directory: Path, provider: Any, ask: str) -> Finding:
    watched = _part(provider, "directory")
    if not isinstance(watched, str) or not watched:
        single = _part(provider, "filename")
        found = f"Traefik reads the single file {single}" if single else "Traefik has no file provider"
        return fail(
            check, found, f"Give it providers.file.directory (for {directory}) and watch: true, then restart it"
        )
    if _part(provider, "watch") is False:
        return fail(check, f"Traefik reads {watched} but does not watch it", "Set providers.file.watch: true")
    if Path(os.path.realpath(watched)) == Path(os.path.realpath(directory)):
        return ok(check, f"Traefik watches {watched}")
    return warn(check, f"Traefik watches {watched}, which should be {directory} as its container sees it", ask)


def shadow(name: str, binary: Binary | None, live: str) -> Finding:
    """Whether candidates can be checked in a Traefik of the same version before they go live."""
    check = f"{name}: shadow"
    if binary is None:
        return warn(
            check,
            "there is no traefik program here, so nothing is tried out before it goes live",
            "Install Waypost with its extra 'traefik', or set WAYPOST_TRAEFIK_BINARY",
        )
    if not binary.version:
        return fail(check, f"{binary.path} does not run", "Correct WAYPOST_TRAEFIK_BINARY")
    if live and binary.version.removeprefix("v") != live.removeprefix("v"):
        return warn(
            check,
            f"{binary.path} is version {binary.version}, the live one is {live}: their judgement may differ",
            "Point WAYPOST_TRAEFIK_BINARY at a program of the live version",
        )
    return ok(check, f"{binary.path}, version {binary.version}")


def sees(name: str, place: Place, probe: Callable[[Place], Verdict]) -> Finding:
    """Whether Traefik notices what is written: a marker beside unchanged content."""
    check = f"{name}: probe"
    try:
        verdict = probe(place)
    except TargetError as fault:
        return fail(check, str(fault), fault.remedy or "See the findings above")
    if verdict.outcome == "proven":
        return ok(check, f"Traefik saw a marker after {verdict.seconds:.1f} s")
    return fail(check, verdict.evidence, verdict.remedy or "See the findings above")
