"""What a dynamic directory holds that Traefik refuses, loses at a restart, ignores, or does not watch. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconciler.audit.evidence import ROUTERS, Directory, Evidence, Finding, Severity, entry_points, together
from reconciler.targets import proof
from reconciler.targets.owned import NAME
from reconciler.traefik import kinds
from reconciler.traefik.api import Item
from reconciler.traefik.kinds import Named
from reconciler.traefik.references import at, listed
from state.model import Address

_SAME: Final = ("rule", "service", "middlewares", "priority")


def files(evidence: Evidence) -> Iterator[Finding]:
    """Everything about the directory of an audit; nothing where it was given none."""
    directory = evidence.directory
    if directory is None:
        return
    yield from _watching(evidence, directory)
    yield from _poison(directory)
    yield from _losses(evidence, directory)
    yield from _doubled(directory)
    yield from _overwritten(evidence, directory)
    yield from _unnoticed(evidence, directory)
    yield from _unwatched(directory)
    yield from _unknown(directory)
    yield from _tried(evidence, directory)


def _of(file: str, severity: Severity, kind: str, message: str, suggestion: str = "") -> Finding:
    return Finding(severity=severity, kind=kind, subject=file, message=message, suggestion=suggestion)


def _poison(directory: Directory) -> Iterator[Finding]:
    for file, reason in sorted(directory.poison.items()):
        message = (
            f"Traefik refuses the whole directory for this file ({reason}): no change anywhere in it is loaded, "
            "and after a restart none of its routes is there"
        )
        yield _of(file or directory.path, "error", "poison", message, "Mend it or move it out")


def _losses(evidence: Evidence, directory: Directory) -> Iterator[Finding]:
    poison = together(sorted(directory.poison))
    why = f"{poison} prevents that any file is loaded" if poison else "no file defines it so that it would be loaded"
    tip = "Mend that file first" if poison else "Put it back into a file, or touch the directory to let it go now"
    for name in sorted({found for lost in directory.losses for found in _serving(evidence, lost)}):
        yield _of(name, "error", "restart-loss", f"is served now and would be gone after a restart: {why}", tip)


def _serving(evidence: Evidence, name: str) -> Iterator[str]:
    """The routers of this name that serve anything, as their owner calls them."""
    for kind in ROUTERS:
        item = evidence.runtime.of(kind).get(name)
        if item is not None and item.status != "disabled":
            yield f"{kind} {evidence.original(kind, name)}"


def _doubled(directory: Directory) -> Iterator[Finding]:
    holders: dict[Named, list[str]] = {}
    for file, resources in directory.files.items():
        for named in resources:
            holders.setdefault(named, []).append(file)
    for (kind, name), found in sorted(holders.items()):
        if len(found) > 1 and kind != kinds.CERTIFICATES:
            first, *others = found
            alike = all(directory.files[file][kind, name] == directory.files[first][kind, name] for file in others)
            message = (
                f"is defined in {first} and in {together(others)}: {first} comes first in the byte order of the "
                f"listing and wins, the other is ignored{' (both say the same)' if alike else ''}"
            )
            severity: Severity = "warning" if alike else "error"
            yield _of(f"{kind} {name}", severity, "name-taken", message, "Rename one of them, or take one out")


def _overwritten(evidence: Evidence, directory: Directory) -> Iterator[Finding]:
    """A name that Traefik gives to the copy of another router."""
    winners = directory.winners
    for kind, name in sorted(winners):
        for door in evidence.doors if kind == "http.routers" else ():
            base = name.removeprefix(f"{door.name}-")
            if base == name or not door.renames or ("http.routers", base) not in winners:
                continue
            chosen = listed(winners["http.routers", base][1], "entryPoints")
            if len(chosen) == 1 or (chosen and door.name not in chosen):
                continue
            message = (
                f"Traefik gives this name to its copy of '{base}' for entry point {door.name}, which has options of "
                "its own: only one of the two is served"
            )
            yield _of(f"{kind} {name}", "error", "name-taken", message, "Rename it")


def _watching(evidence: Evidence, directory: Directory) -> Iterator[Finding]:
    if evidence.static is None:
        return
    provider = at(evidence.static, "providers", "file")
    watched = at(provider, "directory")
    if not watched:
        single = at(provider, "filename")
        found = f"reads the single file {single}" if single else "has no file provider"
        message = f"this Traefik {found}, so nothing in this directory counts"
        yield _of(directory.path, "error", "not-loaded", message, "See which directory belongs to this Traefik")
    elif at(provider, "watch") is False:
        message = "Traefik reads it at its start only (providers.file.watch is off)"
        yield _of(directory.path, "warning", "unwatched", message, "Turn providers.file.watch on")


# ── on the disk, and not in Traefik ──


def _unnoticed(evidence: Evidence, directory: Directory) -> Iterator[Finding]:
    if directory.poison or directory.templated:
        return  # poison is reported itself, and what templates make is not known
    found = dict(_differing(evidence, directory))
    ours = [named for named in directory.winners if named[0] in ROUTERS]
    if len(found) > 1 and len(found) == len(ours):
        message = f"this Traefik knows none of the {len(ours)} routers in it as they stand there"
        watched = at(evidence.static, "providers", "file", "directory")
        which = f" (it says {watched})" if watched else ""
        tip = f"See whether this is the directory that it reads{which}; if so, its watch is dead: restart it"
        yield _of(directory.path, "error", "not-loaded", message, tip)
        return
    for (kind, name), words in sorted(found.items()):
        file = directory.winners[kind, name][0]
        tip = "Touch the directory that holds it" if "/" in file else "Ask again; if it stays so, the watch is dead"
        yield _of(f"{kind} {name}", "error", "not-loaded", f"stands in {file}, but {words}", tip)


def _differing(evidence: Evidence, directory: Directory) -> Iterator[tuple[Named, str]]:
    winners = directory.winners
    if directory.fresh is None:
        snapshot = {Address("", kind, name): spec for (kind, name), (_, spec) in winners.items() if kind in ROUTERS}
        for address, words in proof.faults(snapshot, evidence.runtime, evidence.doors).items():
            if not words.startswith(("disabled", "warning")):  # these are loaded, and reported as what they are
                yield (address.kind, address.name), words
        return
    for kind, name in winners:
        if kind in ROUTERS and (words := _unlike(evidence, directory.fresh.of(kind), kind, name)):
            yield (kind, name), words


def _unlike(evidence: Evidence, fresh: Mapping[str, Item], kind: str, name: str) -> str:
    """How what runs differs from what a fresh start makes of the same files."""
    doors = [door.name for door in evidence.doors]
    live = evidence.runtime.of(kind)
    for listed_as in proof.variants(name, doors):
        if listed_as in fresh and listed_as not in live:
            return "Traefik does not list it: it has not noticed the file"
        if listed_as in fresh and (parts := list(_changed(fresh[listed_as], live[listed_as]))):
            return f"Traefik serves it with another {together(parts)}: it has not noticed the change"
    return ""


def _changed(fresh: Item, live: Item) -> Iterator[str]:
    if entry_points(fresh) == entry_points(live):  # else a name that two routers lay claim to
        for field in _SAME:
            if _plain(fresh.spec.get(field)) != _plain(live.spec.get(field)):
                yield field


def _plain(value: Any) -> Any:
    return value or None


# ── what is not watched, and what cannot be known ──


def _unwatched(directory: Directory) -> Iterator[Finding]:
    folders: dict[str, list[str]] = {}
    for file in directory.files:
        folder, slash, _ = file.rpartition("/")
        if slash and file != NAME:  # Waypost wakes the watch itself when it writes its own
            folders.setdefault(folder, []).append(file.removeprefix(f"{folder}/"))
    for folder, inside in sorted(folders.items()):
        message = (
            f"Traefik loads what is in it ({together(inside)}) and does not watch it: a change there counts only "
            "once something above changes"
        )
        tip = "Move the files up, or touch the folder itself after each change"
        yield _of(f"{folder}/", "warning", "unwatched", message, tip)
    for file in directory.links:
        message = "is a link to somewhere else: an edit of the file behind it is not noticed"
        yield _of(file, "info", "unwatched", message, "Replace the link, or the file itself, by renaming")
    for folder in directory.linked_folders:
        message = "is a link to a directory, and Traefik does not follow one: nothing in it is loaded"
        yield _of(f"{folder}/", "warning", "not-loaded", message, "Make it a real directory")


def _unknown(directory: Directory) -> Iterator[Finding]:
    for file in sorted(directory.templated):
        message = "holds Go templates, which Traefik executes; what they make, and of what, is not known here"
        yield _of(file, "warning", "template", message, "Write the values themselves")
    for file in directory.unreadable:
        message = "cannot be read by this account; if Traefik cannot either, it refuses the whole directory"
        yield _of(file, "warning", "unreadable", message, "Make it readable (0644), or run this as an account that may")
    for file, fault in sorted(directory.faults.items()):
        yield _of(file, "warning", "ignored", fault)


def _tried(evidence: Evidence, directory: Directory) -> Iterator[Finding]:
    if directory.untried:
        message = (
            f"{directory.untried}, so what a restart would lose is known only as far as its files can be read here"
        )
        tip = "Install Waypost with its extra 'traefik', or name a program in WAYPOST_TRAEFIK_BINARY"
        yield _of(directory.path, "info", "not-checked", message, tip)
    elif directory.templated or directory.unreadable:
        message = "what a restart would lose is not known: not all files can be judged here"
        yield _of(directory.path, "info", "not-checked", message)
    live = evidence.version.version
    if directory.tried and live and directory.tried.removeprefix("v") != live.removeprefix("v"):
        message = f"its files were tried in Traefik {directory.tried}, while {live} runs: their decoders may differ"
        yield _of(directory.path, "info", "not-checked", message)
