"""Tries a wanted state before it is written: its references, then a real decoder fed with the whole directory."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from reconciler.core.snapshots import unlike
from reconciler.core.target import Observation, TargetError, Validation
from reconciler.routing.values import texts, value_at
from reconciler.targets import proof
from reconciler.targets.owned import FOLDER, NAME
from reconciler.targets.shadow import Shadow, ShadowVerdict
from reconciler.targets.surroundings import Listing, Surroundings
from reconciler.targets.survey import Survey, Witness
from reconciler.traefik import render
from reconciler.traefik.api import EntryPoint
from reconciler.traefik.checked import Checked
from reconciler.traefik.foreign import Neighbours
from reconciler.traefik.validate import LiveNames
from state.model import Address, Problem, Snapshot, Spec

_MARKER: Final = f"{render.MARKER_PREFIX}trial"
_USES: Final = f"{FOLDER}/waypost-trial.yml"
_USE: Final = "waypost-trial-{}"

# What a throw-away Traefik cannot have: plugins of the live one, files on its machine.
_ONLY_THERE: Final = ("plugin", "no such file or directory", "permission denied", "not a directory")
_OTHER_PROVIDER: Final = re.compile(r'"[^"]+@(?!file\b|internal\b)\w+" does not exist')

NO_BINARY: Final = (
    "no Traefik binary at hand (WAYPOST_TRAEFIK_BINARY): the wanted state was not tried in a real decoder"
)


class Trial:
    """Says what Traefik would make of a wanted state; writes nothing live."""

    def __init__(self, instance: str, surroundings: Surroundings, survey: Survey, shadow: Shadow | None) -> None:
        self._instance = instance
        self._surroundings = surroundings
        self._survey = survey
        self._shadow = shadow
        self._checked = Checked()
        self._named: tuple[Observation, LiveNames] | None = None

    def validate(self, wanted: Snapshot, observed: Observation) -> Validation:
        """Every problem at once. What is broken for a reason that this change does not touch is a warning."""
        listing = self._surroundings.listing()
        names = self._names(observed, self._surroundings.neighbours(listing))
        problems = self._checked.problems(wanted, names)
        known = {problem.address for problem in problems if problem.severity == "error"}
        tried, notes = self._tried(wanted, observed, listing)
        problems += [problem for problem in tried if not problem.address or problem.address not in known]
        return Validation(
            problems=tuple(self._softened(problems, wanted, observed.live)), notes=(*notes, *_poisoned(observed))
        )

    def _tried(self, wanted: Snapshot, observed: Observation, listing: Listing) -> tuple[list[Problem], list[str]]:
        if self._shadow is None:
            return [], [NO_BINARY]
        touched = unlike(wanted, observed.live)
        new = {address for address in touched if address in wanted}
        part = self._affected(wanted, touched)
        uses = {
            Address(self._instance, "http.routers", _USE.format(number)): address
            for number, address in enumerate(self._unused(new))
        }
        try:
            verdict = self._shadow.examine(self._candidate(part, uses, listing), self._survey.witness.doors)
            notes = _differing(self._shadow.version(), observed.version)
            if NAME in verdict.poison:
                return self._refused(self._shadow, {a: wanted[a] for a in new}, verdict.poison[NAME]), notes
        except TargetError as error:
            return [], [f"the wanted state was not tried in a real decoder: {error}"]
        problems, unknown = self._sorted_out(part, uses, verdict)
        return problems, notes + unknown

    def _candidate(self, wanted: Snapshot, uses: Mapping[Address, Address], listing: Listing) -> dict[str, bytes]:
        """The directory with `wanted` as our file, and a use for what has none: Traefik builds only what is used."""
        contents = dict(listing.contents)
        contents[NAME] = render.render(wanted, marker=_MARKER, provenance={})
        if uses:
            routers = {router: _use(address) for router, address in uses.items()}
            contents[_USES] = render.render(routers, marker=f"{_MARKER}-uses", provenance={})
        return contents

    def _names(self, observed: Observation, neighbours: Neighbours) -> LiveNames:
        """What surrounds our file; worked out once for a look while the neighbours stay as they are."""
        known = self._named
        if known is None or known[0] is not observed or known[1].foreign_specs is not neighbours.specs:
            known = self._named = observed, _live_names(self._survey.witness, observed, neighbours)
        return known[1]

    def _affected(self, wanted: Snapshot, touched: Collection[Address]) -> Snapshot:
        """What a change can break, and all that needs: the rest was decoded and built when it was applied."""
        users = self._checked.mentions.users(touched) & wanted.keys() | set(self._at_doors(wanted))
        return {address: wanted[address] for address in self._checked.mentions.used(users)}

    def _at_doors(self, wanted: Snapshot) -> Iterator[Address]:
        """What entry points give to every router: without it none of them works."""
        for door in self._survey.witness.doors:
            named = [("http.middlewares", name) for name in texts(value_at(door.http, "middlewares"))]
            named += [("tls.options", str(value_at(value_at(door.http, "tls"), "options") or ""))]
            places = (Address(self._instance, kind, name.removesuffix("@file")) for kind, name in named)
            yield from (place for place in places if place in wanted)

    def _unused(self, new: Collection[Address]) -> list[Address]:
        """The new HTTP services and middlewares that no router of ours uses."""
        candidates = sorted(a for a in new if a.kind in ("http.services", "http.middlewares"))
        users = self._checked.mentions.users
        return [one for one in candidates if not any(user.kind == "http.routers" for user in users({one}))]

    def _softened(self, problems: Iterable[Problem], wanted: Snapshot, live: Snapshot) -> Iterator[Problem]:
        """What speaks against the change, and what was wrong before it as a warning."""
        caused = self._checked.mentions.users(unlike(wanted, live))
        for problem in problems:
            if _holds(problem) and problem.address and Address.parse(problem.address) not in caused:
                said = f"{problem.message} (so it was before this change)"
                yield replace(problem, severity="warning", message=said)
            else:
                yield problem

    def _refused(self, shadow: Shadow, new: Snapshot, words: str) -> list[Problem]:
        """The decoder refuses our file: which resources is it about? Each new one goes into a file of its own."""
        alone = {f"{number}.yml": address for number, address in enumerate(sorted(new))}
        contents = {
            name: render.render({address: new[address]}, marker=_MARKER, provenance={})
            for name, address in alone.items()
        }
        poison = shadow.examine(contents, self._survey.witness.doors).poison
        found = [(alone[name], reason) for name, reason in poison.items() if name in alone]
        return [
            Problem(message=f"Traefik cannot read this: {reason}", address=str(address))
            for address, reason in sorted(found)
        ] or [Problem(message=f"Traefik cannot read the file this makes: {words}")]

    def _sorted_out(
        self, wanted: Snapshot, uses: Mapping[Address, Address], verdict: ShadowVerdict
    ) -> tuple[list[Problem], list[str]]:
        """What the shadow disables, but for what only the live Traefik can know."""
        doors = self._survey.witness.doors
        routers = {router: _use(address) for router, address in uses.items()}
        found = proof.faults(routers, verdict.runtime, doors)
        faults = {uses[router]: fault for router, fault in found.items()}
        faults |= proof.faults(wanted, verdict.runtime, doors)
        problems, notes = list[Problem](), list[str]()
        for address, fault in sorted(faults.items()):
            if any(words in fault for words in _ONLY_THERE):
                notes.append(f"{address} could not be tried here ({fault})")
            elif not _OTHER_PROVIDER.search(fault) and (doors or "entryPoint" not in fault):
                problems.append(Problem(message=f"Traefik would say: {fault}", address=str(address)))
        return problems, notes


def _use(address: Address) -> Spec:
    use: dict[str, object] = {"rule": "Host(`waypost-trial.invalid`)", "service": "noop@internal"}
    if address.kind == "http.services":
        return use | {"service": address.name}
    return use | {"middlewares": [address.name]}


def _live_names(witness: Witness, observed: Observation, neighbours: Neighbours) -> LiveNames:
    resolvers = (witness.static or {}).get("certificatesResolvers")
    return LiveNames(
        entry_points=frozenset(door.name for door in witness.doors),
        copying=frozenset(door.name for door in witness.doors if door.renames),
        by_default=tuple(_by_default(witness.doors)),
        rule_syntax=witness.rule_syntax,
        # What files define is told by the files themselves, ours and the neighbours'.
        names=frozenset(
            (kind, name)
            for kind, items in witness.runtime.items.items()
            for name in items
            if not name.endswith("@file")
        ),
        cert_resolvers=None if witness.static is None else frozenset(resolvers or ()),
        foreign_files={
            (address.kind, address.name): origin
            for address, origin in observed.foreign.items()
            if not _of_provider(address, origin)
        },
        foreign_specs=neighbours.specs,
    )


def _by_default(doors: Iterable[EntryPoint]) -> Iterator[str]:
    """The entry points of a router that names none: those that are marked so, else all that are not internal."""
    listed = tuple(door for door in doors if not door.udp and door.name != "traefik")
    marked = any(door.as_default for door in listed)
    return (door.name for door in listed if door.as_default or not marked)


def _of_provider(address: Address, origin: str) -> bool:
    return address.name.endswith(f"@{origin}")


def _holds(problem: Problem) -> bool:
    return problem.severity == "error"


def _differing(tried: str, live: str) -> list[str]:
    if live and tried != live:
        return [f"tried in Traefik {tried}, while the live one is {live}: their decoders may differ"]
    return []


def _poisoned(observed: Observation) -> list[str]:
    return [
        f"nothing can be applied before {file} is mended: Traefik refuses the whole directory ({reason})"
        for file, reason in sorted(observed.poison.items())
        if file != NAME
    ]
