"""When a shard is asked again, and when it is left in peace: the budget of further tries, and the breaker."""

from __future__ import annotations

import pytest

from shards.health import Breaker, Budget


def spent(budget: Budget, calls: int) -> int:
    """Further tries that were within the budget, where every call wants one."""
    tries = 0
    for _ in range(calls):
        budget.earn()
        tries += budget.spend()
    return tries


def test_a_budget_empties_and_every_call_fills_it_by_a_tenth_of_a_try() -> None:
    budget = Budget()
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]
    assert 95 <= spent(budget, 1000) <= 100


def test_a_budget_never_holds_more_than_its_most() -> None:
    budget = Budget()
    for _ in range(10_000):
        budget.earn()
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(opens_after=3, rests=10.0)
    for _ in range(3):
        breaker.failed(at)
    return breaker


def test_a_breaker_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(opens_after=3, rests=10.0)
    for _ in range(2):
        breaker.failed(0.0)
        assert (breaker.state, breaker.wait(0.0)) == ("closed", 0.0)
    breaker.failed(0.0)
    assert (breaker.state, breaker.wait(0.0)) == ("open", 10.0)


def test_a_success_between_failures_lets_a_breaker_count_anew() -> None:
    breaker = Breaker(opens_after=3, rests=10.0)
    for _ in range(5):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert (breaker.state, breaker.wait(0.0)) == ("closed", 0.0)


def test_an_open_breaker_says_how_long_it_still_rests() -> None:
    assert opened(at=100.0).wait(104.0) == pytest.approx(6.0)


def test_after_its_rest_a_breaker_lets_one_call_try_and_the_others_wait_for_it() -> None:
    breaker = opened()
    assert [breaker.wait(10.0), breaker.wait(10.0), breaker.wait(12.0)] == [0.0, 10.0, 8.0]
    assert breaker.state == "open"


def test_a_trial_that_succeeds_closes_a_breaker_and_one_that_fails_lets_it_rest_again() -> None:
    breaker = opened()
    assert breaker.wait(10.0) == 0.0
    breaker.failed(11.0)
    assert (breaker.state, breaker.wait(12.0)) == ("open", 9.0)
    assert breaker.wait(21.0) == 0.0
    breaker.succeeded()
    assert (breaker.state, breaker.wait(21.0)) == ("closed", 0.0)
