"""A Dozzle and a Docker Engine that behave, over real HTTP: the same containers, seen through three doors.

Every question and every answer is checked: those of the Engine against what it publishes (docker-engine-1.56.json,
cut out of its specification), those of Dozzle against what is known of it (dozzle-10.7.3.json says whence). A fault is
kept, and fails the test at its end.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import jsonschema
from mcp.server import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from shards.containers import level_of
from tests.shards.serving import served

HERE = Path(__file__).parent
ENGINE = json.loads((HERE / "docker-engine-1.56.json").read_text())
DOZZLE = json.loads((HERE / "dozzle-10.7.3.json").read_text())

HOST = "local"
USER, PASSWORD = "waypost", "right"
FULL = 1024 * 1024
MINUTE = timedelta(minutes=1)


def _closed(schema: Any) -> Any:
    """A misspelled name is a fault."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(changed.get("properties"), dict) and changed.get("type") == "object":
        changed.setdefault("additionalProperties", False)
    return changed


ENGINE_SHAPES = _closed(ENGINE["definitions"])


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Entry:
    """What a container wrote at a moment; several lines that belong together are one entry for Dozzle."""

    text: str
    at: datetime
    output: str = "stdout"


@dataclass
class Box:
    """One container."""

    name: str
    state: str = "running"
    status: str = "Up 3 hours"
    health: str = ""
    image: str = "gitea/gitea:1.27"
    labels: dict[str, str] = field(default_factory=dict)
    tty: bool = False
    address: str = ""
    published: dict[int, int] = field(default_factory=dict)  # inside -> on its host
    log: list[Entry] = field(default_factory=list)

    @property
    def id(self) -> str:
        return sha256(self.name.encode()).hexdigest()

    def write(self, *texts: str, ago: timedelta = timedelta(), output: str = "stdout") -> None:
        """These lines, a millisecond apart, the last of them so long ago."""
        first = now() - ago - timedelta(milliseconds=len(texts))
        self.log += [
            Entry(text, first + timedelta(milliseconds=number), output) for number, text in enumerate(texts, 1)
        ]
        self.log.sort(key=lambda entry: entry.at)

    def read(self, since: datetime, until: datetime, outputs: Iterable[str]) -> list[Entry]:
        return [one for one in self.log if since <= one.at <= until and one.output in outputs]


@dataclass
class Containers:
    """All containers, and how those who tell of them are today."""

    boxes: list[Box] = field(default_factory=list)
    version: str = "v10.7.3"
    mcp: Literal["on", "off", "dies", "breaks off"] = "on"
    widens: bool = True  # a window that holds too little
    open: bool = False  # asks nobody who they are
    moved: bool = False  # its pages are at other routes than those of 10.7
    down: set[str] = field(default_factory=set)  # docker, dozzle
    blocked: bool = False  # the socket proxy lets nothing through
    api_version: str = "1.51"
    framed: str = "application/vnd.docker.multiplexed-stream"
    unreadable: bool = False  # a logging driver that cannot be read from
    never_ends: int = 0  # a log of more lines than that does not come to its end
    asked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    password: str = PASSWORD
    tokens: list[str] = field(default_factory=list)  # that work

    def box(self, id: str) -> Box | None:
        return next((one for one in self.boxes if id in (one.id, one.name)), None)

    def check(self, schema: Any, definitions: Any, value: Any, what: str) -> None:
        whole = {**schema, "definitions": definitions}
        for error in jsonschema.Draft7Validator(whole).iter_errors(value):
            self.faults.append(f"{what}: {error.json_path}: {error.message}")

    def quiet(self) -> None:
        """As it was at the beginning, without any container."""
        fresh = Containers()
        for name in vars(fresh):
            setattr(self, name, getattr(fresh, name))


# ── Docker ───────────────────────────────────────────────────────────────────────────────────────


