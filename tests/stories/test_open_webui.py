"""Open WebUI's MCP client, in an environment of its own, over an address that is not loopback: lists, and proposes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import uuid
import venv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler import founding
from tests.conftest import AUTHORITIES
from tests.ports import free_port
from tests.shards.serving import ROUTE
from tests.shards.test_process import environ

PINNED = "mcp==2.3.0"  # so the package of Open WebUI 0.12.4 asks, as of 2026-11-21
FORMER = "mcp==1.27.0"  # of the line that its versions before spoke with, to all those who never update

ROOT = Path(__file__).parents[2]
CLIENT = Path(__file__).with_name("open_webui.py")

_NET = secrets.randbelow(1 << 14) * 4  # a cable of its own for each run: two at once must not share addresses
HERE, THERE = (f"10.213.{(_NET + end) >> 8}.{(_NET + end) & 255}" for end in (1, 2))


@pytest.fixture(scope="session", params=[PINNED, pytest.param(FORMER, marks=pytest.mark.soak)])
def python(request: pytest.FixtureRequest) -> Path:
    """The Python of an environment with that client, made once and kept beside our own."""
    wanted = str(request.param)
    place = Path(sys.prefix) / "open-webui" / wanted.replace("==", "-")
    if not (place / "made").exists():
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, symlinks=True)
        tools = {"TOOLS": str(Path(sys.executable).parent)}
        chosen = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"} | AUTHORITIES | tools
        command = [ROOT / ".ci" / "install", place, wanted]
        done = subprocess.run(command, env=chosen, capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"{wanted} cannot be installed: {done.stderr.decode()[-300:]}")
        (place / "made").touch()
    return place / "bin" / "python"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[list[str]]:
    """What stands before a command that is to run on another machine: a network namespace, one cable away."""
    if shutil.which("ip") is None:
        pytest.skip("no ip program (iproute2)")
    if os.geteuid() != 0:
        pytest.skip("making a network namespace needs root")
    mark = uuid.uuid4().hex[:6]
    namespace, near, far = f"webui-{mark}", f"wn{mark}", f"wf{mark}"
    try:
        _ip("netns", "add", namespace)
    except subprocess.CalledProcessError as refused:
        pytest.skip(f"no network namespace can be made here: {refused.stderr.decode().strip()}")
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", namespace)
        _ip("address", "add", f"{HERE}/30", "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", namespace, "address", "add", f"{THERE}/30", "dev", far)
        _ip("-n", namespace, "link", "set", far, "up")
        yield ["ip", "netns", "exec", namespace]
    finally:
        _ip("netns", "delete", namespace)  # its end of the cable goes with it, and so does ours


@contextlib.contextmanager
def _gateway(home: Path, token_of: str) -> Iterator[tuple[str, str]]:
    """A gateway on the near end; gives its address and a token."""
    url = f"http://{HERE}:{free_port()}"
    chosen = environ(WAYPOST_LISTEN=url[7:], WAYPOST_PUBLIC_URL=url, WAYPOST_RECONCILER_LISTEN="127.0.0.1:9")
    command = [sys.executable, "-m", "reconciler", "--home", str(home), "token", "create", token_of, "--json"]
    made = subprocess.run(command, env=chosen, capture_output=True, text=True, check=True)
    command = [sys.executable, "-m", "shards", "--home", str(home)]
    process = subprocess.Popen(command, env=chosen, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr and any("gateway listens" in line for line in process.stderr), "it does not start"
        yield url, json.loads(made.stdout)["token"]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_it_lists_and_proposes(tmp_path: Path, python: Path, elsewhere: list[str]) -> None:
    home = founding.create(tmp_path / "home", chosen={}, environ={}, now=lambda: datetime.now(UTC))
    with _gateway(home.path, "open-webui") as (url, token):
        asked = {"url": f"{url}/mcp", "token": token, "tool": "traefik_create_route", "arguments": ROUTE}
        command = [*elsewhere, str(python), str(CLIENT)]
        done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert {"traefik_create_route", "traefik_list_routes", "gateway_status"} <= set(told["tools"])
    assert not told["failed"], told["said"]
    assert json.loads(told["said"])["branch"].startswith("proposals/")
