"""The rehearsal: a million events are backed up while more come, lost, restored and verified, and what that takes is
printed."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler import founding
from reconciler import home as homes
from reconciler.backups import making, restoring
from reconciler.core.policy import LogPolicy
from reconciler.git.store import REVISIONS, WAYPOST, Store
from reconciler.home import Home
from reconciler.housekeeping import LARGEST
from state.events import RevisionMade
from state.log import EventLog
from state.record import Entry
from tests.bench.bench_log import BATCH, life
from tests.reconciler.test_backup import lost, now, quiet, revised

ROOM = 3 << 30
"""Bytes of disk that it takes."""

SELDOM = 25
"""Batches between two heads of the log that are noted in Git; events at work between two revisions."""

COMMITS = 100
"""So many are in Git, and each is many revisions: to write one takes its flushes."""

AT_EASE = 0.02
"""Seconds between two events of a home at work."""


@contextlib.contextmanager
def timed(what: str, found: dict[str, float]) -> Iterator[None]:
    began = time.monotonic()
    yield
    found[what] = time.monotonic() - began


def committed(home: Home) -> list[str]:
    """Commits that are in Git."""
    store = Store.open(home.desired_store_path)
    first = store.commit(store.head() or "")
    return [
        store.write_commit(
            tree=first.tree, parents=(first.id,), author=WAYPOST.signed(first.at), committer=WAYPOST.signed(first.at),
            text=f"Move app{number}\n",
        )
        for number in range(COMMITS)
    ]  # fmt: skip


def lived(commits: list[str]) -> Iterator[Entry]:
    """A made-up life, of commits that are in Git."""
    for entry in life():
        if hasattr(entry.event, "commit"):
            commit = commits[int(entry.request_id, 16) % len(commits)]
            entry = replace(entry, event=replace(entry.event, commit=commit))
        yield entry


def filled(home: Home, log: EventLog, *, sealed: bool) -> int:
    """A million events, their revisions in Git and now and then the log's head beside one; how many revisions."""
    store, kept = Store.open(home.desired_store_path), dict[int, str]()
    entries = lived(committed(home))
    for count in itertools.count():
        if log.head().seq >= 1_000_000:
            break
        batch = list(itertools.islice(entries, BATCH))
        log.append(batch)
        kept |= {one.event.number: one.event.commit for one in batch if isinstance(one.event, RevisionMade)}
        if count % SELDOM == 0:
            store.anchor(kept[max(kept)], log.head().seq, log.head().hash, max(kept))
        if sealed and log.head().seq - log.sealed() > LARGEST + LogPolicy().live_events // 2:
            log.seal(log.sealed() + LARGEST, "the live log was full")
    lines = sorted(f"{REVISIONS}{number} {commit}" for number, commit in kept.items())
    packed = "".join(f"{commit} {name}\n" for name, commit in map(str.split, lines))
    (home.desired_store_path / "packed-refs").write_text(f"# pack-refs with: peeled fully-peeled sorted \n{packed}")
    return len(kept)


@contextlib.contextmanager
def at_work(home: Home, revisions: int) -> Iterator[list[int]]:
    """For as long as this lasts the home goes on: events, and now and then a revision. What it came to, at the end."""
    over, came_to = threading.Event(), []

    def work() -> None:
        with contextlib.closing(EventLog.open(home.log_path, now=now)) as log:
            for number in itertools.count():
                log.append(lost(number))
                if number % SELDOM == 0:
                    revised(home, log, revisions + 1 + number // SELDOM)
                if over.wait(AT_EASE):
                    came_to.append(log.head().seq)
                    return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield came_to
    finally:
        over.set()
        thread.join()


@pytest.mark.soak
@pytest.mark.parametrize("sealed", [False, True], ids=["all of it live", "sealed by the policy"])
def test_a_million_events_are_backed_up_while_more_come_lost_restored_and_verified(tmp_path: Path, sealed: bool):
    if shutil.disk_usage(tmp_path).free < ROOM:
        pytest.skip(f"this takes {ROOM >> 30} GiB of disk")
    home = homes.open(founding.create(tmp_path / "home", environ={}, now=now).path, {})
    took: dict[str, float] = {}
    with contextlib.closing(EventLog.open(home.log_path, now=now)) as log:
        with timed("filling the log", took):
            revisions = filled(home, log, sealed=sealed)
        events = log.head().seq
    with timed("backup at work, read back", took), at_work(home, revisions) as came_to:
        made = making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=read_back)
    assert events < made.manifest.seq < came_to[0]
    live, anchored = home.log_path.stat().st_size, Store.open(home.desired_store_path).anchors()
    shutil.rmtree(home.path)
    with timed("restore, all of it verified", took):
        found = restoring.restore(made.path, home.path, person="ada", now=now, tell=quiet)
    with timed("opening it", took), contextlib.closing(EventLog.open(home.log_path, now=now)) as log:
        assert log.head().seq == found.events + 1 == made.manifest.seq + 1
    anchors = Store.open(home.desired_store_path).anchors()
    assert anchors == anchored[: len(anchors)] and len(anchors) >= 1_000_000 // BATCH // SELDOM
    assert found.revisions > revisions
    lines = [f"{what}: {seconds:.1f} s" for what, seconds in took.items()]
    print(  # noqa: T201
        f"\n{events:,} events, {came_to[0] - events:,} more meanwhile, {len(anchors)} anchors, {found.revisions} "
        f"revisions; live log {live >> 20} MiB, backup {made.size >> 20} MiB; {', '.join(lines)}"
    )


def read_back(file: Path, scratch: Path) -> None:
    restoring.check(file, scratch=scratch, now=now, tell=quiet)
