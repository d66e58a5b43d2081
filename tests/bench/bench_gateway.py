"""What the gateway adds to a call: authorised, limited, durably audited, over a bare call of the same shard.

Run as a script: `python tests/bench/bench_gateway.py [calls]`. Three processes on loopback (the shard alone; a gateway
with the same shard inside; a gateway that asks the shard alone), asked in turns by a bare HTTP client.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler import tokens
from reconciler.ports import Disk
from reconciler.tokens import Keyring
from tests.bench.figures import Figure, told

CALLS = 450
TURN = 5  # calls, then it is the next one's: whatever the machine does meanwhile meets all alike
WARM = 50  # calls before those that count
CALLERS = 32
TOOL = "add"


def client(port: int, tool: str, token: str) -> Callable[[], float]:
    """A call over a connection of its own; how long it took, in seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": {"one": 2, "other": 3}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
        "Authorization": f"Bearer {token}",
    }

    def call() -> float:
        started = time.perf_counter()
        connection.request("POST", "/mcp", body, headers)
        response = connection.getresponse()
        answer = response.read()
        took = time.perf_counter() - started
        assert response.status == 200 and b"total" in answer, answer[:500]
        return took

    return call


@contextlib.contextmanager
def serving(directory: Path, way: str, *arguments: str) -> Iterator[int]:
    """A process of `tests.bench.serving_shards`; gives its port."""
    command = [sys.executable, "-m", "tests.bench.serving_shards", way, str(directory), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)


def p50(calls: list[float]) -> float:
    return statistics.median(calls) * 1000


def p99(calls: list[float]) -> float:
    return sorted(calls)[int(len(calls) * 0.99)] * 1000


def throughput(callers: Sequence[Callable[[], float]], each: int) -> tuple[float, list[float]]:
    """Calls a second of many callers at once, and how long each call took."""
    started = time.perf_counter()
    with ThreadPoolExecutor(len(callers)) as workers:
        found = [one for many in workers.map(lambda call: [call() for _ in range(each)], callers) for one in many]
    return len(found) / (time.perf_counter() - started), found


def main(arguments: list[str]) -> int:
    number = int(arguments[0]) if arguments else CALLS
    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as place, contextlib.ExitStack() as stack:
        home = Path(place)
        token, raw = tokens.mint(
            "bench", "propose", grants=(), chance=os.urandom, now=datetime.now(UTC), lasts=timedelta(days=1)
        )
        Keyring(home / "tokens.json", Disk()).change(lambda known: [*known, token])
        alone = stack.enter_context(serving(home / "alone", "alone"))
        inside = stack.enter_context(serving(home / "gateway", "gateway"))
        beside = stack.enter_context(serving(home / "beside", "gateway", str(alone)))
        ways = {
            "direct": (alone, TOOL),
            "in process": (inside, f"sums_{TOOL}"),
            "remote": (beside, f"elsewhere_{TOOL}"),
        }
        found: dict[str, list[list[float]]] = {way: [] for way in ways}
        callers = {way: client(port, tool, raw) for way, (port, tool) in ways.items()}
        for turn in range(-(WARM // TURN), number // TURN):
            for way, call in callers.items():
                calls = [call() for _ in range(TURN)]
                if turn >= 0:
                    found[way].append(calls)
        medians = {way: statistics.median(map(p50, rounds)) for way, rounds in found.items()}
        print("  p50 ms: " + ", ".join(f"{way} {value:.2f}" for way, value in medians.items()))
        for way, (port, tool) in ways.items():
            rate, calls = throughput([client(port, tool, raw) for _ in range(CALLERS)], max(number // 20, 5))
            print(f"  {CALLERS} callers, {way}: {rate:,.0f} calls a second, p99 {p99(calls):.0f} ms")
    pairs = {
        way: [(p50(one), p50(other)) for one, other in zip(found[way], found["direct"], strict=True)] for way in ways
    }
    return told(
        [
            Figure(
                name="gateway call over direct call, shard in process, p50",
                value=statistics.median(one / other for one, other in pairs["in process"]),
                bar=2.2,
            ),
            Figure(
                name="gateway call over direct call, shard elsewhere, p50",
                value=statistics.median(one / other for one, other in pairs["remote"]),
                bar=4.5,
            ),
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
