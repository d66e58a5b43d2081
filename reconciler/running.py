"""Processes: the reconciler in the foreground, the gateway as a process of its own, `up` for both."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from reconciler import app, web
from reconciler.home import Held, Home, HomeError, Lock
from reconciler.serve import Reconciler
from state.database import sqlite_version
from state.events import LogDegraded
from state.record import Entry

Say = Callable[[str], None]


def serve_reconciler(home: Home, say: Say) -> None:
    """Reconcile and answer until told to stop. Waits for another reconciler of this home to end, and says so."""
    log_to_stderr()
    with _lock(home, say), app.opened(home, write=True) as world:
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
        with _Stop(lambda: setattr(server, "should_exit", True)), reconciler.running():
            server.run()


def log_to_stderr() -> None:
    """Diagnostic lines for people. A traceback shows lines of code only: local variables may hold secrets."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def serve_gateway(path: Path) -> None:
    """Become the gateway. Nothing of the reconciler is left in that process."""
    os.execv(sys.executable, _gateway(path))


def _gateway(path: Path) -> list[str]:
    return [sys.executable, "-m", "shards", "--home", str(path)]


def up(home: Home, say: Say) -> int:
    """Both, as processes of their own; when one ends, or on Ctrl-C, the other is ended too."""
    commands = {
        "reconciler": [sys.executable, "-m", "reconciler", "--home", str(home.path), "serve-reconciler"],
        "gateway": _gateway(home.path),
    }
    _refuse_taken_ports(home)
    with _Stop() as stop:
        processes = {name: subprocess.Popen(command, start_new_session=True) for name, command in commands.items()}
        say(f"gateway: connect an MCP client to http://{home.settings.listen}/mcp   (Ctrl-C stops)")
        while not stop.is_set() and all(process.poll() is None for process in processes.values()):
            stop.wait(0.2)
        ended = [name for name, process in processes.items() if process.poll() is not None]
        for name in ended:
            say(f"{name} ended with exit code {processes[name].returncode}; stopping the rest")
        for process in processes.values():
            _end(process)
    return 1 if ended else 0


def _refuse_taken_ports(home: Home) -> None:
    """Raises HomeError where an address is taken: better before anything runs than in the middle of its log."""
    settings = home.settings
    for name, listen in (
        ("WAYPOST_LISTEN", settings.listen),
        ("WAYPOST_RECONCILER_LISTEN", settings.reconciler_listen),
    ):
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((listen.host, listen.port))
            except OSError as error:
                raise HomeError(f"{name} is {listen}, and that address is not to be had: {error.strerror}") from None


class _Server(uvicorn.Server):
    """A server that leaves signals to us: uvicorn's own way ends the process before a pass could be finished."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Stop(threading.Event):
    """Set by Ctrl-C or a polite request to end; handlers are put back afterwards."""

    def __init__(self, also: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._also = also

    def _end(self, *_: Any) -> None:
        self.set()
        self._also()

    def __enter__(self) -> _Stop:
        self._old = {number: signal.signal(number, self._end) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen[bytes], patience: float = 10.0) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _lock(home: Home, say: Say) -> Lock:
    told = False
    while isinstance(lock := home.lock_reconciler(), Held):
        if not told:
            say(f"waiting: process {lock.pid or 'unknown'} holds {home.path}; one reconciler at a time")
            told = True
        time.sleep(0.5)
    return lock


def _hosts(home: Home) -> list[str]:
    listen = home.settings.reconciler_listen
    return ["127.0.0.1", "localhost", "[::1]", "::1", "reconciler", listen.host]
