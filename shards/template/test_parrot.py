"""What the gateway expects of every shard, and what this one is for."""

from __future__ import annotations

import pytest
from parrot import Parrot

from shards.kit import Call, Refused, Shard
from shards.wire.contract import ShardContract

CALL = Call(request_id="1", client="a test", tool="parrot_say_again")


class TestParrot(ShardContract):
    calls = {"say_again": {"text": "hello", "times": 2}}

    def make(self) -> Shard:
        return Parrot()


def test_it_says_what_it_is_told() -> None:
    assert Parrot().say_again(CALL, text="hello", times=2).words == "hello hello"


def test_it_refuses_to_say_nothing() -> None:
    with pytest.raises(Refused, match="only blanks"):
        Parrot().say_again(CALL, text="  ")
