"""A system that does not answer costs the first calls their patience, and not every one after them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from reconciler.asking import AskError, Question, Reply
from shards.resting import IN_A_ROW, LONG, RESTS, Resting

QUICKLY = Question(path="/", seconds=5, step=0.2)


@dataclass
class System:
    """Accepts every connection, and says what it is told to; "" is nothing. The clock leaps while it is asked."""

    listening: socket.socket
    now: float = 0.0
    leaps: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now + (self.leaps.pop(0) if self.leaps else 0.0)

    def asked(self, resting: Resting, seconds: float = LONG) -> str | Reply:
        """What comes of a question that takes so long."""
        self.leaps = [0.0, seconds]
        try:
            return resting.ask(QUICKLY)
        except AskError as fault:
            return str(fault)
        finally:
            self.leaps = []

    @property
    def connections(self) -> int:
        """How many were made since this was asked last."""
        self.listening.setblocking(False)
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.listening.accept()[0].close()
                count += 1
        return count


@pytest.fixture
def system() -> Iterator[System]:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        yield System(listening)


@pytest.fixture
def resting(system: System) -> Iterator[Resting]:
    address, port = system.listening.getsockname()
    one = Resting("Komodo", f"http://{address}:{port}", now=system.clock)
    yield one
    one.close()


def test_after_some_calls_in_silence_the_others_are_told_at_once_until_one_tries_again(
    system: System, resting: Resting
) -> None:
    found = [system.asked(resting) for _ in range(IN_A_ROW)]
    assert system.connections == IN_A_ROW and all("no answer in time" in str(one) for one in found)
    assert [system.asked(resting) for _ in range(5)] == found[-1:] * 5
    assert system.connections == 0
    system.now += RESTS + 2 * LONG
    assert [system.asked(resting) for _ in range(3)] == found[-1:] * 3
    assert system.connections == 1, "one tries, and the others hear what the last one found"


def test_what_fails_at_once_is_asked_each_time(system: System, resting: Resting) -> None:
    for _ in range(2 * IN_A_ROW):
        system.asked(resting, seconds=0.1)
    assert system.connections == 2 * IN_A_ROW
