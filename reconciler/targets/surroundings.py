"""The directory that Traefik reads, ours and the neighbours' files, read once a look and parsed when it changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from reconciler.core.target import TargetError
from reconciler.ports import Files, Kind
from reconciler.targets.owned import FOLDER, NAME
from reconciler.traefik import foreign, kinds
from reconciler.traefik.rivals import Rival, rival
from state.model import Address, Problem, Snapshot

_STRAY: Final[Mapping[Kind, str]] = {
    "link": "a link that leads to no file",
    "other": "no file but a pipe, a socket or a device, which Traefik fails to read or waits for without end",
}


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Every file that Traefik would load, at one moment; paths are relative to the directory.

    `strays` are what is named like a file and is none -> what it is: Traefik refuses the whole directory for
    them. `unread` files only we cannot read -> why.
    """

    contents: Mapping[str, bytes]
    strays: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def theirs(self) -> Listing:
        """Without our own file."""
        return Listing(
            contents={name: content for name, content in self.contents.items() if name != NAME},
            unread={name: reason for name, reason in self.unread.items() if name != NAME},
        )

    @property
    def unreadable(self) -> tuple[str, ...]:
        return tuple(self.unread)

    @cached_property
    def templated(self) -> frozenset[str]:
        """Files whose meaning depends on where they are executed: another environment, another time."""
        return frozenset(name for name, content in self.contents.items() if b"{{" in content)


class Surroundings:
    """The directory of one instance."""

    def __init__(self, instance: str, directory: Path, files: Files) -> None:
        self._instance = instance
        self._directory = directory
        self._files = files
        self._last: Listing | None = None
        self._known: tuple[Listing, foreign.Neighbours] | None = None

    def listing(self, ours: bytes | None = None) -> Listing:
        """What is there now: the very listing of the last time where nothing is otherwise.

        `ours` is what our file holds, where it was read just now. Raises TargetError where the directory itself
        cannot be listed.
        """
        found = self._listed(ours)
        if self._last is None or found != self._last:
            self._last = found
        return self._last

    def _listed(self, ours: bytes | None) -> Listing:
        contents, unread = dict[str, bytes](), dict[str, str]()
        try:
            strays = {name: self._stray(path) for name, path in self._loaded(self._files.strays)}
            for name, path in self._loaded(self._files.walk):
                if ours is not None and name == NAME:
                    contents[name] = ours
                else:
                    foreign.read_into(self._files, path, name, contents, unread)
        except OSError as error:
            place = error.filename or self._directory
            raise TargetError(
                f"cannot list {place}: {error.strerror or error}",
                remedy="See that the directory exists (mounted?) and that WAYPOST_TRAEFIK_DYNAMIC_DIR names it.",
            ) from None
        return Listing(contents=contents, strays=strays, unread=unread)

    def neighbours(self, listing: Listing) -> foreign.Neighbours:
        """The other people's files, parsed; parsed again only where one of them changed."""
        theirs = listing.theirs
        if self._known is None or self._known[0] != theirs:
            self._known = (theirs, foreign.neighbours(theirs.contents, theirs.unread))
        return self._known[1]

    def names(self) -> dict[Address, str]:
        """The names that other files hold -> the file that wins each among them."""
        names = self.neighbours(self.listing()).names
        return {Address(self._instance, kind, name): file for (kind, name), file in names.items()}

    def rivals(self, live: Snapshot, neighbours: foreign.Neighbours) -> dict[Address, Rival]:
        """Of what our file holds, the names that a neighbour's file holds too."""
        found = dict[Address, Rival]()
        for kind, name in neighbours.names:
            address = Address(self._instance, kind, name)
            if address in live and (
                one := rival((kind, name), live[address], NAME, neighbours.names, neighbours.specs)
            ):
                found[address] = one
        return found

    def folder_is_link(self) -> bool:
        return self._files.kind(self._directory / FOLDER) == "link"

    def oddities(self) -> Iterator[Problem]:
        """What is not as Waypost leaves it in the places of our folder and our file, and no decoder says."""
        if self.folder_is_link():
            message = "is a link, and Traefik follows no link to a folder: put a folder in its place, or remove it"
            yield Problem(message=message, file=FOLDER, severity="warning")
        if self._files.kind(self._directory / NAME) == "link":
            message = "is a link: nobody notices a change of where it leads; the next write puts a file in its place"
            yield Problem(message=message, file=NAME, severity="warning")

    def _stray(self, path: Path) -> str:
        return _STRAY.get(self._files.kind(path), _STRAY["other"])

    def _loaded(self, listed: Callable[[Path], Iterator[Path]]) -> Iterator[tuple[str, Path]]:
        within = str(self._directory / "_")[:-1]
        for path in listed(self._directory):
            if kinds.is_loaded(path.name):
                yield str(path).removeprefix(within), path  # `relative_to` takes both apart, file by file
