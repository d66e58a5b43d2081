"""A process that appends for as long as it lives, and tells each event on standard output once it is durable."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from state.errors import LogError
from state.events import ApplyProven, ToolCalled
from state.log import Entry, EventLog
from state.outbox import Outbox
from state.views import Applied


def write(kind: str, path: Path, limit: int, say: Callable[[str], object]) -> None:
    put = {"log": to_log, "outbox": to_outbox}[kind](path)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    number = 0
    try:
        while True:
            number += 1
            put(number)
            say(f"done {number}")
    except LogError as fault:
        say(f"{type(fault).__name__}: {fault}")
        try:
            put(number + 1)
        except LogError as again:
            say(f"{type(again).__name__}: {again}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def to_log(path: Path):
    log = EventLog.open(path, now=lambda: datetime.now(UTC), create=True)

    def put(number: int) -> None:
        changes = {f"traefik/http.routers/{number}": {"rule": "x" * 500}}
        event = ApplyProven(
            instance="traefik", attempt="a", commit="c", changes=changes, file="f", seconds=1.0, evidence="e"
        )
        log.append([Entry(stream="target/traefik", event=event, key=f"k{number}") for _ in range(2)])
        if number % 7 == 0:
            log.view(Applied)

    return put


def to_outbox(path: Path):
    outbox = Outbox.open(path, lambda: datetime.now(UTC), create=True)

    def put(number: int) -> None:
        event = ToolCalled(shard="s", tool="t", client="c", outcome="ok", arguments_digest=str(number))
        outbox.put(event, stream="gateway", actor="m", id=f"k{number}")

    return put


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), say)
