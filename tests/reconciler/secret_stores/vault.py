"""A Vault that behaves: version 2 of its key-value engine over HTTP, by its published interface."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakeVault:
    """`secrets` are by mount/path; `status` and `body` stand in the place of what it would answer."""

    secrets: dict[str, dict[str, Any]]
    token: str
    ttl: int = 0
    status: int = 200
    body: bytes = b""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)

    def answer(self, path: str, token: str) -> tuple[int, bytes]:
        if self.status != 200:
            return self.status, b'{"errors":["come back later"]}'
        if token != self.token:
            return 403, b'{"errors":["permission denied"]}'
        if self.body:
            return 200, self.body
        if path == "/v1/auth/token/lookup-self":
            return 200, json.dumps({"data": {"ttl": self.ttl, "id": self.token}}).encode()
        _, _, rest = path.partition("/v1/")
        found = self.secrets.get(rest.replace("/data/", "/", 1))
        if found is None:
            return 404, b'{"errors":[]}'
        return 200, json.dumps({"data": {"data": found, "metadata": {"version": 1, "destroyed": False}}}).encode()


@contextmanager
def serving(vault: FakeVault) -> Iterator[FakeVault]:
    """The fake behind a port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            vault.asked.append(self.path)
            vault.namespaces.append(self.headers.get("X-Vault-Namespace", ""))
            status, body = vault.answer(self.path, self.headers.get("X-Vault-Token", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                return  # who asked has heard enough

        def log_message(self, format: str, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    vault.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield vault
    finally:
        server.shutdown()
        server.server_close()
