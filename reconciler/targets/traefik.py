"""One Traefik: look at its directory and its API, write our one file, and let Traefik itself prove it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final, Literal

from reconciler.core.target import Attempt, Observation, TargetError, Validation, Verdict
from reconciler.ports import Chance, Clock, Files
from reconciler.targets.owned import NAME, OwnedFile, WriteLock
from reconciler.targets.shadow import Shadow
from reconciler.targets.surroundings import Surroundings
from reconciler.targets.survey import Survey
from reconciler.targets.trial import Trial
from reconciler.targets.waiting import Sight, Waiting
from reconciler.traefik import mentions
from reconciler.traefik import render as rendering
from reconciler.traefik.api import TraefikApi
from state.model import Address, Snapshot, digest_bytes

_MARKERS: Final = re.compile(re.escape(rendering.MARKER_PREFIX.encode()) + rb"[A-Za-z0-9_-]+")

_UNSEEN: Final = (
    "Traefik answers but does not notice what is written here. See that its file provider has this very directory "
    "as `directory` with `watch` on (a mount of the directory, not of single files), that no network file system "
    "lies between, and that the directory was not replaced while Traefik ran; a restart revives a dead watch."
)
_AGAIN: Final = 300.0
"""Seconds until Traefik, which noticed neither of two files, is asked again which of them it takes."""

_MEND: Final = "Mend that file or move it out of the directory; the next pass goes on by itself."


def marker_of(attempt: str) -> str:
    """The generation marker of an attempt: an unused middleware, unique to it."""
    return rendering.MARKER_PREFIX + attempt


class TraefikTarget:
    """One Traefik instance behind a file provider directory. `deadline` is seconds for one proof."""

    def __init__(
        self,
        instance: str,
        directory: Path,
        api: TraefikApi,
        *,
        files: Files,
        clock: Clock,
        chance: Chance,
        shadow: Shadow | None = None,
        deadline: float = 10.0,
        lock: WriteLock | None = None,
    ) -> None:
        self._instance = instance
        self._clock = clock
        self._apart = partial(
            TraefikTarget, instance, directory, api, files=files, clock=clock, chance=chance, shadow=shadow,
            deadline=deadline, lock=lock,
        )  # fmt: skip
        self._looking = Lock()  # several may ask at once; one look is one round of questions to Traefik
        self._trying = Lock()  # and what one trial learned the next one goes on from
        self._owned = OwnedFile(directory, files, lock)
        surroundings = Surroundings(instance, directory, files)
        self._survey = Survey(instance, surroundings, api, clock, shadow)
        self._trial = Trial(instance, surroundings, self._survey, shadow)
        self._waiting = Waiting(api, clock, deadline, self._owned, surroundings, self._survey)
        self._last: tuple[str, str, Snapshot, bytes] | None = None  # what was rendered last, and of what
        self._woken = ""  # the file that Traefik was woken for last, by its digest
        self._tried: dict[str, float] = {}  # attempt -> when the last good state was put back as a test, in vain

    @property
    def instance(self) -> str:
        return self._instance

    @property
    def kind(self) -> str:
        return "traefik"

    @property
    def place(self) -> str:
        return str(self._owned.path.parent)

    @property
    def renderer(self) -> str:
        return rendering.RENDERER

    def apart(self) -> TraefikTarget:
        return self._apart()

    def observe(self) -> Observation:
        """Our file as parsed from disk, everything foreign from the files beside it and from the API."""
        with self._looking:
            return self._survey.observe(*self._owned.look())

    def unmoved(self, seen: Observation) -> bool:
        """Our file and all files beside it hold the same bytes, and the API shows no sign of anything else."""
        with self._looking:
            try:
                content, strange = self._owned.look()
                return not strange and self._survey.unmoved(seen, content)
            except TargetError:
                return False

    def validate(self, wanted: Snapshot, observed: Observation) -> Validation:
        """References against what is wanted and what lives, then the real decoder where its binary is at hand."""
        with self._trying:
            return self._trial.validate(wanted, observed)

    def render(self, attempt: Attempt) -> bytes:
        known = self._last
        if known is None or known[:2] != (attempt.id, attempt.commit) or known[2] is not attempt.live:
            content = self._rendered(attempt, attempt.live, marker_of(attempt.id))
            known = self._last = attempt.id, attempt.commit, attempt.live, content
        return known[3]

    def wake(self, seen: Observation) -> None:
        """A notice can get lost, also that of a neighbour's poison being gone; a second one costs a reload.

        Not for what somebody has put in our file's place since it was seen.
        """
        if not seen.unserved:
            self._woken = ""
        elif not seen.poison and seen.file != self._woken and seen.file == self._owned.digest():
            self._woken = seen.file
            self._owned.wake()

    def probe(self, attempt: str) -> Verdict:
        """Write a marker beside unchanged content, wait for it in the API, and put back what stood there.

        Nothing is written where that content cannot be read.
        """
        started = self._clock.monotonic()
        self._owned.lock()
        try:
            before = self._owned.read()
            if broken := self._survey.broken(before):  # no marker in it could ever come up
                return self._verdict("unknown", _poisoned({NAME: broken}), started, remedy=_MEND)
            self._owned.place(self._marked(before, marker_of(attempt)))
            try:
                sight = self._waiting.for_marker(marker_of(attempt))
                return self._probed(sight, started)
            finally:
                self._put_back(before)
        finally:
            self._owned.release()

    def blocked(self, attempt: Attempt) -> str:
        """Why it could not be written, tried beside the file that Traefik reads."""
        try:
            self._owned.rehearse(self.render(attempt))
        except TargetError as error:
            return f"{error} {error.remedy}".strip()
        return ""

    def write(self, attempt: Attempt) -> str:
        """Stage, flush, rename, flush, wake. Holds the directory's lock from here until the verdict."""
        self._owned.lock()
        try:
            before = self._owned.read()
            if ("" if before is None else digest_bytes(before)) != attempt.before:
                raise TargetError(f"{self._owned.path} was changed by somebody since the plan was made")
            content = self.render(attempt)
            self._owned.keep(before)
            placed = self._owned.place(content)
            self._survey.written(content, attempt.live, marker_of(attempt.id))
            return placed
        except TargetError:
            self._owned.release()
            raise

    def prove(self, attempt: Attempt) -> Verdict:
        """Proven once Traefik lists our marker, all our routers enabled, and nothing that should be gone."""
        try:
            verdict = self._proved(attempt, self._clock.monotonic())
        except TargetError:
            self._owned.release()
            raise
        if verdict.outcome != "refuted":  # `undo` follows a refusal, under the same lock
            self._owned.release()
        return verdict

    def undo(self, attempt: Attempt, fallback: Snapshot) -> Verdict:
        """Put the content from before the attempt back under a marker of its own, and wait for that one."""
        self._owned.lock()
        try:
            return self._undone(attempt, fallback, self._clock.monotonic())
        finally:
            self._owned.release()

    def _proved(self, attempt: Attempt, started: float) -> Verdict:
        return self._concluded(attempt, self._waiting.for_marker(marker_of(attempt.id), attempt), started)

    def _concluded(self, attempt: Attempt, sight: Sight, started: float) -> Verdict:
        after = attempt.after or digest_bytes(self.render(attempt))
        if (on_disk := self._owned.digest()) != after:
            evidence = f"{self._owned.path} was changed by somebody while it was being proven"
            remedy = "The next pass compares what stands there now."
            return self._verdict("unknown", evidence, started, file=on_disk, remedy=remedy)
        if sight.faults:
            named = "; ".join(f"{address}: {fault}" for address, fault in sorted(sight.faults.items())[:10])
            refuted = self._verdict("refuted", named, started, faults=sight.faults, file=after)
            return replace(refuted, suspects=frozenset(mentions.used(sight.faults, attempt.live)))
        if sight.seen:
            self._owned.settle(after)
            return self._verdict("proven", _evidence(attempt, sight), started, file=after)
        if sight.outage:
            evidence = f"nobody can say: {sight.outage}"
            return self._verdict("unknown", evidence, started, file=after, remedy=sight.remedy)
        return self._unseen(attempt, after, started)

    def _unseen(self, attempt: Attempt, after: str, started: float) -> Verdict:
        """The API is there, our marker is not: poison, ours or another's, or a watch that sees nothing."""
        poison = self._survey.poison(self._owned.read())
        if NAME in poison:
            evidence = f"Traefik cannot read our file: {poison[NAME]}"
            return self._verdict("refuted", evidence, started, file=after)
        if poison:
            return self._verdict("unknown", _poisoned(poison), started, file=after, remedy=_MEND)
        if self._clock.monotonic() - self._tried.get(attempt.id, -math.inf) >= _AGAIN:
            return self._to_and_fro(attempt, started)
        return self._unnoticed(started)

    def _to_and_fro(self, attempt: Attempt, started: float) -> Verdict:
        """Put the last good state back, then the write again, to see which of the two Traefik takes.

        Neither: it notices nothing here, and our write is not at fault; it stays and may yet be proven. Both: it
        was only slow. Only the last good one: our write is refuted, and the last good one stays.
        """
        if attempt.before and self._good_before(attempt) is None:
            return self._unnoticed(started)  # nothing that could be put back says anything about Traefik
        self._owned.lock()
        before, marker = self._before(attempt, {})
        placed = self._owned.place(before)
        back = self._waiting.for_marker(marker)
        if self._owned.digest() != placed:
            evidence = f"{self._owned.path} was changed by somebody while it was being proven"
            return self._verdict("unknown", evidence, started, file=self._owned.digest())
        self._owned.place(self.render(attempt))
        if back.outage:
            return self._concluded(attempt, back, started)
        if not back.seen:
            self._tried[attempt.id] = self._clock.monotonic()
            return self._unnoticed(started)
        again = self._waiting.for_marker(marker_of(attempt.id), attempt)
        if again.seen or again.outage:
            return self._concluded(attempt, again, started)
        evidence = "Traefik does not load what was written, but loads what stood there before"
        return self._verdict("refuted", evidence, started, file=self._owned.place(before))

    def _unnoticed(self, started: float) -> Verdict:
        evidence = f"Traefik did not notice {self._owned.path} within {self._waiting.patience:g} s"
        remedy = self._survey.witness.setup + _UNSEEN
        return self._verdict("unknown", evidence, started, file=self._owned.digest(), remedy=remedy)

    def _undone(self, attempt: Attempt, fallback: Snapshot, started: float) -> Verdict:
        content, marker = self._before(attempt, fallback)
        wanted, on_disk = digest_bytes(content), self._owned.digest()
        if on_disk not in (wanted, attempt.after):
            evidence = f"{self._owned.path} was changed by somebody; it is left so"
            return self._verdict("unknown", evidence, started, file=on_disk)
        if on_disk != wanted:
            self._owned.place(content)
        self._owned.settle(wanted)
        if self._waiting.for_marker(marker).seen:
            evidence = "the last good state is back, and Traefik serves it"
            return self._verdict("proven", evidence, started, file=wanted)
        evidence = "the last good state is back on disk, but Traefik has not confirmed it"
        return self._verdict("unknown", evidence, started, file=wanted, remedy=_UNSEEN)

    def _before(self, attempt: Attempt, fallback: Snapshot) -> tuple[bytes, str]:
        """What stood there before the attempt, under a marker that only its return can bring up."""
        marker = f"{marker_of(attempt.id)}-undo"
        good = self._good_before(attempt)
        if good is None:
            return self._rendered(attempt, fallback, marker), marker
        return self._marked(good, marker), marker

    def _good_before(self, attempt: Attempt) -> bytes | None:
        """What stood there before, if that was kept and can be read: a file that somebody broke is no good state."""
        kept = self._owned.kept(attempt.before)
        try:
            if kept is not None:
                rendering.parse(kept, self._instance)
        except rendering.Unreadable:
            return None
        return kept

    def _marked(self, content: bytes | None, marker: str) -> bytes:
        """The same content, which can be read, under another marker."""
        if content is None:
            return rendering.render({}, marker=marker, provenance={"instance": self._instance})
        if _MARKERS.search(content):
            return _MARKERS.sub(marker.encode(), content)
        live, provenance = rendering.parse(content, self._instance)
        return rendering.render(live, marker=marker, provenance=provenance)

    def _put_back(self, before: bytes | None) -> None:
        if before is None:
            self._owned.remove()
        else:
            self._owned.settle(self._owned.place(before))

    def _rendered(self, attempt: Attempt, live: Snapshot, marker: str) -> bytes:
        provenance = {"instance": attempt.instance, "commit": attempt.commit, "attempt": attempt.id}
        return rendering.render(live, marker=marker, provenance=provenance)

    def _probed(self, sight: Sight, started: float) -> Verdict:
        if sight.seen:
            return self._verdict("proven", "Traefik noticed a marker written here", started)
        if sight.outage:
            return self._verdict("unknown", sight.outage, started, remedy=sight.remedy)
        if poison := self._survey.poison(self._owned.read()):
            return self._verdict("unknown", _poisoned(poison), started, remedy=_MEND)
        return self._unnoticed(started)

    def _verdict(
        self,
        outcome: Literal["proven", "refuted", "unknown"],
        evidence: str,
        started: float,
        *,
        faults: Mapping[Address, str] | None = None,
        file: str = "",
        remedy: str = "",
    ) -> Verdict:
        return Verdict(
            outcome=outcome,
            evidence=evidence,
            faults=faults or {},
            file=file,
            seconds=self._clock.monotonic() - started,
            remedy=remedy,
        )


def _evidence(attempt: Attempt, sight: Sight) -> str:
    routers = sum(address.kind.endswith(".routers") for address in attempt.live)
    served = routers - sight.standing
    text = f"Traefik lists {marker_of(attempt.id)} and serves {served} of our {routers} routers"
    if sight.standing:
        text += f"; {sight.standing} of ours stand broken for a reason outside of this change"
    return text


def _poisoned(poison: Mapping[str, str]) -> str:
    named = "; ".join(f"{file}: {reason}" for file, reason in sorted(poison.items()))
    return f"Traefik refuses the whole directory because of {named}"
