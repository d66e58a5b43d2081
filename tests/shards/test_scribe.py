"""What happens to shards is written down in order, by nobody who has anything else to do."""

from __future__ import annotations

import logging
import threading

import pytest

from shards.scribe import Scribe


def test_who_tells_does_not_wait_and_all_is_written_in_order_before_the_end() -> None:
    scribe, gate, written = Scribe(), threading.Event(), list[int]()

    def write(number: int) -> None:
        gate.wait(30)
        written.append(number)

    tell = scribe.later(write)
    for number in range(20):
        tell(number)
    assert written == []  # the disk stands still, and nobody was held up
    gate.set()
    scribe.close()
    assert written == list(range(20))


def test_what_cannot_be_written_is_complained_of_and_the_rest_is_written(caplog: pytest.LogCaptureFixture) -> None:
    scribe, written = Scribe(), list[int]()

    def write(number: int) -> None:
        if number == 1:
            raise OSError("the disk is full")
        written.append(number)

    tell = scribe.later(write)
    with caplog.at_level(logging.ERROR, logger="waypost.gateway"):
        for number in range(3):
            tell(number)
        scribe.close()
    assert written == [0, 2] and "the disk is full" in caplog.text
