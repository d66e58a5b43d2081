"""Rules, regular expressions, requests, entry points: small languages that people and models write."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from reconciler import explaining
from reconciler.core import cron
from reconciler.explaining import Ground
from reconciler.routing import decide, grammar, reading, rules
from reconciler.routing.asking import BadRequest, entry_points, release
from reconciler.routing.grammar import ParseError
from reconciler.routing.languages import language
from reconciler.routing.languages.trees import Unmodelled
from reconciler.routing.patterns import finder, pattern_fault
from reconciler.routing.rules import build, faults
from reconciler.routing.table import Table, UnknownEntryPoint
from reconciler.schedule import trigger
from reconciler.traefik import kinds
from state.model import Address
from tests.fuzz import samples
from tests.fuzz.fuzzing import Edge, Take, simply
from tests.fuzz.mutating import Mutator, written
from tests.reconciler.routing.generating import Maker


def _rule(mutator: Mutator) -> str:
    maker = Maker(mutator.chance.randrange(1 << 30))
    return mutator.text([*samples.RULES, maker.rule(), maker.rule()])


def _http_rule(text: str) -> bool:
    """What is read can be written, and means the same when it is read again."""
    node = grammar.parse(text)
    found = faults(node)
    rules.hosts(node)
    grammar.places(text)
    if not found:
        assert grammar.parse(build(node)) == node
    return not found


def _tcp_rule(text: str) -> bool:
    node = grammar.parse(text, "tcp")
    return not faults(node)


def _two_rules(given: tuple[str, str]) -> bool:
    """Is there a request that both match, one that only the first does?"""
    one, other = (grammar.parse(text) for text in given)
    if faults(one) or faults(other):
        return False
    decide.find([one, other], budget=4_000)
    decide.find([one], [other], budget=4_000)
    return True


def _pattern(pattern: str) -> bool:
    """What RE2 takes our own automata take, or say that they do not model it."""
    if pattern_fault(pattern):
        return False
    assert finder(pattern)("a.lab") in (True, False)
    found = language.found_by(pattern)
    found.matches("a.lab")
    return True


def _routed() -> Ground:
    specs: dict[str, dict[str, object]] = {}
    for (kind, name), spec in kinds.split(samples.DOCUMENT).items():
        specs.setdefault(kind, {})[name] = spec
    doors = entry_points("web=:80:default,websecure=:443:tls,dns=:53/udp")
    return Ground(Table(reading.from_files(specs), doors))


@contextlib.contextmanager
def _requests(_: Path) -> Iterator[Take]:
    """Lines of `waypost explain --requests`, asked of a table."""
    ground = _routed()

    def take(given: bytes) -> bool:
        answers = list(explaining.answers(io.BytesIO(given), ground))
        assert all(written(answer) for _, answer in answers)
        return all(is_answer for is_answer, _ in answers)

    yield take


@contextlib.contextmanager
def _typed(_: Path) -> Iterator[Take]:
    """The arguments of `waypost explain METHOD URL -H …`."""
    ground = _routed()

    def take(given: tuple[str, str, list[str], str]) -> bool:
        method, url, headers, client = given
        question = explaining.question(method, url, headers, client, "")
        list(explaining.lines(ground, ground.answer(question), question))
        return True

    yield take


def _typed_input(mutator: Mutator) -> tuple[str, str, list[str], str]:
    return (
        mutator.text(["GET", "POST"]) if mutator.chance.random() < 0.2 else "GET",
        mutator.text(samples.URLS),
        [mutator.text(["X-A: b", "Host: a.lab", "Cookie: a=b"])] if mutator.chance.random() < 0.5 else [],
        mutator.text(["127.0.0.1", "fe80::1%eth0"]) if mutator.chance.random() < 0.2 else "127.0.0.1",
    )


def _entry_points(given: tuple[str, str]) -> bool:
    entry_points(given[0])
    release(given[1])
    return True


def _entry_point_input(mutator: Mutator) -> tuple[str, str]:
    doors = mutator.text(["web=:80,websecure=[::1]:443:tls:default:trusted=10.0.0.0/8:middleware=a,dns=:53/udp"])
    return doors, mutator.text(["3.7", "v3.7.15-rc.1"]) if mutator.chance.random() < 0.3 else "3.7"


def _address(text: str) -> bool:
    address = Address.parse(text)
    assert Address.parse(str(address)) == address
    return True


def _schedule(line: str) -> bool:
    """What we take for a cron line the scheduler takes as well."""
    if cron.fault(line):
        return False
    trigger(line)
    return True


EDGES = (
    Edge(name="HTTP rule", share=2500, make=_rule, opened=simply(_http_rule), family=(ParseError,)),
    Edge(
        name="TCP rule",
        share=1000,
        make=lambda m: m.text(samples.TCP_RULES),
        opened=simply(_tcp_rule),
        family=(ParseError,),
    ),
    Edge(
        name="two rules",
        share=250,
        make=lambda m: (_rule(m), _rule(m)),
        opened=simply(_two_rules),
        family=(ParseError,),
    ),
    Edge(
        name="regular expression",
        share=300,
        make=lambda m: m.text(samples.PATTERNS),
        opened=simply(_pattern),
        family=(Unmodelled,),
    ),
    Edge(
        name="requests as JSON lines",
        share=1600,
        make=lambda m: m.document(samples.REQUESTS, [written(one) for one in samples.REQUESTS]),
        opened=_requests,
    ),
    Edge(
        name="request as typed",
        share=1000,
        make=_typed_input,
        opened=_typed,
        family=(BadRequest, UnknownEntryPoint),
    ),
    Edge(
        name="entry points as typed",
        share=800,
        make=_entry_point_input,
        opened=simply(_entry_points),
        family=(ValueError,),
    ),
    Edge(
        name="address of a resource",
        share=500,
        make=lambda m: m.text(["traefik/http.routers/gitea", "edge/tls.certificates/%2Fc.pem"]),
        opened=simply(_address),
        family=(ValueError,),
    ),
    Edge(
        name="cron line",
        share=600,
        make=lambda m: m.text(["*/5 1-3 * JAN-MAR mon,fri", "0 0 31 2 *", "5m"]),
        opened=simply(_schedule),
    ),
)
