"""The gateway as a process of its own: it starts from a home, tells its address, and ends cleanly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shards.config import read
from tests.ports import free_port
from tests.shards.serving import ROUTE, DesiredRepo, Waypost, gateway_over, wait_until_healthy


def environ(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYPOST_")}
    return {**kept, **more}


@contextmanager
def started(home: Path, **more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "shards", "--home", str(home)], env=environ(**more), stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_a_home_and_ends_cleanly(tmp_path: Path, ending: signal.Signals) -> None:
    desired, port = DesiredRepo(tmp_path / "desired.git"), free_port()
    chosen = {"WAYPOST_LISTEN": f"127.0.0.1:{port}", "WAYPOST_RECONCILER_LISTEN": "127.0.0.1:9"}
    with started(tmp_path, **chosen) as process:
        wait_until_healthy(f"http://127.0.0.1:{port}", process)
        waypost = Waypost(f"http://127.0.0.1:{port}", read(tmp_path, chosen), desired)
        assert waypost.answer("traefik_create_route", **ROUTE)["branch"] in waypost.proposals
        process.send_signal(ending)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert f"http://127.0.0.1:{port}/mcp" in said
    assert "no token is asked for on loopback until there is one: waypost token create NAME" in said
    assert "Traceback" not in said


TOLD_TO_END_AT_START = """
import os, signal, sys
from pathlib import Path
from shards.__main__ import serve

def way(settings):
    try:  # as a library does in whose middle the signal arrives
        os.kill(os.getpid(), signal.SIGTERM)
        print("it goes on")
    except BaseException as fault:
        print("a library prints", type(fault).__name__)

serve(Path(sys.argv[1]), {}, way)
"""


def test_told_to_end_while_it_starts_it_ends_without_a_word(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TOLD_TO_END_AT_START, str(tmp_path)],
        env=environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


LOOKED_FOR = """
import gc, sys
from pathlib import Path
from shards.__main__ import serve

print(gc.get_threshold()[0])
serve(Path(sys.argv[1]), {}, lambda settings: print(gc.get_threshold()[0]))
print(gc.get_threshold()[0])
"""


def test_while_it_serves_it_seldom_looks_for_garbage(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOOKED_FOR, str(tmp_path)]
    done = subprocess.run(command, env=environ(), capture_output=True, text=True, timeout=60, check=True)
    before, meanwhile, after = map(int, done.stdout.split())
    assert meanwhile > 10 * before == 10 * after


def test_a_wrong_setting_is_one_message_and_no_traceback(tmp_path: Path) -> None:
    with started(tmp_path, WAYPOST_LISTEN="nowhere") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "WAYPOST_LISTEN" in said
    assert "Traceback" not in said


def test_a_taken_address_is_one_message_and_no_traceback(tmp_path: Path) -> None:
    DesiredRepo(tmp_path / "desired.git")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with started(tmp_path, WAYPOST_LISTEN=listen) as process:
            _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert listen in said
    assert "Traceback" not in said


def test_a_clone_that_cannot_be_read_is_one_message_and_no_traceback(tmp_path: Path) -> None:
    desired = DesiredRepo(tmp_path / "desired.git")
    with gateway_over(desired, tmp_path / "gateway") as waypost:
        commit = waypost.answer("traefik_create_route", **ROUTE)["commit"]
    damaged = waypost.settings.clone / "objects" / commit[:2] / commit[2:]
    damaged.chmod(0o600)
    damaged.write_bytes(b"damaged")
    with started(tmp_path, WAYPOST_LISTEN=f"127.0.0.1:{free_port()}") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the gateway cannot start" in said and commit in said
    assert "Traceback" not in said
