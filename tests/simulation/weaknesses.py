"""Safeguards taken away, one at a time: a simulation that would not notice is worth nothing.

Each weakness is a context in which one safeguard is missing. `caught` says after how many seeds it is noticed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from reconciler import alerts, applying, loop, planning, reviewing, taking_back, watching
from reconciler.core.target import Verdict
from reconciler.targets.owned import OwnedFile
from reconciler.targets.traefik import TraefikTarget
from state import events, views
from tests.simulation.fate import Died
from tests.simulation.keeping import SimulatedLog, SimulatedStore
from tests.simulation.machine import SimulatedDisk
from tests.simulation.schedule import Report, drawn, theatre


@dataclass(frozen=True)
class Weakness:
    """A safeguard that is gone while `planted` lasts, and within how many seeds that has to be noticed."""

    name: str
    planted: Callable[[], AbstractContextManager[None]]
    seeds: int


@contextmanager
def _in_place_of(owner: Any, name: str, other: Any) -> Iterator[None]:
    real = vars(owner).get(name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        if real is None:  # it was inherited
            delattr(owner, name)
        else:
            setattr(owner, name, real)


def _nothing(*_: Any, **__: Any) -> None:
    """In place of a safeguard."""


def no_undo_after_refuted() -> AbstractContextManager[None]:
    return _in_place_of(applying, "_undo", _nothing)


def no_digest_check_before_the_write() -> AbstractContextManager[None]:
    """Whatever stands there is written over."""

    def write(self: Any, attempt: Any) -> str:
        self._owned.lock()
        self._owned.keep(self._owned.read())
        placed: str = self._owned.place(self.render(attempt))
        return placed

    return _in_place_of(TraefikTarget, "write", write)


def no_quarantine() -> AbstractContextManager[None]:
    def only_refused(world: Any, write: Any, verdict: Any) -> Any:
        yield f"refuted:{write.attempt.id}", applying._refused(write.attempt, verdict)

    return _in_place_of(applying, "_quarantined", only_refused)


def no_proof() -> AbstractContextManager[None]:
    """What was written is taken for served."""

    def prove(self: Any, attempt: Any) -> Verdict:
        self._owned.release()
        return Verdict(outcome="proven", evidence="surely", file=attempt.after)

    return _in_place_of(TraefikTarget, "prove", prove)


def an_outage_counts_as_refused() -> AbstractContextManager[None]:
    real = TraefikTarget.prove

    def prove(self: Any, attempt: Any) -> Verdict:
        verdict = real(self, attempt)
        return replace(verdict, outcome="refuted") if verdict.outcome == "unknown" else verdict

    return _in_place_of(TraefikTarget, "prove", prove)


def one_opinion_is_enough() -> AbstractContextManager[None]:
    """What one answer of the API says against us is believed."""
    from reconciler.targets.waiting import Waiting

    return _in_place_of(Waiting, "_confirmed", lambda self, sight, marker, attempt: sight)


def appends_are_not_atomic() -> AbstractContextManager[None]:
    """Every event of a batch is a transaction of its own."""
    real = SimulatedLog.append

    def append(self: Any, entries: Any, **rest: Any) -> Any:
        batch = list(entries) if isinstance(entries, list | tuple) else [entries]
        cursor = rest.pop("cursor", None)
        recorded = [one for entry in batch for one in real(self, entry, **rest)]
        if cursor:
            real(self, [], cursor=cursor)
        return recorded

    return _in_place_of(SimulatedLog, "append", append)


def a_verdict_is_recorded_again() -> AbstractContextManager[None]:
    def record(world: Any, instance: str, event: Any, key: str = "") -> None:
        entry = applying.Entry(stream=f"target/{instance}", event=event)
        world.log.append([entry, entry] if isinstance(event, events.ApplyProven) else entry)

    return _in_place_of(applying, "_record", record)


def guards_are_ignored() -> AbstractContextManager[None]:
    return _in_place_of(planning, "_refusals", lambda *_: ())


def an_attempt_is_not_resumed() -> AbstractContextManager[None]:
    return _in_place_of(applying, "resume", _nothing)


def what_is_foreign_is_removed() -> AbstractContextManager[None]:
    """A neighbour's poison file is taken away."""
    real = loop.run_pass

    def run_pass(world: Any) -> Any:
        for target in world.targets.values():
            with contextlib.suppress(Exception):
                for file in target.observe().poison:
                    if file != target.observe().own_file:
                        target._owned._files.remove(target._owned.directory / file)
        return real(world)

    return _in_place_of(loop, "run_pass", run_pass)


