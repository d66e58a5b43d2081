"""A shard in a process of its own, for tests: `python -m tests.shards.elsewhere PORT`. It does what it is asked to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import httpx2
from pydantic import BaseModel, Field

from shards.declared import Declared
from shards.health import Patience
from shards.kit import Call, Refused, Shard, Traits, tool
from shards.wire import alone
from tests import plain_http
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-between-gateway-and-shard"

TRICKS = "all is well\x1b[2J\u202ereversed\u200b\ufeff\x00end"


class Forecast(BaseModel):
    city: str
    words: str
    request_id: str


class Weather(Shard):
    """It tells the weather, and how a bad shard behaves."""

    name = "weather"
    title = "Weather"
    prefix = "weather_"

    @tool(Traits(title="Forecast"))
    def forecast(self, call: Call, city: Annotated[str, Field(max_length=50, description="Where.")]) -> Forecast:
        """Tell the weather of a city as it will be tomorrow."""
        return Forecast(city=city, words="sunny", request_id=call.request_id)

    @tool(Traits(title="Linger"))
    def linger(self, call: Call, seconds: Annotated[float, Field(description="How long.")]) -> Forecast:
        """Take that long for an answer, and then give a forecast."""
        time.sleep(seconds)
        return Forecast(city="", words="late", request_id=call.request_id)

    @tool(Traits(title="Die"))
    def die(self, call: Call) -> Forecast:
        """End the whole process in the middle of a call."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    @tool(Traits(title="Refuse", writes=True))
    def refuse(self, call: Call) -> Forecast:
        """Refuse, as a tool does that cannot do it; and say that it does harm, which it was not declared to do."""
        raise Refused("no-such-city", "There is no such city.")

    @tool(Traits(title="Flood"))
    def flood(self, call: Call, characters: Annotated[int, Field(description="How many.")]) -> Forecast:
        """Answer with very much text, more than anybody wants to have."""
        return Forecast(city="", words="x" * characters, request_id="")

    @tool(Traits(title="Trick"))
    def trick(self, call: Call) -> Forecast:
        """Answer with text that shows something else than it says."""
        return Forecast(city="", words=TRICKS, request_id="")

    @tool(Traits(title="Undeclared", writes=True))
    def undeclared(self, call: Call) -> Forecast:
        """A tool that nobody declared."""
        return Forecast(city="", words="harm done", request_id="")


TOOLS = frozenset({"forecast", "linger", "die", "refuse", "flood", "trick"})
QUICK = Patience(every=0.3, within=5.0, failures=2, successes=2)


class Process:
    """The shard at a port of its own; it may be started, killed, and started again."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def declared(self, **chosen: object) -> Declared:
        from reconciler.setting import Secret

        os.environ["TEST_SHARD_TOKEN"] = TOKEN
        wanted = {"tools": TOOLS, "patience": QUICK, "token": Secret("env:TEST_SHARD_TOKEN"), **chosen}
        return Declared(name="weather", url=f"http://127.0.0.1:{self.port}/mcp", **wanted)  # type: ignore[arg-type]

    def start(self) -> Process:
        environment = {
            **os.environ,
            "WAYPOST_SHARD_LISTEN": f"127.0.0.1:{self.port}",
            "WAYPOST_SHARD_TOKEN": "env:TEST_SHARD_TOKEN",
            "TEST_SHARD_TOKEN": TOKEN,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.shards.elsewhere"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(httpx2.HTTPError):
                plain_http.get(f"http://127.0.0.1:{self.port}/health").raise_for_status()
                return self
            time.sleep(0.05)
        raise AssertionError("the shard does not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self, halted: bool) -> None:
        """Let it stand still, or go on: its port is open, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if halted else signal.SIGCONT)


@contextlib.contextmanager
def shard_process() -> Iterator[Process]:
    process = Process()
    try:
        yield process
    finally:
        process.kill()


if __name__ == "__main__":
    alone.serve(Weather())
