"""Logs and outboxes for tests: real files, a clock that ticks by itself, chance that repeats."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from state.log import EventLog

START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def ticking() -> Callable[[], datetime]:
    """A clock that is one second later each time it is asked."""
    seconds = itertools.count()
    return lambda: START + timedelta(seconds=next(seconds))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[EventLog]:
    log = EventLog.open(path, now=ticking(), create=True)
    yield log
    log.close()
