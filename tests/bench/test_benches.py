"""The benchmarks still run and find figures, at the smallest sizes; whether a bar holds, only `make bench` says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench import (
    bench_decide,
    bench_explain,
    bench_git,
    bench_log,
    bench_memory,
    bench_pass,
    bench_routing,
    bench_serve,
)
from tests.bench.figures import KEPT, Figure
from tests.bench.together import scripts, table

SMALLEST: dict[str, Callable[[], int]] = {
    "decide": lambda: bench_decide.main(5),
    "explain": lambda: bench_explain.main([20]),
    "git": lambda: bench_git.main(5, 1),
    "log": lambda: bench_log.main(2_000, 1),
    "routing": lambda: bench_routing.main((5, 10, 20)),
    "serve": lambda: bench_serve.main([2], 1),
}
SLOWER: dict[str, Callable[[], int]] = {
    "memory": lambda: bench_memory.main(1),
    "pass": lambda: bench_pass.main(10, 1),
}
ELSEWHERE = {"ansible", "gateway"}
"""The first needs a package that is not among ours, the second has tests of its own: only `make bench` runs them."""


@pytest.mark.parametrize("name", [*SMALLEST, *(pytest.param(name, marks=pytest.mark.soak) for name in SLOWER)])
def test_a_benchmark_finds_figures(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "figures"
    monkeypatch.setenv(KEPT, str(kept))
    (SMALLEST | SLOWER)[name]()
    found = [Figure(**json.loads(line)) for line in kept.read_text().splitlines()]
    assert found and all(figure.value > 0 for figure in found)
    assert len(table(found)) == len(found) + 2


def test_every_benchmark_is_tried_here_or_known_to_be_tried_elsewhere() -> None:
    assert {path.stem.removeprefix("bench_") for path in scripts(())} <= SMALLEST.keys() | SLOWER.keys() | ELSEWHERE
