"""A process that has loaded the product once, and forks for each piece of work: a real process in milliseconds.

A fresh interpreter with all imports takes about a second, so killing one at every system call would take hours.
The work is `module:function` with arguments of plain JSON. Mutations (mutations.py) are put in after the fork.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any
from unittest import mock

ROOT = Path(__file__).parents[2]
TOGETHER = 0.05  # seconds within which threads are started together
PATIENCE = 120.0  # seconds that one piece of work may take before it counts as wedged


@dataclass(frozen=True)
class Work:
    """What a forked process does, where its answers go, and which safeguards are taken out of it first.

    `halts`: the so-many-th thread that it starts waits, before it does anything, until `go_on`; 0 is none.
    """

    function: str
    arguments: tuple[Any, ...] = ()
    mutations: tuple[str, ...] = ()
    halts: int = 0


@dataclass
class Child:
    """A forked process that waits for `go`. `said` is all that it printed, once it has ended."""

    pid: int
    output: Path
    _server: Server
    code: int | None = None

    def go(self) -> None:
        self._server.tell("go")

    def halted(self) -> int:
        """The id of the thread that waits, as soon as it does; 0 where the work ended without starting so many."""
        told, deadline = _told(self.output), time.monotonic() + PATIENCE
        while not told.exists() and self._lives() and time.monotonic() < deadline:
            time.sleep(0.001)
        return int(told.read_text()) if told.exists() else 0

    def go_on(self) -> None:
        """Let the thread that waits begin."""
        _going(self.output).touch()

    def _lives(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code, negative where a signal ended it. One that does not end is killed, and that is an error."""
        if self.code is None:
            watchdog = threading.Timer(PATIENCE, self.kill)
            watchdog.start()
            self.code = int(self._server.hear()["code"])
            wedged = not watchdog.is_alive()
            watchdog.cancel()
            if wedged:
                raise AssertionError(f"it did not end within {PATIENCE:g} s: {self.said}")
        return self.code

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""


@dataclass
class Server:
    """The warm process, from outside. One child at a time."""

    scratch: Path
    _process: subprocess.Popen[str] = field(init=False)
    _count: int = 0

    def __post_init__(self) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.durability.warm"],
            cwd=ROOT,
            # All the machine's certificates are loaded for each client, and nothing here is encrypted.
            env={**os.environ, "SSL_CERT_FILE": os.devnull, "GIT_CONFIG_GLOBAL": os.devnull},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fork(self, work: Work) -> Child:
        """A process that is about to do the work, and waits for `go`."""
        self._count += 1
        output = self.scratch / f"said-{self._count % 50}"
        for path in (output, _told(output), _going(output)):
            path.unlink(missing_ok=True)
        self.tell(json.dumps({**asdict(work), "output": str(output)}))
        return Child(int(self.hear()["pid"]), output, self)

    def do(self, work: Work) -> str:
        """Do the work in a process of its own; what it printed. AssertionError where it fails."""
        child = self.fork(work)
        child.go()
        if code := child.wait():
            raise AssertionError(f"{work.function} ended with {code}: {child.said}")
        return child.said

    def load(self, function: str, *arguments: Any) -> None:
        """Load whatever this function loads, in the server: run it in a child first, then load the same modules.

        A function of the same module that is called `settle` runs in the server itself: for what is more than modules.
        """
        module = function.partition(":")[0]
        self.tell(json.dumps({"import": module}))  # most of it, which the child then has from here
        self.hear()
        self.do(Work("tests.durability.warm:loading", (function, *arguments)))
        self.tell(json.dumps({"load": str(self.scratch / "loaded"), "settle": f"{module}:settle"}))
        self.hear()

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the warm process is gone"
        return dict(json.loads(line))


@contextlib.contextmanager
def warm(scratch: Path, *load: str) -> Iterator[Server]:
    """A warm process for as long as this lasts; it loads what these functions load."""
    server = Server(scratch)
    try:
        for function in load:
            server.load(function, str(scratch / "loading"))
        yield server
    finally:
        server.close()


