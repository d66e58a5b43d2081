"""How much one client may ask for, with a clock that stands still until it is told to go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.setting import ConfigError
from shards import config
from shards.kit import Refused
from shards.limits import Bounds, Limits


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.passed = 0.0

    def now(self) -> datetime:
        return self.at + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


BOUNDS = Bounds(reads_rate=2.0, reads_burst=3, writes_rate=0.5, writes_burst=1, at_once=2, proposals_a_day=2)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def limits(watch: Watch) -> Limits:
    return Limits(watch, BOUNDS)


def call(limits: Limits, client: str = "claude", tool: str = "list", *, writes: bool = False) -> None:
    with limits.counted(client, tool, writes=writes):
        pass


def refused(limits: Limits, client: str = "claude", tool: str = "list", *, writes: bool = False) -> Refused:
    with pytest.raises(Refused) as caught:
        call(limits, client, tool, writes=writes)
    return caught.value


def test_who_calls_too_often_is_told_when_to_come_back_and_is_right_to_come_then(limits: Limits, watch: Watch) -> None:
    for _ in range(3):
        call(limits)
    refusal = refused(limits)
    assert (refusal.code, refusal.retry, refusal.after) == ("too-fast", True, 0.5)
    watch.sleep(refusal.after or 0)
    call(limits)


def test_clients_and_tools_do_not_take_from_each_other(limits: Limits) -> None:
    for _ in range(3):
        call(limits)
    refused(limits)
    call(limits, "cursor")
    call(limits, tool="why")


def test_so_many_calls_at_once_and_no_more(limits: Limits) -> None:
    with limits.counted("claude", "a", writes=False), limits.counted("claude", "b", writes=False):
        assert refused(limits, tool="c").code == "too-many-at-once"
        call(limits, "cursor")
    call(limits, tool="c")


def test_a_call_that_fails_is_no_longer_running(limits: Limits) -> None:
    for _ in range(3):
        with pytest.raises(RuntimeError), limits.counted("claude", "a", writes=False):
            raise RuntimeError
    call(limits, tool="b")


def test_a_days_proposals_are_counted_and_the_next_day_begins_anew(limits: Limits, watch: Watch) -> None:
    for _ in range(2):
        call(limits, writes=True)
        limits.proposed("claude")
        watch.sleep(10)
    assert limits.left_today("claude") == 0
    refusal = refused(limits, writes=True)
    assert refusal.code == "quota"
    assert refusal.after == 12 * 3600 - 20
    call(limits)  # reading goes on
    watch.sleep(refusal.after or 0)
    call(limits, writes=True)
    assert limits.left_today("claude") == 2


@given(st.lists(st.floats(0, 2), max_size=60))
def test_over_any_time_no_more_calls_pass_than_burst_and_rate_allow(pauses: list[float]) -> None:
    watch, passed = Watch(), 0
    limits = Limits(watch, BOUNDS)
    for pause in pauses:
        watch.sleep(pause)
        try:
            call(limits)
            passed += 1
        except Refused:
            continue
    assert passed <= BOUNDS.reads_burst + BOUNDS.reads_rate * watch.passed + 1e-6


def test_a_home_says_what_its_clients_may_ask_for(tmp_path):
    (tmp_path / "waypost.env").write_text("WAYPOST_READS_PER_MINUTE=60\nWAYPOST_CALLS_AT_ONCE=2\n")
    told = {"WAYPOST_WRITES_PER_MINUTE": "6", "WAYPOST_PROPOSALS_PER_DAY": "5"}
    assert config.read(tmp_path, told).bounds == Bounds(
        reads_rate=1, reads_burst=5, writes_rate=0.1, writes_burst=6, at_once=2, proposals_a_day=5
    )
    with pytest.raises(ConfigError, match="WAYPOST_CALLS_AT_ONCE is '0'; right would be a whole number from 1"):
        config.read(tmp_path, {"WAYPOST_CALLS_AT_ONCE": "0"})
