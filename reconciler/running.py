"""Processes: the reconciler in the foreground, the gateway as a process of its own, `up` for both."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
import uvicorn

from reconciler import app, diagnostics, foreground, locks, web
from reconciler.home import Home
from reconciler.serve import Reconciler
from state.database import sqlite_version
from state.events import LogDegraded
from state.record import Entry

Say = Callable[[str], None]


def serve_reconciler(home: Home, say: Say) -> None:
    """Reconcile and answer until told to stop. Waits for another reconciler, here or in a target, and says so."""
    log_to_stderr()
    with _alone(home, say), app.opened(home, write=True) as world:
        if world.log.degraded:
            say(f"notice: {world.log.degraded}")
            degraded = LogDegraded(
                sqlite=".".join(map(str, sqlite_version())), mode="DELETE", reason=world.log.degraded
            )
            world.log.append(Entry(stream="log", event=degraded, key=f"degraded:{degraded.sqlite}"))
        reconciler = Reconciler(home, world)
        listen = home.settings.reconciler_listen
        server = _Server(
            uvicorn.Config(
                web.build(reconciler, hosts=_hosts(home)),
                host=listen.host,
                port=listen.port,
                log_level="warning",
                timeout_graceful_shutdown=5,
            )
        )
        say(f"reconciler: {home.path}, asked at http://{listen}")
        with foreground.Stop(lambda: setattr(server, "should_exit", True)), reconciler.running():
            server.run()


def log_to_stderr() -> None:
    """Diagnostic lines for people."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *diagnostics.for_people(colors=sys.stderr.isatty()),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def serve_gateway(path: Path, *, stdio: bool = False) -> None:
    """Become the gateway. Nothing of the reconciler is left in that process."""
    os.execv(sys.executable, [*foreground.gateway(path), *(["--stdio"] if stdio else [])])


class _Server(uvicorn.Server):
    """A server that leaves signals to us: uvicorn's own way ends the process before a pass could be finished."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _alone(home: Home, say: Say) -> Iterator[None]:
    """The only reconciler of this home, and the only one in each target's directory, whosever home that is."""
    with (
        locks.waited_for(home.lock_reconciler, home.path, say, time.sleep),
        locks.alone_in(home.target_directories, say, time.sleep),
    ):
        yield


def _hosts(home: Home) -> list[str]:
    listen = home.settings.reconciler_listen
    return ["127.0.0.1", "localhost", "[::1]", "::1", "reconciler", listen.host]
