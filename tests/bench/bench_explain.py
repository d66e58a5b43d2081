"""Explanations a second and core at 1,000 routers. The bar: 10,000, that is 100 µs each; `make bench` runs it.

The mix is that of a homelab that grew: a host a router, a third of them with a path, some wildcards, patterns and
catch-alls that every request has to be asked about, a few ties.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler.routing.reading import from_files
from reconciler.routing.request import Request
from reconciler.routing.routers import EntryPoint
from reconciler.routing.table import Table
from tests.bench.figures import Figure, told

DOORS = (EntryPoint(name="web", port=80), EntryPoint(name="websecure", port=443, tls=True))
ROUNDS, REQUESTS = 7, 4000
SIZES, BARRED = (100, 1000, 10_000), 1000
_BAR = 10_000


def rules(size: int) -> list[str]:
    """A fixed mix of that many rules."""
    found = ["PathPrefix(`/.well-known/`)", "HostRegexp(`^dev-[0-9]+\\.lab$`)", "Host(`*.apps.lab`)", "PathPrefix(`/`)"]
    found += [f"Host(`h{n}.lab`)" for n in range(size // 2)]
    found += [f"Host(`h{n}.lab`) && PathPrefix(`/api`)" for n in range(size // 4)]
    found += [f"Host(`h{n}.lab`) && (Path(`/a`) || Header(`X-A`, `v`))" for n in range(size - len(found))]
    return found[:size]


def table(size: int) -> Table:
    routers = {f"r{n}": {"rule": rule, "service": "noop@internal"} for n, rule in enumerate(rules(size))}
    routers["r3"]["priority"] = 1
    return Table(from_files({"http.routers": routers}), DOORS)


def requests(size: int) -> list[Request]:
    chance = random.Random(7)
    hosts = [f"h{n}.lab" for n in range(size // 2)] + ["x.apps.lab", "dev-7.lab", "nobody.lab"]
    paths = ("/", "/api/v1/things?page=2", "/a", "/static/app.js", "/a%20b")
    schemes = ("http", "https")
    return [
        Request.of_url("GET", f"{chance.choice(schemes)}://{chance.choice(hosts)}{chance.choice(paths)}")
        for _ in range(REQUESTS)
    ]


def measured(size: int) -> tuple[float, float]:
    """Microseconds of processor for one explanation (the median round), and seconds from files to the first answer."""
    questions = requests(size)
    began = time.process_time()
    asked = table(size)
    asked.answer(questions[0])
    built = time.process_time() - began
    rounds: list[float] = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for question in questions:
            asked.answer(question)
        rounds.append((time.process_time() - began) / len(questions))
    return statistics.median(rounds) * 1e6, built


def measure(sizes: Sequence[int]) -> Iterator[Figure]:
    for size in sizes:
        each, built = measured(size)
        yield Figure(
            name=f"explanations a second and core, {size:,} routers of a homelab",
            value=1e6 / each,
            bar=_BAR if size == BARRED else 0.0,
            at_least=True,
            unit="/s",
            note=f"{each:.1f} µs each, table in {built:.2f} s",
        )


def main(sizes: Sequence[int]) -> int:
    return told(measure(sizes))


if __name__ == "__main__":
    raise SystemExit(main(list(map(int, sys.argv[1:])) or SIZES))
