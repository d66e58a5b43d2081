"""What is recorded for losses of power: the real log, the real outboxes, our file, Git; each tells what is durable.

A line that is told is an acknowledgement: what it names must be there after any loss of power from then on.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler import founding, housekeeping
from reconciler.backups.restoring import restore
from reconciler.core.policy import Policy
from reconciler.git.main import Merged, rebased
from reconciler.git.proposals import propose
from reconciler.git.starter import plant
from reconciler.git.store import Store
from reconciler.home import open as open_home
from reconciler.ports import Disk, SystemClock
from reconciler.targets.owned import OwnedFile
from reconciler.world import World
from state.events import ApplyProven, BackupMade, PassFailed, ToolCalled
from state.log import Entry, EventLog
from state.outbox import GATEWAY_EVENTS, Outbox, drain
from state.views import Applied, Health

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
STARTER = {"waypost.yaml": b"version: 1\n", "README.md": b"mine\n", "traefik/first.yaml": b"one\n"}


def load(scratch: str) -> None:
    """All that these need is loaded with this module."""


def settle() -> None:
    """Nothing is loaded otherwise than by `import`."""


def now() -> datetime:
    return datetime.now(UTC)


def teller(place: str) -> Callable[[str], None]:
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return lambda line: _all(descriptor, f"{line}\n".encode())


def _all(descriptor: int, data: bytes) -> None:
    assert os.write(descriptor, data) == len(data)


# ── the log ──────────────────────────────────────────────────────────────────────────────────────


def log(place: str, said: str, seed: int, rounds: int = 4, each: int = 20) -> None:
    """Open, append one and many, look at views, redact, take an outbox in, close; over and over."""
    chance, tell = random.Random(seed), teller(said)
    for _ in range(rounds):
        opened = EventLog.open(Path(place) / "log.db", now=now, create=True)
        for _ in range(each):
            _one_thing(opened, Path(place), chance, tell)
        opened.close()


def _one_thing(opened: EventLog, place: Path, chance: random.Random, tell: Callable[[str], None]) -> None:
    kind = chance.random()
    if kind < 0.05 and opened.head().seq > 3:
        redact(opened, chance, tell)
    elif kind < 0.20:
        drained(opened, place, chance, tell)
    elif kind < 0.30:
        opened.view(Applied)
        opened.view(Health)
    else:
        entries = [_entry(chance) for _ in range(chance.choice((1, 1, 1, 2, 7)))]
        for recorded in opened.append(entries):
            tell(f"event {recorded.seq} {recorded.hash}")


def _entry(chance: random.Random) -> Entry:
    changes = {f"traefik/http.routers/{chance.randrange(99)}": {"rule": "x" * chance.choice((10, 500, 6_000))}}
    proven = ApplyProven(
        instance="traefik", attempt="a", commit="c", changes=changes, file="f", seconds=1.0, evidence="e"
    )
    return Entry(stream=chance.choice(("target/traefik", "main")), event=proven)


def redact(opened: EventLog, chance: random.Random, tell: Callable[[str], None]) -> None:
    entry = Entry(stream="home", event=PassFailed(reason="a secret"))
    (recorded,) = opened.append(entry)
    tell(f"event {recorded.seq} {recorded.hash}")
    after = opened.redact(recorded.seq, "it held a secret", "ada")
    tell(f"event {after.seq} {after.hash}")
    tell(f"redacted {recorded.seq}")


def drained(opened: EventLog, place: Path, chance: random.Random, tell: Callable[[str], None]) -> None:
    box = Outbox.open(place / "outbox.db", now, create=True)
    for _ in range(chance.choice((1, 2, 5))):
        event = ToolCalled(shard="s", tool="t", client="c", outcome="ok", arguments_digest=str(chance.random()))
        tell(f"put {box.put(event, stream='gateway', actor='model')}")
    drain(opened, place / "outbox.db", source="gateway", allowed=GATEWAY_EVENTS)
    head = opened.head()
    tell(f"event {head.seq} {head.hash}")
    box.close()


def sealing(place: str, said: str, seed: int, rounds: int = 3) -> None:
    """Old events go to sealed segments; payloads are blanked that are sealed and that are not; over and over."""
    chance, tell = random.Random(seed), teller(said)
    with contextlib.closing(EventLog.open(Path(place) / "log.db", now=now, create=True)) as opened:
        for _ in range(rounds):
            news = opened.append([_entry(chance) for _ in range(chance.randint(3, 6))])
            for recorded in news:
                tell(f"event {recorded.seq} {recorded.hash}")
            redact(opened, chance, tell)
            segment = opened.seal(opened.head().seq - chance.randint(1, 2), "they are old")
            tell(f"event {segment.last} {segment.hash.hex()}")
            opened.redact(news[0].seq, "it held a secret", "ada")  # sealed by now
            tell(f"redacted {news[0].seq}")


# ── our file in a Traefik's directory ────────────────────────────────────────────────────────────


def plan(number: int) -> dict[str, Any]:
    """What Traefik is to hold after so many applies: two routes that belong together, larger than a few sectors."""
    return {"first": number, "second": number, "pad": f"{number}" * 1_500}


def apply(place: str, said: str, count: int = 3) -> None:
    """The calls of so many applies, one of them undone, on the real file system."""
    tell = teller(said)
    owned = OwnedFile(Path(place), Disk())
    for number in range(1, count + 1):
        owned.lock()
        before = owned.read()
        owned.keep(before)
        owned.place(json.dumps(plan(number)).encode())
        tell(f"plan {number}")
        owned.release()


# ── Git ──────────────────────────────────────────────────────────────────────────────────────────


def git(place: str, said: str, count: int = 3) -> None:
    """Proposals, approvals, revisions and anchors, each told once it is durable."""
    tell, store = teller(said), Store.open(Path(place) / "desired.git")
    for number in range(1, count + 1):
        id, edits = f"p{number}", {f"traefik/r{number}.yaml": b"route %d\n" % number}
        proposal = propose(
            store, parent=store.head() or "", edits=edits, id=id, title=f"Propose {id}", body="", trailers={},
            author="model <model@localhost>", at=AT,
        )  # fmt: skip
        tell(f"proposal {id} {proposal}")
        merged = rebased(store, proposal, onto=store.head() or "", person="Ada <ada@example.org>", at=AT)
        assert isinstance(merged, Merged)
        store.move("refs/heads/main", merged.commit, was=store.head())
        tell(f"main {number} {merged.commit}")
        store.keep(number, merged.commit)
        tell(f"revision {number} {merged.commit}")
        store.anchor(merged.commit, number, "0" * 64, number)
        tell(f"anchor {number} {merged.commit}")


def repository(place: str) -> None:
    """A desired repo as `init` makes one."""
    plant(Store.create(Path(place) / "desired.git"), STARTER, branch="main", subject="first", at=AT)


# ── backups ──────────────────────────────────────────────────────────────────────────────────────


def home(place: str) -> None:
    """A home with a few events, some of them sealed, and a place for backups that is not there yet."""
    chosen = {"WAYPOST_BACKUP_DIR": f"{place}/backups"}
    made = founding.create(Path(place) / "home", chosen=chosen, environ={}, now=now)
    with contextlib.closing(EventLog.open(made.log_path, now=now)) as log:
        log.append([_entry(random.Random(number)) for number in range(9)])
        log.seal(5, "they are old")


def backing_up(place: str, said: str) -> None:
    """The first scheduled backup of a home."""
    tell, ours = teller(said), open_home(Path(place) / "home", {})
    with contextlib.closing(EventLog.open(ours.log_path, now=now)) as log:
        store = Store.open(ours.desired_store_path)
        world = World(log=log, store=store, targets={}, clock=_TwoDaysLater(), chance=os.urandom)
        housekeeping.look_after_backups(ours, world, Policy(), housekeeping.check_here)
        (made,) = (one.event for one in log.read(9) if isinstance(one.event, BackupMade))
        tell(f"backup {made.file} {made.digest}")


class _TwoDaysLater(SystemClock):
    """A home that was just made has no backup due yet."""

    def now(self) -> datetime:
        return super().now() + timedelta(days=2)


def backed_up(place: str) -> None:
    """A backup of a home, and nothing else."""
    home(place)
    backing_up(place, os.devnull)
    shutil.rmtree(Path(place) / "home")


def restoring(place: str, said: str) -> None:
    """A home is made of a backup, where there was none."""
    (backup,) = Path(place, "backups").iterdir()
    restore(backup, Path(place) / "again", person="ada", now=now, tell=lambda line: None)
    teller(said)("restored again 0")


def start(place: str, said: str) -> None:
    """What everybody does first who works in a repository, and has its lock."""
    Store.create(Path(place) / "desired.git").sweep_stale_locks()
    Store.create(Path(place) / "other.git").sweep_stale_locks()
