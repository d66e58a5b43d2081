"""When passes run: on time, however late, and always at some time."""

from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.policy import interval
from reconciler.schedule import Schedule, trigger

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def time():
    with freeze_time(NOON) as frozen:
        yield frozen


@pytest.fixture
def ran():
    return Event()


@pytest.fixture
def schedule(time, ran):
    made = Schedule(ran.set)
    yield made
    made.stop()


def test_before_any_policy_could_be_read_the_default_one_says_when(schedule):
    assert schedule.upcoming() == [NOON + timedelta(minutes=1), NOON + timedelta(minutes=5)]


def test_new_times_take_the_place_of_the_old_ones(schedule):
    schedule.follow(["2h", "30 3 * * *"])
    assert schedule.upcoming() == [NOON + timedelta(hours=2), datetime(2026, 3, 2, 3, 30, tzinfo=UTC)]


@pytest.mark.parametrize("wrong", [["2h", "99 * * * *"], ["* * * * *", "soon"], ["0 0 1 13 *"]])
def test_a_time_that_cannot_be_changes_nothing(schedule, wrong):
    before = schedule.upcoming()
    with pytest.raises(ValueError, match=r"\S"):
        schedule.follow(wrong)
    assert schedule.upcoming() == before


def test_no_times_at_all_change_nothing(schedule):
    schedule.follow([])
    assert len(schedule.upcoming()) == 2


def test_the_same_times_again_do_not_start_the_intervals_anew(schedule, time):
    schedule.follow(["10m"])
    time.tick(timedelta(minutes=9))
    schedule.follow(["10m"])
    assert schedule.upcoming() == [NOON + timedelta(minutes=10)]


def test_two_wishes_for_the_same_time_are_one(schedule):
    schedule.follow(["10m", "10m"])
    assert len(schedule.upcoming()) == 1


def test_runs_that_are_late_by_nights_are_made_up_for_by_one(schedule, time, until):
    runs = []
    schedule._due = lambda: runs.append(1)
    schedule.follow(["0 3 * * *"])
    time.move_to("2026-03-04 09:00:00")
    schedule._scheduler.wakeup()  # as its own waiting would, in real time
    until(lambda: schedule.upcoming() == [datetime(2026, 3, 5, 3, tzinfo=UTC)] and runs, "the run")
    assert runs == [1]


class TwoClocks:
    """What SystemClock tells, while the wall is frozen: the clock that only counts stands still beside it."""

    def now(self):
        return datetime.now(UTC)

    def monotonic(self):
        return 0.0


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(hours=9)], ids=["set back", "after a sleep"])
def test_a_jump_of_the_clock_is_a_reason_to_run_and_all_other_runs_are_counted_from_there(time, ran, until, jump):
    schedule = Schedule(ran.set, TwoClocks(), look_again=0.01)
    try:
        schedule.follow(["10m", "30 3 * * *"])
        time.move_to(NOON + jump)
        until(lambda: ran.is_set() and schedule.upcoming()[0] == NOON + jump + timedelta(minutes=10), "the run")
        assert schedule.upcoming()[1] <= NOON + jump + timedelta(days=1)
    finally:
        schedule.stop()


def test_a_clock_that_runs_on_is_no_reason_to_run(time, ran):
    schedule = Schedule(ran.set, TwoClocks(), look_again=0.01)
    try:
        assert not ran.wait(0.2)
    finally:
        schedule.stop()


@pytest.mark.parametrize("text", ["1s", "* * * * *"])
def test_after_half_a_century_that_never_was_one_run_is_made_up_for(text):
    begun, now = datetime(1970, 1, 1, 0, 1, tzinfo=UTC), NOON + timedelta(milliseconds=1)
    with freeze_time(begun):
        times = trigger(text)
    found = [begun]
    while found[-1] <= now and len(found) < 10:  # as the scheduler does, without any bound
        found.append(times.get_next_fire_time(found[-1], now))
    assert found[0] == begun
    assert now < found[-1] <= now + timedelta(minutes=1)


@given(st.from_regex(r"[1-9][0-9]{0,5}[smhd]", fullmatch=True))
def test_every_interval_of_the_policy_can_be_followed(text):
    following = trigger(text).get_next_fire_time(None, NOON)
    assert following is not None
    assert interval(text)
