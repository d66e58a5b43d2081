"""One Komodo: what it holds of each stack, and one deploy after the other until it holds what is wanted.

`write` puts down the whole intention (`komodo_record`); `prove` carries it out, stack by stack in the order of their
dependencies, each proven before the next is begun, and goes on where an earlier proof was cut off. How the compose file
gets there: in the stack's own `file_contents`, so that Komodo needs no way to the desired repo and what is deployed is
byte for byte what was written; it names the commit it came from. A stack whose files come from another repository is
pinned by its `commit`, and Komodo must say that it deployed that one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal

from reconciler.core.snapshots import same
from reconciler.core.target import Attempt, Observation, TargetError, Validation, Verdict
from reconciler.komodo import checking, deeds, stacks
from reconciler.komodo.api import KomodoApi
from reconciler.komodo.deeds import Step
from reconciler.komodo.stacks import STACK
from reconciler.komodo.wire import KomodoError
from reconciler.ports import Clock, Disk, Files
from reconciler.targets import komodo_telling
from reconciler.targets.komodo_deeds import Doer, Ground, secrets_lost
from reconciler.targets.komodo_look import Look, look_at, specs_of
from reconciler.targets.komodo_record import Record, RecordFile, UnderWay
from state.model import Address, Snapshot, canonical, digest_bytes

RENDERER: Final = "1"
_DOWN: Final = frozenset({"stopped", "dead", "unhealthy", "down", "created", "paused", "restarting"})


class KomodoTarget:
    """One Komodo Core. `deadline` is seconds for one deploy; `record` is where the attempt under way is kept."""

    def __init__(
        self,
        instance: str,
        api: KomodoApi,
        *,
        clock: Clock,
        deadline: float = 600.0,
        record: Path | None = None,
        files: Files | None = None,
        directory: str = "komodo",
    ) -> None:
        self._instance = instance
        self._api, self._clock = api, clock
        self._directory = directory
        self._doer = Doer(api, clock, deadline)
        self._record = RecordFile(record, files or Disk())
        self._looking = Lock()
        self._kept: dict[str, dict[str, Any]] = {}  # configurations as they were before, with what nobody may keep
        self._apart = partial(
            KomodoTarget, instance, api, clock=clock, deadline=deadline, record=record, files=files, directory=directory
        )

    @property
    def instance(self) -> str:
        return self._instance

    @property
    def kind(self) -> str:
        return "komodo"

    @property
    def place(self) -> str:
        return self._api.url

    @property
    def renderer(self) -> str:
        return RENDERER

    def apart(self) -> KomodoTarget:
        return self._apart()

    # ── looking ──────────────────────────────────────────────────────────────────────────────────

    def observe(self) -> Observation:
        """Every stack that Komodo runs, ours and others'; what is under way counts as what it will be.

        What somebody configured there and nobody deployed is not live: wanted, it is something to deploy.
        """
        with self._looking:
            record = self._record.load()
            return self._observed(self._look_at(record), record)

    def _observed(self, look: Look, record: Record) -> Observation:
        found, under_way = dict(look.stacks), record.under_way
        for step in under_way.steps if under_way else ():
            found[step.stack] = step.wanted
        live = deeds.snapshot(self._instance, found)
        return Observation(
            live=live,
            file=under_way.after if under_way else _digest(live),
            disabled=dict(self._down(look, record)),
            unserved=f"{_told(under_way.steps)} is under way" if under_way else "",
            version=look.version,
            served={"servers": dict.fromkeys(look.servers, ""), "stacks": look.states},
            idle={name: deeds.snapshot(self._instance, {name: specs}) for name, specs in look.idle.items()},
            by={address: look.by[address.name] for address in live if address.name in look.by},
            deeds=komodo_telling.done(self._instance, known) if (known := under_way or record.concluded) else {},
        )

    def _down(self, look: Look, record: Record) -> Iterator[tuple[Address, str]]:
        """Our stacks whose containers are not up, in Komodo's word for it; judged as after a deploy."""
        for name in record.held.keys() & look.states.keys():
            if look.states[name] in _DOWN and not self._doer.standing(name, record.held[name].specs).good:
                yield Address(self._instance, STACK, name), f"Komodo says that it is {look.states[name]}"

    def _look_at(self, record: Record) -> Look:
        return look_at(self._api, self._doer.find, record)

    def unmoved(self, seen: Observation) -> bool:
        try:
            now = self.observe()
        except TargetError:
            return False
        return (now.file, now.disabled, now.served, now.idle) == (seen.file, seen.disabled, seen.served, seen.idle)

    def validate(self, wanted: Snapshot, observed: Observation) -> Validation:
        """What no file alone can show: what belongs together, the order, the servers that there are."""
        wrong = checking.problems(wanted, observed.live, observed.served.get("servers", {}), self._clock.now())
        taken = checking.taken(wanted, observed.live, deeds.by_stack(_all_of(observed.idle)))
        return Validation(problems=(*wrong, *taken, *checking.of_labels(wanted, observed.live)))

    def probe(self, attempt: str) -> Verdict:
        """May we look at all? What a key is allowed to change only a change shows."""
        try:
            self._api.stacks()
        except KomodoError as error:
            return Verdict(outcome="unknown", evidence=str(error), remedy=error.remedy)
        return Verdict(outcome="proven", evidence="Komodo answers, and knows our key")

    def wake(self, seen: Observation) -> None:
        """Nothing is watched there that a notice could be lost of."""

    def blocked(self, attempt: Attempt) -> str:
        try:
            self._api.stacks()
            self._record.load()
        except TargetError as error:
            return f"{error} {error.remedy}".strip()
        return ""

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    def render(self, attempt: Attempt) -> bytes:
        return _rendered(attempt.live)

    def write(self, attempt: Attempt) -> str:
        """Put the intention down. From here on it is done or undone, whoever goes on with it."""
        record = self._record.load()
        look = self._look_at(record)
        if self._observed(look, record).file != attempt.before:
            raise TargetError("what Komodo holds was changed by somebody since the plan was made")
        after = _digest(attempt.live)
        # From what Komodo holds itself: another attempt that nobody remembers may have been cut off in the middle.
        held = deeds.snapshot(self._instance, look.stacks)
        steps = tuple(deeds.steps(held, attempt.live, self._clock.now(), record.asked, look.idle))
        under_way = UnderWay(
            attempt=attempt.id,
            commit=attempt.commit,
            after=after,
            steps=steps,
            pending=tuple(sorted({address.name for address in attempt.pending})),
            known=record.told_of(attempt.commit),
        )
        self._put_down(replace(record, under_way=under_way))
        return after

    def _put_down(self, record: Record) -> None:
        """Raises TargetError where it does not stand there. Where it does, though the disk did not say so, somebody
        has to go on with it: nothing is asked of Komodo before the disk has kept it once more."""
        try:
            self._record.save(record)
        except TargetError:
            if self._record.load() != record:
                raise

    def prove(self, attempt: Attempt) -> Verdict:
        """Carry out what is not done yet, one stack after the other; the first that fails refutes all of it."""
        started, record = self._clock.monotonic(), self._record.load()
        under_way = record.under_way
        if under_way is None or under_way.attempt != attempt.id:
            return self._standing(attempt, started)
        if under_way.is_put_back:
            return self._no_more(attempt)
        ground = self._ground(under_way)
        for index, step in enumerate(under_way.steps):
            if step.state != "done":
                self._remember(step)
                step = self._doer.carry_out(step, ground, partial(self._keep, index))
                self._keep(index, step)
            if step.state == "failed":
                return self._telling(attempt, self._failed(attempt, step, started))
            if step.state != "done":
                evidence = f"{step.stack}: {step.said}"
                awaited = self._verdict("unknown", evidence, started, file=under_way.after, remedy=_LOOK)
                return self._telling(attempt, awaited)
        return self._telling(attempt, self._concluded(attempt, started))

    def _no_more(self, attempt: Attempt) -> Verdict:
        """Somebody died while putting it back: that is brought to its end, and nothing is proven by it."""
        back = self.undo(attempt, {})
        return replace(back, outcome="unknown", evidence=f"it was being put back: {back.evidence}")

    def _telling(self, attempt: Attempt, verdict: Verdict) -> Verdict:
        """The verdict, with what was done of the attempt until now and what was left alone by it."""
        record = self._record.load()
        if (known := record.knows(attempt.id)) is None:
            return verdict
        skipped = komodo_telling.skipped(self._instance, known)
        return replace(verdict, deeds={**komodo_telling.done(self._instance, known), **skipped})

    def _standing(self, attempt: Attempt, started: float) -> Verdict:
        """Nothing is left to do: what Komodo holds says whether it is what was written.

        Where nobody remembers what was done of it, Komodo must also say that all that is ours was deployed as it is.
        """
        seen = self.observe()
        if seen.file != attempt.after:
            return self._verdict("unknown", "Komodo holds something else by now", started, file=seen.file)
        if self._record.load().knows(attempt.id) is None:
            for name, specs in sorted(deeds.by_stack(seen.live).items()):
                if fault := self._doer.undeployed(name, specs):
                    return self._verdict("unknown", fault, started, file=seen.file, remedy=_DEPLOY)
        evidence = "Komodo holds what was written, and all of it was done"
        return self._telling(attempt, self._verdict("proven", evidence, started, file=seen.file))

    def _concluded(self, attempt: Attempt, started: float) -> Verdict:
        record = self._record.load()
        assert record.under_way is not None
        under_way = record.under_way
        for step in under_way.steps:
            commit = "" if step.deed == "note" else under_way.commit
            mark = "" if step.deed == "remove" else step.mark or _mark_of(record, step.stack)
            record = record.holding(step.stack, mark, step.wanted, commit)
        alone = komodo_telling.left_alone(self._instance, under_way, record.held, attempt.live)
        self._record.save(replace(record.ended(), concluded=replace(under_way, alone=alone)))
        self._kept.clear()
        return self._verdict("proven", "; ".join(map(_done, under_way.steps)), started, file=under_way.after)

    def _failed(self, attempt: Attempt, step: Step, started: float) -> Verdict:
        faults = {Address(self._instance, kind, step.stack): step.said for kind in step.wanted.keys() | {STACK}}
        refuted = self._verdict("refuted", f"{step.stack}: {step.said}", started, file=attempt.after)
        return replace(refuted, faults=faults, suspects=frozenset(faults))

    def undo(self, attempt: Attempt, fallback: Snapshot) -> Verdict:
        """Put back what was begun, the last first; what was never begun needs nothing."""
        started, record = self._clock.monotonic(), self._record.load()
        under_way = record.knows(attempt.id)
        if under_way is not None and under_way is record.concluded and under_way.left:
            return self._left_as_it_is(started)
        if under_way is None or (under_way is record.concluded and any(step.begun for step in under_way.steps)):
            evidence = "nothing is known of this attempt any more; Komodo is left as it is"
            return self._verdict("unknown", evidence, started, file=self.observe().file)
        if under_way is record.concluded:
            return self._undone(attempt, started)
        if not attempt.put_back:
            return self._left(under_way, started)
        ground = self._ground(under_way)
        self._refuse_half(under_way, ground, record)
        for index, step in reversed(list(enumerate(under_way.steps))):
            if step.begun:
                self._keep(index, self._back_as_it_was(index, step, ground, record))
        self._record.save(self._given_up(under_way))
        self._kept.clear()
        return self._undone(attempt, started)

    def _refuse_half(self, under_way: UnderWay, ground: Ground, record: Record) -> None:
        """Raises KomodoError where a step cannot be put back and none has failed: all of it can still go on instead."""
        if under_way.is_put_back or any(step.state == "failed" for step in under_way.steps):
            return
        for step in under_way.steps:
            if step.needs_secrets_back and self._as_before(step, ground, record) is None:
                raise secrets_lost(step.stack)

    def _back_as_it_was(self, index: int, step: Step, ground: Ground, record: Record) -> Step:
        """Put one step back, or go on where somebody died while doing so."""
        begun = record.under_way.back if record.under_way and step.state == "undoing" else None
        if step.state != "undoing":
            self._keep(index, step.now("undoing"))
        return self._doer.put_back(step, ground, self._as_before(step, ground, record), self._keep_back, begun)

    def _undone(self, attempt: Attempt, started: float) -> Verdict:
        """What came of putting back an attempt that is concluded by that."""
        known = self._record.load().concluded
        assert known is not None
        back = [step for step in reversed(known.steps) if step.state == "undone"]
        evidence = "; ".join(f"{step.stack}: {step.said}" for step in back) or "nothing had been done yet"
        good = not any(step.fails for step in back)
        undone = self._verdict("proven" if good else "unknown", evidence, started, file=self.observe().file)
        return self._telling(attempt, undone)

    def _as_before(self, step: Step, ground: Ground, record: Record) -> Mapping[str, Any] | None:
        """The configuration that stood there before, secrets and all: as we saw it, or as somebody put it back."""
        stack, names = self._doer.find(step.stack), {id: name for name, id in ground.servers.items()}
        for config in (self._kept.get(step.stack), stack.config if stack else None):
            if config is not None and same(specs_of(step.stack, config, names, record), dict(step.previous)):
                return config
        return None

    def _left(self, under_way: UnderWay, started: float) -> Verdict:
        """Nothing is done to what was refused; what was proven before it counts as live until somebody decides."""
        self._record.save(replace(self._given_up(under_way), concluded=replace(under_way, left=True)))
        self._kept.clear()
        return self._left_as_it_is(started)

    def _left_as_it_is(self, started: float) -> Verdict:
        evidence = "it is left as it failed, as the policy says, for a person to look at"
        return self._verdict("unknown", evidence, started, file=self.observe().file)

    def _given_up(self, under_way: UnderWay) -> Record:
        """The record without the attempt; what it says of the stacks stays what was true before."""
        record = self._record.load().ended()
        for step in reversed(under_way.steps):  # what was there before the first step of a stack is said last
            touched = step.begun or step.state == "undone"
            if touched and step.deed != "note" and (stack := self._doer.find(step.stack)):
                mark = stacks.mark(stack.config)
                is_known = bool(step.previous) or mark == step.mark  # what somebody else put there is not ours
                record = record.holding(step.stack, mark if is_known else "", step.previous)
        return record

    def _ground(self, under_way: UnderWay) -> Ground:
        servers = {one.name: one.id for one in self._api.servers()}
        return Ground(servers, f"{self._directory}/ at commit {under_way.commit[:12]}")

    def _keep(self, index: int, step: Step) -> None:
        record = self._record.load()
        assert record.under_way is not None
        self._record.save(replace(record, under_way=record.under_way.with_step(index, step)))

    def _keep_back(self, back: Step) -> None:
        record = self._record.load()
        assert record.under_way is not None
        self._record.save(replace(record, under_way=replace(record.under_way, back=back)))

    def _remember(self, step: Step) -> None:
        """The configuration as it is before it is touched, secrets and all: for this process only."""
        if step.state == "todo" and step.stack not in self._kept and (stack := self._doer.find(step.stack)):
            self._kept[step.stack] = dict(stack.config)

    def _verdict(
        self,
        outcome: Literal["proven", "refuted", "unknown"],
        evidence: str,
        started: float,
        *,
        file: str,
        remedy: str = "",
    ) -> Verdict:
        seconds = self._clock.monotonic() - started
        return Verdict(outcome=outcome, evidence=evidence, file=file, seconds=seconds, remedy=remedy)


_DEPLOY: Final = "Deploy it in Komodo: nobody knows any more what was done of it."
_LOOK: Final = "See in Komodo what it is doing; the next pass goes on by itself, and asks for nothing twice."


def _all_of(idle: Mapping[str, Snapshot]) -> Snapshot:
    return {address: spec for specs in idle.values() for address, spec in specs.items()}


def _mark_of(record: Record, stack: str) -> str:
    return record.held[stack].mark if stack in record.held else ""


def _rendered(live: Snapshot) -> bytes:
    return canonical({str(address): spec for address, spec in live.items()})


def _digest(live: Snapshot) -> str:
    return digest_bytes(_rendered(live))


def _told(steps: tuple[Step, ...]) -> str:
    return ", ".join(f"{step.deed} {step.stack}" for step in steps)


_PAST: Final = {"deploy": "deployed", "restart": "restarted", "remove": "taken down", "note": "left alone"}


def _done(step: Step) -> str:
    update = f", update {step.update}" if step.update else ""
    return f"{step.stack}: {_PAST[step.deed]} because {step.why}: {step.said}{update}"
