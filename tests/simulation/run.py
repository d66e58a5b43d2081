"""Runs schedules and tells what came of them: `.venv/bin/python tests/simulation/run.py --seeds 1000 [--from N]`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Final

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.simulation.schedule import drawn, theatre, told

Outcome = tuple[int, str, Counter[str]]
"""A seed, its violation in words ("" where there is none), and the faults that it injected."""


def outcomes(seeds: Sequence[int]) -> list[Outcome]:
    """What came of each of these schedules; one that failed is shrunk first."""
    found = []
    with theatre() as stage:
        for seed in seeds:
            report = stage.run(drawn(seed))
            violation = told(stage.shrunk(report)) if report.violation else ""
            found.append((seed, violation, report.census))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    wanted = _parser().parse_args(arguments)
    if wanted.seed:
        return max([_tell_one(seed) for seed in wanted.seed])
    seeds = range(wanted.first, wanted.first + wanted.seeds)
    started, census, done, failed = time.monotonic(), Counter[str](), 0, 0
    with contextlib.suppress(KeyboardInterrupt):
        for seed, violation, injected in _spread(seeds, wanted.jobs):
            census.update(injected)
            done += 1
            if violation:
                failed += 1
                print(f"seed {seed} violates {violation}\nrun it again: tests/simulation/run.py --seed {seed}\n")
            if done % _TOLD_EVERY == 0:
                print(f"{done:,} of {len(seeds):,} schedules, {failed} violations so far", flush=True)
    seconds = time.monotonic() - started
    stopped = f" of {len(seeds)}, then stopped," if done < len(seeds) else ""
    print(
        f"{done} schedules{stopped} in {seconds:.0f} s ({done / max(seconds, 1e-9):.1f} a second), {failed} violations"
    )
    print("faults injected: " + ", ".join(f"{kind} {count}" for kind, count in sorted(census.items())))
    return 1 if failed or done < len(seeds) else 0


_TOLD_EVERY: Final = 10_000


def _spread(seeds: range, jobs: int) -> Iterator[Outcome]:
    """Every outcome, as it comes; `jobs` processes share the seeds."""
    size = min(1000, max(100, len(seeds) // (4 * jobs)))  # a long part works little out twice
    parts = [seeds[start : start + size] for start in range(0, len(seeds), size)]
    if jobs < 2:
        for part in parts:
            yield from outcomes(part)
        return
    with get_context("spawn").Pool(jobs, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        for found in pool.imap_unordered(outcomes, parts):
            yield from found


def _tell_one(seed: int) -> int:
    with theatre() as stage:
        report = stage.run(drawn(seed))
        if report.violation:
            report = stage.shrunk(report)
    print(told(report, lines=200) if report.violation else f"{report.schedule}\nholds; trace {report.digest}")
    return bool(report.violation)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many schedules")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument("--seed", type=int, nargs="+", help="run these only, and tell all of each")
    return parser


if __name__ == "__main__":
    sys.exit(main())
