"""The gateway as a process: settings, log lines, an address, and a clean end."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import structlog
import uvicorn
from structlog.typing import Processor

from reconciler import diagnostics, garbage
from reconciler.asking import AskError
from reconciler.config import ConfigError, Listen, locate
from reconciler.git.errors import GitError
from reconciler.ports import Disk
from reconciler.tokens import Keyring, TokenError
from reconciler.visible import visible_lines
from shards import access, config, gateway
from shards.config import GatewaySettings
from shards.kit import Refused
from state.errors import LogError

_LAST_WORDS = 5
"""Seconds that open answers get when the gateway is told to end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m shards [--home HOME]`: serve until told to end. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m shards", description="Waypost's gateway, by itself.")
    parser.add_argument("--home", type=Path, help="the home; else WAYPOST_HOME or the working directory")
    parser.add_argument("--stdio", action="store_true", help="for one local client, over standard input and output")
    given = parser.parse_args(arguments)
    home = (given.home or locate(os.environ)).absolute()
    return serve(home, os.environ, _serve_stdio if given.stdio else _serve)


def serve(home: Path, environ: Mapping[str, str], way: Callable[[GatewaySettings], None]) -> int:
    """The gateway of a home, until its input ends, SIGINT or SIGTERM. Returns the exit code; faults go to stderr."""
    _log_to_stderr()
    # uvicorn hands the signal on when it is done; before it listens, the signal means the same.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    try:
        settings = config.read(home, environ)
        with garbage.seldom_looked_for():
            way(settings)
    except (ConfigError, AskError, GitError, LogError, Refused, OSError) as fault:
        print(f"the gateway cannot start: {visible_lines(str(fault))}", file=sys.stderr)  # noqa: T201 - a person reads it
        return 1
    return 0


def _leave(_: int, __: FrameType | None) -> None:
    """At once: what was answered is on the disk. An exception would come out in the middle of a library's own work,
    where some print it and go on."""
    os._exit(0)


def _serve_stdio(settings: GatewaySettings) -> None:
    anyio.run(gateway.serve_stdio, settings)


def _serve(settings: GatewaySettings) -> None:
    application = gateway.build(settings)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with _listening(settings, family) as listening:
        host, port = listening.getsockname()[:2]
        logger = structlog.get_logger("waypost.gateway")
        logger.info("gateway listens", address=f"http://{host}:{port}/mcp", read_only=settings.read_only)
        _tell_who_gets_in(settings, logger)
        server = uvicorn.Config(
            application, log_config=None, access_log=False, timeout_graceful_shutdown=_LAST_WORDS, lifespan="on"
        )
        _Server(server, application.state.let_go).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Lets go of the streams that clients keep open, which it would wait for else."""

    def __init__(self, configured: uvicorn.Config, let_go: Callable[[], None]) -> None:
        super().__init__(configured)
        self._let_go = let_go

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._let_go()
        await super().shutdown(sockets)


def _tell_who_gets_in(settings: GatewaySettings, logger: Any) -> None:
    try:
        known, now = Keyring(settings.tokens, Disk()).tokens(), datetime.now(UTC)
    except TokenError as error:
        logger.error("nobody is let in", reason=str(error))
        return
    if not known and settings.loopback:
        logger.warning("no token is asked for on loopback until there is one: waypost token create NAME")
    elif all(token.ended(now) for token in known):
        logger.warning("nobody can come in: no token works; waypost token create NAME makes one")
    for name, ends in access.ending_soon(known, now).items():
        logger.warning("a token ends soon; waypost token rotate NAME replaces it", token=name, ends=ends.isoformat())


def _listening(settings: GatewaySettings, family: socket.AddressFamily) -> socket.socket:
    try:
        listening = socket.create_server((settings.host, settings.port), family=family)
        # asyncio would do it only for a socket that names its protocol: without it each answer waits for 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as fault:
        place = Listen(settings.host, settings.port)
        raise ConfigError(
            f"WAYPOST_LISTEN is {place}, which cannot be listened on ({fault.strerror}); right would be an address "
            "of this machine whose port is free"
        ) from fault


def _log_to_stderr() -> None:
    """One shape for every line, ours and the libraries': readable on a terminal, JSON elsewhere."""
    stamps: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    terminal = sys.stderr.isatty()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=stamps,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *(
                diagnostics.for_people(colors=True)
                if terminal
                else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
            ),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("mcp", "httpx2", "httpcore2", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*stamps, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


if __name__ == "__main__":
    sys.exit(main())
