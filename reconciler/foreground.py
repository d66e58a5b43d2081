"""`waypost up`: gateway and reconciler as two processes, and this one, which only looks after them.

It stays for as long as they do, so it becomes a process of its own that imports next to nothing.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reconciler import home as homes
from reconciler.home import Home, HomeError

Say = Callable[[str], None]


def become(home: Home) -> None:
    """Turn this process into one that runs both parts. Raises HomeError where an address is taken."""
    refuse_taken_ports(home)
    os.execv(sys.executable, [sys.executable, "-m", "reconciler.foreground", str(home.path)])


def gateway(path: Path) -> list[str]:
    """The command that becomes the gateway of a home."""
    return [sys.executable, "-m", "shards", "--home", str(path)]


def up(home: Home, say: Say) -> int:
    """Both, as processes of their own; when one ends, or on Ctrl-C, the other is ended too."""
    commands = {
        "reconciler": [sys.executable, "-m", "reconciler", "--home", str(home.path), "serve-reconciler"],
        "gateway": gateway(home.path),
    }
    refuse_taken_ports(home)
    with Stop() as stop:
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


def refuse_taken_ports(home: Home) -> None:
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


class Stop(threading.Event):
    """Set by Ctrl-C, a polite request to end, or a terminal that is closed; handlers are put back afterwards.

    What was started to outlive its terminal (nohup) does.
    """

    def __init__(self, also: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._also = also

    def _end(self, *_: Any) -> None:
        self.set()
        self._also()

    def __enter__(self) -> Stop:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        self._old = {number: signal.signal(number, self._end) for number in numbers}
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


if __name__ == "__main__":
    raise SystemExit(up(homes.open(Path(sys.argv[1])), lambda line: print(line, file=sys.stderr, flush=True)))  # noqa: T201
