"""A year in an hour: a home at work on a virtual clock, with real files. Whatever it holds on to must not grow."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from reconciler import alerts, founding, housekeeping, loop
from reconciler import home as homes
from reconciler.commits import policy_in_force
from reconciler.core.target import TargetError
from reconciler.git import trees
from reconciler.git.errors import GitError
from reconciler.git.proposals import propose
from reconciler.git.store import WAYPOST, Store
from reconciler.home import Home
from reconciler.loop import Outcome
from reconciler.targets.traefik import TraefikTarget
from reconciler.world import World
from state import events, segments, views
from state.log import EventLog
from state.outbox import Outbox
from state.record import Anchor, Entry
from tests.simulation.fate import Fate, Trace
from tests.simulation.home import DEADLINE, FreeLock
from tests.simulation.keeping import SimulatedReceivers
from tests.simulation.machine import SimulatedClock, SimulatedDisk, SimulatedFiles, VirtualTime, seeded
from tests.simulation.traefik import SimulatedApi, SimulatedTraefik

APPS = 40
PASSES = 4
"""A day."""
LOOKS = 40
"""Tool calls a day by which a model changes nothing."""

A_DECISION = 2_500
"""Bytes of the live log that a proposal or a push leaves for good once its events are sealed: its line in what is known
of proposals and revisions, and the keys by which nothing is taken in twice."""

POLICY = """version: 1
backups: {every: 7d, keep: 4, alert_after: 15d}
log: {live: 60d, live_events: 10000, reads: 30d}
guards: {hostnames_removed: {max: 3, share: 0.5}}
"""


@dataclass
class Held:
    """What the process and its files hold on to at one moment."""

    memory: int  # bytes that are resident
    files: int  # open descriptors
    wal: int  # bytes
    live: int  # bytes of the live log

    @classmethod
    def by(cls, home: Home) -> Held:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        wal = home.log_path.with_name(f"{home.log_path.name}-wal")
        return cls(
            memory=pages * os.sysconf("SC_PAGE_SIZE"),
            files=len(os.listdir("/proc/self/fd")),  # noqa: PTH208  a path for each would be one more
            wal=wal.stat().st_size if wal.exists() else 0,
            live=home.log_path.stat().st_size,
        )


@dataclass
class Year:
    """One home, and everybody who has to do with it."""

    home: Home
    begun: Callable[[], World]
    world: World
    time: VirtualTime
    disk: SimulatedDisk
    traefik: SimulatedTraefik
    trace: Trace
    receivers: SimulatedReceivers
    gateway: Outbox
    people: Outbox
    random: Random = field(default_factory=lambda: Random(365))
    census: Counter[str] = field(default_factory=Counter)
    last: Outcome | None = None

    def restart(self) -> None:
        """The reconciler ends, and begins again."""
        self.world.log.close()
        self.world = self.begun()
        self.census["restarts"] += 1

    @property
    def decisions(self) -> int:
        return self.census["proposals"] + self.census["pushes"]

    # ── a day ────────────────────────────────────────────────────────────────────────────────────

    def day(self, number: int) -> None:
        self.look_around(number)
        self.propose_and_approve(number)
        if number % 3 == 0:
            self.push(number)
        if number % 11 == 5:
            self.edit_by_hand(number)
        for part in range(PASSES):
            self.traefik.mood = "down" if number % 7 == 3 and part == 1 else ""
            self.disk.ailment = "full" if number % 13 == 2 and part == 2 else ""
            self.census["faults"] += bool(self.traefik.mood) + bool(self.disk.ailment)
            self.run_pass()
            self.time.pass_by(timedelta(days=1).total_seconds() / PASSES)
        policy = policy_in_force(self.world, self.world.store.head() or "")
        housekeeping.tend(self.home, self.world, policy, housekeeping.check_apart)
        if number % 7 == 0:  # what the stand-ins remember is not what is measured
            self.trace.lines.clear()
            del self.traefik.loads[:-1]

    def run_pass(self) -> None:
        """A pass and its alerts, as the running reconciler does them; a held plan is consented to."""
        try:
            self.last = loop.run_pass(self.world)
        except (GitError, TargetError, OSError) as error:
            self.last = Outcome(state="lost", said=str(error))
        self.census[f"passes that ended {self.last.state}"] += 1
        alerts.decide(self.world)
        alerts.deliver(self.world, self.receivers)
        if self.last.state == "held" and self.last.plan:
            plan, losses = self.last.plan, tuple(loss.as_json() for loss in self.last.plan.losses)
            consent = events.ConsentGiven(commit=plan.commit, digest=plan.digest, losses=losses)
            self.people.put(consent, stream="main", actor="ada")
            self.census["consents"] += 1
        for address, drift in self.world.log.view(views.Drift).open.items():
            heal = events.DriftHealRequested(address=str(address), live_hash=drift.found.live_hash)
            self.people.put(heal, stream=f"target/{address.instance}", actor="ada", id=f"heal-{drift.seq}")

    # ── what people and models do ────────────────────────────────────────────────────────────────

    def look_around(self, number: int) -> None:
        called = [
            Entry(
                stream="gateway",
                event=events.ToolCalled(
                    shard="traefik", tool="list_routes", client="claude", outcome="ok", arguments_digest=f"{look:064x}"
                ),
                actor="claude",
                request_id=f"look-{number}-{look}",
            )
            for look in range(LOOKS)
        ]
        self.gateway.put_all(called)
        self.census["tool calls"] += LOOKS

    def propose_and_approve(self, number: int) -> None:
        """A model proposes, a person puts it on main; now and then it is turned down."""
        id, name = f"p{number}", f"app{self.random.randrange(APPS)}"
        commit = self.committed({f"traefik/{name}.yaml": self.route(name)}, id, f"Move {name}")
        if commit is None:
            return
        made = events.ProposalMade(
            proposal=id, branch=f"proposals/{id}", commit=commit, parent=self.head(), tool="update_route",
            client="claude", title=f"Move {name}", resources=(f"traefik/http.routers/{name}",),
        )  # fmt: skip
        self.gateway.put(made, stream=f"proposal/{id}", actor="claude", request_id=f"request-{id}")
        self.run_pass()
        if number % 9 == 4:
            rejected = events.ProposalRejected(proposal=id, reason="not today")
            self.people.put(rejected, stream=f"proposal/{id}", actor="ada")
        else:
            self.world.store.move("refs/heads/main", commit, was=self.head())
        self.census["proposals"] += 1

    def push(self, number: int) -> None:
        """A person's own commit: another route, or one less."""
        name = f"app{self.random.randrange(APPS)}"
        there = self.world.store.entry(self.head(), f"traefik/{name}.yaml")
        content = None if there and self.random.random() < 0.3 else self.route(name)
        commit = self.committed({f"traefik/{name}.yaml": content}, f"push-{number}", f"Change {name}")
        if commit:
            self.world.store.move("refs/heads/main", commit, was=self.head())
            self.world.store.remove(f"refs/heads/proposals/push-{number}")
            self.census["pushes"] += 1

    def edit_by_hand(self, number: int) -> None:
        content = self.disk.content("/traefik/mcp-managed/waypost.yml")
        if content and b"10.0." in content:
            self.disk.put("/traefik/mcp-managed/waypost.yml", content.replace(b"10.0.", b"10.9.", 1))
            self.disk.touch("/traefik/mcp-managed")
            self.census["faults"] += 1

    def set_policy(self) -> None:
        store, signature = self.world.store, WAYPOST.signed(self.time.wall)
        blob = trees.Leaf(str(store.repository.create_blob(POLICY.encode())), trees.BLOB)
        tree = trees.rooted(store.repository, store.commit(self.head()).tree, {"waypost.yaml": blob})
        commit = store.write_commit(
            tree=tree, parents=(self.head(),), author=signature, committer=signature, text="Say what is allowed\n"
        )
        store.move("refs/heads/main", commit, was=self.head())

    def committed(self, edits: dict[str, bytes | None], id: str, title: str) -> str | None:
        with contextlib.suppress(GitError):
            return propose(
                self.world.store, parent=self.head(), edits=edits, id=id, title=title, body="",
                trailers={"Waypost-Request": f"request-{id}", "Waypost-Tool": "t", "Waypost-Client": "claude"},
                author="a model <model@localhost>", at=self.time.wall,
            )  # fmt: skip
        return None

    def route(self, name: str) -> bytes:
        url = f"http://10.0.{self.random.randrange(250)}.{self.random.randrange(250)}:80"
        document: dict[str, Any] = {
            "http": {
                "routers": {name: {"rule": f"Host(`{name}.home`)", "service": name}},
                "services": {name: {"loadBalancer": {"servers": [{"url": url}]}}},
            }
        }
        return json.dumps(document, indent=1).encode()

    def head(self) -> str:
        head = self.world.store.head()
        assert head
        return head


