"""The native files that give a directory back: originals, desired files, or what is live, written out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from reconciler.handover import adoption
from reconciler.traefik.kinds import Named
from state.model import Spec, canonical
from state.sparing import dataclass

Resources = Mapping[Named, Spec]

REST: Final = "waypost-live.yaml"
"""The file for what is live and stands in no desired file: a hand edit of ours, or a commit that was held."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A file as it is at hand: an original that was moved aside to `to`, or a desired file (`to` is "")."""

    file: str
    content: bytes
    resources: Resources
    to: str = ""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A file that goes into the directory, relative to it. `to`: the original that goes back, "" for a new file."""

    file: str
    content: bytes
    to: str = ""


def choose(live: Resources, originals: Sequence[Kept], wanted: Sequence[Kept], occupied: frozenset[str]) -> list[Given]:
    """Files that together hold exactly `live`.

    An original goes back where it says all that its desired file says, and that is live; of two from one place, the
    later. What is left comes from the desired files, in their own text where that is what is live, else written out.
    """
    choosing = _Choosing(live, occupied)
    for one in reversed(originals):
        choosing.original(one, wanted)
    for one in wanted:
        choosing.desired(one)
    choosing.rest()
    return choosing.given


class _Choosing:
    def __init__(self, live: Resources, occupied: frozenset[str]) -> None:
        self._live = live
        self._left = dict(live)
        self._occupied = set(occupied)
        self.given: list[Given] = []

    def original(self, one: Kept, wanted: Sequence[Kept]) -> None:
        cut = any(not self._apart(one, other) for other in wanted)
        if one.resources and one.file not in self._occupied and self._is_live(one.resources) and not cut:
            self._give(one.file, one.content, one.resources, one.to)

    def desired(self, one: Kept) -> None:
        left = {named: self._left[named] for named in one.resources if named in self._left}
        if not left:
            return
        whole = len(left) == len(one.resources) and self._is_live(one.resources) and b"{{" not in one.content
        file = one.file if whole else str(PurePosixPath(one.file).with_suffix(".yaml"))
        self._give(self._free(file), one.content if whole else adoption.written(left), left, "")

    def rest(self) -> None:
        if self._left:
            self._give(self._free(REST), adoption.written(self._left), dict(self._left), "")

    def _apart(self, one: Kept, other: Kept) -> bool:
        """Would `one` take all of `other` that is left, or nothing of it? A file is not torn in two."""
        left = other.resources.keys() & self._left.keys()
        return left <= one.resources.keys() or left.isdisjoint(one.resources)

    def _is_live(self, resources: Resources) -> bool:
        return all(
            named in self._live and canonical(self._live[named]) == canonical(spec) for named, spec in resources.items()
        )

    def _give(self, file: str, content: bytes, resources: Resources, to: str) -> None:
        self.given.append(Given(file=file, content=content, to=to))
        self._occupied.add(file)
        for named in resources:
            self._left.pop(named, None)

    def _free(self, file: str) -> str:
        return next(name for name in _names(file) if name not in self._occupied)


def _names(file: str) -> Iterator[str]:
    yield file
    place, number = PurePosixPath(file), 2
    while True:
        yield str(place.with_stem(f"{place.stem}-{number}"))
        number += 1
