"""What routing costs: one change among many routers, the check of all of them, and explanations. Run as a script."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler.routing import conflicts, evaluate, grammar
from reconciler.routing.changes import diff
from reconciler.routing.request import Request
from reconciler.routing.revising import revised
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving

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


def main() -> None:
    rows: dict[str, list[float]] = {"the full check, cold": [cold_check(size) for size in SIZES]}
    rows["a table, cold"] = [table_of(size) for size in SIZES]
    for size in SIZES:
        before = Serving(Table(mix(size), DOORS))
        for name, router in CHANGES.items():
            work = change(before, router)
            work()
            rounds = _ROUNDS if "broad" not in name or size < 10_000 else 3
            rows.setdefault(name, []).append(timed(work, rounds))
    sys.stdout.write(f"{'':28}" + "".join(f"{size:>12,}" for size in SIZES) + "   ratio" + "\n")
    for name, spans in rows.items():
        cold = "cold" in name
        ratio = spans[2] / spans[1 if cold else 0]
        bar = 20 if name == "the full check, cold" else 5 if name == "one Host && PathPrefix" else None
        told = f"{ratio:6.1f}" + (f"  (at most {bar} {'from 1,000' if cold else 'from 100'} on)" if bar else "")
        sys.stdout.write(f"{name:28}" + "".join(f"{1000 * span:>9.1f} ms" for span in spans) + "  " + told + "\n")
    sys.stdout.write(f"explanations a second at 1,000 routers: {explanations(1_000):,.0f}  (at least 10,000)" + "\n")


if __name__ == "__main__":
    main()
