"""The same work through Waypost and through its peers: `make bench-peers`, one table, everything on loopback.

Each peer runs in an environment of its own (`.venv/peers/NAME`, pinned in `NAME.txt` beside this file) with as little
to do as it allows; Waypost authorises every call and flushes its audit to the disk before it answers. All are asked
in turns by one bare HTTP client. Every process started here is ended here.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[3]))

from reconciler import tokens
from reconciler.ports import Disk
from reconciler.tokens import Keyring
from tests.bench.bench_gateway import CALLERS, TOOL, p50, p99, serving, throughput
from tests.ports import free_port

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[2] / ".venv" / "peers"
ROUNDS = 5
LONGEST_START = 300.0
"""Seconds until a peer has to do the work; the heaviest takes a quarter of a minute where nothing else runs."""

LONGEST = 1_200
"""Seconds after which all is ended, whatever was found by then."""

LEGACY = "2025-06-18"
MODERN = "2026-07-28"


@dataclass(frozen=True)
class Door:
    """Where one way to the work is asked, and how. `like`: which way of Waypost does the same."""

    name: str
    port: int
    tool: str
    path: str = "/mcp"
    era: str = MODERN
    like: str = ""
    token: str = ""


@dataclass
class Measured:
    rounds: list[list[float]] = field(default_factory=list)
    rate: float = 0.0
    late: float = 0.0  # p99 of a call while many call at once, ms

    @property
    def p50(self) -> float:
        return statistics.median(map(p50, self.rounds))

    @property
    def p99(self) -> float:
        return p99([one for calls in self.rounds for one in calls])


def caller(door: Door) -> Callable[[], float]:
    """A call over a connection of its own; how long it took, in seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=60)
    params: dict[str, Any] = {"name": door.tool, "arguments": {"one": 2, "other": 3}}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": door.era,
    }
    if door.era == MODERN:
        headers |= {"Mcp-Method": "tools/call", "Mcp-Name": door.tool}
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    if door.token:
        headers["Authorization"] = f"Bearer {door.token}"
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})

    def call() -> float:
        started = time.perf_counter()
        connection.request("POST", door.path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        took = time.perf_counter() - started
        if response.status != 200 or b"total" not in answer:
            raise RuntimeError(f"{door.name} answers {response.status}: {answer[:300]!r}")
        return took

    return call


# ── those who answer ─────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def running(door: Door, *command: str | Path, **environ: str) -> Iterator[Door]:
    """A peer's process, from when it does the work until it is ended."""
    program, *arguments = map(str, command)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environ}
    process = subprocess.Popen(
        [program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        _until(process, lambda: bool(caller(door)()))
        yield door
    finally:
        _end(process)


def _until(process: subprocess.Popen[bytes], holds: Callable[[], bool], seconds: float = LONGEST_START) -> None:
    deadline, last = time.monotonic() + seconds, "nothing"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
        try:
            if holds():
                return
        except (OSError, http.client.HTTPException, RuntimeError) as fault:
            last = str(fault)
        time.sleep(0.2)
    raise RuntimeError(f"it does not do the work: {last}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def program(peer: str, name: str) -> Path:
    """A program of a peer's environment. Raises RuntimeError where that is not installed."""
    path = ENVIRONMENTS / peer / "bin" / name
    if not path.exists():
        raise RuntimeError(f"not installed: make bench-peers makes {path.parent.parent.name}")
    return path


def pinned(peer: str) -> str:
    return (HERE / f"{peer}.txt").read_text().split()[0].partition("==")[2]


@contextlib.contextmanager
def fastmcp_mount(_: int) -> Iterator[Door]:
    door = Door(f"FastMCP {pinned('fastmcp')}, mount", free_port(), "sums_add", like="in process")
    python = program("fastmcp", "python")
    with running(door, python, HERE / "serving_fastmcp.py", "mount", str(door.port)) as served:
        yield served


@contextlib.contextmanager
def fastmcp_proxy(upstream: int) -> Iterator[Door]:
    door = Door(f"FastMCP {pinned('fastmcp')}, proxy", free_port(), TOOL, like="elsewhere")
    python, address = program("fastmcp", "python"), f"http://127.0.0.1:{upstream}/mcp"
    with running(door, python, HERE / "serving_fastmcp.py", "proxy", str(door.port), address) as served:
        yield served


@contextlib.contextmanager
def mcp_proxy(_: int) -> Iterator[Door]:
    """It speaks to its upstream over pipes: what it fronts over HTTP is a process of its own."""
    door = Door(f"mcp-proxy {pinned('mcp-proxy')}", free_port(), TOOL, era=LEGACY, like="elsewhere")
    python = program("mcp-proxy", "python")
    with running(
        door,
        program("mcp-proxy", "mcp-proxy"),
        *("--host", "127.0.0.1", "--port", str(door.port), "--stateless", "--log-level", "ERROR", "--"),
        *(python, HERE / "sums_over_stdio.py"),
    ) as served:
        yield served


@contextlib.contextmanager
def contextforge(upstream: int) -> Iterator[Door]:
    """One worker and SQLite, as its package starts it, without limits. Not the deployment that it is tuned for."""
    port, secret = free_port(), secrets.token_urlsafe(48)
    command = [program("contextforge", "mcpgateway"), "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as place:
        settings = {
            "DATABASE_URL": f"sqlite:///{place}/mcp.db",
            "JWT_SECRET_KEY": secret,
            "AUTH_ENCRYPTION_SECRET": secrets.token_urlsafe(48),
            "PLATFORM_ADMIN_EMAIL": "bench@example.org",
            "PLATFORM_ADMIN_PASSWORD": f"{secrets.token_urlsafe(16)}!Aa1",
            "AUTH_REQUIRED": "false",
            "ALLOW_UNAUTHENTICATED_ADMIN": "true",
            "MCP_CLIENT_AUTH_ENABLED": "true",
            "RATE_LIMITING_ENABLED": "false",
            "SSRF_ALLOW_LOCALHOST": "true",
            "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
            "MCPGATEWAY_UI_ENABLED": "false",
            "MCPGATEWAY_ADMIN_API_ENABLED": "false",
            "PLUGINS_ENABLED": "false",
            "LOG_LEVEL": "ERROR",
            "HOST": "127.0.0.1",
            "SECURE_COOKIES": "false",
            "USE_STATEFUL_SESSIONS": "false",
            "ENVIRONMENT": "development",
        }
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **settings},
            cwd=place,
        )
        try:
            token = _token_of_contextforge(settings)
            ask = _Asking(port, token)
            _until(process, lambda: bool(ask("GET", "/health")))
            ask(
                "POST",
                "/gateways",
                {"name": "sums", "url": f"http://127.0.0.1:{upstream}/mcp", "transport": "STREAMABLEHTTP"},
            )
            tools = ask("GET", "/tools")
            found = next(one for one in (tools if isinstance(tools, list) else tools["tools"]))
            made = ask("POST", "/servers", {"server": {"name": "bench", "associated_tools": [found["id"]]}})
            name = f"ContextForge {pinned('contextforge')}"
            door = Door(name, port, found["name"], f"/servers/{made['id']}/mcp", LEGACY, "elsewhere", token)
            _until(process, lambda: bool(caller(door)()))
            yield door
        finally:
            _end(process)


def _token_of_contextforge(settings: dict[str, str]) -> str:
    python = str(program("contextforge", "python"))
    command = [python, "-m", "mcpgateway.utils.create_jwt_token", "--username", settings["PLATFORM_ADMIN_EMAIL"]]
    command += ["--exp", "120", "--secret", settings["JWT_SECRET_KEY"]]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **settings})
    return done.stdout.split()[-1]


