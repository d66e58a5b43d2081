"""Waits, with a deadline, for Traefik to serve one generation of our file, and judges what it then lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from reconciler.core.target import Attempt
from reconciler.ports import Clock
from reconciler.targets import proof
from reconciler.targets.opinion import CONTRADICTION, listed
from reconciler.targets.owned import OwnedFile
from reconciler.targets.surroundings import Surroundings
from reconciler.targets.survey import Survey
from reconciler.traefik import render
from reconciler.traefik.api import ApiError, EntryPoint, Runtime, TraefikApi
from state.model import Address, Snapshot

_FIRST_WAIT: Final = 0.005  # seconds between two looks at the API; after _EAGER seconds it grows
_LONGEST_WAIT: Final = 0.1
_EAGER: Final = 0.5
_SETTLE: Final = 0.3  # a fault must stand this long: other providers may still be loading


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What one look at the API showed: the generation (`seen`) and its faults, or why nothing was shown.

    `standing` counts resources of ours that are broken for a reason outside of this write.
    """

    seen: bool = False
    faults: Mapping[Address, str]
    standing: int = 0
    outage: str = ""
    remedy: str = ""


class Waiting:
    """The patience of a proof: `deadline` seconds, all of them through the clock."""

    def __init__(
        self,
        api: TraefikApi,
        clock: Clock,
        deadline: float,
        owned: OwnedFile,
        surroundings: Surroundings,
        survey: Survey,
    ) -> None:
        self._api = api
        self._clock = clock
        self._deadline = deadline
        self._owned = owned
        self._surroundings = surroundings
        self._survey = survey

    @property
    def patience(self) -> float:
        """Seconds of one wait: Traefik may hold a change back for its throttle, and only then begins to load it."""
        return self._deadline + self._survey.witness.throttle

    def for_marker(self, marker: str, attempt: Attempt | None = None) -> Sight:
        """Look until the marker is there and, for an attempt, all is well; the last look at the deadline.

        A fault ends the wait once it has stood for a moment; after a restart of Traefik, whose other
        providers may come later than ours, only at the deadline. So does what should be gone and is not: it is no
        fault of a file that does not hold it, but may be a neighbour's change that Traefik has not noticed.
        """
        started, patience = self._clock.monotonic(), self.patience
        gone = attempt.gone if attempt else frozenset()
        wait, woken, faulty_since = _FIRST_WAIT, False, -1.0
        while True:
            sight = self._look(marker, attempt)
            now = self._clock.monotonic()
            if sight.seen and not sight.faults:
                return sight
            faulty_since = (faulty_since if faulty_since >= 0 else now) if sight.seen else -1.0
            over = now - started >= patience
            stands, lingers = sight.seen and now - faulty_since >= _SETTLE, sight.faults.keys() <= gone
            settled = stands and not lingers and not self._survey.restarted()
            if over or settled:
                confirmed = self._confirmed(sight, marker, attempt)
                if over or not confirmed.outage:
                    return confirmed
            if not woken and (now - started >= patience / 2 or (stands and lingers)):
                if not sight.seen and not sight.outage and self._survey.poison(self._owned.read()):
                    return self._confirmed(sight, marker, attempt)  # its last word: patience would not help
                self._owned.wake()  # a notice can get lost; a second one costs a reload
                woken = True
            self._clock.sleep(wait)
            wait = wait if now - started < _EAGER else min(wait * 1.5, _LONGEST_WAIT)

    def _look(self, marker: str, attempt: Attempt | None) -> Sight:
        try:
            if self._api.middleware(f"{marker}@file") is None:
                return Sight(faults={})
            runtime, doors = self._api.rawdata(), self._api.entry_points()
        except ApiError as error:
            return _outage(error)
        if not _lists(runtime, marker):
            # Another generation came between two questions, or it answers only by halves.
            return Sight(faults={}, outage=CONTRADICTION)
        return Sight(seen=True, faults={}) if attempt is None else self._judged(attempt, runtime, doors)

    def _confirmed(self, sight: Sight, marker: str, attempt: Attempt | None) -> Sight:
        """The same sight if what speaks against us is said by all that can be asked; else nobody can say."""
        if sight.outage:
            return sight
        try:
            if not sight.seen:
                return Sight(faults={}, outage=CONTRADICTION) if _lists(self._api.rawdata(), marker) else sight
            runtime, doors = listed(self._api), self._api.entry_points()
        except ApiError as error:
            return _outage(error)
        if attempt is None or not _lists(runtime, marker):
            return Sight(faults={}, outage=CONTRADICTION)
        second = self._judged(attempt, runtime, doors).faults
        agreed = {address: fault for address, fault in sight.faults.items() if address in second}
        return replace(sight, faults=agreed) if agreed else Sight(faults={}, outage=CONTRADICTION)

    def _judged(self, attempt: Attempt, runtime: Runtime, doors: tuple[EntryPoint, ...]) -> Sight:
        found = proof.faults(attempt.live, runtime, doors)
        elsewhere = self._surroundings.names() if found or attempt.gone else {}
        if found:
            found = proof.faults(attempt.live, runtime, doors, elsewhere)
        caused = proof.caused(found, attempt.live, attempt.gone, self._previous(attempt)) if found else found
        lingering = proof.lingering(attempt.gone, attempt.live, runtime, elsewhere)
        return Sight(seen=True, faults=caused | lingering, standing=len(found) - len(caused))

    def _previous(self, attempt: Attempt) -> Snapshot:
        """What stood there before the write. Of a file that cannot be read: what the write was not about."""
        kept = self._owned.kept(attempt.before)
        try:
            return render.parse(kept, attempt.instance)[0] if kept is not None else {}
        except render.Unreadable:
            return {address: spec for address, spec in attempt.live.items() if address not in attempt.about}


def _lists(runtime: Runtime, marker: str) -> bool:
    return f"{marker}@file" in runtime.of(render.MARKER_KIND)


def _outage(error: ApiError) -> Sight:
    return Sight(faults={}, outage=str(error), remedy=error.remedy)
