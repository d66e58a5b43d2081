"""Safeguards taken away, one at a time: a simulation that would not notice is worth nothing.

Each weakness is a context in which one safeguard is missing. `caught` says after how many schedules it is noticed:
a play where there is one, else seeds. The product as it is must hold in that very schedule, which `sound` tells.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from types import FunctionType
from typing import Any, Final

from reconciler import alerts, applying, commits, evidence, loop, planning, reviewing, taking_back, underway, watching
from reconciler.core.target import Verdict
from reconciler.git import proposals
from reconciler.targets import traefik
from reconciler.targets.komodo import KomodoTarget
from reconciler.targets.komodo_deeds import Doer
from reconciler.targets.owned import OwnedFile
from reconciler.targets.survey import Survey
from reconciler.targets.traefik import TraefikTarget
from state import events, intake, views
from state.grants import Grants
from state.model import Address
from tests.simulation import plays
from tests.simulation.fate import Died, Violation
from tests.simulation.home import Setting
from tests.simulation.keeping import SimulatedLog, SimulatedStore
from tests.simulation.machine import SimulatedDisk
from tests.simulation.plays import Play
from tests.simulation.schedule import Theatre, drawn, theatre


@dataclass(frozen=True)
class Weakness:
    """A safeguard that is gone while `planted` lasts; it has to be noticed in a play, or within so many seeds."""

    name: str
    planted: Callable[[], AbstractContextManager[None]]
    where: Play | int

    @property
    def is_quick(self) -> bool:
        """Whether it is noticed within a few seconds."""
        return isinstance(self.where, Play) or self.where <= 100


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


def what_is_unserved_is_left_so() -> AbstractContextManager[None]:
    return _in_place_of(loop, "_wake", _nothing)


def a_doubt_is_tried_once() -> AbstractContextManager[None]:
    return _in_place_of(traefik, "_AGAIN", math.inf)


def the_stage_is_written_as_it_stands() -> AbstractContextManager[None]:
    """Whatever file its name leads to."""

    def write(self: Any, content: bytes) -> None:
        self._files.write(self._stage, content, 0o644)

    return _in_place_of(OwnedFile, "_write_stage", write)


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
    return _in_place_of(planning._Case, "_live", lambda case, one: one[1].live)


def a_poison_is_not_looked_for() -> AbstractContextManager[None]:
    return _in_place_of(Survey, "_suspected", lambda *_: {})


def nothing_is_probed() -> AbstractContextManager[None]:
    """The first write of all is a real one."""
    return _in_place_of(applying, "_seen", lambda world, target: True)


def the_policy_of_what_comes_is_in_force() -> AbstractContextManager[None]:
    return _in_place_of(planning, "policy_in_force", commits.policy_of)


def a_yes_is_a_yes_to_everything() -> AbstractContextManager[None]:
    class Everything:
        def __contains__(self, key: object) -> bool:
            return True

    def consented(grants: Grants) -> Any:
        return Everything() if any(grant.consented for grant in grants.line.values()) else frozenset()

    return _in_place_of(Grants, "consented", property(consented))


def what_is_taken_in_has_no_name_of_its_own() -> AbstractContextManager[None]:
    real = intake._entry
    return _in_place_of(intake, "_entry", lambda *arguments: replace(real(*arguments), key=""))


def a_message_goes_out_without_a_note() -> AbstractContextManager[None]:
    return _in_place_of(underway, "note", _nothing)


def what_a_dead_process_left_is_not_flushed() -> AbstractContextManager[None]:
    return _in_place_of(OwnedFile, "settle", _nothing)


def a_revert_is_made_anew_after_a_death() -> AbstractContextManager[None]:
    return _in_place_of(reviewing, "_failed_at", lambda world, head: world.clock.now())


def what_a_restart_would_lose_is_not_asked() -> AbstractContextManager[None]:
    return _in_place_of(Survey, "_losses", lambda *_: ())


def a_reminder_comes_with_every_pass() -> AbstractContextManager[None]:
    return _in_place_of(alerts, "reminder", lambda policy: timedelta(0))


def nobody_is_reminded() -> AbstractContextManager[None]:
    return _in_place_of(alerts, "reminder", lambda policy: timedelta(days=10_000))


def komodo_is_asked_whatever_it_was_asked() -> AbstractContextManager[None]:
    return _in_place_of(Doer, "_newer", lambda *_: "")


def what_was_put_back_is_put_back_anew() -> AbstractContextManager[None]:
    """How far it came is not written down."""
    return _in_place_of(KomodoTarget, "_keep_back", _nothing)


def what_komodo_was_asked_for_counts_as_done() -> AbstractContextManager[None]:
    return _in_place_of(Doer, "_followed", lambda doer, step, *_: step.now("done", said="surely"))


def our_file_holds_what_no_attempt_says() -> AbstractContextManager[None]:
    """One service more, which nobody wants and nobody asks Traefik about."""
    real = TraefikTarget._rendered

    def rendered(self: Any, attempt: Any, live: Any, marker: str) -> bytes:
        stowaway = Address(attempt.instance, "http.services", "stowaway")
        return real(
            self, attempt, {**live, stowaway: {"loadBalancer": {"servers": [{"url": "http://10.0.0.66"}]}}}, marker
        )

    return _in_place_of(TraefikTarget, "_rendered", rendered)


def nobody_asks_for_the_lock() -> AbstractContextManager[None]:
    """Our folder is made, and whoever else writes there is not waited for."""

    def lock(self: Any) -> None:
        self._files.make_directory(self._folder, 0o755)

    return _in_place_of(OwnedFile, "lock", lock)


def a_rollback_leaves_what_came_since() -> AbstractContextManager[None]:
    """What a commit changed goes back, and what is new in it stays."""
    real = proposals.revert_to

    def revert_to(store: Any, revision: str, *, parent: str, **named: Any) -> str:
        since = [path for path in store.changed(revision, parent) if store.entry(revision, path) is None]
        return real(store, revision, parent=parent, keep_paths=(proposals.POLICY, *since), **named)

    return _in_place_of(proposals, "revert_to", revert_to)


def a_deploy_is_told_without_a_key() -> AbstractContextManager[None]:
    def tell(world: Any, instance: str, deeds: Any) -> None:
        if deeds:
            world.log.append([evidence.Entry(stream=f"target/{instance}", event=event) for event in deeds.values()])

    return _in_place_of(evidence, "tell", tell)


_TWO: Final = Setting(instances=("edge", "traefik"))
_KOMODO: Final = Setting(komodo=True)

WEAKNESSES: Final = tuple(
    Weakness(planted.__name__.replace("_", " "), planted, Play(where) if isinstance(where, FunctionType) else where)
    for planted, where in (
        (no_undo_after_refuted, 100),
        (no_digest_check_before_the_write, 2000),
        (no_quarantine, 100),
        (no_proof, 100),
        (an_outage_counts_as_refused, 300),
        (one_opinion_is_enough, 600),
        (appends_are_not_atomic, plays.death_between_a_refusal_and_its_quarantine),
        (a_verdict_is_recorded_again, 50),
        (guards_are_ignored, 100),
        (an_attempt_is_not_resumed, 300),
        (what_is_foreign_is_removed, 100),
        (the_marker_is_always_the_same, 300),
        (no_flush_of_folders, plays.the_power_goes_after_a_proof),
        (no_flush_of_files, plays.the_power_goes_after_a_proof),
        (written_in_place, 300),
        (what_a_dead_process_left_is_not_flushed, plays.death_before_a_flush_and_then_the_power_goes),
        (no_sweep_of_locks, plays.death_within_a_move_of_a_branch),
        (the_stage_is_written_as_it_stands, plays.the_power_goes_between_the_halves_of_a_rename),
        (what_is_unserved_is_left_so, plays.only_the_notice_of_a_neighbours_end_is_lost),
        (a_doubt_is_tried_once, plays.a_poison_is_written_while_notices_get_lost),
        (a_write_builds_on_one_in_doubt, plays.a_commit_comes_while_a_write_is_in_doubt),
        (every_pass_says_what_drifts, 100),
        (alerts_are_told_whatever_was_told, 100),
        (a_message_goes_out_without_a_note, plays.death_between_an_alert_and_its_record),
        (a_revision_whatever_is_left_out, plays.a_write_is_not_noticed),
        (nothing_is_taken_back, Play(plays.one_of_two_refuses_its_part_of_a_commit, _TWO)),
        (a_revert_is_proposed_with_every_pass, 300),
        (a_revert_is_made_anew_after_a_death, plays.death_between_the_branch_of_a_revert_and_its_record),
        (a_broken_file_counts_as_empty, plays.our_file_is_broken_by_hand_while_a_commit_removes_a_route),
        (a_poison_is_not_looked_for, plays.a_neighbours_poison_comes),
        (what_a_restart_would_lose_is_not_asked, plays.a_neighbours_poison_would_outlive_a_restart),
        (a_reminder_comes_with_every_pass, plays.an_alert_stands_for_days),
        (nobody_is_reminded, plays.an_alert_stands_for_days),
        (our_file_holds_what_no_attempt_says, 50),
        (nobody_asks_for_the_lock, 50),
        (a_rollback_leaves_what_came_since, plays.the_newest_commit_is_taken_back),
        (nothing_is_probed, Play(plays.traefik_watches_another_folder, settled=False)),
        (the_policy_of_what_comes_is_in_force, plays.a_commit_loosens_the_guards_that_it_would_meet),
        (a_yes_is_a_yes_to_everything, plays.a_person_agrees_and_then_more_is_lost),
        (what_is_taken_in_has_no_name_of_its_own, plays.an_outbox_is_read_anew),
        (komodo_is_asked_whatever_it_was_asked, Play(plays.death_after_a_deploy_was_asked_for, _KOMODO)),
        (what_was_put_back_is_put_back_anew, Play(plays.death_after_a_deploy_was_put_back, _KOMODO)),
        (what_komodo_was_asked_for_counts_as_done, Play(plays.a_deploy_comes_to_nothing, _KOMODO)),
        (a_deploy_is_told_without_a_key, Play(plays.death_after_a_deploy_was_told, _KOMODO)),
    )
)


def caught(weakness: Weakness) -> tuple[int, str]:
    """How many schedules it takes to notice, and what was violated; 0 where none of them did."""
    with theatre() as stage, weakness.planted():
        for number in range(1 if isinstance(weakness.where, Play) else weakness.where):
            if violation := _violated(stage, weakness, number):
                return number + 1, violation
    return 0, ""


def sound(weakness: Weakness, after: int) -> str:
    """What the product as it is violates in the schedule that noticed a weakness; "" where it holds."""
    with theatre() as stage:
        return _violated(stage, weakness, after - 1)


def _violated(stage: Theatre, weakness: Weakness, number: int) -> str:
    try:
        if isinstance(weakness.where, Play):
            weakness.where.perform(stage)
            return ""
        return stage.run(drawn(number)).violation
    except Violation as violation:
        return str(violation)
    except (Exception, Died) as fault:  # a crash of the whole is a way to be noticed too
        return f"{type(fault).__name__}: {fault}"
