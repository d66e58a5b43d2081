"""The nine points by which the first plan wanted the whole to be judged, in one house: real processes, a real Traefik.

They stand in the order in which a person would try them; what the later ones need is a fixture, whoever comes first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx2
import orjson
import pytest
from mcp import Client

from reconciler import founding
from reconciler.home import Home
from tests import plain_http
from tests.conftest import RunningTraefik, wait_until
from tests.ports import free_ports
from tests.reconciler.documentation.recorded import recorded
from tests.shards.serving import gateway_over
from tests.shards.test_process import environ

ROOT = Path(__file__).parents[2]
HOST = "verified.lab"
ROUTE = {"name": "verified", "host": HOST, "service_url": "http://127.0.0.1:9", "reason": "the fourth point"}

PAGE = b"<html><body><article><h1 id='ratelimit'>RateLimit</h1><p>How many requests one source may make.</p></article>"
PLACE = {"location": "middlewares/ratelimit/", "title": "RateLimit", "text": "How many requests one source may make."}
RECORDED = {
    "/traefik/v3.7/search/search_index.json": orjson.dumps({"docs": [PLACE]}),
    "/traefik/v3.7/middlewares/ratelimit/": PAGE,
}


@dataclass
class Running:
    """`waypost up` beside a Traefik, and what a test may look at."""

    home: Home
    traefik: RunningTraefik
    gateway: str
    shard_port: int
    log: Path

    def health(self) -> dict[str, Any]:
        return dict(plain_http.get(f"{self.gateway}/health").json())

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer to a real MCP client."""

        async def ask() -> Any:
            async with Client(f"{self.gateway}/mcp") as client:
                return await client.call_tool(tool, arguments)

        answer = anyio.run(ask)
        assert not answer.is_error, answer.content
        return dict(answer.structured_content)

    def waypost(self, *words: str) -> str:
        command = [sys.executable, "-m", "reconciler", "--home", str(self.home.path), *words]
        chosen = environ(WAYPOST_APPROVE_WITHOUT_TERMINAL="true")
        done = subprocess.run(command, env=chosen, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 2), done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, traefik_binary: Path) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("verified")
    entry, api, gateway, reconciler, shard = free_ports(5)
    with ExitStack() as stack:
        traefik = _traefik(place, traefik_binary, entry, api)
        stack.callback(traefik.stop)
        wait_until(traefik.up, "Traefik")
        chosen = {
            "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(traefik.directory),
            "WAYPOST_TRAEFIK_API_URL": traefik.url,
            "WAYPOST_LISTEN": f"127.0.0.1:{gateway}",
            "WAYPOST_RECONCILER_LISTEN": f"127.0.0.1:{reconciler}",
        }
        home = founding.create(place / "home", chosen=chosen, environ={}, now=lambda: datetime.now(UTC))
        log = place / "up.log"
        output = stack.enter_context(log.open("wb"))
        command = [sys.executable, "-m", "reconciler", "--home", str(home.path), "up"]
        process = subprocess.Popen(command, env=environ(TEA="leaves"), cwd=ROOT, stdout=output, stderr=output)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)
        house = Running(home, traefik, f"http://127.0.0.1:{gateway}", shard, log)
        wait_until(lambda: _answers(house, f"http://127.0.0.1:{reconciler}"), "waypost up", 60)
        yield house


def _traefik(place: Path, binary: Path, entry: int, api: int) -> RunningTraefik:
    watched = place / "traefik" / "dynamic"
    watched.mkdir(parents=True)
    ports = {"web": entry, "traefik": api}
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {name: {"address": f"127.0.0.1:{port}"} for name, port in ports.items()},
        "api": {"insecure": True},
        "providers": {"providersThrottleDuration": "100ms", "file": {"directory": str(watched), "watch": True}},
    }
    traefik = RunningTraefik(binary=binary, directory=watched, home=watched.parent, ports=ports, static=static)
    traefik.start()
    return traefik


def _answers(house: Running, reconciler: str) -> bool:
    try:
        return bool(house.health()) and plain_http.get(f"{reconciler}/query/status").json()["revision"] >= 1
    except (httpx2.HTTPError, KeyError):
        return False


