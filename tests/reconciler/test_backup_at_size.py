"""The rehearsal: a million events are backed up, lost, restored and verified, and what that takes is printed."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler import founding
from reconciler import home as homes
from reconciler.backups import making, restoring
from reconciler.core.policy import LogPolicy
from reconciler.housekeeping import LARGEST
from state.log import EventLog
from tests.bench.bench_log import BATCH, life

ROOM = 3 << 30
"""Bytes of disk that it takes."""


@contextlib.contextmanager
def timed(what: str, found: dict[str, float]) -> Iterator[None]:
    began = time.monotonic()
    yield
    found[what] = time.monotonic() - began


@pytest.mark.soak
@pytest.mark.parametrize("sealed", [False, True], ids=["all of it live", "sealed by the policy"])
def test_a_million_events_are_backed_up_lost_restored_and_verified(tmp_path: Path, sealed: bool):
    if shutil.disk_usage(tmp_path).free < ROOM:
        pytest.skip(f"this takes {ROOM >> 30} GiB of disk")
    home = homes.open(founding.create(tmp_path / "home", environ={}, now=now).path, {})
    shutil.rmtree(home.desired_store_path)  # no repository holds the commits of a made-up life
    took: dict[str, float] = {}
    with contextlib.closing(EventLog.open(home.log_path, now=now)) as log:
        entries = life()
        with timed("filling the log", took):
            while log.head().seq < 1_000_000:
                log.append(list(itertools.islice(entries, BATCH)))
                if sealed and log.head().seq - log.sealed() > LARGEST + LogPolicy().live_events // 2:
                    log.seal(log.sealed() + LARGEST, "the live log was full")
        events = log.head().seq
    live = home.log_path.stat().st_size
    with timed("backup, read back", took):
        made = making.make(home, tmp_path / "home.zip", now=now, tell=quiet, check=read_back)
    shutil.rmtree(home.path)
    with timed("restore, all of it verified", took):
        found = restoring.restore(made.path, home.path, person="ada", now=now, tell=quiet)
    with timed("opening it", took), contextlib.closing(EventLog.open(home.log_path, now=now)) as log:
        assert log.head().seq == found.events + 1 == events + 1
    lines = [f"{what}: {seconds:.1f} s" for what, seconds in took.items()]
    print(f"\n{events:,} events, live log {live >> 20} MiB, backup {made.size >> 20} MiB; {', '.join(lines)}")  # noqa: T201


def now() -> datetime:
    return datetime.now(UTC)


def quiet(line: str) -> None:
    pass


def read_back(file: Path, scratch: Path) -> None:
    restoring.check(file, scratch=scratch, now=now, tell=quiet)