def _told(output: Path) -> Path:
    """Where a thread that waits tells its id."""
    return output.with_suffix(".halted")


def _going(output: Path) -> Path:
    """What it waits for."""
    return output.with_suffix(".going")


# ── inside the warm process ──────────────────────────────────────────────────────────────────────


def find(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def loading(function: str, *arguments: Any) -> None:
    """Do the work, and leave behind the names of all modules that are loaded then."""
    try:
        find(function)(*arguments)
    finally:
        Path(os.environ["WARM_SCRATCH"], "loaded").write_text("\n".join(sys.modules))


def serve(orders: IO[str], answers: IO[str]) -> None:
    for line in iter(orders.readline, ""):
        order = json.loads(line)
        if "import" in order:
            importlib.import_module(order["import"])
            _answer(answers, {})
        elif "load" in order:
            _load(Path(order["load"]).read_text().split("\n"))
            find(order["settle"])()
            _answer(answers, {})
        else:
            _fork(order, orders, answers)


def _load(names: Sequence[str]) -> None:
    for name in names:
        # What a package loads for itself may refuse to be loaded by its name.
        with contextlib.suppress(ImportError, ValueError):
            if name not in sys.modules:
                importlib.import_module(name)


def _fork(order: dict[str, Any], orders: IO[str], answers: IO[str]) -> None:
    waiting, going = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(going)
        _become(order, waiting)
    os.close(waiting)
    _answer(answers, {"pid": pid})
    assert orders.readline() == "go\n"
    with contextlib.suppress(BrokenPipeError):  # it was killed before it began
        os.write(going, b"g")
    os.close(going)
    _, status = os.waitpid(pid, 0)
    _answer(answers, {"code": os.waitstatus_to_exitcode(status)})


def _become(order: dict[str, Any], waiting: int) -> None:
    """The life of a forked process. Leaves without any clean-up of the server's."""
    code = 1
    try:
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, place in ((null, 0), (output, 1), (output, 2)):
            os.dup2(source, place)
        sys.stdin, sys.stdout, sys.stderr = (open(place, mode) for place, mode in ((0, "r"), (1, "w"), (2, "w")))  # noqa: PTH123, SIM115
        os.environ["WARM_SCRATCH"] = str(Path(order["output"]).parent)
        with contextlib.ExitStack() as mutated:
            for name in order["mutations"]:
                mutated.enter_context(find(name)())
            mutated.enter_context(_halting(order["halts"], Path(order["output"])))
            os.read(waiting, 1)
            find(order["function"])(*order["arguments"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:  # the top of this process: the test reads what went wrong
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


@contextlib.contextmanager
def _halting(number: int, output: Path) -> Iterator[None]:
    """The so-many-th thread that is started tells its id, and waits until somebody watches it.

    So do those that are started with it, and longer: they would do its share of the work else.
    """
    start, started, told, going = threading.Thread.start, itertools.count(1), _told(output), _going(output)

    def waiting(mine: int, run: Callable[[], None]) -> None:
        if mine == number:
            beside = output.with_suffix(".id")
            beside.write_text(str(threading.get_native_id()))
            beside.replace(told)
        over = time.monotonic() + TOGETHER
        while not going.exists() and (told.exists() or time.monotonic() < over):
            time.sleep(0.001)
        if mine != number and told.exists():
            time.sleep(TOGETHER)
        run()

    def begin(thread: threading.Thread) -> None:
        thread.run = functools.partial(waiting, next(started), thread.run)  # type: ignore[method-assign]
        start(thread)

    with mock.patch.object(threading.Thread, "start", begin) if number else contextlib.nullcontext():
        yield


def _answer(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    # Loaded once, so that what is forked is the module that everybody else knows.
    from tests.durability import warm as known

    known.serve(sys.stdin, sys.stdout)
