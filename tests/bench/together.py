"""`make bench`: every benchmark after the other, then one table of all figures and bars; exits 1 where one is missed.

`together.py --write` also writes the table, with the machine it was made on, to BENCHMARKS.md. Names of scripts
(`serve`, `git`, …) run these alone.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler.targets.shadow import find_binary, version_of
from tests.bench.figures import KEPT, Figure

ROOT = Path(__file__).parents[2]
_LONGEST = 480.0  # seconds that one script may take
_ORDER = ("serve", "pass", "git", "log", "memory", "ansible", "routing", "explain")
"""The scripts that come first in the table; all others follow by their names."""


def scripts(wanted: Sequence[str]) -> list[Path]:
    """Every script, or those that are named so."""
    found = {path.stem.removeprefix("bench_"): path for path in Path(__file__).parent.glob("bench_*.py")}
    first = [name for name in _ORDER if name in found]
    return [found[name] for name in (*first, *sorted(found.keys() - set(first))) if name in wanted or not wanted]


def figures(place: Path, wanted: Sequence[str]) -> Iterator[Figure]:
    """Run the scripts; what each of them found. One that fails without a figure is one that misses its bar."""
    for script in scripts(wanted):
        print(f"\n{script.name}", flush=True)
        kept, started = place / script.stem, time.monotonic()
        failed = _run(script, kept)
        found = [Figure(**json.loads(line)) for line in kept.read_text().splitlines()] if kept.exists() else []
        yield from found
        if failed and all(figure.holds for figure in found):
            yield Figure(name=f"{script.name} came to its end", value=0, bar=1, at_least=True, unit="", note=failed)
        print(f"  ({time.monotonic() - started:.0f} s)")


def _run(script: Path, kept: Path) -> str:
    """Why it failed, "" where it did not. What it leaves behind goes with it: files and processes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(kept.parent), KEPT: str(kept)}
    process = subprocess.Popen([sys.executable, script], cwd=ROOT, env=environment, start_new_session=True)
    try:
        code = process.wait(_LONGEST)
    except subprocess.TimeoutExpired:
        return f"it took more than {_LONGEST:g} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return f"exit code {code}" if code else ""


def table(found: Sequence[Figure]) -> list[str]:
    """The figures as a table that is readable as it is, and as Markdown."""
    rows = [("what", "figure", "bar", "holds", "note"), *(figure.cells for figure in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def machine() -> list[str]:
    """What it ran on, a line each."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    binary = find_binary("")
    return [
        f"Machine: {os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB of memory",
        f"Kernel: {platform.system()} {platform.release()}, {platform.machine()}",
        f"Python: {platform.python_version()}; Traefik: {version_of(binary) if binary else 'none'}",
        f"Date: {datetime.now(UTC):%Y-%m-%d}",
    ]


def busy() -> str:
    """How much goes on: processes that run or wait for the disk, in the last minute."""
    last, *_ = os.getloadavg()
    return f"{last:.1f}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "of unknown make")


def page(lines: Sequence[str], about: Sequence[str]) -> str:
    told = [
        "# Benchmarks",
        "",
        "The last table of `make bench`. Figures with × are ratios of two things measured in turns in the same run,",
        "medians of the pairs: compare those. Absolute figures say something about this machine only.",
        "",
        *lines,
        "",
        *(f"- {line}" for line in about),
    ]
    return "\n".join(told) + "\n"


def main(arguments: Sequence[str]) -> int:
    began, load = time.monotonic(), busy()
    with tempfile.TemporaryDirectory(prefix="waypost-bench-") as place:
        found = list(figures(Path(place), [name for name in arguments if name != "--write"]))
    took = f"Took {(time.monotonic() - began) / 60:.1f} minutes; load before it began: {load}"
    lines, about = table(found), [*machine(), took]
    print("\n" + "\n".join([*lines, "", *about]))
    if "--write" in arguments:
        (ROOT / "BENCHMARKS.md").write_text(page(lines, about))
    missed = [figure.name for figure in found if not figure.holds]
    print("\nevery bar holds" if not missed else f"\nMISSED: {'; '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