@pytest.fixture
def year(tmp_path: Path) -> Iterator[Year]:
    virtual, trace = VirtualTime(), Trace()
    made = founding.create(
        tmp_path / "home",
        chosen={"WAYPOST_BACKUP_DIR": str(tmp_path / "backups")},
        environ={},
        now=lambda: virtual.wall,
    )
    home, fate, random = homes.open(made.path, {}), Fate(trace), Random(1)
    disk = SimulatedDisk(virtual)
    disk.folder("/traefik")
    traefik = SimulatedTraefik(disk, virtual, "/traefik", 0.1)
    clock = SimulatedClock(virtual, fate)
    api: Any = SimulatedApi(traefik, virtual, fate)

    def begun() -> World:
        target = TraefikTarget(
            "traefik",
            Path("/traefik"),
            api,
            files=SimulatedFiles(disk, fate),
            clock=clock,
            chance=seeded(random),
            deadline=DEADLINE,
            lock=FreeLock(lambda: False),
        )
        return World(
            log=EventLog.open(home.log_path, now=clock.now),
            store=Store.open(home.desired_store_path),
            targets={"traefik": target},
            clock=clock,
            chance=os.urandom,
            gateway_outbox=home.gateway_outbox_path,
            people_outbox=home.people_path,
            source="the desired repo",
        )

    with (
        contextlib.closing(Outbox.open(home.gateway_outbox_path, clock.now, create=True)) as gateway,
        contextlib.closing(Outbox.open(home.people_path, clock.now, create=True)) as people,
    ):
        receivers = SimulatedReceivers([], lambda: frozenset(), fate)
        made_year = Year(home, begun, begun(), virtual, disk, traefik, trace, receivers, gateway, people)
        commit = made_year.committed({"traefik/first.yaml": made_year.route("first")}, "first", "Begin")
        assert commit
        made_year.world.store.move("refs/heads/main", commit, was=made_year.head())
        try:
            yield made_year
        finally:
            made_year.world.log.close()


