"""The directory that Traefik reads, ours and the neighbours' files, read once a look and parsed when it changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.core.target import TargetError
from reconciler.ports import Files
from reconciler.targets.owned import NAME
from reconciler.traefik import foreign
from state.model import Address, digest, digest_bytes

_LOADED: Final = (".yml", ".yaml", ".toml")
DANGLING: Final = "a link that leads nowhere"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Every file that Traefik would load, at one moment; paths are relative to the directory.

    `dangling` links make Traefik refuse the whole directory; `unreadable` files only we cannot read.
    """

    contents: Mapping[str, bytes]
    dangling: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    digest: str = ""

    @property
    def templated(self) -> frozenset[str]:
        """Files whose meaning depends on where they are executed: another environment, another time."""
        return frozenset(name for name, content in self.contents.items() if b"{{" in content)


class Surroundings:
    """The directory of one instance."""

    def __init__(self, instance: str, directory: Path, files: Files) -> None:
        self._instance = instance
        self._directory = directory
        self._files = files
        self._known: tuple[str, foreign.Neighbours] | None = None

    def listing(self) -> Listing:
        """What is there now. Raises TargetError where the directory itself cannot be listed."""
        contents: dict[str, bytes] = {}
        dangling = sorted(_dangling(self._directory))
        unreadable: list[str] = []
        try:
            for path in self._files.walk(self._directory):
                if not path.name.lower().endswith(_LOADED):
                    continue
                name = str(path.relative_to(self._directory))
                try:
                    content = self._files.read(path)
                except OSError:
                    unreadable.append(name)
                    continue
                if content is not None:
                    contents[name] = content
        except OSError as error:
            place = error.filename or self._directory
            raise TargetError(
                f"cannot list {place}: {error.strerror or error}",
                remedy="See that the directory exists (mounted?) and that WAYPOST_TRAEFIK_DYNAMIC_DIR names it.",
            ) from None
        fingerprint = digest([{name: digest_bytes(one) for name, one in contents.items()}, dangling, unreadable])
        return Listing(contents=contents, dangling=tuple(dangling), unreadable=tuple(unreadable), digest=fingerprint)

    def neighbours(self, listing: Listing) -> foreign.Neighbours:
        """The other people's files, parsed; parsed again only where anything changed."""
        if self._known is None or self._known[0] != listing.digest:
            read = foreign.read_neighbours(self._files, self._directory, self._directory / NAME)
            self._known = (listing.digest, read)
        return self._known[1]

    def names(self) -> frozenset[Address]:
        """The names that other files hold."""
        neighbours = self.neighbours(self.listing())
        return frozenset(Address(self._instance, kind, name) for kind, name in neighbours.names)


def _dangling(directory: Path) -> Iterator[str]:
    """Links that lead nowhere, which no listing of files shows and Traefik stumbles over."""
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            if name.lower().endswith(_LOADED) and path.is_symlink() and not path.exists():
                yield str(path.relative_to(directory))
