"""Whatever a shard elsewhere does, the others are not disturbed, every call is answered, and all is well afterwards."""

from __future__ import annotations

import pytest

from tests.shards.misbehaving.peers import MOODS
from tests.shards.misbehaving.world import World, play


def test_the_gateway_stands_misbehaving_shards() -> None:
    met = play(range(80))
    assert set(MOODS) <= met.keys()


@pytest.mark.soak
@pytest.mark.parametrize("block", range(20))
def test_the_gateway_stands_misbehaving_shards_for_long(block: int) -> None:
    play(range(1_000 + block * 500, 1_500 + block * 500))


def test_a_seed_plays_the_same_schedule_again() -> None:
    once, again = World(7).play(), World(7).play()
    assert once.turns == again.turns
    assert [(one.call, one.ended) for one in once.asked] == [(one.call, one.ended) for one in again.asked]
