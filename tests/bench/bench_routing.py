"""What routing costs: one change among many routers, the check of all of them, and explanations.

Run as a script: `python tests/bench/bench_routing.py [small middle large]`. Processor time of one process.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler.routing import conflicts, evaluate, grammar
from reconciler.routing.changes import diff
from reconciler.routing.request import Request
from reconciler.routing.revising import revised
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving
from tests.bench.figures import Figure, told

SIZES = (100, 1_000, 10_000)
DOORS = (EntryPoint(name="web", port=80), EntryPoint(name="websecure", port=443, tls=True))
_PATHS = ("/api", "/admin", "/files", "/", "/api/v1", "/static", "/ws")
_ROUNDS = 15


def mix(size: int) -> list[Router]:
    """The same mix at every size: 100 routers an entry in the pattern, one of each rarer kind in it."""
    return [_router(number) for number in range(size)]


def _router(number: int) -> Router:
    host, path, kind = f"h{number}.example.org", _PATHS[number % len(_PATHS)], number % 100
    rules = {
        1: f"HostRegexp(`^r{number}-[a-z]+\\.example\\.org$`)",
        2: f"PathPrefix(`/everywhere{number}`)",
        3: f"Host(`*.w{number}.example.org`)",
        4: f"(Host(`{host}`) || Host(`www.{host}`)) && !PathPrefix(`/private`)",
        5: f"Host(`{host}`) && PathRegexp(`^/v[0-9]+/`)",
        6: f"Host(`{host}`) && Method(`GET`)",
        7: f"Host(`{host}`) && Header(`X-Env`, `blue`)",
    }
    plain = f"Host(`{host}`)" if kind % 3 == 0 else f"Host(`{host}`) && PathPrefix(`{path}`)"
    shared = f"Host(`h{number - 1}.example.org`) && PathPrefix(`/shared`)" if kind % 10 == 9 else plain
    middlewares = ("auth@file",) if number % 4 == 0 else ()
    doors = ("websecure",) if number % 5 else ()
    return Router(
        name=f"r{number}@file",
        rule=rules.get(kind, shared),
        service=f"s{number}@file",
        middlewares=middlewares,
        entry_points=doors,
    )


CHANGES = {
    "one Host && PathPrefix": Router(
        name="new@file", rule="Host(`h50.example.org`) && PathPrefix(`/api/new`)", service="new@file"
    ),
    "one broad PathPrefix": Router(name="new@file", rule="PathPrefix(`/api`)", service="new@file", priority=1000),
    "one broad HostRegexp": Router(
        name="new@file", rule="HostRegexp(`^h[0-9]*7\\.example\\.org$`)", service="new@file", priority=1000
    ),
}


def timed(work: Callable[[], object], rounds: int) -> float:
    """Median seconds of one round, of this process alone: others on the machine do not count."""
    spans = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spans.append(time.process_time() - start)
    return statistics.median(spans)


def change(before: Serving, router: Router) -> Callable[[], object]:
    """A plan's work: the table after the change, what changes for requests, what conflicts."""

    def work() -> object:
        after = Serving(revised(before.table, added=[router]))
        found = diff(before, after)
        return conflicts.check_change(before, after, [router.name], changes=found)

    return work


def cold_check(size: int) -> float:
    start = time.process_time()
    conflicts.check(Table(mix(size), DOORS))
    return time.process_time() - start


def table_of(size: int) -> float:
    """Seconds to build a table of rules that nobody has read before, up to its first answer."""
    grammar.parse.cache_clear()
    evaluate.compile_rule.cache_clear()
    routers, start = mix(size), time.process_time()
    Table(routers, DOORS).answer(Request(host="h1.example.org", entry_point="websecure", tls=True))
    return time.process_time() - start


def explanations(size: int) -> float:
    """Answers a second."""
    table = Table(mix(size), DOORS)
    requests = [
        Request(host=f"h{number}.example.org", target=f"{_PATHS[number % 7]}/x", entry_point="websecure", tls=True)
        for number in range(size)
    ]
    return size / timed(lambda: [table.answer(request) for request in requests], 5)


def measure(sizes: tuple[int, ...]) -> Iterator[Figure]:
    """Of the smallest, a middle and the largest size."""
    small, middle, large = sizes
    yield _grown("routing: the full check, cold", [cold_check(size) for size in sizes], sizes, since=1, bar=20)
    yield _grown("routing: a table and its first answer, cold", [table_of(size) for size in sizes], sizes, since=1)
    rows: dict[str, list[float]] = {}
    for size in sizes:
        before = Serving(Table(mix(size), DOORS))
        for name, router in CHANGES.items():
            work = change(before, router)
            work()
            rounds = _ROUNDS if "broad" not in name or size < 10_000 else 3
            rows.setdefault(name, []).append(timed(work, rounds))
    for name, spans in rows.items():
        yield _grown(f"routing: {name} changed, warm", spans, sizes, since=0, bar=0 if "broad" in name else 5)
    yield Figure(
        name=f"routing: explanations a second and core, {middle:,} routers with rare rules",
        value=explanations(middle),
        bar=10_000,
        at_least=True,
        unit="/s",
    )


def _grown(name: str, spans: Sequence[float], sizes: Sequence[int], *, since: int, bar: float = 0.0) -> Figure:
    """How much more it costs at the largest size than at another one."""
    told = ", ".join(f"{1e3 * span:,.1f}" for span in spans)
    return Figure(
        name=f"{name}: {sizes[-1]:,} routers over {sizes[since]:,}",
        value=spans[-1] / spans[since],
        bar=bar,
        note=f"{told} ms at {', '.join(f'{size:,}' for size in sizes)}",
    )


def main(sizes: tuple[int, ...]) -> int:
    return told(measure(sizes))


if __name__ == "__main__":
    raise SystemExit(main(tuple(map(int, sys.argv[1:])) or SIZES))