@pytest.fixture(scope="module")
def approved(running: Running) -> Running:
    """The same house, once the test route was proposed, was not served, was approved, and is served."""
    proposal = running.call("traefik_create_route", **ROUTE)["proposal"]
    wait_until(lambda: proposal in running.waypost("proposals"), "the proposal", 60)
    assert "verified@file" not in running.traefik.names("routers")
    plan = orjson.loads(running.waypost("plan", "--ref", f"proposals/{proposal}", "--json"))
    running.waypost("approve", proposal, "--plan", plan["digest"])
    wait_until(lambda: running.traefik.get(HOST)[0] == 502, "the route, whose backend is away", 60)
    return running


# ── the points ───────────────────────────────────────────────────────────────────────────────────


def test_1_health_shows_the_registry(running: Running) -> None:
    assert running.health()["status"] == "ok"
    assert all(shard["state"] == "up" for shard in running.health()["shards"].values())


def test_2_the_traefik_shard_registers(running: Running) -> None:
    assert running.health()["shards"]["traefik"]["tools"] >= 18
    assert running.call("gateway_status")["shards"]["traefik"]["state"] == "up"


def test_3_a_tool_call_goes_through_to_traefiks_api(running: Running) -> None:
    running.traefik.drop("neighbour.yml", "http: {routers: {seen: {rule: Host(`seen.lab`), service: noop@internal}}}")
    wait_until(lambda: "seen@file" in running.traefik.names("routers"), "the neighbour's route")
    foreign = running.call("traefik_list_routes")["foreign"]
    assert {"name": "seen", "kind": "http.routers", "origin": "neighbour.yml"} in foreign


def test_4_a_test_route_appears_in_traefik_after_approval_and_not_before(approved: Running) -> None:
    assert approved.traefik.get(HOST)[0] == 502


def test_5_documentation_answers(running: Running, tmp_path: Path) -> None:
    """From a recorded site. `waypost up` reads the official ones and no others, so this gateway is another one."""
    desired: Any = SimpleNamespace(path=running.home.desired_store_path)
    with recorded(RECORDED) as site, gateway_over(desired, tmp_path / "gateway", documentation=site.reach) as waypost:
        told = waypost.answer("traefik_get_traefik_docs", topic="rate limit", version="3.7")
    assert "How many requests one source may make." in told["sections"][0]["text"]


def test_6_mcp_managed_contains_the_route(approved: Running) -> None:
    file = approved.traefik.directory / "mcp-managed" / "waypost.yml"
    assert HOST in orjson.loads(file.read_bytes())["http"]["routers"]["verified"]["rule"]


def test_7_traefik_notices_by_itself(approved: Running) -> None:
    """Nobody restarted it or told it anything: its process is the one that was started."""
    assert approved.traefik.process is not None and approved.traefik.process.poll() is None
    assert "verified@file" in approved.traefik.names("routers")


def test_8_a_chat_clients_call_is_seen_in_the_gateways_log(running: Running) -> None:
    asked = running.call("proposals_list")
    assert asked is not None
    wait_until(lambda: '"tool": "proposals_list"' in running.log.read_text(), "the line")
    (line,) = [line for line in running.log.read_text().splitlines() if '"tool": "proposals_list"' in line]
    told = orjson.loads(line[line.index("{") :])
    assert told["outcome"] == "ok" and told["request_id"] and told["client"]


def test_9_the_template_yields_a_shard_that_registers(running: Running, tmp_path: Path) -> None:
    running.waypost("shard", "new", "tea-time", str(tmp_path / "tea"))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "WAYPOST_SHARD_LISTEN": f"127.0.0.1:{running.shard_port}",
        "WAYPOST_SHARD_TOKEN": "env:TEA",
        "TEA": "leaves",
    }
    command = [sys.executable, "tea_time.py"]
    process = subprocess.Popen(command, cwd=tmp_path / "tea", env=environment, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{running.shard_port}/mcp"
        entry = f'[shards.tea-time]\nurl = "{url}"\ntools = ["say_again"]\ntoken = "env:TEA"\n'
        (running.home.path / "shards.toml").write_text(entry)
        wait_until(lambda: running.health()["shards"].get("tea-time", {}).get("state") == "up", "the shard", 60)
        assert running.call("tea_time_say_again", text="tea", times=2)["words"] == "tea tea"
    finally:
        process.kill()
        process.wait()
