"""What a benchmark found: a name, a figure, the bar that it has to hold. `together.py` makes one table of them all."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

KEPT = "BENCH_FIGURES"
"""Names the file that takes a line of JSON for each figure, where somebody wants them. No name of a setting of ours."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`bar` is the most that `value` may be, or with `at_least` the least; 0 where there is none."""

    name: str
    value: float
    bar: float = 0.0
    at_least: bool = False
    unit: str = "×"
    note: str = ""

    @property
    def holds(self) -> bool:
        if not self.bar:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """Name, figure, bar, does it hold, note: a row of the table."""
        bar = f"{'≥' if self.at_least else '≤'} {_short(self.bar)} {self.unit}" if self.bar else ""
        verdict = ("yes" if self.holds else "NO") if self.bar else ""
        return self.name, f"{_short(self.value)} {self.unit}", bar, verdict, self.note


def told(figures: Iterable[Figure]) -> int:
    """Print the figures and keep them for the table; the exit code: 1 where one of them misses its bar."""
    found = list(figures)
    for figure in found:
        name, value, bar, verdict, note = figure.cells
        print(f"  {name:<72} {value:>12}  {bar:<12} {verdict:<4} {note}".rstrip(), flush=True)
    if place := os.environ.get(KEPT):
        with Path(place).open("a") as file:
            file.writelines(json.dumps(asdict(figure)) + "\n" for figure in found)
    return 0 if all(figure.holds for figure in found) else 1


def missing(name: str, why: object) -> int:
    """Say what could not be measured here, and why; the exit code. Nobody knows whether a bar holds then."""
    print(f"NOT MEASURED: {why}")
    return told([Figure(name=f"{name} (not measured)", value=0, bar=1, at_least=True, unit="", note=str(why))])


def ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The median over pairs of one side over the other: what slows the machine down slows both."""
    return statistics.median(one / other for one, other in pairs)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
