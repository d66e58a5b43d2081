"""The witnesses of decisions, sent to a real Traefik: every one matches what it is said to match, and only that."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path

import pytest

from reconciler.routing.decide import Found, find
from reconciler.routing.evaluate import Rule, compile_rule
from reconciler.routing.grammar import ParseError
from reconciler.routing.request import Request
from tests.reconciler.routing.generating import Maker
from tests.reconciler.routing.pairs_of_rules import CORPUS, FOUND
from tests.reconciler.routing.real_traefik import RealTraefik, gated, serving

MATCHED, NOT_MATCHED = 418, 404


def _rules(count: int, seed: int) -> list[Rule]:
    maker, found = Maker(seed), list[Rule]()
    while len(found) < count:
        try:
            found.append(compile_rule(maker.rule()))
        except ParseError:
            continue
    return found


def _can_go_over_loopback(request: Request) -> bool:
    """Not from other addresses, not with TLS, and not with a body, which nothing here sends."""
    return (
        request.client_ip.startswith("127.")
        and not request.tls
        and all(name != "Content-Length" or value.strip("0") == "" for name, value in request.headers)
    )


def _questions(rules: list[Rule], pairs: int, seed: int) -> list[tuple[Request, int, int]]:
    """(witness, number of a rule, the status that it has to have)."""
    rng, found = random.Random(seed), list[tuple[Request, int, int]]()
    for _ in range(pairs):
        one, other = rng.randrange(len(rules)), rng.randrange(len(rules))
        together = rng.random() < 0.5
        nodes = (rules[one].node, rules[other].node)
        answer = find(nodes) if together else find(nodes[:1], nodes[1:])
        if isinstance(answer, Found) and _can_go_over_loopback(answer.witness):
            found += [(answer.witness, one, MATCHED), (answer.witness, other, MATCHED if together else NOT_MATCHED)]
    return found


def _wrong(traefik: RealTraefik, rules: list[Rule], questions: list[tuple[Request, int, int]]) -> list[str]:
    answers = traefik.ask([(request, str(rule)) for request, rule, _ in questions])
    return [
        f"{status} instead of {wanted}: {rules[rule].text} for {request}"
        for (request, rule, wanted), (status, _) in zip(questions, answers, strict=True)
        if status != wanted
    ]


def test_traefik_agrees_with_thousands_of_witnesses(traefik_binary: Path) -> None:
    rules = _rules(300, 21)
    questions = _questions(rules, 3500, 21)
    assert len(questions) > 3000
    with serving(traefik_binary, gated([rule.text for rule in rules])) as traefik:
        assert list(islice(_wrong(traefik, rules, questions), 5)) == []
        # Would it be noticed? The same witnesses, said to match the rule after the right one.
        shifted = [(request, (rule + 1) % len(rules), wanted) for request, rule, wanted in questions[:400]]
        assert len(_wrong(traefik, rules, shifted)) > 50


def test_traefik_agrees_about_the_rare_traps(traefik_binary: Path) -> None:
    pairs = [(one, other) for one, other, expected in CORPUS if expected == FOUND]
    rules = [compile_rule(text) for pair in pairs for text in pair]
    questions: list[tuple[Request, int, int]] = []
    for number in range(0, len(rules), 2):
        answer = find([rules[number].node, rules[number + 1].node])
        assert isinstance(answer, Found), rules[number].text
        if _can_go_over_loopback(answer.witness):
            questions += [(answer.witness, number, MATCHED), (answer.witness, number + 1, MATCHED)]
    assert len(questions) > 60
    with serving(traefik_binary, gated([rule.text for rule in rules])) as traefik:
        assert _wrong(traefik, rules, questions) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(40, 44))
def test_traefik_agrees_with_many_more_witnesses(traefik_binary: Path, seed: int) -> None:
    rules = _rules(400, seed)
    questions = _questions(rules, 20_000, seed)
    with serving(traefik_binary, gated([rule.text for rule in rules])) as traefik:
        assert list(islice(_wrong(traefik, rules, questions), 5)) == []