def told(year: Year, seconds: float, warm: Held, daily: Sequence[Held]) -> str:
    log, last = year.world.log, daily[-1]
    most_wal, most_live = max(day.wal for day in daily), max(day.live for day in daily)
    sealed = sum(path.stat().st_size for path in segments.directory(year.home.log_path).glob("*.db"))
    alerts = [one.event for one in log.read(stream="alerts")]
    raised = sum(isinstance(one, events.AlertRaised) for one in alerts)
    ended = sum(isinstance(one, events.AlertResolved) for one in alerts)
    revisions = len(year.world.log.view(views.Revisions).by_number)
    lines = [
        f"{len(daily)} days in {seconds:.0f} s: {log.head().seq:,} events, {revisions} revisions",
        ", ".join(f"{count} {what}" for what, count in sorted(year.census.items()))
        + f", {raised} alerts raised, {ended} ended",
        f"resident memory {warm.memory / 2**20:.1f} MiB after the warm-up, {last.memory / 2**20:.1f} MiB at the end "
        f"({last.memory / warm.memory - 1:+.1%}); open files {warm.files} and {last.files}",
        f"write-ahead log at most {most_wal / 2**20:.1f} MiB; live log at most {most_live / 2**20:.1f} MiB, "
        f"{last.live / 2**20:.1f} at the end; "
        f"{len(log.segments())} sealed segments with {log.sealed():,} events in {sealed / 2**20:.2f} MiB "
        f"({sealed / max(log.sealed(), 1):.0f} bytes an event)",
        f"{sum(1 for one in log.read(stream='backups') if isinstance(one.event, events.BackupMade))} backups made "
        f"and read back, {len(list((year.home.path.parent / 'backups').iterdir()))} kept",
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("days", "warm_up"),
    [pytest.param(8, 4, id="a week"), pytest.param(365, 120, id="a year", marks=pytest.mark.soak)],
)
def test_a_home_at_work_holds_on_to_no_more_with_time(year, days, warm_up):
    year.set_policy()
    started, warm, decided, daily = time.monotonic(), Held.by(year.home), 0, list[Held]()
    for number in range(days):
        if number < warm_up and number % 30 == 3:  # later it would take along what a leak holds on to
            year.restart()
        year.day(number)
        daily.append(Held.by(year.home))
        if number == warm_up:
            warm, decided = daily[-1], year.decisions
    last = daily[-1]
    print("\n" + told(year, time.monotonic() - started, warm, daily))  # noqa: T201 - `make soak` shows it
    log = year.world.log
    assert log.verify([Anchor(one.seq, one.hash) for one in year.world.store.anchors()]).ok
    assert {view: log.view(view).encode() for view in views.ALL} == {
        view: state.encode() for view, state in log.replayed().items()
    }
    assert last.files <= warm.files + 2
    assert max(day.wal for day in daily) <= 64 << 20
    if days > 100:
        assert last.memory <= warm.memory * 1.05
        assert log.segments()
        # The most of it: it grows until it is sealed, and then it has half of its events.
        grown = max(day.live for day in daily[warm_up:]) - max(day.live for day in daily[:warm_up])
        assert grown <= A_DECISION * (year.decisions - decided), "events, or looks, stay in the live log"
