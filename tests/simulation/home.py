"""A simulated home: all that outlives the process, and the process itself, begun and ended at will."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from reconciler import alerts, loop
from reconciler.alerts import Message
from reconciler.core.target import Target, TargetError
from reconciler.git.errors import GitError
from reconciler.git.store import Store
from reconciler.loop import Outcome
from reconciler.targets.komodo import KomodoTarget
from reconciler.targets.traefik import TraefikTarget
from reconciler.world import World
from state import events, views
from state.errors import LogError
from state.log import EventLog
from state.record import Entry
from tests.simulation.fate import CHANGE, Died, Due, Fate, Trace
from tests.simulation.keeping import LogAilment, SimulatedLog, SimulatedReceivers, SimulatedRemote, SimulatedStore
from tests.simulation.komodo import SimulatedKomodo, SimulatedKomodoApi
from tests.simulation.machine import SimulatedClock, SimulatedDisk, SimulatedFiles, VirtualTime, seeded
from tests.simulation.traefik import SimulatedApi, SimulatedTraefik

DEADLINE = 2.0
"""Seconds of one proof: short, for most of a simulated proof that fails is waiting."""

KOMODO_DEADLINE = 20.0
KOMODO_RECORD = Path("/targets/komodo.json")


@dataclass(frozen=True)
class Setting:
    """What sort of home: how many Traefiks, how patient they are, whether the desired repo is elsewhere, and whether
    there is a Komodo."""

    instances: tuple[str, ...] = ("traefik",)
    throttle: float = 0.1
    remote: bool = False
    komodo: bool = False


class FreeLock:
    """The lock of a directory that nobody else writes to; `taken` is when another process does.

    Its name stands in `held` for as long as it is ours.
    """

    def __init__(self, taken: Any, held: set[str] | None = None, name: str = "") -> None:
        self._taken = taken
        self._held = set() if held is None else held
        self._name = name

    def take(self) -> None:
        if self._taken():
            raise TargetError("another Waypost is writing there", remedy="Let only one reconciler manage it.")
        self._held.add(self._name)

    def release(self) -> None:
        self._held.discard(self._name)


@dataclass
class Process:
    """One run of the reconciler."""

    world: World
    log: SimulatedLog
    receivers: SimulatedReceivers
    fate: Fate


@dataclass
class Home:
    """What stays when the process dies. `place` is a directory in memory for what has to be real: log and repo."""

    place: Path
    setting: Setting
    random: Random
    time: VirtualTime = field(default_factory=VirtualTime)
    trace: Trace = field(default_factory=Trace)
    census: Counter[str] = field(default_factory=Counter)
    told: list[tuple[str, Message]] = field(default_factory=list)
    elsewhere: dict[str, str] = field(default_factory=dict)
    log_ailment: LogAilment = ""
    git_ailment: LogAilment = ""
    remote_down: bool = False
    refusing: frozenset[str] = frozenset()
    second_writer: bool = False
    writing: set[str] = field(default_factory=set)  # instances whose directory is locked by us
    process: Process | None = None

    def __post_init__(self) -> None:
        self.disk = SimulatedDisk(self.time)
        self.traefiks: dict[str, SimulatedTraefik] = {}
        for name in self.setting.instances:
            self.disk.folder(f"/{name}")
            self.traefiks[name] = SimulatedTraefik(self.disk, self.time, f"/{name}", self.setting.throttle)
        self.komodo = SimulatedKomodo(self.time) if self.setting.komodo else None
        self._store: Store | None = None
        self.acknowledged: list[Any] = []
        self.audit: Any = None

    @property
    def store(self) -> Store:
        """The desired repo as people use it."""
        if self._store is None:
            self._store = Store.open(self.repository)
        return self._store

    def frozen(self) -> None:
        """Let go of all that cannot be copied."""
        self.stop()
        self._store = None

    @property
    def repository(self) -> Path:
        return self.place / "desired.git"

    @property
    def people(self) -> Path:
        return self.place / "people.db"

    def live_file(self, instance: str) -> str:
        return f"/{instance}/mcp-managed/waypost.yml"

    # ── beginning and ending ─────────────────────────────────────────────────────────────────────

    def start(self) -> Process:
        """A new process, as `app.opened` makes one."""
        if self.process:
            return self.process
        fate = Fate(self.trace)
        clock, chance = SimulatedClock(self.time, fate), seeded(self.random)
        log = SimulatedLog.open(self.place / "log.db", now=lambda: self.time.wall, chance=chance)
        log.remember()
        log.fate, log.ailment, log.acknowledged = fate, lambda: self.log_ailment, self._acknowledged
        store = SimulatedStore.open(self.repository)
        assert isinstance(store, SimulatedStore)
        store.fate, store.ailment = fate, lambda: self.git_ailment
        store.sweep_stale_locks()
        world = World(
            log=log,
            store=store,
            targets=self._targets(clock, fate),
            clock=clock,
            chance=chance,
            remote=SimulatedRemote(self.elsewhere, lambda: self.remote_down, fate) if self.setting.remote else None,  # type: ignore[arg-type]
            people_outbox=self.people,
            source="the desired repo",
        )
        receivers = SimulatedReceivers(self.told, lambda: self.refusing, fate)
        self.process = Process(world, log, receivers, fate)
        self.trace.add("the reconciler starts")
        if self.audit:
            self.audit.started(log)
        return self.process

    def usable(self) -> Process:
        """A process whose log can be read: after a disk fault somebody has to start it again."""
        if self.process and self.process.log.unusable:
            self.bury()
        return self.start()

    def _targets(self, clock: SimulatedClock, fate: Fate) -> dict[str, Target]:
        targets: dict[str, Target] = {name: self._target(name, clock, fate) for name in self.setting.instances}
        if self.komodo:
            files, api = SimulatedFiles(self.disk, fate), SimulatedKomodoApi(self.komodo, fate)
            targets["komodo"] = KomodoTarget(
                "komodo", api, clock=clock, deadline=KOMODO_DEADLINE, record=KOMODO_RECORD, files=files
            )
        return targets

    def _target(self, name: str, clock: SimulatedClock, fate: Fate) -> TraefikTarget:
        api: Any = SimulatedApi(self.traefiks[name], self.time, fate)
        return TraefikTarget(
            name,
            Path(f"/{name}"),
            api,
            files=SimulatedFiles(self.disk, fate),
            clock=clock,
            chance=seeded(self.random),
            deadline=DEADLINE,
            lock=FreeLock(lambda: self.second_writer, self.writing, name),
        )

    def _acknowledged(self, recorded: list[Any]) -> None:
        self.acknowledged += [(one.seq, one.hash) for one in recorded]
        for one in recorded:
            self.trace.add(one.seq, one.type, one.hash[:8])
        if self.audit:
            self.audit.recorded(recorded)

    def stop(self) -> None:
        """Ends as it should: what it has open is closed."""
        if self.process:
            self.trace.add("the reconciler stops")
            self.process.log.close()
            self._gone()

    def bury(self) -> None:
        """It died: what it had open goes with it, and nothing is closed."""
        if self.process:
            self.trace.add("the reconciler died")
            self.process.fate.dead = True
            self.process.log.drop()
            self._gone()

    def _gone(self) -> None:
        """What it had locked is anybody's."""
        self.process = None
        self.writing.clear()

    # ── passes ───────────────────────────────────────────────────────────────────────────────────

    def run(self, due: Due | None = None) -> Outcome | None:
        """A pass and what is told of it, as the running reconciler does them; None where it did not live to say."""
        process = self.start()
        process.fate.expect(due or {})
        try:
            outcome = _guarded(process)
        except Died:
            self.bury()
            return None
        process.fate.expect({})
        self.trace.add("outcome", outcome.state, outcome.said.replace(str(self.place), "HOME"))
        return outcome

    def dies_at(self, change: str) -> None:
        """A pass that dies just before a change that the trace tells in these words; it must come to that."""
        process = self.start()
        assert self.run({(CHANGE, change): process.fate.die}) is None, f"no pass came to: {change}"


