"""Ten thousand calls of shards of which one in a hundred fails: none is lost, all are audited, nothing leaks."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from state.events import ToolCalled
from state.outbox import Outbox
from tests.ports import free_port
from tests.shards.serving import DesiredRepo, now

ROOT = Path(__file__).parents[3]
CALLERS = 8
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
}
INJECTED = ("internal", "no-echo", "too-slow", "shard-slow")
"""What the calls come to that are told to fail, those apart that kill the shard."""

MOST_GROWTH = 1_024
"""Kilobytes of the gateway's memory over the second half of the calls, when all is warm: a fifth of a kilobyte for each
of five thousand would be a leak."""

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "many", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Started:
    """A process of `flaky.py` that tells its port."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.shards.misbehaving.flaky", *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@dataclass
class Field:
    """The gateway, and the shard elsewhere, which somebody starts again whenever it has died."""

    directory: Path
    shard_port: int = field(default_factory=free_port)
    deaths: int = 0
    ending: bool = False

    def __post_init__(self) -> None:
        DesiredRepo(self.directory / "desired.git")
        self.shard = Started("alone", str(self.shard_port))
        self.gateway = Started("gateway", str(self.directory), str(self.shard_port))
        self.keeper = threading.Thread(target=self._keep)
        self.keeper.start()

    def _keep(self) -> None:
        while not self.ending:
            try:
                self.shard.process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
            if not self.ending:
                self.deaths += 1
                self.shard.end()
                self.shard = Started("alone", str(self.shard_port))

    def end(self) -> None:
        self.ending = True
        self.keeper.join()
        self.gateway.end()
        self.shard.end()

    def asked(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse().read()
        connection.close()
        return json.loads(answer)

    def until_all_is_well(self) -> None:
        deadline = time.monotonic() + 60
        while self.asked("/health")["shards"].get("remote", {}).get("state") != "up":
            assert time.monotonic() < deadline, "the shard elsewhere did not come back"
            time.sleep(0.1)

    def held(self) -> dict[str, int]:
        """What the gateway holds while nobody calls: tasks, open files, threads, kilobytes of memory of its own."""
        place = Path(f"/proc/{self.gateway.process.pid}")
        memory = next(line for line in (place / "status").read_text().splitlines() if line.startswith("RssAnon"))
        return {
            # The least of some looks: a check of the shard's health may be under way, and is over before the last.
            "tasks": min(self.asked("/tasks")["tasks"] for _ in range(30)),
            "files": sum(1 for _ in (place / "fd").iterdir()),
            "threads": sum(1 for _ in (place / "task").iterdir()),
            "kilobytes": int(memory.split()[1]),
        }

    def audited(self) -> Counter[str]:
        outbox = Outbox.open(self.directory / "gateway" / "outbox.db", now, readonly=True)
        try:
            events = [row.event for row in outbox.read(0)]
        finally:
            outbox.close()
        return Counter(event.outcome for event in events if isinstance(event, ToolCalled))


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Field]:
    made = Field(tmp_path)
    try:
        yield made
    finally:
        made.end()


def calls(numbers: range, port: int, random: Random, deadly: frozenset[int], patient: bool) -> Counter[str]:
    """One caller's calls, one after the other: what came of each. Every answer is the one to its own question.

    One that is patient comes back when it is told to, so that a shard that rests does not answer thousands of calls.
    """
    came = Counter[str]()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for number in numbers:
            remote = number % 2 == 1
            fate = random.choice(["raise", "refuse", "hang"]) if random.random() < 0.01 else "well"
            fate = "die" if number in deadly else fate
            tool = "remote_echo" if remote else "flaky_echo"
            params = {"name": tool, "arguments": {"number": number, "fate": fate}, "_meta": META}
            body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
            connection.request("POST", "/mcp", body, {**HEADERS, "Mcp-Name": tool})
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert answer["id"] == number and response.status == 200 and "result" in answer, (fate, answer)
            told = answer["result"]["structuredContent"]
            outcome = told.get("code", "ok")
            assert outcome != "ok" or told["number"] == number, told
            assert outcome == "ok" or fate != "well" or (remote and outcome.startswith("shard-")), (fate, told)
            came[outcome] += 1
            if patient and outcome == "shard-resting":
                connection.close()  # nobody would keep it for so long
                time.sleep(told["retry_after_seconds"])
    return came


def ask_all(
    many: Field, numbers: range, deadly: frozenset[int] = frozenset(), *, patient: bool = False
) -> Counter[str]:
    with ThreadPoolExecutor(CALLERS) as workers:
        parts = [numbers[first::CALLERS] for first in range(CALLERS)]
        asked = [workers.submit(calls, part, many.gateway.port, Random(part.start), deadly, patient) for part in parts]
        return sum((one.result() for one in asked), Counter())


def ask_and_look(many: Field, warm_up: int, number: int, deaths: int, *, patient: bool = False) -> None:
    many.until_all_is_well()
    warm = ask_all(many, range(warm_up))
    many.until_all_is_well()
    held = [many.held()]
    came = Counter[str]()
    deadly = frozenset(warm_up + 1 + 2 * (number * n // (2 * (deaths + 1))) for n in range(1, deaths + 1))
    for quarter in range(4):
        begins = warm_up + number * quarter // 4
        came += ask_all(many, range(begins, begins + number // 4), deadly, patient=patient)
        many.until_all_is_well()
        held.append(many.held())
    assert came.total() == number and came["ok"] > 0.5 * number, came
    assert 1 <= many.deaths <= deaths, many.deaths  # one that is still coming back cannot be told to die
    assert 0.005 <= sum(came[code] for code in INJECTED) / number <= 0.02, came
    assert many.audited().total() == warm.total() + came.total()
    first, middle, last = held[0], held[2], held[4]
    assert last["tasks"] <= first["tasks"], held
    assert last["files"] <= first["files"] + CALLERS, held  # sockets of those who hung up may linger
    assert last["threads"] <= first["threads"] + CALLERS, held
    assert last["kilobytes"] <= middle["kilobytes"] + MOST_GROWTH, held


def test_no_call_is_lost_and_every_one_is_audited(many: Field) -> None:
    ask_and_look(many, 100, 400, deaths=1)


@pytest.mark.soak
def test_ten_thousand_calls_lose_nothing_and_leak_nothing(many: Field) -> None:
    ask_and_look(many, 3_000, 10_000, deaths=4, patient=True)
