"""Inputs for every edge, in a process of its own whose memory is bounded, and one table of what came of them.

python -m tests.fuzz.campaign --inputs 20000          all edges, by their shares
python -m tests.fuzz.campaign --edge NAME --only N    one input again, and what comes of it
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz.fuzzing import Diary, Edge, Row, batch, handed, input_of, peak

ROOT = Path(__file__).parents[2]
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where files cost no flush, where the machine has such a place: what is fuzzed reads many, and none has to last."""


@dataclass(frozen=True)
class Campaign:
    """What came of a batch: a row per edge, and how the process ended where it did not end by itself."""

    rows: tuple[Row, ...]
    ended: str = ""
    megabytes: int = 0

    @property
    def inputs(self) -> int:
        return sum(row.inputs for row in self.rows)

    @property
    def findings(self) -> list[str]:
        return [*(found for row in self.rows for found in row.findings), *([self.ended] if self.ended else [])]

    def __str__(self) -> str:
        lines = [f"{'edge':<28}{'inputs':>9}{'accepted':>10}{'refused':>9}{'failed':>8}{'CPU s':>8}{'slowest ms':>12}"]
        total = Row(edge="all")
        for row in (*self.rows, total):
            if row is not total:
                for name in ("inputs", "accepted", "refused", "failed", "seconds"):
                    setattr(total, name, getattr(total, name) + getattr(row, name))
                total.slowest = max(total.slowest, row.slowest)
            counts = f"{row.inputs:>9,}{row.accepted:>10,}{row.refused:>9,}{row.failed:>8,}"
            lines.append(f"{row.edge:<28}{counts}{row.seconds:>8.1f}{row.slowest * 1000:>12.0f}")
        return "\n".join([*lines, f"memory at most {self.megabytes} MB"])


def campaign(
    inputs: int, seed: int, *, edges: str = "tests.fuzz.edges", edge: str = "", patience: float = 600
) -> Campaign:
    """Throw about that many inputs, by their shares, at all edges of a module (or at one), in a process of its own."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as place:
        command = [sys.executable, "-m", "tests.fuzz.campaign", "--inputs", str(inputs), "--seed", str(seed)]
        command += ["--edges", edges, "--edge", edge, "--place", place]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience, check=False)
            words = "" if done.returncode == 0 else f"the process ended with {done.returncode}: {done.stderr[-3000:]}"
            said = done.stdout
        except subprocess.TimeoutExpired as late:
            words, said = f"nothing came of it within {patience:g} s", (late.stdout or b"").decode()
        found = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        if words and (Path(place) / "diary").exists():
            index, number = Diary.read(Path(place) / "diary")
            words += f" (at edge {_chosen(edges, edge)[index].name}, seed {seed}, input {number})"
    rows = tuple(Row(**one) for one in found if "edge" in one)
    return Campaign(rows, words, next((one["megabytes"] for one in found if "megabytes" in one), 0))


def _chosen(module: str, name: str) -> tuple[Edge, ...]:
    return tuple(edge for edge in importlib.import_module(module).EDGES if name in ("", edge.name))


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--edges", default="tests.fuzz.edges", help="the module that has them")
    parser.add_argument("--edge", default="", help="this one only")
    parser.add_argument("--only", type=int, help="the input of this number, and what comes of it")
    parser.add_argument("--place", type=Path, help="(for its own use) where to work, and to tell rows as JSON")
    chosen = parser.parse_args()
    edges = _chosen(chosen.edges, chosen.edge)
    if chosen.only is not None:
        _again(edges[0], chosen.seed, chosen.only)
    elif chosen.place:
        for row in batch(edges, _share(edges, chosen.inputs), chosen.seed, chosen.place):
            _say(json.dumps(asdict(row)))
        _say(json.dumps({"megabytes": peak()}))
    else:
        found = campaign(chosen.inputs, chosen.seed, edges=chosen.edges, edge=chosen.edge, patience=86_400)
        _say("\n\n".join([*found.findings, str(found)]))
        sys.exit(bool(found.findings))


def _share(edges: Sequence[Edge], inputs: int) -> Callable[[Edge], range]:
    whole = sum(edge.share for edge in edges)
    return lambda edge: range(max(1, round(inputs * edge.share / whole)))


def _again(edge: Edge, seed: int, number: int) -> None:
    given = input_of(edge, seed, number)
    _say(repr(given)[:5000])
    with tempfile.TemporaryDirectory() as place, edge.opened(Path(place)) as take:
        _say("accepted" if handed(edge, take, given) else "refused")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main()
