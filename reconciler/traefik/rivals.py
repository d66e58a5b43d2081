"""A name that stands in our file and in a neighbour's: whose is served, and do they say the same? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.traefik.kinds import CERTIFICATES, Named
from state.model import Spec, canonical


@dataclass(frozen=True, kw_only=True)
class Rival:
    """The file that wins a name among the neighbours' files, relative to the directory.

    `first`: it is read before ours, so that ours is ignored. `same`: it says just what ours says; `unanimous`:
    so does every other file that holds the name.
    """

    file: str
    first: bool
    same: bool
    unanimous: bool

    @property
    def takes_over(self) -> bool:
        """Traefik serves something else than what our file says."""
        return self.first and not self.same


def rival(
    named: Named, spec: Spec, ours: str, files: Mapping[Named, str], specs: Mapping[Named, Sequence[Spec]]
) -> Rival | None:
    """Who else holds this name of our file `ours`, None where nobody does.

    `files` gives the winner among the others, `specs` what each of them says, the winner first; what is not
    known counts as different. Certificates have no names in Traefik, so nobody takes one over.
    """
    file = files.get(named)
    if file is None or named[0] == CERTIFICATES:
        return None
    wanted = canonical(spec)
    agreeing = [canonical(one) == wanted for one in specs.get(named, ())]
    return Rival(
        file=file,
        first=reads_before(file, ours),
        same=agreeing[:1] == [True],
        unanimous=bool(agreeing and all(agreeing)),
    )


def reads_before(one: str, other: str) -> bool:
    """Traefik reads a directory in the byte order of its entries, going into folders as they come."""
    return one.encode().split(b"/") < other.encode().split(b"/")


def copies(
    routers: Iterable[tuple[str, Sequence[str]]], doors_by_default: Sequence[str], copying: Iterable[str]
) -> dict[str, list[str]]:
    """The names under which Traefik puts copies of HTTP routers -> the routers that each is a copy of.

    `routers` are names with the entry points that they ask for (none: those that are there by default). An entry
    point of `copying` has options of its own and gets a copy of each router that uses other entry points too.
    """
    found: dict[str, list[str]] = {}
    special = frozenset(copying)
    for name, asked in routers:
        doors = list(dict.fromkeys(asked or doors_by_default))
        for door in doors if len(doors) > 1 else ():
            if door in special:
                found.setdefault(f"{door}-{name}", []).append(name)
    return found
