"""How long decisions about pairs of rules take: `python tests/bench/bench_decide.py [pairs]`."""

from __future__ import annotations

import gc
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler.routing.decide import contains, find, meet
from reconciler.routing.evaluate import compile_rule
from reconciler.routing.grammar import ParseError, parse
from reconciler.routing.matchers import Node
from tests.bench.figures import Figure, told
from tests.reconciler.routing.generating import Maker

Decision = Callable[[Node, Node], object]


def random_rules(count: int, seed: int) -> list[Node]:
    maker, found = Maker(seed), list[Node]()
    while len(found) < count:
        try:
            found.append(compile_rule(maker.rule()).node)
        except ParseError:
            continue
    return found


def plain_rules(count: int, seed: int) -> list[Node]:
    rng = random.Random(seed)
    hosts, prefixes = (
        [f"app{number}.example.org" for number in range(20)],
        ["/", "/api", "/api/v1", "/admin", "/static"],
    )
    return [parse(f"Host(`{rng.choice(hosts)}`) && PathPrefix(`{rng.choice(prefixes)}`)") for _ in range(count)]


def measured(name: str, rules: Sequence[Node], decide: Decision, pairs: int, seed: int) -> Figure:
    rng = random.Random(seed)
    seconds: list[float] = []
    answers: Counter[str] = Counter()
    chosen = [(rng.choice(rules), rng.choice(rules)) for _ in range(pairs)]
    gc.collect()
    for one, other in chosen:
        start = time.process_time()
        answer = decide(one, other)
        seconds.append(time.process_time() - start)
        answers[type(answer).__name__] += 1
    seconds.sort()
    shown = ", ".join(f"{count} {kind.lower()}" for kind, count in answers.most_common())
    p50, p99 = (seconds[int(share * pairs)] * 1e6 for share in (0.5, 0.99))
    return Figure(
        name=f"decisions: {name}, p50",
        value=p50,
        unit="µs",
        note=f"p99 {p99:,.0f} µs, at most {seconds[-1] * 1e6:,.0f} µs: {shown}",
    )


def measure(pairs: int) -> Iterator[Figure]:
    mixed, plain = random_rules(400, 11), plain_rules(400, 12)
    find([parse(r"PathRegexp(`(?i)\pLé`)")])  # the tables of Unicode, once a process
    yield measured("meet, random pairs", mixed, meet, pairs, 1)
    yield measured("contains, random pairs", mixed, contains, pairs, 2)
    yield measured("meet, plain pairs", plain, meet, pairs, 3)
    same = [parse(f"Host(`a.example.org`) && PathPrefix(`/{'api/v1'[:size]}`)") for size in range(7)]
    yield measured("meet, plain pairs that overlap", same, meet, pairs, 4)
    yield measured("contains, plain pairs", plain, contains, pairs, 5)


def main(pairs: int) -> int:
    return told(measure(pairs))


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000))
