"""One process for `bench_gateway.py`: a shard alone, or a gateway with it, or before it."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import uvicorn
from pydantic import BaseModel

from reconciler.founding import starter_files
from reconciler.garbage import seldom_looked_for
from reconciler.git.starter import plant
from reconciler.git.store import Store
from reconciler.ports import SystemClock
from shards import gateway
from shards.config import GatewaySettings
from shards.declared import Declared, Listed
from shards.kit import Call, Shard, Traits, tool
from shards.limits import Bounds
from shards.wire import alone
from tests.bench.bench_gateway import TOOL

WIDE = Bounds(reads_rate=1e6, reads_burst=10**6, at_once=1_000)


def settings(directory: Path) -> GatewaySettings:
    source = directory.parent / f"{directory.name}-desired.git"
    plant(Store.create(source), starter_files(), branch="main", subject="first", at=SystemClock().now())
    return GatewaySettings(directory=directory, source=source, reconciler_url="http://127.0.0.1:9", bounds=WIDE)


class Sum(BaseModel):
    total: int


class Sums(Shard):
    """Hardly any work, so that the way there is what is measured."""

    name = "sums"
    title = "Sums"
    prefix = "sums_"

    @tool(Traits(title="Add"))
    def add(self, call: Call, one: int, other: int) -> Sum:
        """Add two numbers."""
        return Sum(total=one + other)


def main(arguments: Sequence[str]) -> None:
    way, directory, *more = arguments
    logging.disable(logging.CRITICAL)
    chosen = settings(Path(directory))
    if more:
        remote = Declared(name="elsewhere", url=f"http://127.0.0.1:{more[0]}/mcp", tools=frozenset({TOOL}), at_once=64)
        chosen = replace(chosen, discovery=Listed((remote,)))
    application = alone.application(Sums(), "") if way == "alone" else gateway.build(chosen, more=[Sums()])
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as the gateway does
    print(listening.getsockname()[1], flush=True)
    with seldom_looked_for():  # as both do
        uvicorn.Server(uvicorn.Config(application, log_config=None, access_log=False)).run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1:])
