"""From a merge to main until Traefik is proven to serve it, over the bare rename of the same file in the same Traefik.

Run as a script. The reconciler is the one that `waypost serve-reconciler` runs, with its watch; both ways take turns.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler import app
from reconciler.core.target import Attempt, Target, Verdict
from reconciler.git.store import Store
from reconciler.home import Home
from reconciler.loop import Outcome
from reconciler.serve import Reconciler
from reconciler.traefik.api import TraefikApi
from reconciler.world import World
from state import events
from tests.bench import stand
from tests.bench.figures import Figure, missing, ratio, told
from tests.bench.stand import Traefik, until

BARS = {10: 3.0, 1_000: 2.0}
ROUNDS = 21  # how long Traefik takes varies by half from one time to the next
PARTS = ("notice", "Git", "look", "plan", "validate", "decide", "write", "Traefik", "proof", "record")
"""`Traefik`: until it lists our marker; `proof`: until all of ours were found to be served."""
_QUIET = 0.3  # seconds: after that a throttle of 100 ms holds nothing back any more


class Marks:
    """When the parts of one pass began and ended, by the wall clock, as the log's events are dated."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.proven = threading.Event()

    def begin(self) -> None:
        self.at = {"merge": time.time()}
        self.proven.clear()

    def mark(self, name: str) -> None:
        self.at.setdefault(name, time.time())


class Timed:
    """A target that says when it was asked what."""

    def __init__(self, target: Target, marks: Marks) -> None:
        self._target = target
        self._marks = marks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def apart(self) -> Target:
        return self._target.apart()

    def listening(self) -> Timed:
        """From now on it also says when Traefik first listed the marker that was waited for."""
        waiting = self._target._waiting  # type: ignore[attr-defined]  # nobody but this benchmark asks for this moment
        waiting._api = Listening(waiting._api, self._marks)
        return self

    def observe(self) -> Any:
        with self._marked("look"):
            return self._target.observe()

    def validate(self, *given: Any) -> Any:
        with self._marked("validate"):
            return self._target.validate(*given)

    def write(self, attempt: Attempt) -> str:
        with self._marked("write"):
            return self._target.write(attempt)

    def prove(self, attempt: Attempt) -> Verdict:
        with self._marked("prove"):
            return self._target.prove(attempt)

    @contextmanager
    def _marked(self, name: str) -> Iterator[None]:
        self._marks.mark(name)
        yield
        self._marks.mark(f"{name} done")


class Listening:
    """An API that says when it answered that a middleware is there."""

    def __init__(self, api: TraefikApi, marks: Marks) -> None:
        self._api = api
        self._marks = marks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def middleware(self, name: str) -> dict[str, Any] | None:
        found = self._api.middleware(name)
        if found is not None:
            self._marks.mark("listed")
        return found


class Clocked(Reconciler):
    """The reconciler, telling when a pass begins and that one has ended."""

    def __init__(self, home: Home, world: World, marks: Marks) -> None:
        super().__init__(home, world)
        self.marks = marks
        self.ended = 0

    def pass_now(self) -> Outcome:
        self.marks.mark("pass")
        outcome = super().pass_now()
        self.ended += 1
        if outcome.state == "applied":
            self.marks.proven.set()
        return outcome


def bare(traefik: Traefik, number: int) -> float:
    """Seconds from the rename of a whole file with one more route until Traefik serves that; put back afterwards."""
    live = traefik.directory / "mcp-managed" / "waypost.yml"
    before = live.read_bytes()
    content = json.loads(before)
    for kind, named in stand.route(number, "bare")["http"].items():
        content["http"][kind] |= named
    host = f"bare{number}.example.org"
    time.sleep(_QUIET)
    seconds = _renamed(traefik, live, json.dumps(content).encode(), host, served=True)
    time.sleep(_QUIET)
    _renamed(traefik, live, before, host, served=False)
    return seconds


def _renamed(traefik: Traefik, live: Path, content: bytes, host: str, *, served: bool) -> float:
    staged = live.parent / "bench.next"
    staged.write_bytes(content)
    started = time.perf_counter()
    staged.replace(live)
    os.utime(live.parent)  # Traefik watches the folder above
    traefik.until(host, served)
    return time.perf_counter() - started


def merged(
    home: Home, world: World, marks: Marks, number: int, file: Mapping[str, bytes] | None = None
) -> dict[str, float]:
    """Seconds of each part, from the merge of one more route (or of that file) until it is proven."""
    store = Store.open(home.desired_store_path)
    file = file or {stand.route_file(number, "new"): json.dumps(stand.route(number, "new")).encode()}
    commit, head = stand.committed(store, file, f"route {number}", move=False), store.head()
    reconciler = Clocked(home, world, marks)
    with reconciler.running():
        until(lambda: reconciler.ended, "the first pass")
        time.sleep(_QUIET)
        marks.begin()
        store.move("refs/heads/main", commit, was=head)
        if not marks.proven.wait(stand.PATIENCE):
            raise TimeoutError(f"not proven: {reconciler.status()}")
    return _parts(marks.at, _proven_at(world))


def _proven_at(world: World) -> float:
    *_, last = (one for one in world.log.read(after=world.log.head().seq - 20) if type(one.event) is events.ApplyProven)
    return last.at.timestamp()


def _parts(at: Mapping[str, float], proven: float) -> dict[str, float]:
    bounds = (
        "merge", "pass", "look", "look done", "validate", "validate done", "write", "write done", "listed",
        "prove done",
    )  # fmt: skip
    moments = [*(at[name] for name in bounds), proven]
    spans = [after - before for before, after in zip(moments, moments[1:], strict=False)]
    return dict(zip(PARTS, spans, strict=True))


def measure(size: int, rounds: int, place: Path) -> Iterator[Figure]:
    with stand.running_traefik(place) as traefik:
        home, marks = stand.made_home(place / "home", traefik, size), Marks()
        with app.locked(home) as opened:
            assert isinstance(opened, World)
            world = timed(opened, marks)
            merged(home, world, marks, 0)  # the first pass applies it all
            pairs, parts = [], []
            for number in range(1, rounds + 1):
                alone = bare(traefik, number)
                parts.append(merged(home, world, marks, number))
                pairs.append((sum(parts[-1].values()), alone))
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    medians = {part: statistics.median(one[part] for one in parts) for part in PARTS}
    told_parts = ", ".join(f"{part} {1e3 * span:.0f}" for part, span in medians.items())
    yield Figure(
        name=f"merge until proven over bare rename until served, {size:,} routes",
        value=ratio(pairs),
        bar=BARS.get(size, 0.0),
        note=f"{1e3 * ours:.0f} over {1e3 * theirs:.0f} ms: {told_parts}",
    )


def timed(world: World, marks: Marks) -> World:
    """The same, its targets saying when they are asked what."""
    targets = {name: Timed(target, marks).listening() for name, target in world.targets.items()}
    return replace(world, targets=targets)


def main(sizes: list[int], rounds: int) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    found: list[Figure] = []
    try:
        for size in sizes:
            with tempfile.TemporaryDirectory(prefix="waypost-bench-") as place:
                found += measure(size, rounds, Path(place))
    except stand.NoTraefik as why:
        return missing("merge until proven", why)
    return told(found)


if __name__ == "__main__":
    chosen = [int(size) for size in sys.argv[1:]] or list(BARS)
    raise SystemExit(main(chosen, ROUNDS))