def _guarded(process: Process) -> Outcome:
    """A pass whose failure is recorded once, as `serve.Reconciler` does it."""
    world = process.world
    try:
        outcome = loop.run_pass(world)
        _record(world, "")
    except (GitError, TargetError, LogError, OSError) as error:
        outcome = Outcome(state="lost", said=str(error))
        _record(world, f"{type(error).__name__}: {error}")
    with contextlib.suppress(LogError, OSError):
        alerts.decide(world, audience=process.receivers.for_channels)
        alerts.deliver(world, process.receivers)
    return outcome


def _record(world: World, failed: str) -> None:
    with contextlib.suppress(LogError, OSError):
        known = world.log.view(views.Health).pass_failed
        if failed and failed != known:
            world.log.append(Entry(stream="home", event=events.PassFailed(reason=failed)))
        elif known and not failed:
            world.log.append(Entry(stream="home", event=events.PassRecovered(reason="passes work again")))


# ── places for homes ─────────────────────────────────────────────────────────────────────────────


def make_place(place: Path) -> None:
    """An empty repository, and a log that says that a home was made: what every home begins with."""
    Store.create(place / "desired.git")
    for unused in ("hooks", "info", "branches"):
        shutil.rmtree(place / "desired.git" / unused, ignore_errors=True)
    now = VirtualTime().wall
    with contextlib.closing(
        EventLog.open(place / "log.db", now=lambda: now, chance=seeded(Random(0)), create=True)
    ) as log:
        log.append(Entry(stream="home", event=events.HomeCreated(waypost="simulated")))
