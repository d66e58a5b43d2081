"""Processes for `test_ten_thousand_calls.py`: a gateway with a shard that fails now and then, and such a shard alone.

`python -m tests.shards.misbehaving.flaky gateway DIRECTORY PORT`, `… alone PORT`
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import uvicorn
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shards import gateway
from shards.config import GatewaySettings
from shards.declared import Declared, Listed
from shards.health import Patience
from shards.kit import Call, Refused, Shard, Traits, tool
from shards.limits import Bounds
from shards.wire import alone

SECONDS: Final = 3.0
"""That a call may take; one that hangs takes longer."""

WIDE = Bounds(reads_rate=1e6, reads_burst=10**6, at_once=1_000)
PATIENCE = Patience(every=1.0, within=10.0, failures=2, successes=1)

Fate = Literal["well", "raise", "refuse", "hang", "die"]


class Echo(BaseModel):
    number: int


class Flaky(Shard):
    """It does what its caller asks it to, failures included."""

    name = "flaky"
    title = "Flaky"
    prefix = "flaky_"

    @tool(Traits(title="Echo", seconds=SECONDS))
    def echo(
        self,
        call: Call,
        number: Annotated[int, Field(description="What comes back.")],
        fate: Annotated[Fate, Field(description="What becomes of this call.")],
    ) -> Echo:
        """Give a number back, or fail in the way that is asked for."""
        match fate:
            case "raise":
                raise RuntimeError("a fault of the shard")
            case "refuse":
                raise Refused("no-echo", "There is no echo here.")
            case "hang":
                time.sleep(SECONDS + 2)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
        return Echo(number=number)


def _gateway(directory: Path, port: str) -> Starlette:
    remote = Declared(
        name="remote",
        url=f"http://127.0.0.1:{port}/mcp",
        tools=frozenset({"echo"}),
        seconds=SECONDS,
        patience=PATIENCE,
        at_once=32,
    )
    settings = GatewaySettings(
        directory=directory / "gateway",
        source=directory / "desired.git",
        reconciler_url="http://127.0.0.1:9",
        bounds=WIDE,
        discovery=Listed((remote,)),
    )
    application = gateway.build(settings, more=[Flaky()])
    application.routes.insert(0, Route("/tasks", _tasks))
    return application


async def _tasks(_: Request) -> Response:
    return JSONResponse({"tasks": len(asyncio.all_tasks())})


def main(arguments: Sequence[str]) -> None:
    logging.disable(logging.CRITICAL)
    way, *more = arguments
    application = alone.application(Flaky(), "") if way == "alone" else _gateway(Path(more[0]), more[1])
    listening = socket.create_server(("127.0.0.1", int(more[0]) if way == "alone" else 0))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    server = uvicorn.Config(application, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    uvicorn.Server(server).run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1:])