def the_marker_is_always_the_same() -> AbstractContextManager[None]:
    from reconciler.targets import traefik as product

    return _in_place_of(product, "marker_of", lambda attempt: "waypost-gen-always")


def no_flush_of_folders() -> AbstractContextManager[None]:
    return _in_place_of(SimulatedDisk, "flush_folder", _nothing)


def no_flush_of_files() -> AbstractContextManager[None]:
    return _in_place_of(SimulatedDisk, "flush", _nothing)


def written_in_place() -> AbstractContextManager[None]:
    """No rename: our file is written where Traefik reads it."""

    def place(self: Any, content: bytes) -> str:
        self._files.write(self.path, content)
        self.wake()
        return str(applying.digest_bytes(content))

    return _in_place_of(OwnedFile, "place", place)


def no_sweep_of_locks() -> AbstractContextManager[None]:
    return _in_place_of(SimulatedStore, "sweep_stale_locks", _nothing)


def a_write_builds_on_one_in_doubt() -> AbstractContextManager[None]:
    real = applying.apply

    def apply(world: Any, instance: str, planned: Any, undoes: Any = ()) -> Any:
        open_ones = world.log.view(views.Attempts).open
        kept = open_ones.pop(instance, None)
        try:
            return real(world, instance, planned, undoes)
        finally:
            if kept and instance not in open_ones:
                open_ones[instance] = kept

    return _in_place_of(applying, "apply", apply)


def every_pass_says_what_drifts() -> AbstractContextManager[None]:
    return _in_place_of(watching, "_is_news", lambda found, known: True)


def alerts_are_told_whatever_was_told() -> AbstractContextManager[None]:
    return _in_place_of(alerts, "_record_taken", _nothing)


def a_revision_whatever_is_left_out() -> AbstractContextManager[None]:
    return _in_place_of(loop, "_unfinished", lambda *_: "")


def nothing_is_taken_back() -> AbstractContextManager[None]:
    return _in_place_of(taking_back, "owed", lambda world: {})


def a_revert_is_proposed_with_every_pass() -> AbstractContextManager[None]:
    real = reviewing.propose_revert

    def propose(world: Any, head: str) -> None:
        entry = reviewing.Entry(
            stream="proposal/again", event=events.ProposedRevert(commit=head, proposal="p", reason="")
        )
        world.log.append(entry)
        real(world, head)

    return _in_place_of(reviewing, "propose_revert", propose)


def a_broken_file_counts_as_empty() -> AbstractContextManager[None]:
    """What cannot be read is taken for removed."""
    real = loop._record_adopted

    def record(world: Any, planned: Any) -> None:
        seen = {name: replace(one, poison={}) for name, one in planned.observed.items()}
        real(world, replace(planned, observed=seen))

    return _in_place_of(loop, "_record_adopted", record)


WEAKNESSES: Final = tuple(
    Weakness(planted.__name__.replace("_", " "), planted, seeds)
    for planted, seeds in (
        (no_undo_after_refuted, 100),
        (no_digest_check_before_the_write, 2000),
        (no_quarantine, 100),
        (no_proof, 100),
        (an_outage_counts_as_refused, 300),
        (one_opinion_is_enough, 600),
        (appends_are_not_atomic, 2000),
        (a_verdict_is_recorded_again, 50),
        (guards_are_ignored, 100),
        (an_attempt_is_not_resumed, 300),
        (what_is_foreign_is_removed, 100),
        (the_marker_is_always_the_same, 300),
        (no_flush_of_folders, 600),
        (no_flush_of_files, 600),
        (written_in_place, 300),
        (no_sweep_of_locks, 600),
        (a_write_builds_on_one_in_doubt, 2000),
        (every_pass_says_what_drifts, 100),
        (alerts_are_told_whatever_was_told, 100),
        (a_revision_whatever_is_left_out, 400),
        (nothing_is_taken_back, 600),
        (a_revert_is_proposed_with_every_pass, 300),
        (a_broken_file_counts_as_empty, 2000),
    )
)


def caught(weakness: Weakness) -> tuple[int, str]:
    """How many seeds it takes to notice, and what was violated; 0 where none of its seeds did."""
    with theatre() as stage, weakness.planted():
        for seed in range(weakness.seeds):
            try:
                report: Report = stage.run(drawn(seed))
            except (Exception, Died) as fault:  # a crash of the whole is a way to be noticed too
                return seed + 1, f"{type(fault).__name__}: {fault}"
            if report.violation:
                return seed + 1, report.violation
    return 0, ""
