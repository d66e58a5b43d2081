"""What the tests of the shards work with: a served application, a desired repo, a running gateway."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx2
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ListToolsResult
from starlette.applications import Starlette

from reconciler import tokens
from reconciler.git import trees
from reconciler.git.starter import plant
from reconciler.git.store import WAYPOST, Store
from reconciler.loop import Outcome
from reconciler.ports import Clock, Disk
from reconciler.tokens import Keyring, Role
from reconciler.web import Unknown
from shards import gateway
from shards.config import GatewaySettings
from shards.limits import Bounds
from state.outbox import Outbox, OutboxRow
from tests import plain_http

ERAS = ("legacy", "2026-07-28")

WIDE = Bounds(reads_burst=10_000, writes_burst=10_000)
"""Many tests share a gateway, and must not be told to come back later."""

HAND_WRITTEN = b"""\
# Everything below was written by hand.
http:
  services:   # services first, on purpose
    grafana:
      loadBalancer:
        servers:
          - url: http://10.0.0.5:3000  # the box in the cellar
  routers:
    grafana:
      service: grafana   # see above
      rule: Host(`grafana.example.org`) && PathPrefix(`/dash`)
      middlewares: [compress]
  middlewares:
    compress:
      compress: {}
"""

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


@contextlib.contextmanager
def served(app: Starlette, port: int = 0) -> Iterator[str]:
    """The application on a loopback port, of its own where none is given; gives its address."""
    listening = socket.create_server(("127.0.0.1", port))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as the gateway does
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@dataclass
class DesiredRepo:
    """The desired repo that a gateway follows; a test commits to its main as a person would."""

    path: Path
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store.create(self.path)
        files = {"traefik/grafana.yaml": HAND_WRITTEN, "waypost.yaml": b"version: 1\n", "README.md": b"# desired\n"}
        plant(self.store, files, branch="main", subject="first", at=AT)

    @property
    def main(self) -> str:
        return self.store.head() or ""

    def commit(self, files: Mapping[str, bytes | None], subject: str = "by hand") -> str:
        repository, was = self.store.repository, self.main
        leaves = {
            path: content if content is None else trees.Leaf(str(repository.create_blob(content)), trees.BLOB)
            for path, content in files.items()
        }
        tree = trees.rooted(repository, self.store.commit(was).tree, leaves)
        signature = WAYPOST.signed(now())
        commit = self.store.write_commit(tree=tree, parents=(was,), author=signature, committer=signature, text=subject)
        self.store.move("refs/heads/main", commit, was=was)
        return commit


@dataclass
class Waypost:
    """A running gateway and everything a test may look at."""

    url: str
    settings: GatewaySettings
    desired: DesiredRepo

    @property
    def clone(self) -> Store:
        return Store.open(self.settings.clone)

    @property
    def proposals(self) -> dict[str, str]:
        """Branch -> commit, of everything proposed."""
        return self.clone.branches("proposals/")

    def file(self, commit: str, path: str) -> bytes | None:
        entry = self.clone.entry(commit, path)
        return None if entry is None else self.clone.read(entry.id)

    def outbox(self) -> list[OutboxRow]:
        outbox = Outbox.open(self.settings.outbox, now, readonly=True)
        try:
            return list(outbox.read(0))
        finally:
            outbox.close()

    def token(self, name: str, role: Role = "propose", grants: tuple[str, ...] = (), **chosen: Any) -> str:
        """A token as `waypost token create` makes one; what its client presents."""
        wanted: dict[str, Any] = {"now": now(), "lasts": timedelta(days=1), **chosen}
        update = {key: wanted.pop(key) for key in ("knows", "also") if key in wanted}
        token, raw = tokens.mint(name, role, grants=grants, chance=os.urandom, **wanted)
        token = token.model_copy(update=update)
        self.keyring.change(lambda known: [*known, token])
        return raw

    @property
    def keyring(self) -> Keyring:
        return Keyring(self.settings.tokens, Disk())

    @contextlib.asynccontextmanager
    async def _client(self, path: str, era: str, token: str = "") -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            plain_http.AsyncClient(headers=headers, timeout=30) as http,
            Client(streamable_http_client(self.url + path, http_client=http), mode=era) as client,
        ):
            yield client

    def call(
        self, tool: str, era: str = "2026-07-28", path: str = "/mcp", token: str = "", **arguments: Any
    ) -> CallToolResult:
        async def ask() -> CallToolResult | MCPError:
            async with self._client(path, era, token) as client:
                try:
                    return await client.call_tool(tool, arguments)
                except MCPError as error:  # raised inside, it would come out wrapped into a group
                    return error

        result = anyio.run(ask)
        if isinstance(result, MCPError):
            raise result
        return result

    def answer(self, tool: str, **arguments: Any) -> Any:
        """The structured answer of a call that must succeed."""
        result = self.call(tool, **arguments)
        assert not result.is_error, result.content
        return result.structured_content

    def refusal(self, tool: str, **arguments: Any) -> Any:
        """The structured refusal of a call that must not succeed."""
        result = self.call(tool, **arguments)
        assert result.is_error, result.structured_content
        return result.structured_content

    def tools(self, era: str = "2026-07-28", path: str = "/mcp", token: str = "") -> ListToolsResult:
        async def ask() -> ListToolsResult:
            async with self._client(path, era, token) as client:
                return await client.list_tools()

        return anyio.run(ask)


ROUTE = {
    "name": "gitea",
    "host": "gitea.example.org",
    "service_url": "http://127.0.0.1:3000",
    "reason": "Gitea moved to this machine",
}

NOBODY = "http://127.0.0.1:9"  # the discard port: nobody answers there


@contextlib.contextmanager
def gateway_over(
    desired: DesiredRepo, directory: Path, *, clock: Clock | None = None, **chosen: Any
) -> Iterator[Waypost]:
    """A running gateway; its reconciler is away unless another address is chosen."""
    settings = GatewaySettings(directory=directory, source=desired.path, reconciler_url=NOBODY, bounds=WIDE)
    settings = replace(settings, **chosen)
    with served(gateway.build(settings, clock=clock)) as url:
        yield Waypost(url, settings, desired)


@dataclass
class Answers:
    """What a reconciler would answer; a test puts in what it needs. Whatever it lacks is unknown."""

    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def _tell(self, question: str) -> dict[str, Any]:
        self.asked.append(question)
        if question not in self.told:
            raise Unknown(f"nothing is known about {question}")
        return self.told[question]

    def plan_of(self, proposal: str) -> dict[str, Any]:
        return self._tell("plan")

    def plan_ref(self, ref: str) -> dict[str, Any]:
        return self._tell("plan_ref")

    def history(self, resource: str, limit: int) -> dict[str, Any]:
        return self._tell(f"history {resource} {limit}".replace("  ", " "))

    def deployed(self, limit: int) -> dict[str, Any]:
        return self._tell("deployed")

    def why(self, resource: str) -> dict[str, Any]:
        return self._tell(f"why {resource}")

    def status(self) -> dict[str, Any]:
        return self._tell("status")

    def drift(self) -> dict[str, Any]:
        return self._tell("drift")

    def live(self, instance: str) -> dict[str, Any]:
        return self._tell("live")

    def explain(self, instance: str, request: str) -> dict[str, Any]:
        return self._tell(f"explain {instance} {request}")

    def encryption(self, instance: str) -> dict[str, Any]:
        return self._tell("encryption")

    def lent(self, instance: str, router: str, protocol: str) -> dict[str, Any]:
        return self._tell("foreign")

    def proposals(self) -> dict[str, Any]:
        return self._tell("proposals")

    def proposal(self, id: str) -> dict[str, Any]:
        return self._tell("proposal")

    def revision(self, number: int) -> dict[str, Any]:
        return self._tell("revision")

    def pass_now(self) -> Outcome:
        raise Unknown("no pass here")

    def webhooks(self) -> dict[str, Any]:
        return self._tell("webhooks")

    def metrics(self) -> bytes:
        return b""


def wait_until_healthy(url: str, process: subprocess.Popen[str], seconds: float = 60.0) -> dict[str, Any]:
    """The answer of /health, as soon as there is one. A process that ended instead is shown with its last words."""
    deadline = time.monotonic() + seconds
    with plain_http.Client() as client:
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(httpx2.HTTPError):
                return dict(client.get(f"{url}/health").json())
            time.sleep(0.05)
    process.kill()
    raise AssertionError(f"{url} did not become healthy: {process.communicate()[1]}")
