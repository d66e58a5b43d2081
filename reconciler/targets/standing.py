"""What of our file the live Traefik does not serve, believed only once it had the time to catch up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from reconciler.ports import Clock
from reconciler.targets import proof
from reconciler.targets.opinion import CONTRADICTION, listed
from reconciler.targets.owned import FOLDER, NAME
from reconciler.targets.witness import Witness
from reconciler.traefik import render
from reconciler.traefik.api import ApiError, EntryPoint, Runtime, TraefikApi
from state.model import Address, Problem, Snapshot

_FIRST_WAIT: Final = 0.05  # seconds between two looks; it grows
_LONGEST_WAIT: Final = 0.5
_UNNOTICED: Final = (
    "it has not noticed the file: a watch dies in silence when its directory is replaced or recreated, "
    "and a restart of Traefik revives it"
)


@dataclass(frozen=True, kw_only=True)
class Ours:
    """Our file as it stands: its marker, what it holds, who shares its names, what keeps it from being loaded."""

    marker: str
    live: Snapshot
    elsewhere: Mapping[Address, str]
    taken_over: Collection[Address]
    poison: Mapping[str, str]
    folder_is_link: bool = False


@dataclass(frozen=True, kw_only=True)
class Standing:
    """`unserved`: why Traefik does not serve our file as it stands. `faults`: what is wrong with what is in it."""

    unserved: str = ""
    faults: Mapping[Address, proof.Fault] = field(default_factory=dict)
    taken_over: Collection[Address] = ()

    @property
    def disabled(self) -> dict[Address, str]:
        """What is not served, or not at every entry point, and has no rival: no other file, no older generation."""
        return {
            address: fault.words
            for address, fault in self.faults.items()
            if not fault.otherwise and address not in self.taken_over
        }

    @property
    def troubles(self) -> frozenset[tuple[str, str]]:
        named = {(str(address), words) for address, words in self.disabled.items()}
        return frozenset(named | ({("", self.unserved)} if self.unserved else set()))

    @property
    def problems(self) -> Iterator[Problem]:
        if self.unserved:
            yield Problem(message=self.unserved, file=NAME, severity="warning")
        for address, fault in sorted(self.faults.items()):
            yield Problem(message=fault.words, address=str(address), severity="warning")


class Watch:
    """Remembers which troubles have lasted, so that only a new one is waited for."""

    def __init__(self, api: TraefikApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._examined: _Examined | None = None
        self._believed: tuple[str, frozenset[tuple[str, str]]] = ("", frozenset())

    def settle(self, ours: Ours, witness: Witness, ask: Callable[[], Witness], patience: float) -> Standing:
        """What stands against us once Traefik had `patience` seconds to catch up; `ask` asks it again.

        Where it cannot be asked any more nothing does. Raises ApiError where its answers contradict each other.
        """
        deadline, wait = self._clock.monotonic() + patience, _FIRST_WAIT
        while not witness.outage:
            standing = self._standing(ours, witness.runtime, witness.doors)
            if ours.poison or not self._news(standing, witness):
                return self._believe(standing, witness)
            if self._clock.monotonic() >= deadline:
                if self._standing(ours, listed(self._api), witness.doors).troubles != standing.troubles:
                    raise ApiError(CONTRADICTION)
                return self._believe(standing, witness)
            self._clock.sleep(wait)
            wait = min(wait * 1.5, _LONGEST_WAIT)
            witness = ask()
        return Standing()

    def _news(self, standing: Standing, witness: Witness) -> frozenset[tuple[str, str]]:
        started, believed = self._believed
        return standing.troubles - (believed if started == witness.version.started else frozenset())

    def _believe(self, standing: Standing, witness: Witness) -> Standing:
        self._believed = (witness.version.started, standing.troubles)
        return standing

    def _standing(self, ours: Ours, runtime: Runtime, doors: tuple[EntryPoint, ...]) -> Standing:
        if unserved := _unserved(ours, runtime):
            return Standing(unserved=unserved)
        known = self._examined
        if known is None or not known.is_of(ours, runtime, doors):
            faults = proof.examine(ours.live, runtime, doors, ours.elsewhere)
            known = self._examined = _Examined(ours, runtime, doors, faults)
        return Standing(faults=known.faults, taken_over=ours.taken_over)


class _Examined(NamedTuple):
    """What was wrong with our file when it was looked at last."""

    ours: Ours
    runtime: Runtime
    doors: tuple[EntryPoint, ...]
    faults: Mapping[Address, proof.Fault]

    def is_of(self, ours: Ours, runtime: Runtime, doors: tuple[EntryPoint, ...]) -> bool:
        """Whether it was the very same file, and the very same answer of Traefik."""
        same_sides = self.ours.live is ours.live and self.runtime is runtime
        return same_sides and self.ours.elsewhere == ours.elsewhere and self.doors == doors


def _unserved(ours: Ours, runtime: Runtime) -> str:
    if NAME in ours.poison:
        return f"Traefik does not serve this file as it stands on disk: {ours.poison[NAME]}"
    if not ours.marker or f"{ours.marker}@file" in runtime.of(render.MARKER_KIND):
        return ""
    if ours.poison:
        why = f"it refuses the whole directory because of {', '.join(sorted(ours.poison))}"
    elif ours.folder_is_link:
        why = f"{FOLDER} is a link, and it follows no link to a folder"
    else:
        why = _UNNOTICED
    # The marker is named, so that the next generation's absence is news of its own.
    return f"Traefik does not serve this file as it stands on disk: {ours.marker} is not listed; {why}"