@dataclass(frozen=True)
class _Asking:
    """A peer's own interface, in JSON."""

    port: int
    token: str

    def __call__(self, method: str, path: str, told: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            None if told is None else json.dumps(told).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read()[:300]!r}") from error


PEERS: tuple[Callable[[int], contextlib.AbstractContextManager[Door]], ...] = (
    fastmcp_mount,
    fastmcp_proxy,
    mcp_proxy,
    contextforge,
)


# ── comparing ────────────────────────────────────────────────────────────────────────────────────


def measured(doors: list[Door], calls: int) -> dict[str, Measured]:
    """Asked in turns, so that what slows the machine down slows all; then by many callers at once."""
    found = {door.name: Measured() for door in doors}
    for _ in range(ROUNDS):
        for door in doors:
            call = caller(door)
            found[door.name].rounds.append([call() for _ in range(calls // ROUNDS + 5)][5:])
    for door in doors:
        rate, many = throughput([caller(door) for _ in range(CALLERS)], max(calls // CALLERS, 3))
        found[door.name].rate, found[door.name].late = rate, p99(many)
    return found


def table(doors: list[Door], found: dict[str, Measured], absent: dict[str, str]) -> list[str]:
    rows = [
        ("way", "p50 ms", "p99 ms", "over direct", f"calls/s, {CALLERS} callers", "p99 ms then", "Waypost is ahead")
    ]
    for door in doors:
        one, direct = found[door.name], found["direct"]
        rows.append(
            (
                door.name,
                f"{one.p50:.2f}",
                f"{one.p99:.2f}",
                f"{one.p50 / direct.p50:.2f} ×",
                f"{one.rate:,.0f}",
                f"{one.late:,.0f}",
                _verdict(door, found),
            )
        )
    rows += [(name, *["–"] * 5, f"not measured: {why}") for name, why in absent.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _verdict(door: Door, found: dict[str, Measured]) -> str:
    if not door.like:
        return ""
    ours, theirs = found[f"Waypost, shard {door.like}"], found[door.name]
    quicker, more = theirs.p50 / ours.p50, ours.rate / theirs.rate
    word = "yes" if quicker > 1 and more > 1 else "NO"
    return f"{word}: p50 {quicker:.2f} ×, throughput {more:.2f} ×"


def main(arguments: list[str]) -> int:
    """`compare.py [CALLS] [PEER…]`; without names all peers."""
    calls = int(arguments[0]) if arguments else 300
    wanted = [peer for peer in PEERS if not arguments[1:] or peer.__name__ in arguments[1:]]
    for each in (signal.SIGTERM, signal.SIGALRM):  # so that all that was started is ended
        signal.signal(each, lambda number, frame: sys.exit(f"ended by {signal.Signals(number).name}"))
    signal.alarm(LONGEST)
    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as place, contextlib.ExitStack() as stack:
        home = Path(place)
        token, raw = tokens.mint(
            "bench", "read", grants=(), chance=os.urandom, now=datetime.now(UTC), lasts=timedelta(days=1)
        )
        Keyring(home / "tokens.json", Disk()).change(lambda known: [*known, token])
        alone = stack.enter_context(serving(home / "alone", "alone"))
        inside = stack.enter_context(serving(home / "gateway", "gateway"))
        beside = stack.enter_context(serving(home / "beside", "gateway", str(alone)))
        doors = [
            Door("direct", alone, TOOL),
            Door("Waypost, shard in process", inside, f"sums_{TOOL}", token=raw),
            Door("Waypost, shard elsewhere", beside, f"elsewhere_{TOOL}", token=raw),
        ]
        absent = {}
        for peer in wanted:
            print(f"starting {peer.__name__} …", flush=True)
            try:
                doors.append(stack.enter_context(peer(alone)))
            except (RuntimeError, OSError, subprocess.SubprocessError, StopIteration, KeyError) as fault:
                absent[peer.__name__] = str(fault)
        found = measured(doors, calls)
    print("\n".join(table(doors, found, absent)))
    behind = [door.name for door in doors if _verdict(door, found).startswith("NO")]
    print(f"\nbehind: {', '.join(behind)}" if behind else "\nahead of every peer that was measured")
    return 1 if behind or absent else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
