"""One authentik: keep our blueprints there, have them applied, and let authentik itself prove it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, Literal

from reconciler.authentik import blueprint
from reconciler.authentik.answers import Instance
from reconciler.authentik.api import AuthentikApi
from reconciler.authentik.applying import Applier
from reconciler.authentik.blueprint import entries
from reconciler.authentik.checking import Checking
from reconciler.authentik.dry_run import DryRun
from reconciler.authentik.held import NOTHING, Held, Names, manifest, mark, writer
from reconciler.authentik.keeping import InDoubt, Keeper
from reconciler.core.target import Attempt, Observation, TargetError, Validation, Verdict
from reconciler.ports import Chance, Clock
from reconciler.setting import Secret
from state.model import Address, Snapshot, digest_bytes

RENDERER: Final = "1"

_WORKER: Final = "See that authentik's worker runs: it applies blueprints, and its tasks (System tasks) say why not."


class AuthentikTarget:
    """One authentik behind its API. `deadline` is seconds for one proof.

    `context` is what `!Context` may name beside what a blueprint brings itself: secrets, revealed for authentik alone.
    """

    def __init__(
        self,
        instance: str,
        api: AuthentikApi,
        *,
        clock: Clock,
        chance: Chance = os.urandom,
        deadline: float = 60.0,
        context: Mapping[str, Secret] | None = None,
    ) -> None:
        self._instance = instance
        self._api = api
        self._clock = clock
        self._deadline = deadline
        self._apart = partial(
            AuthentikTarget, instance, api, clock=clock, chance=chance, deadline=deadline, context=context
        )
        self._names = Names(instance)
        self._applier = Applier(api, clock)
        self._keeper = Keeper(api, self._names, context or {})
        self._dry_run = DryRun(api, self._names, clock, chance)
        self._checking = Checking(api, self._dry_run, self._keeper)

    @property
    def instance(self) -> str:
        return self._instance

    @property
    def kind(self) -> str:
        return "authentik"

    @property
    def place(self) -> str:
        return self._api.url

    @property
    def renderer(self) -> str:
        return RENDERER

    def apart(self) -> AuthentikTarget:
        return self._apart()

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    def observe(self) -> Observation:
        """Our blueprints as authentik keeps them; one that it has not applied is not served."""
        held = self._held()
        return Observation(
            live=held.live,
            file=held.file,
            disabled=held.waiting,
            unserved="what left the blueprints has not yet been taken away" if self._keeper.pending(held) else "",
            version=self._api.version(),
        )

    def unmoved(self, seen: Observation) -> bool:
        try:
            held = self._held()
        except TargetError:
            return False
        pending = self._keeper.pending(held) is not None
        return (held.file, held.waiting, pending) == (seen.file, seen.disabled, bool(seen.unserved))

    def validate(self, wanted: Snapshot, observed: Observation) -> Validation:
        """What the home, and then authentik itself, has against the blueprints that are other than those kept there."""
        return self._checking.of(wanted, self._held())

    def render(self, attempt: Attempt) -> bytes:
        return manifest(attempt.live)

    def wake(self, seen: Observation) -> None:
        """Nothing is watched there that a notice could be lost of."""

    def blocked(self, attempt: Attempt) -> str:
        try:
            return "; ".join(map(str, self._checking.hindrances(attempt.live, self._held())))
        except TargetError as error:
            return f"{error} {error.remedy}".strip()

    def probe(self, attempt: str) -> Verdict:
        """Have a blueprint applied that changes nothing: is there a worker that applies any?"""
        started = self._clock.monotonic()
        self._dry_run.sweep(self._api.instances())
        name = self._names.trial(self._clock.now(), attempt)
        kept = self._api.create(name, f"# {mark(attempt)}\n{NOTHING}", {}, enabled=True)
        if not isinstance(kept, Instance):
            return self._verdict("unknown", f"authentik takes no blueprint: {kept}", started)
        try:
            came = self._applier.applied(kept, started + self._deadline)
        finally:
            self._api.delete(kept.pk)
        if came.outcome == "applied":
            return self._verdict("proven", "authentik applied an empty blueprint", started)
        return self._verdict("unknown", f"an empty blueprint was not applied: {came.words}", started, remedy=_WORKER)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    def write(self, attempt: Attempt) -> str:
        """Put every blueprint in its place, and what takes away the rest. Nothing is applied by that yet.

        What an outage leaves in doubt is no failure: as after a death, the proof finds out what stands there.
        """
        held = self._held()
        if held.file != attempt.before:
            raise TargetError(f"the blueprints in authentik at {self._api.url} were changed since the plan was made")
        with contextlib.suppress(InDoubt):
            self._keeper.put(held, attempt.live, mark(attempt.id))
        return digest_bytes(self.render(attempt))

    def prove(self, attempt: Attempt) -> Verdict:
        """Proven once authentik has applied each blueprint's very content, and what those make is there."""
        started = self._clock.monotonic()
        held, after = self._held(), attempt.after or digest_bytes(self.render(attempt))
        if held.file != after:
            evidence = "a blueprint was changed by somebody while it was being proven"
            remedy = "The next pass compares what stands there now."
            return self._verdict("unknown", evidence, started, file=held.file, remedy=remedy)
        if short := self._short_of_all(held, started, attempt.id):
            return short
        if faults := dict(self._lacking(held, attempt.id)):
            return self._refuted(faults, started, held)
        held = self._keeper.released(held)
        if short := self._short_of_removal(held, started):
            return short
        if still := self._still_there(held):
            return self._verdict("unknown", still, started, file=after, remedy="The next pass looks again.")
        self._keeper.settle(held)
        evidence = f"authentik applied {len(held.blueprints)} blueprints, and what they make is there"
        return self._verdict("proven", evidence, started, file=after)

    def undo(self, attempt: Attempt, fallback: Snapshot) -> Verdict:
        """Put back the blueprints from before, take away what only the attempt brought, and have both applied."""
        started, held = self._clock.monotonic(), self._held()
        ours = (attempt.id, f"{attempt.id}-undo")
        by_others = [a for a, spec in held.live.items() if _written_by(held, a) not in ours and spec != fallback.get(a)]
        if by_others:
            evidence = f"{by_others[0]} was changed by somebody; all is left as it is"
            return self._verdict("unknown", evidence, started, file=held.file)
        self._keeper.put(held, fallback, mark(f"{attempt.id}-undo"))
        held = self._held()
        short = self._short_of_all(held, started, *ours)
        if not short:
            held = self._keeper.released(held)
            short = self._short_of_removal(held, started)
        if short:
            evidence = f"the blueprints from before are back, but authentik has not applied them: {short.evidence}"
            return self._verdict("unknown", evidence, started, file=held.file, remedy=_WORKER)
        self._keeper.settle(held)
        return self._verdict("proven", "the blueprints from before are back and applied", started, file=held.file)

    # ── parts ────────────────────────────────────────────────────────────────────────────────────

    def _held(self) -> Held:
        return Held.among(self._names, self._api.instances(), self._keeper.outdated)

    def _short_of_all(self, held: Held, started: float, *ours: str) -> Verdict | None:
        """Have all that attempts of ours wrote applied, what others need first. None once it is; else what came of one.

        Only what these very attempts wrote can be refuted by that. What a person wrote there is left to authentik: as
        long as it is not applied, each look at authentik tells so.
        """
        for address in blueprint.in_order(held.live):
            one, by = held.blueprints[address.name], _written_by(held, address)
            came = self._applier.applied(one, started + self._deadline) if one.enabled and by else None
            if came and came.outcome == "failed" and by not in ours:
                continue
            if came and came.outcome == "failed":
                return self._refuted({address: self._keeper.masked(came.words, one.context)}, started, held)
            if came and came.outcome != "applied":
                return self._awaited(f"{address}: {came.words}", started, held)
        return None

    def _short_of_removal(self, held: Held, started: float) -> Verdict | None:
        """Have taken away what left the blueprints, now that all else stands. None once it is gone."""
        if held.removals is None:
            return None
        came = self._applier.applied(held.removals, started + self._deadline)
        words = f"what left the blueprints was not taken away: {self._keeper.masked(came.words, held.removals.context)}"
        if came.outcome == "failed":
            return replace(self._refuted({}, started, held), evidence=words)
        return None if came.outcome == "applied" else self._awaited(words, started, held)

    def _awaited(self, words: str, started: float, held: Held) -> Verdict:
        return self._verdict("unknown", words, started, file=held.file, remedy=_WORKER)

    def _lacking(self, held: Held, attempt: str) -> Iterator[tuple[Address, str]]:
        """What is not there of all that this attempt brought."""
        for address, spec in held.live.items():
            if _written_by(held, address) == attempt:
                faults = [fault for entry in entries(spec) if (fault := self._applier.missing(entry))]
                if faults:
                    yield address, "; ".join(faults[:5])

    def _still_there(self, held: Held) -> str:
        if held.removals is None:
            return ""
        taken = [one for one in entries(self._keeper.pending(held)) if one.state == blueprint.ABSENT]
        return next((fault for one in taken if (fault := self._applier.missing(one))), "")

    def _refuted(self, faults: Mapping[Address, str], started: float, held: Held) -> Verdict:
        named = "; ".join(f"{address}: {fault}" for address, fault in sorted(faults.items())[:10])
        return Verdict(
            outcome="refuted",
            evidence=named,
            faults=faults,
            suspects=frozenset(faults),
            file=held.file,
            seconds=self._clock.monotonic() - started,
        )

    def _verdict(
        self,
        outcome: Literal["proven", "unknown"],
        evidence: str,
        started: float,
        *,
        file: str = "",
        remedy: str = "",
    ) -> Verdict:
        seconds = self._clock.monotonic() - started
        return Verdict(outcome=outcome, evidence=evidence, file=file, seconds=seconds, remedy=remedy)


def _written_by(held: Held, address: Address) -> str:
    return writer(held.blueprints[address.name])
