"""The gateway for one local client that starts it, over standard input and output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters

from reconciler import founding
from tests.shards.serving import served
from tests.shards.test_announcements import Growing
from tests.shards.test_process import environ

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}

GARBAGE = [
    b"not json at all",
    b"",
    b"{",
    b"[]",
    b"{}",
    b"null",
    b"\xff\xfe\x00",
    b'{"jsonrpc": "2.0", "id": 7, "method": "no/such/method"}',
    b'{"jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": {"name": 5}}',
    b'{"jsonrpc": "2.0", "id": 9, "result": {}}',
    b"[" * 50_000,
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return founding.create(tmp_path / "home", chosen={}, environ={}, now=lambda: datetime.now(UTC)).path


def command(home: Path) -> list[str]:
    return ["-m", "reconciler", "--home", str(home), "serve-gateway", "--stdio"]


@contextmanager
def started(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Unbuffered: `communicate` does not give out what `readline` read ahead, and begins in the middle of a message.
    process = subprocess.Popen([sys.executable, *command(home)], env=environ(), bufsize=0, **pipes)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def say(process: subprocess.Popen[bytes], *lines: bytes | dict[str, Any]) -> None:
    assert process.stdin
    for line in lines:
        process.stdin.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
    process.stdin.flush()


def answer_to(process: subprocess.Popen[bytes], number: int) -> dict[str, Any]:
    """The answer to a request; every line on the way to it has to be a message of the protocol."""
    assert process.stdout
    while line := process.stdout.readline():
        if message(line).get("id") == number:
            return message(line)
    raise AssertionError(f"it ended without an answer to {number}")


def message(line: bytes) -> dict[str, Any]:
    said = json.loads(line)
    assert said["jsonrpc"] == "2.0"
    return dict(said)


def test_a_local_client_of_the_era_before_lists_and_calls_tools_without_an_address_or_a_token(home: Path) -> None:
    async def ask() -> tuple[set[str], bool | None]:
        parameters = StdioServerParameters(command=sys.executable, args=command(home))
        async with Client(parameters, mode="legacy") as client:
            listed = await client.list_tools()
            answer = await client.call_tool("gateway_status", {})
            return {tool.name for tool in listed.tools}, answer.is_error

    names, failed = anyio.run(ask)
    assert {"traefik_create_route", "gateway_status"} <= names
    assert not failed


def test_garbage_is_answered_in_the_protocol_or_not_at_all_and_the_end_of_input_ends_it(home: Path) -> None:
    with started(home) as process:
        say(process, HELLO)
        assert answer_to(process, 1)["result"]["capabilities"]["tools"] == {"listChanged": True}
        say(process, {"jsonrpc": "2.0", "method": "notifications/initialized"}, *GARBAGE, LIST)
        assert answer_to(process, 2)["result"]["tools"]
        rest, said = process.communicate(timeout=60)
        for line in rest.splitlines():
            message(line)
        assert process.returncode == 0 and b"Traceback" not in said, said.decode()


@pytest.mark.parametrize("ending", [pytest.param(signal.SIGKILL, marks=pytest.mark.soak), signal.SIGTERM])
def test_however_it_is_ended_only_whole_messages_were_said(home: Path, ending: signal.Signals) -> None:
    with started(home) as process:
        say(process, HELLO)
        answer_to(process, 1)
        call = {"name": "gateway_status", "arguments": {}}
        say(process, *({"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": call} for n in range(10, 40)))
        answer_to(process, 12)
        process.send_signal(ending)
        rest, _ = process.communicate(timeout=60)
        for line in rest.split(b"\n")[:-1]:  # the last one may be cut off: nobody reads on
            message(line)


@pytest.mark.parametrize("era", [pytest.param("legacy", marks=pytest.mark.soak), "auto"])
def test_a_local_client_calls_tools_and_hears_that_a_shard_has_gained_one(home: Path, era: str) -> None:
    shard, heard = Growing(), anyio.Event()

    async def hear(said: Any) -> None:
        if getattr(said, "method", "") == "notifications/tools/list_changed":
            heard.set()

    async def story(address: str) -> None:
        entry = f'[shards.weather]\nurl = "{address}/mcp"\ntools = ["rain", "snow"]\ncheck_every = 1.0\n'
        (home / "shards.toml").write_text(entry)
        parameters = StdioServerParameters(command=sys.executable, args=command(home), env={"PATH": os.environ["PATH"]})
        async with Client(parameters, mode=era, message_handler=hear) as client, anyio.create_task_group() as group:

            async def listen() -> None:
                async with client.listen(tools_list_changed=True) as subscription:
                    async for _ in subscription:
                        heard.set()

            if era != "legacy":
                group.start_soon(listen)
            with anyio.fail_after(60):
                while "weather_rain" not in {t.name for t in (await client.list_tools(cache_mode="refresh")).tools}:
                    await anyio.sleep(0.1)
                assert not (await client.call_tool("gateway_status", {})).is_error
                shard.names.append("snow")
                await heard.wait()
            group.cancel_scope.cancel()

    with served(shard.application()) as address:
        anyio.run(story, address)
