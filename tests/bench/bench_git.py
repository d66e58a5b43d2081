"""How fast a proposal is committed among 10,000 files, over `git add` and `git commit` of the same in a work tree.

Run as a script. Both are on disk when they return: ours is flushed whole, git once as it is set up by default (it does
not flush loose objects then) and once told to flush all.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler.git import proposals
from reconciler.git.starter import plant
from reconciler.git.store import Store
from tests.bench import stand
from tests.bench.figures import Figure, missing, ratio, told

FILES = 10_000
ROUNDS = 15
_FLUSH_ALL = ("-c", "core.fsync=all", "-c", "core.fsyncMethod=fsync")


def proposed(store: Store, head: str, number: int) -> None:
    """One proposal, as the gateway commits it: a file of its own in a directory of a hundred."""
    proposals.propose(
        store,
        parent=head,
        edits={_path(number): _content(number)},
        id=f"p{number}",
        title=f"route {number}",
        body="",
        trailers={"Waypost-Request": f"r{number}", "Waypost-Tool": "bench", "Waypost-Client": "bench"},
        author="a model <model@localhost>",
        at=datetime.now(UTC),
    )


def by_command_line(clone: Path, number: int, *options: str) -> None:
    """The same with git: the file written, added, committed."""
    path = clone / _path(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_content(number))
    _git("-C", str(clone), *options, "add", "--", _path(number))
    _git("-C", str(clone), *options, "commit", "--quiet", "--message", f"route {number}")


def _path(number: int) -> str:
    return stand.route_file(number % FILES, "app").replace(f"app{number % FILES}", f"new{number}")


def _content(number: int) -> bytes:
    return json.dumps(stand.route(number, "new"), indent=1).encode()


def _git(*arguments: str) -> None:
    quiet: Mapping[str, str] = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@home", "-c", "gc.auto=0")
    subprocess.run(["git", *who, *arguments], check=True, env={**os.environ, **quiet}, stdout=subprocess.DEVNULL)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(place: Path, count: int, rounds: int) -> Iterator[Figure]:
    store = Store.create(place / "desired.git")
    head = plant(store, stand.routes(count), branch="main", subject=f"{count} routes", at=datetime.now(UTC))
    _git("clone", "--quiet", str(place / "desired.git"), str(place / "clone"))
    taken = []
    for number in range(rounds + 2):
        ours = _seconds(lambda one=number: proposed(store, head, one * 3))
        plain = _seconds(lambda one=number: by_command_line(place / "clone", one * 3 + 1))
        flushed = _seconds(lambda one=number: by_command_line(place / "clone", one * 3 + 2, *_FLUSH_ALL))
        taken.append((ours, plain, flushed))
    taken = taken[2:]  # the first ones warm up
    medians = [1e3 * statistics.median(side) for side in zip(*taken, strict=True)]
    for side, (name, bar) in enumerate((("as it is set up by default", 5.0), ("with core.fsync=all", 0.0)), 1):
        yield Figure(
            name=f"proposals a second at {count:,} files, flushed, over git {name}",
            value=ratio([(one[side], one[0]) for one in taken]),
            bar=bar,
            at_least=True,
            note=f"{medians[0]:.1f} ms a commit, git {medians[side]:.1f} ms",
        )


def main(count: int, rounds: int = ROUNDS) -> int:
    if shutil.which("git") is None:
        return missing("proposals over git", "there is no git program")
    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as place:
        return told(measure(Path(place), count, rounds))


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else FILES))
