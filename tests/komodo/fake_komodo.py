"""A Komodo that behaves: stacks with their configuration, updates with a life of their own, containers that come up.

Komodo's own types are under a licence that keeps them out of here, so every request and every answer is checked against
schemas written from facts (komodo-2.3.json). A fault is kept, and fails the test at its end.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema

SPECIFICATION = json.loads(Path(__file__).with_name("komodo-2.3.json").read_text())
KEY, SECRET = "K-right", "S-right"
FIRST_PAGE = 30
_ENDS = {"DeployStack": "running", "RestartStack": "running", "DestroyStack": "down"}


class HungUp(Exception):
    """The connection breaks before the answer is heard, as it does when the one who asked dies."""


@dataclass
class Stack:
    id: str
    name: str
    config: dict[str, Any]
    state: str = "down"
    deployed: str | None = None
    commit: str | None = None
    containers: dict[str, tuple[str, str]] = field(default_factory=dict)  # service -> state, status


@dataclass
class Update:
    id: str
    operation: str
    stack: str
    status: str = "InProgress"
    success: bool = False
    logs: list[dict[str, Any]] = field(default_factory=list)
    left: int = 0  # how often it is asked for before it is over
    services: tuple[str, ...] = ()
    by: str = "waypost"
    fate: Fate = field(default_factory=lambda: Fate())

    @property
    def goes_on(self) -> bool:
        return self.status != "Complete" and not self.fate.hangs


@dataclass
class Fate:
    """What becomes of an update. `takes` is how often it can be asked for before it is over; None: for ever."""

    takes: int | None = 1
    fails: str = ""
    busy: bool = False
    vanishes: bool = False
    nameless: bool = False  # the answer to the request has no _id
    hangs: bool = False  # Komodo was restarted, and the update stays as it is
    containers: dict[str, tuple[str, str]] = field(default_factory=dict)
    deploys: str | None = None  # another commit, or other contents than those that are configured


class FakeKomodo:
    """`fates` are by stack, used up one after the other; `down` answers nothing but 503."""

    def __init__(self, *servers: str) -> None:
        self.servers = {name: f"{number:024x}" for number, name in enumerate(servers or ("nas",), 0xA00)}
        self.stacks: dict[str, Stack] = {}
        self.updates: list[Update] = []
        self.fates: dict[str, list[Fate]] = {}
        self.at_work: dict[str, int] = {}  # stack -> how often it can be asked before it is free
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.logs: dict[str, str] = {}
        self.complaints: dict[str, str] = {}  # stack -> what it wrote to stderr
        self.repositories: dict[str, list[str]] = {}  # owner/name -> the services that its compose file has
        self.let_in = KEY, SECRET
        self.keys = {KEY: 0, "K-anothers": 1}  # key -> when it ends, in milliseconds; 0: never
        self.began = 1_790_000_000_000  # when whatever it does began, in milliseconds since 1970
        self.down = False
        self.after: Callable[[str, dict[str, Any]], None] = lambda asked, params: None
        self._next = 0xB00
        self._lock = threading.RLock()

    def has(self, name: str, **config: Any) -> Stack:
        """A stack that somebody made by hand, running."""
        stack = self._create(name, {"server_id": next(iter(self.servers.values())), **config})
        stack.deployed = stack.config.get("file_contents") or None
        stack.state, stack.containers = "running", dict.fromkeys(self._services(stack), ("running", "Up 2 hours"))
        return stack

    def has_idle(self, name: str, **config: Any) -> Stack:
        """A stack that somebody configured by hand and never deployed."""
        return self._create(name, {"server_id": next(iter(self.servers.values())), **config})

    def edited(self, name: str, by: str, **config: Any) -> None:
        """Somebody gives a stack another configuration by hand."""
        self.stacks[name].config = _kept({**self.stacks[name].config, **config})
        self.updates.append(Update(self._new_id(), "UpdateStack", name, status="Complete", success=True, by=by))

    def failed(self, name: str, words: str) -> None:
        """Somebody deployed a stack, and it came to nothing."""
        update = Update(self._new_id(), "DeployStack", name)
        self.updates.append(update)
        self._end(update, _log("Compose Up", words, success=False))

    def done(self, stack: str = "") -> list[str]:
        """What was executed, in order: `DeployStack media`."""
        return [f"{one.operation} {one.stack}" for one in self.updates if stack in ("", one.stack)]

    # ── the interface ────────────────────────────────────────────────────────────────────────────

    def answer(self, path: str, body: bytes) -> tuple[int, Any]:
        name, params = path.lstrip("/"), json.loads(body)
        with self._lock:
            self.asked.append(name)
            if self.down:
                return 503, {"error": "come back later", "trace": []}
            described = SPECIFICATION["requests"].get(name)
            if described is None:
                self.faults.append(f"{name} is no request that is known")
                return 404, {"error": "not found", "trace": []}
            self._check(described["params"], params, f"request {name}")
            group, _, request = name.partition("/")
            status, said = getattr(self, f"_{group}")(request, params)
            if status == 200:
                self._check(described["answer"], said, f"answer of {name}")
            self.after(request, params)
            return status, said

    def _read(self, request: str, params: Any) -> tuple[int, Any]:
        if request in ("ListStacks", "ListServers"):
            return 200, self._listed(request)[: params.get("limit", FIRST_PAGE) or None]
        if request == "GetUpdate":
            return self._update(params["id"])
        if request == "ListApiKeys":
            told = {"secret": "", "user_id": "5f0", "name": "a key", "created_at": 1_790_000_000_000}
            return 200, [{"key": key, "expires": ends, **told} for key, ends in self.keys.items()]
        if request == "ListUpdates":
            target = params["query"].get("target.id")
            found = [one for one in reversed(self.updates) if target == getattr(self.stacks.get(one.stack), "id", "")]
            return 200, {"updates": [self._line(one) for one in found], "next_page": None}
        stack = self._find(params["stack"])
        if stack is None:
            return 404, {"error": f"did not find any Stack matching {params['stack']}", "trace": []}
        if request == "GetStack":
            return 200, _whole(stack)
        if request == "GetStackActionState":
            going_on = any(one.stack == stack.name and one.goes_on for one in self.updates)
            return 200, {"deploying": going_on or self._still_at_work(stack.name), "restarting": False}
        if request == "ListStackServices":
            return 200, [self._service(stack, name) for name in sorted({*self._services(stack), *stack.containers})]
        assert request == "GetStackLog"
        written, complained = (
            "\n".join(output.get(stack.name, "").splitlines()[-params["tail"] :])
            for output in (self.logs, self.complaints)
        )
        return 200, {**_log("stack log", written), "stderr": complained}

    def _write(self, request: str, params: Any) -> tuple[int, Any]:
        if request == "CreateStack":
            if params["name"] in self.stacks:
                return 409, {"error": "a stack of this name exists", "trace": []}
            return 200, _whole(self._create(params["name"], params["config"]))
        stack = self._find(params["id"])
        if stack is None:
            return 404, {"error": f"did not find any Stack matching {params['id']}", "trace": []}
        if request == "DeleteStack":
            return 200, _whole(self.stacks.pop(stack.name))
        stack.config = _kept({**stack.config, **params["config"]})
        return 200, _whole(stack)

    def _execute(self, request: str, params: Any) -> tuple[int, Any]:
        stack = self._find(params["stack"])
        if stack is None:
            return 500, {"error": f"did not find any Stack matching {params['stack']}", "trace": []}
        waiting = self.fates.get(stack.name) or [Fate()]
        fate = waiting.pop(0)
        update = Update(self._new_id(), request, stack.name, services=tuple(params["services"]), fate=fate)
        update.left = -1 if fate.takes is None else fate.takes
        self.updates.append(update)
        said = self._told(update)
        if fate.busy:
            self._end(update, _log("Task Error", "Resource is busy", success=False))
        elif fate.takes == 0:
            self._conclude(update, fate)
        if fate.vanishes:
            self.updates.remove(update)
        if fate.nameless:
            del said["_id"]
        return 200, said

    def _update(self, id: str) -> tuple[int, Any]:
        update = next((one for one in self.updates if one.id == id), None)
        if update is None:
            return 404, {"error": "no update found with given id", "trace": []}
        if update.status != "Complete":
            update.left -= 1
            if update.left == 0:
                self._conclude(update, update.fate)
        return 200, self._told(update)

    def _conclude(self, update: Update, fate: Fate) -> None:
        stack = self.stacks[update.stack]
        update.logs.append(_log("Compose Pull", "pulled"))
        if fate.fails:
            self._end(update, _log("Compose Up", fate.fails, success=False))
            stack.state = "unhealthy"
            return
        if update.operation == "DeployStack":
            stack.deployed = fate.deploys or stack.config.get("file_contents")
            stack.commit = fate.deploys or stack.config.get("commit") or None
        up = dict.fromkeys(self._services(stack), ("running", "Up 2 seconds"))
        stack.containers = {} if update.operation == "DestroyStack" else {**up, **fate.containers}
        bad = any(state != "running" for state, _ in stack.containers.values())
        stack.state = "unhealthy" if bad else _ENDS[update.operation]
        self._end(update, _log("Compose Up", "done"))

    def _end(self, update: Update, log: dict[str, Any]) -> None:
        update.logs.append(log)
        update.status, update.success = "Complete", log["success"]

    def _still_at_work(self, name: str) -> bool:
        self.at_work[name] = self.at_work.get(name, 0) - 1
        return self.at_work[name] >= 0

    # ── what stands where ────────────────────────────────────────────────────────────────────────

    def _create(self, name: str, config: dict[str, Any]) -> Stack:
        self.stacks[name] = Stack(self._new_id(), name, _kept(config))
        return self.stacks[name]

    def _find(self, name_or_id: str) -> Stack | None:
        return next((one for one in self.stacks.values() if name_or_id in (one.name, one.id)), None)

    def _listed(self, request: str) -> list[dict[str, Any]]:
        if request == "ListServers":
            return [{"id": id, "name": name, "info": {}} for name, id in self.servers.items()]
        return [{"id": one.id, "name": one.name, "info": {"state": one.state}} for one in self.stacks.values()]

    def _line(self, update: Update) -> dict[str, Any]:
        told = self._told(update)
        names = ("operation", "status", "success", "start_ts")
        return {"id": update.id, "username": update.by, **{name: told[name] for name in names}}

    def _told(self, update: Update) -> dict[str, Any]:
        return {
            "_id": {"$oid": update.id},
            "operation": update.operation,
            "status": update.status,
            "success": update.success,
            "logs": list(update.logs),
            "start_ts": self.began,
            "target": {"type": "Stack", "id": getattr(self.stacks.get(update.stack), "id", "")},
        }

    def _services(self, stack: Stack) -> list[str]:
        if stack.config.get("repo"):
            return self.repositories.get(stack.config["repo"], [])
        lines = (stack.deployed or stack.config.get("file_contents") or "").splitlines()
        try:
            return sorted(json.loads("\n".join(line for line in lines if not line.startswith("#")))["services"])
        except (ValueError, KeyError):
            return []

    def _service(self, stack: Stack, name: str) -> dict[str, Any]:
        found = stack.containers.get(name)
        container = {"name": f"{stack.name}-{name}-1", "state": found[0], "status": found[1]} if found else None
        return {"service": name, "image": "image", "container": container}

    def _new_id(self) -> str:
        self._next += 1
        return f"{self._next:024x}"

    def _check(self, schema: Any, value: Any, what: str) -> None:
        whole = {**schema, "definitions": SPECIFICATION["definitions"]}
        for error in jsonschema.Draft7Validator(whole).iter_errors(value):
            self.faults.append(f"{what}: {error.json_path}: {error.message}")


def _kept(config: dict[str, Any]) -> dict[str, Any]:
    """As it is kept: text of several lines ends with one."""
    ended = ("file_contents", "environment")
    return {k: v + "\n" if k in ended and v and not v.endswith("\n") else v for k, v in config.items()}


def _whole(stack: Stack) -> dict[str, Any]:
    contents = [{"path": "compose.yaml", "contents": stack.deployed}] if stack.deployed else None
    info = {"deployed_contents": contents, "deployed_hash": stack.commit and stack.commit[:7], "remote_errors": None}
    return {"_id": {"$oid": stack.id}, "name": stack.name, "config": stack.config, "info": info}


def _log(stage: str, said: str, *, success: bool = True) -> dict[str, Any]:
    times = {"start_ts": 1_790_000_000_000, "end_ts": 1_790_000_001_000}
    words = {"stdout": said if success else "", "stderr": "" if success else said}
    return {"stage": stage, "command": "docker compose", "success": success, **words, **times}


class Serving:
    """The fake behind a port of loopback; another one can be put in its place."""

    def __init__(self, komodo: FakeKomodo) -> None:
        self.komodo = komodo
        serving = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # a connection is kept
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._send(200, b"2.3.2") if self.path == "/version" else self._send(404, b"{}")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if (self.headers.get("X-Api-Key"), self.headers.get("X-Api-Secret")) != serving.komodo.let_in:
                    self._send(401, b'{"error": "Invalid user credentials", "trace": []}')
                    return
                try:
                    status, said = serving.komodo.answer(self.path, body)
                except HungUp:
                    self.close_connection = True
                    return
                self._send(status, json.dumps(said).encode())

            def _send(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def running(*servers: str) -> Iterator[Serving]:
    """A fake and its port; a fault in what was asked or answered fails the test that used it."""
    with contextlib.closing(Serving(FakeKomodo(*servers))) as serving:
        yield serving
    assert serving.komodo.faults == []