class FakeEngine:
    """The Docker Engine, with nothing but the reads that are used."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    def routes(self) -> list[Route]:
        return [
            Route("/version", self._version),
            Route("/v{version}/containers/json", self._list),
            Route("/v{version}/containers/{id}/logs", self._logs),
            Route("/v{version}/containers/{id}/stats", self._stats),
        ]

    def _turned_away(self, request: Request, template: str) -> Response | None:
        self._containers.asked.append(f"docker {request.url.path}?{request.url.query}")
        if "docker" in self._containers.down:
            return PlainTextResponse("<html>bad gateway</html>", 502)
        if self._containers.blocked:
            return PlainTextResponse("Forbidden", 403)
        parameters = {one["name"]: one for one in ENGINE["paths"][template]["get"].get("parameters", ())}
        for name, text in request.query_params.multi_items():
            kinds = {"boolean": "^(0|1|true|false)$", "integer": "^-?[0-9]+$"}
            if name not in parameters:
                self._containers.faults.append(f"{template} takes no {name}")
            elif not re.search(kinds.get(parameters[name]["type"], "^"), text):
                self._containers.faults.append(f"{template}: {name}={text} is no {parameters[name]['type']}")
        if "version" in request.path_params and request.path_params["version"] != self._containers.api_version:
            return self._answer(template, 400, {"message": "client version is not supported"})
        return None

    def _answer(self, template: str, status: int, content: Any) -> Response:
        told = ENGINE["paths"][template]["get"]["responses"].get(str(status), {})
        if "schema" in told:
            self._containers.check(_closed(told["schema"]), ENGINE_SHAPES, content, f"answer of {template}")
        return JSONResponse(content, status)

    async def _version(self, request: Request) -> Response:
        version = {"Version": "29.1.0", "ApiVersion": self._containers.api_version, "MinAPIVersion": "1.44"}
        return self._turned_away(request, "/version") or self._answer("/version", 200, version)

    async def _list(self, request: Request) -> Response:
        if refusal := self._turned_away(request, "/containers/json"):
            return refusal
        every = request.query_params.get("all") in ("1", "true")
        shown = [self._summary(one) for one in self._containers.boxes if every or one.state == "running"]
        return self._answer("/containers/json", 200, shown)

    def _summary(self, one: Box) -> dict[str, Any]:
        words = {"starting": "health: starting"}
        health = f" ({words.get(one.health, one.health)})" if one.health else ""
        network = {"bridge": {"IPAddress": one.address, "Aliases": [], "NetworkID": "n"}} if one.address else {}
        return {
            "Id": one.id,
            "Names": [f"/{one.name}"],
            "Image": one.image,
            "Command": "/bin/app",
            "Created": 1_790_000_000,
            "Ports": [
                {"IP": "0.0.0.0", "PrivatePort": inside, "PublicPort": outside, "Type": "tcp"}
                for inside, outside in one.published.items()
            ],
            "Labels": one.labels,
            "State": one.state,
            "Status": one.status + health,
            "NetworkSettings": {"Networks": network},
        }

    async def _logs(self, request: Request) -> Response:
        template = "/containers/{id}/logs"
        if refusal := self._turned_away(request, template):
            return refusal
        box, query = self._containers.box(request.path_params["id"]), request.query_params
        if box is None:
            return self._answer(template, 404, {"message": f"No such container: {request.path_params['id']}"})
        if self._containers.unreadable:
            words = "configured logging driver does not support reading"
            return self._answer(template, 500, {"message": words})
        outputs = [name for name in ("stdout", "stderr") if query.get(name) in ("1", "true")]
        since = datetime.fromtimestamp(int(query.get("since", "0")), UTC)
        found = box.read(since, now() + MINUTE, outputs)
        tail = query.get("tail", "all")
        if tail == "all":
            self._containers.faults.append("a whole log was asked for")
        else:
            found = found[max(0, len(found) - int(tail)) :]
        kind = "application/vnd.docker.raw-stream" if box.tty else self._containers.framed
        headers = {"Content-Type": kind} if kind else {}
        stuck = self._containers.never_ends and len(found) > self._containers.never_ends
        return StreamingResponse(_sent(found, box.tty, bool(stuck)), headers=headers)

    async def _stats(self, request: Request) -> Response:
        template = "/containers/{id}/stats"
        if refusal := self._turned_away(request, template):
            return refusal
        if request.query_params.get("stream") not in ("0", "false"):
            self._containers.faults.append("statistics were asked for without an end")
        box = self._containers.box(request.path_params["id"])
        if box is None:
            return self._answer(template, 404, {"message": "No such container"})
        return self._answer(template, 200, _measured(box))


async def _sent(entries: list[Entry], tty: bool, stuck: bool) -> AsyncIterator[bytes]:
    """As the Engine sends them: an entry of more than 16 KiB in several, pieces cut anywhere."""
    whole = bytearray()
    for entry in entries:
        moment = f"{entry.at:%Y-%m-%dT%H:%M:%S.%f}000Z ".encode()
        content = entry.text.encode() + (b"\r\n" if tty else b"\n")
        for at in range(0, len(content), 16384):
            part = moment + content[at : at + 16384] if not tty or not at else content[at : at + 16384]
            frame = bytes([2 if entry.output == "stderr" else 1, 0, 0, 0]) + len(part).to_bytes(4, "big")
            whole += part if tty else frame + part
    for at in range(0, len(whole), 4093):
        yield bytes(whole[at : at + 4093])
    for _ in range(100 if stuck else 0):
        yield (b"\x01\0\0\0\0\0\x03\xe8" + b"x" * 1000) * 64  # a line without an end, as far as anybody reads


def _measured(box: Box) -> dict[str, Any]:
    return {
        "id": box.id,
        "name": f"/{box.name}",
        "read": "2026-01-01T00:00:01Z",
        "preread": "2026-01-01T00:00:00Z",
        "cpu_stats": {
            "cpu_usage": {"total_usage": 2_000_000_000}, "system_cpu_usage": 14_000_000_000, "online_cpus": 4,
        },
        "precpu_stats": {"cpu_usage": {"total_usage": 1_000_000_000}, "system_cpu_usage": 10_000_000_000},
        "memory_stats": {"usage": 300 << 20, "limit": 1 << 30, "stats": {"inactive_file": 44 << 20}},
        "pids_stats": {"current": 17},
        "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 2000}, "eth1": {"rx_bytes": 1, "tx_bytes": 2}},
    }  # fmt: skip


# ── Dozzle ───────────────────────────────────────────────────────────────────────────────────────


class FakeDozzle:
    """Dozzle's pages and its MCP server. The MCP part is a real server of the SDK."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    def application(self) -> Starlette:
        application = self._tools().streamable_http_app(streamable_http_path="/api/mcp", stateless_http=True)
        application.router.routes += [
            Route("/api/version", self._version),
            Route("/api/token", self._token, methods=["POST"]),
            Route("/api/events/stream", self._events),
            Route("/api/hosts/{host}/containers/{id}/logs", self._logs),
            Route("/healthcheck", self._healthcheck),
        ]
        application.add_middleware(_Door, containers=self._containers)
        return application

    def _query(self, request: Request, name: str) -> None:
        shapes = DOZZLE["queries"][name]
        for key, text in request.query_params.multi_items():
            if key not in shapes:
                self._containers.faults.append(f"{name} takes no {key}")
            else:
                self._containers.check({"type": "string", **shapes[key]}, {}, text, f"{name} {key}")

    async def _healthcheck(self, _: Request) -> Response:
        return PlainTextResponse("OK")

    async def _version(self, request: Request) -> Response:
        self._query(request, "version")
        return Response(f"<pre>{self._containers.version}</pre>", media_type="text/html")

    async def _token(self, request: Request) -> Response:
        form = dict(pair.split("=", 1) for pair in (await request.body()).decode().split("&"))
        if form != {"username": USER, "password": self._containers.password}:
            return PlainTextResponse("Unauthorized", 401)
        self._containers.tokens.append(f"eyJhbGciOiJIUzI1NiJ9.{len(self._containers.asked):08d}.signature")
        answer = PlainTextResponse("OK")
        answer.set_cookie("jwt", self._containers.tokens[-1], httponly=True)
        return answer

    async def _events(self, request: Request) -> Response:
        self._query(request, "events")
        return StreamingResponse(self._told(), media_type="text/event-stream")

    async def _told(self) -> AsyncIterator[str]:
        containers = [self._container(one) for one in self._containers.boxes]
        for one in containers:
            self._containers.check({"$ref": "#/definitions/Container"}, DOZZLE["definitions"], one, "a container")
        yield ":ping \n\n"
        yield _event("server-version", {"version": self._containers.version})
        yield _event("update-host", {"id": HOST, "name": HOST, "available": True})
        yield _event("containers-changed", containers)
        for box in self._containers.boxes:
            if box.state == "running":
                stat = _stat(box)
                self._containers.check({"$ref": "#/definitions/Stat"}, DOZZLE["definitions"], stat, "a measurement")
                yield _event("container-stat", stat)

    def _container(self, one: Box) -> dict[str, Any]:
        never = "0001-01-01T00:00:00Z"
        found: dict[str, Any] = {
            "id": one.id[:12], "name": one.name, "image": one.image, "command": "", "created": never,
            "startedAt": never, "finishedAt": never, "state": one.state, "host": HOST, "stats": [], "memoryLimit": 0,
            "cpuLimit": 0, "labels": one.labels,
        }  # fmt: skip
        return found | ({"health": one.health} if one.health else {})

    async def _logs(self, request: Request) -> Response:
        self._query(request, "logs")
        query = request.query_params
        outputs = [name for name in ("stdout", "stderr") if name in query]
        if not outputs:
            return PlainTextResponse("stdout or stderr is required", 400)
        box = self._found(request.path_params["host"], request.path_params["id"])
        if box is None:
            return PlainTextResponse("error finding container", 404)
        since, until = (datetime.fromisoformat(query[name]) for name in ("from", "to"))
        levels = set(query.getlist("levels"))
        pattern = query.get("filter", "")
        flags = re.IGNORECASE if pattern == pattern.lower() else 0
        size = int(query.get("min", 500))
        if "min" in query and self._containers.widens:
            since = min((one.at for one in box.log), default=since)  # widened until there is enough, or nothing before
        found = [
            event
            for entry in box.read(since, until, outputs)
            if (event := self._event(box, entry))["l"] in levels and re.search(pattern, entry.text, flags)
        ]
        lines = [json.dumps(self._of_page(event)) for event in found[max(0, len(found) - size) :]]
        return Response("\n".join(lines), media_type="application/x-jsonl")

    def _found(self, host: str, id: str) -> Box | None:
        return next((one for one in self._containers.boxes if host == HOST and one.id.startswith(id)), None)

    def _event(self, box: Box, entry: Entry) -> dict[str, Any]:
        common = {
            "ts": int(entry.at.timestamp() * 1000), "id": abs(hash(entry.text)) % (1 << 32),
            "l": level_of(entry.text) or "unknown", "s": entry.output, "c": box.id[:12],
        }  # fmt: skip
        if "\n" in entry.text:
            return {"t": "group", "m": [{"m": line} for line in entry.text.split("\n")], **common}
        if entry.text.startswith("{"):
            return {"t": "complex", "m": json.loads(entry.text), "rm": entry.text, **common}
        return {"t": "single", "m": entry.text, "rm": entry.text, **common}

    def _of_page(self, event: dict[str, Any]) -> dict[str, Any]:
        """Escaped for a page, addresses made links."""
        if event["t"] == "single":
            event = {**event, "m": _escaped(event["m"])}
        if event["t"] == "group":
            event = {**event, "m": [{"m": _escaped(one["m"])} for one in event["m"]]}
        self._containers.check({"$ref": "#/definitions/Event"}, DOZZLE["definitions"], event, "a line")
        return event

    def _tools(self) -> MCPServer:
        server = MCPServer("dozzle", log_level="ERROR")

        @server.tool(structured_output=False)
        def list_containers(state: str = "") -> str:
            """List containers."""
            found = [
                {key: value for key, value in self._container(one).items() if key in _LISTED}
                for one in self._containers.boxes
                if state in ("", one.state)
            ]
            return self._said("tool list_containers", found)

        @server.tool(structured_output=False)
        def get_container_logs(host: str, container_id: str, since_minutes: float = 5, stream: str = "all") -> str:
            """Logs."""
            entries, _ = self._within(host, container_id, since_minutes, stream)
            return "\n".join(_until_full(self._entries(entries))) or "(no logs in the specified time range)"

        @server.tool(structured_output=False)
        def search_container_logs(
            host: str,
            container_id: str,
            query: str,
            since_minutes: float = 5,
            stream: str = "all",
            case_sensitive: bool = False,
        ) -> str:
            """Search."""
            entries, _ = self._within(host, container_id, since_minutes, stream)
            wanted = query if case_sensitive else query.lower()
            found = [one for one in entries if wanted in (one.text if case_sensitive else one.text.lower())]
            lines = _until_full(self._entries(found))
            if not lines:
                return f'No matches found for "{query}" (scanned {len(entries)} entries)'
            return f'Found {len(lines)} matches for "{query}" (scanned {len(entries)} entries):\n' + "\n".join(lines)

        @server.tool(structured_output=False)
        def get_container_stats(host: str, container_id: str) -> str:
            """Statistics."""
            _, box = self._within(host, container_id, 1, "all")
            stat = {"cpuPercent": 1.5, "memoryPercent": 2.5, "memoryUsageBytes": 1048576}
            return self._said(
                "tool get_container_stats",
                {
                    "containerId": box.id[:12], "containerName": box.name, "memoryLimitBytes": 1 << 30,
                    "dataPoints": 1, "stats": [stat] if box.state == "running" else None,
                },
            )  # fmt: skip

        return server

    def _said(self, shape: str, content: Any) -> str:
        self._containers.check({"$ref": f"#/definitions/{shape}"}, DOZZLE["definitions"], content, shape)
        return json.dumps(content or None)  # a Go program writes null for an empty list

    def _within(self, host: str, id: str, minutes: float, stream: str) -> tuple[list[Entry], Box]:
        self._containers.asked.append(f"tool {id} {minutes:g} {stream}")
        if minutes != int(minutes) or stream not in ("stdout", "stderr", "all"):
            self._containers.faults.append(f"{minutes} minutes of {stream}")
        box = self._found(host, id)
        if box is None:
            raise ValueError("container not found")
        outputs = ("stdout", "stderr") if stream == "all" else (stream,)
        return box.read(now() - minutes * MINUTE, now() + MINUTE, outputs), box

    def _entries(self, entries: Iterable[Entry]) -> Iterator[str]:
        for entry in entries:
            moment = entry.at.replace(microsecond=entry.at.microsecond // 1000 * 1000)
            text: Any = entry.text
            kind = "group" if "\n" in text else "complex" if text.startswith("{") else "single"
            if kind != "single":
                text = text.split("\n") if kind == "group" else json.loads(text)
            one = {
                "timestamp": moment.isoformat().replace("+00:00", "Z"), "level": level_of(entry.text) or "unknown",
                "stream": entry.output, "type": kind, "message": text,
            }  # fmt: skip
            self._containers.check({"$ref": "#/definitions/tool entry"}, DOZZLE["definitions"], one, "an entry")
            yield json.dumps(one)


_LISTED = frozenset({"id", "name", "image", "state", "health", "host", "created", "labels"})
_ADDRESS = re.compile(r"https?://[^\s<>\"&]+")


def _until_full(lines: Iterable[str]) -> list[str]:
    """From the oldest on, and not a word about the rest."""
    found: list[str] = []
    size = 0
    for line in lines:
        size += len(line.encode()) + 1
        if size > FULL:
            break
        found.append(line)
    return found


def _escaped(text: str) -> str:
    return _ADDRESS.sub(
        lambda match: f'<a href="{match[0]}" target="_blank" rel="noopener noreferrer external">{match[0]}</a>',
        html.escape(text, quote=True),
    )


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n\n"


def _stat(box: Box) -> dict[str, Any]:
    return {
        "id": box.id[:12], "cpu": 1.5, "memory": 2.5, "memoryUsage": 1048576, "networkRxTotal": 1,
        "networkTxTotal": 2, "diskReadTotal": 3, "diskWriteTotal": 4,
    }  # fmt: skip


class _Door:
    """Who may in, and whether anybody is at home."""

    def __init__(self, app: Any, containers: Containers) -> None:
        self._app = app
        self._containers = containers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        refusal = self._refusal(Request(scope)) if scope["type"] == "http" else None
        if self._containers.mcp == "breaks off" and (b"mcp-method", b"tools/call") in scope.get("headers", ()):
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
            return  # the answer ends in its middle, and with it the connection
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        path = request.url.path
        self._containers.asked.append(f"dozzle {path}?{request.url.query}")
        if "dozzle" in self._containers.down:
            return PlainTextResponse("starting", 503)
        raw = request.headers.get("authorization", "").removeprefix("Bearer ")
        free = path in ("/api/token", "/healthcheck")
        if not free and not self._containers.open and raw not in self._containers.tokens:
            return PlainTextResponse("Unauthorized", 401)
        if self._containers.moved and path.startswith(("/api/hosts/", "/api/events/")):
            return PlainTextResponse("404 page not found", 404)
        if path == "/api/mcp" and self._containers.mcp == "off":
            return PlainTextResponse("404 page not found", 404)
        if path == "/api/mcp" and self._containers.mcp == "dies":
            return PlainTextResponse("", 500)
        return None


@dataclass(frozen=True)
class House:
    """Both of them, served; `containers` is what there is."""

    containers: Containers
    dozzle: str
    docker: str


@contextlib.contextmanager
def house() -> Iterator[House]:
    containers = Containers()
    engine = Starlette(routes=FakeEngine(containers).routes())
    with served(FakeDozzle(containers).application()) as dozzle, served(engine) as docker:
        yield House(containers, dozzle, docker)


def labelled(project: str, service: str, **more: str) -> Mapping[str, str]:
    return {"com.docker.compose.project": project, "com.docker.compose.service": service, **more}
