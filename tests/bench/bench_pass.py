"""What a pass costs that finds nothing to do, and what a plan of one change costs: does it follow the size of it all?

Run as a script: `python tests/bench/bench_pass.py [routes]`. Process time of the reconciler; two homes take turns.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler import app, loop, planning
from reconciler.core.target import Observation, Target
from reconciler.git.store import Store
from reconciler.world import World
from tests.bench import stand
from tests.bench.figures import Figure, missing, ratio, told

SMALL, LARGE = 100, 10_000
ROUNDS = 15


class Seen:
    """A target that was just looked at: it answers with what it saw then."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._observation = target.observe()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def observe(self) -> Observation:
        return self._observation


@dataclass(frozen=True)
class House:
    """A home whose routes are all applied, beside the Traefik that serves them."""

    world: World
    store: Store

    def one_pass(self) -> None:
        outcome = loop.run_pass(self.world)
        assert outcome.state == "nothing", outcome

    def looked_at(self) -> World:
        return replace(self.world, targets={name: Seen(target) for name, target in self.world.targets.items()})

    def proposed(self, number: int) -> str:
        """A commit on top of main with one more route."""
        file = {stand.route_file(number, "new"): json.dumps(stand.route(number, "new")).encode()}
        return stand.committed(self.store, file, f"route {number}", move=False)


def opened(stack: ExitStack, count: int) -> House:
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="waypost-bench-")))
    traefik = stack.enter_context(stand.running_traefik(place))
    home = stand.made_home(place / "home", traefik, count)
    stand.serve_already(home, traefik, f"app{count - 1}.example.org")
    world = stack.enter_context(app.locked(home))
    assert isinstance(world, World)
    return House(world, Store.open(home.desired_store_path))


def cost(work: Callable[[], object]) -> float:
    """Seconds of this process alone: others on the machine do not count."""
    started = time.process_time()
    work()
    return time.process_time() - started


def passes(small: House, large: House, rounds: int) -> Iterator[tuple[float, float]]:
    for _ in range(rounds):
        yield cost(large.one_pass), cost(small.one_pass)


def plans(small: House, large: House, rounds: int) -> Iterator[tuple[float, float]]:
    """Each plan is of another commit: nobody has seen it before, but what it stands on is known."""
    worlds = {id(house): house.looked_at() for house in (small, large)}
    for number in range(rounds):
        yield _plan(large, worlds[id(large)], number), _plan(small, worlds[id(small)], number)


def _plan(house: House, world: World, number: int) -> float:
    commit = house.proposed(number)
    gc.collect()
    return cost(lambda: _made(world, commit))


def _made(world: World, commit: str) -> None:
    plan = planning.plan_main(world, commit).plan
    assert len(plan.changes) == 2 and not plan.held, plan


def measure(count: int, rounds: int) -> Iterator[Figure]:
    with ExitStack() as stack:
        small, large = opened(stack, SMALL), opened(stack, count)
        for house in (small, large):
            loop.run_pass(house.world)  # records what is served already
            house.one_pass()
        for name, work, bar, more in (
            (
                f"no-op pass over {2 * count:,} resources, over one of {2 * SMALL}",
                passes,
                2.0,
                f"; {count:,} and {SMALL} routes, each a router and a service",
            ),
            (f"warm one-route plan among {count:,}, over one among {SMALL}", plans, 5.0, ""),
        ):
            pairs = list(work(small, large, rounds + 2))[2:]  # the first ones warm up
            theirs, ours = (1e3 * statistics.median(side) for side in zip(*pairs, strict=True))
            note = f"{theirs:.1f} over {ours:.1f} ms of processor{more}"
            yield Figure(name=name, value=ratio(pairs), bar=bar, note=note)


def main(count: int, rounds: int = ROUNDS) -> int:
    try:
        return told(measure(count, rounds))
    except stand.NoTraefik as why:
        return missing("what a pass costs", why)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else LARGE))
