"""What `waypost up` takes while nothing happens, and how soon `waypost plan` answers. Run as a script."""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler import app, loop
from reconciler.home import Home
from reconciler.world import World
from tests.bench import stand
from tests.bench.figures import Figure, missing, ratio, told
from tests.bench.stand import until

ROUTES = 10
ROUNDS = 9
MOST_MEMORY = 200.0  # MiB
_IDLE = 3.0  # seconds after the last thing that happened
_ROOT = Path(__file__).parents[2]

# Runs the command line, and names every module that it imported on the way.
_WATCHED = """
import sys
from reconciler.cli import main
try:
    main(sys.argv[1:])
finally:
    sys.stderr.write("\\n".join(sys.modules))
"""


@contextmanager
def running(home: Home) -> Iterator[int]:
    """`waypost up`: the id of its process, once both parts answer."""
    command = [sys.executable, "-m", "reconciler", "--home", str(home.path), "up"]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for address in (home.settings.listen, home.settings.reconciler_listen):
            until(lambda one=address: _healthy(f"http://{one}/health"), f"an answer from {address}")
        yield process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def family(pid: int) -> Iterator[int]:
    """The process and all below it that run Python; a shadow Traefik and its guard are not ours to count."""
    if "python" in Path(f"/proc/{pid}/exe").readlink().name:
        yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from family(int(child))


def memory_of(pid: int, kind: str) -> float:
    """MiB. "Pss": its own pages whole, shared pages by its share. "Rss": all whole."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} tells nothing of its memory")


def memory(home: Home) -> Iterator[Figure]:
    with running(home) as pid:
        time.sleep(_IDLE)
        members = list(family(pid))
        taken = {_named(one): memory_of(one, "Pss") for one in members}
        whole = sum(memory_of(one, "Rss") for one in members)
    yield Figure(
        name="memory of `waypost up`, idle, every process of ours",
        value=sum(taken.values()),
        bar=MOST_MEMORY,
        unit="MiB",
        note=", ".join(f"{name} {mebibytes:.0f}" for name, mebibytes in taken.items())
        + f"; proportional, without Traefik; {whole:.0f} if nothing were shared",
    )


def _named(pid: int) -> str:
    said = Path(f"/proc/{pid}/cmdline").read_text()
    return next(
        (name for name in ("serve-reconciler", "shards", "reconciler.foreground") if f"\0{name}\0" in said), str(pid)
    )


def answers(home: Home, rounds: int) -> Iterator[Figure]:
    """`waypost plan` over a bare start of Python that imports the same modules, in turns."""
    arguments = ["--home", str(home.path), "plan"]
    watched = subprocess.run([sys.executable, "-c", _WATCHED, *arguments], cwd=_ROOT, capture_output=True, text=True)
    imports = "import " + ", ".join(name for name in watched.stderr.split() if _importable(name))
    pairs = []
    for _ in range(rounds):
        ours = _seconds("-m", "reconciler", *arguments)
        pairs.append((ours, _seconds("-c", imports)))
    ours, alone = (1e3 * statistics.median(side) for side in zip(*pairs, strict=True))
    note = f"{ours:.0f} over {alone:.0f} ms"
    yield Figure(name="`waypost plan` on a warm home over the same imports", value=ratio(pairs), bar=3.0, note=note)


def _importable(name: str) -> bool:
    return name.isascii() and all(part.isidentifier() for part in name.split(".")) and not name.startswith("__")


def _seconds(*arguments: str) -> float:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], cwd=_ROOT, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode not in (0, 2):
        raise RuntimeError(done.stderr)
    return seconds


def measure(place: Path, rounds: int) -> Iterator[Figure]:
    with stand.running_traefik(place) as traefik:
        home = stand.made_home(place / "home", traefik, ROUTES)
        with app.locked(home) as world:
            assert isinstance(world, World)
            loop.run_pass(world)
        yield from answers(home, rounds)
        yield from memory(home)


def main(rounds: int = ROUNDS) -> int:
    try:
        with tempfile.TemporaryDirectory(prefix="waypost-bench-") as place:
            return told(measure(Path(place), rounds))
    except stand.NoTraefik as why:
        return missing("memory and first answer", why)


if __name__ == "__main__":
    raise SystemExit(main())
