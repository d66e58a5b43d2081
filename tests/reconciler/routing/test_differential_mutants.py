"""A mistake in the evaluator does not go unseen: each known trap, put in on purpose, is caught.

It is caught by what a real Traefik answered: the very questions that test_traps, test_choices, test_tcp_traefik and
test_differential_tcp ask it in every run. Random pairs alone would miss some. Which mistake stands for which trap is
told in test_known_traps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from reconciler.routing import grammar, headers, patterns, request
from reconciler.routing.evaluate import compile_rule, http_test
from reconciler.routing.grammar import TooLarge, parse
from reconciler.routing.request import NEWEST, Connection, Refused, look
from reconciler.routing.rules import ParseError
from reconciler.routing.table import Table
from tests.reconciler.routing.choices import MARKED, USUAL, Place, wrong
from tests.reconciler.routing.entrances import doors_of
from tests.reconciler.routing.mistakes_in_choice import CHOICE
from tests.reconciler.routing.mistakes_in_connections import CONNECTIONS
from tests.reconciler.routing.mistakes_in_grammar import GRAMMAR
from tests.reconciler.routing.mistakes_in_matching import MATCHING
from tests.reconciler.routing.mistakes_in_tcp import TCP
from tests.reconciler.routing.scenarios import NAMES, SCENARIOS, TCP_RULES, asks, expected, table_of, tcp_asks
from tests.reconciler.routing.traps import AT_DOORS, BEYOND, CHANGED, INVALID, MATCHES, STATUSES, VALID
from tests.reconciler.routing.wiretaps import Heard

BrokenExpression: type[Exception] = vars(patterns)["re2"].error


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """What one belief made of a rule is not another's."""
    forget()
    yield
    forget()


def forget() -> None:
    for cached in (request._host_seen, headers._is_host, parse, grammar.parse_loosely, compile_rule):
        cached.cache_clear()


# ── rules and requests ───────────────────────────────────────────────────────────────────────────


def recorded() -> list[object]:
    """What the real Traefik answers to the traps."""
    return [
        *(status for _, status, _ in STATUSES),
        *(trap.matches for trap in MATCHES),
        *(trap.matches for _, trap in AT_DOORS),
        *(len(rule.encode()) for rule in VALID),
        *(None for _ in INVALID),
        *(len(rule.encode()) if taken else None for rule, (taken, _) in CHANGED.items()),
        *("unknown" for _ in BEYOND),
    ]


def answers() -> Iterator[object]:
    """What the evaluator, as it is now, says to them."""
    for asked, _, _ in STATUSES:
        seen = look(asked)
        yield seen.status if isinstance(seen, Refused) else None
    for trap in MATCHES:
        seen = look(trap.request)
        yield matches(trap.rule, seen) if not isinstance(seen, Refused) else "refused"
    doors = doors_of(NEWEST)
    for door, trap in AT_DOORS:
        seen = look(trap.request, doors[door][0])
        yield matches(trap.rule, seen) if not isinstance(seen, Refused) else "refused"
    for rule in (*VALID, *INVALID, *CHANGED, *BEYOND):
        yield validity(rule)


def matches(rule: str, seen: Any) -> object:
    try:
        return http_test(parse(rule))(seen)
    except ParseError:
        return "invalid"


def validity(rule: str) -> object:
    """The priority of a rule, None where it is invalid."""
    try:
        return compile_rule(rule).priority
    except TooLarge:
        return "unknown"
    except (ValueError, BrokenExpression):
        return None


def is_seen(found: Iterable[object]) -> bool:
    """Whether anything is answered otherwise than a real Traefik does."""
    return any(ours != theirs for ours, theirs in zip(found, recorded(), strict=True))


def put_in(mistake: Sequence[tuple[Any, str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name, belief in mistake:
        monkeypatch.setattr(owner, name, belief)


@pytest.mark.parametrize("mistake", MATCHING)
def test_a_known_mistake_about_requests_and_matchers_is_caught(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in([MATCHING[mistake]], monkeypatch)
    assert is_seen(answers())


@pytest.mark.parametrize("mistake", GRAMMAR)
def test_a_known_mistake_about_how_rules_are_written_is_caught(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in(GRAMMAR[mistake], monkeypatch)
    assert is_seen(answers())


# ── the choice ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mistake", CHOICE)
def test_a_known_mistake_about_the_choice_of_a_router_is_caught(
    mistake: str, choices_of: Callable[[Place], Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in(CHOICE[mistake], monkeypatch)
    assert any(True for place in (USUAL, MARKED) for _ in wrong(place, choices_of(place)))


# ── connections ──────────────────────────────────────────────────────────────────────────────────

PORTS = dict.fromkeys(NAMES, 1)


def heard() -> Iterator[set[Heard]]:
    """What we expect to hear in every scenario, whatever chance decides; nothing where we say that we cannot tell."""
    for http, tcp in SCENARIOS.values():
        table = table_of(http, tcp, PORTS)
        for asked in asks():
            answer = table.answer(asked.request, asked.server_name)
            yield set() if answer.unknown else expected(answer)


@pytest.fixture(scope="module")
def truly_heard() -> list[set[Heard]]:
    """The same without a mistake: test_tcp_traefik hears the real Traefik answer so in every run."""
    forget()
    return list(heard())


@pytest.mark.parametrize("mistake", CONNECTIONS)
def test_a_known_mistake_about_who_takes_a_connection_is_caught(
    mistake: str, truly_heard: list[set[Heard]], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in(CONNECTIONS[mistake], monkeypatch)
    assert any(ours.isdisjoint(theirs) for ours, theirs in zip(heard(), truly_heard, strict=True))


def tcp_answers() -> list[object]:
    """Priority and matches of single TCP rules; None for one that is none."""
    found: list[object] = []
    for text in TCP_RULES:
        try:
            rule = compile_rule(text, "tcp")
        except (ValueError, BrokenExpression):
            found.append(None)
            continue
        found.append(rule.priority)
        found += [rule.matches(Connection(name or "", "127.0.0.1", offers)) for name, offers in tcp_asks()]
    return found


@pytest.fixture(scope="module")
def true_tcp_answers() -> list[object]:
    """The same without a mistake: test_differential_tcp hears the real Traefik answer so in every run."""
    forget()
    return tcp_answers()


@pytest.mark.parametrize("mistake", TCP)
def test_a_known_mistake_about_tcp_rules_is_caught(
    mistake: str, true_tcp_answers: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in(TCP[mistake], monkeypatch)
    assert tcp_answers() != true_tcp_answers


# ── none ─────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_mistake_nothing_is_caught(choices_of: Callable[[Place], Table]) -> None:
    assert not is_seen(answers())
    assert [words for place in (USUAL, MARKED) for words in wrong(place, choices_of(place))] == []
