"""Cron lines: whatever is accepted can be run and comes true; whatever cannot be is refused in words."""

from datetime import UTC, datetime

import pytest
from apscheduler.triggers.cron import CronTrigger
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.core import cron
from reconciler.core.policy import Policy, parse

number = st.integers(0, 61).map(str)
word = st.sampled_from(("jan", "Feb", "dec", "mon", "SUN", "wed", "foo", "last", "1st mon", "٣", ""))
value = number | word
part = st.one_of(
    st.just("*"),
    value,
    st.builds("{}-{}".format, value, value),
    st.builds("*/{}".format, number),
    st.builds("{}/{}".format, value, number),
    st.builds("{}-{}/{}".format, value, value, number),
)
field = st.lists(part, min_size=1, max_size=3).map(",".join)
line = st.lists(field, min_size=5, max_size=5).map(" ".join)


def within(first, last, words=()):
    """Fields that mean something, so that whole lines are accepted often."""
    one = st.integers(first, last)
    some = [
        st.just("*"),
        st.builds("*/{}".format, st.integers(1, last - first)),
        one.map(str),
        st.tuples(one, one).map(lambda both: f"{min(both)}-{max(both)}"),
        st.builds("{}/{}".format, st.integers(first, last - 1), st.just(1)),
    ]
    named = [st.sampled_from(words), st.just(f"{words[0]}-{words[-1]}")] if words else []
    return st.lists(st.one_of(*some, *named), min_size=1, max_size=3).map(",".join)


months = ("jan", "feb", "JUL", "dec")
sensible = st.tuples(
    within(0, 59), within(0, 23), within(1, 31), within(1, 12, months), st.sampled_from(("*", "mon", "tue-FRI", "*/2"))
).map(" ".join)


@settings(deadline=None)  # the 29th of February on a Monday is far away
@given(line | sensible)
@example("99 * * * *")
@example("0 0 30 2 *")
@example("0 0 31 4,6 *")
@example("0 0 * jan/2 *")
@example("0 0 29 feb *")
@example("*/59 */23 */30 */11 */6")
@example("10-20/10 * * * mon-fri")
def test_whatever_is_accepted_can_be_run_and_has_a_next_time(line):
    if not cron.fault(line):
        trigger = CronTrigger.from_crontab(line, timezone="UTC")
        assert trigger.get_next_fire_time(None, datetime(2026, 3, 1, tzinfo=UTC)) is not None


@given(sensible)
def test_every_sensible_line_is_accepted_but_days_that_never_come(line):
    assert cron.fault(line) in ("", "no such month has that day")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("99 * * * *", "minute '99' is not within 0-59"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day '0'"),
        ("* * * 13 *", "month '13'"),
        ("* * * jam *", "month 'jam' cannot be read"),
        ("* * * * 0", "write mon to sun"),
        ("5-1 * * * *", "backwards"),
        ("*/0 * * * *", "leads nowhere"),
        ("*/60 * * * *", "leads nowhere"),
        ("1,,2 * * * *", "minute '' cannot be read"),
        ("* * * *", "it has 4 fields"),
        ("@daily", "it has 1 fields"),
        ("0 0 31 2,4 *", "no such month has that day"),
    ],
)
def test_a_line_that_cannot_be_is_refused_and_the_message_names_the_field(line, says):
    assert says in cron.fault(line)
    policy, problems = parse({"schedules": {"reconcile": line}}, {("schedules", "reconcile"): 7})
    assert policy == Policy()
    assert [(one.line, says in one.message) for one in problems] == [(7, True)]
