"""The evaluator against a real Traefik: the same rules and requests to both, every difference in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler.routing.evaluate import Rule, TooLarge, compile_rule
from reconciler.routing.grammar import ParseError
from reconciler.routing.request import PLAIN, Door, Refused, Release, Request, Seen, look
from tests.reconciler.routing.generating import Maker
from tests.reconciler.routing.real_traefik import RealTraefik, Verdict, gated, release_of, serving, wire

MOST = 10  # differences of one kind that are told


@dataclass
class Questions:
    """What one number asks: valid rules, requests, rules that compete with priorities, rules that may be invalid."""

    rules: list[str]
    requests: list[Request]
    winners: list[tuple[str, int]]
    doubtful: list[str]


@dataclass
class Report:
    """What came of it."""

    seed: int
    release: Release
    pairs: int = 0
    matches: int = 0
    refused: int = 0
    validities: int = 0
    winners: int = 0
    tied: int = 0
    differences: list[str] = field(default_factory=list)

    def differ(self, *words: object) -> None:
        self.differences.append(" ".join(str(word) for word in words))

    def __str__(self) -> str:
        some = "\n  ".join(self.differences[:MOST])
        return (
            f"Traefik {'.'.join(map(str, self.release))}, seed {self.seed}: {self.pairs} pairs, "
            f"{self.matches} matches, {self.refused} refused, {self.validities} rules checked, "
            f"{self.winners} winners ({self.tied} tied), "
            f"{len(self.differences)} differences\n  {some}\n"
            f"replay: DIFFERENTIAL_SEED={self.seed} pytest tests/reconciler/routing/test_differential.py"
        )


def questions(seed: int, release: Release, *, rules: int, requests: int, doubtful: int) -> Questions:
    """Random questions; the same number asks the same."""
    maker = Maker(seed)
    valid: list[str] = []
    dubious: list[str] = []
    while len(valid) < rules:
        rule = maker.rule()
        (valid if compiled(rule, release) else dubious).append(rule)
    dubious = dubious[:doubtful] + [maker.broken() for _ in range(doubtful)]
    patterns = [maker.pattern() for _ in range(doubtful)]
    dubious += [f"PathRegexp(`{pattern}`)" for pattern in patterns if "`" not in pattern]
    winners = [(rule, maker.chance.choice((*[0] * 16, -1, 1000, 1001, 1002))) for rule in valid]
    return Questions(valid, [maker.request() for _ in range(requests)], winners, dubious)


def compiled(rule: str, release: Release) -> Rule | None:
    """The rule, None where it is not valid."""
    try:
        return compile_rule(rule, "http", release)
    except ParseError:
        return None


def compare(
    binary: Path,
    seed: int,
    *,
    rules: int = 160,
    requests: int = 200,
    doubtful: int = 150,
    release: Release | None = None,
) -> Report:
    """Ask both, at an ordinary entry point."""
    release = release or release_of(binary)
    asked = questions(seed, release, rules=rules, requests=requests, doubtful=doubtful)
    report = Report(seed, release)
    dynamic = gated(asked.rules, winners=asked.winners, checked=asked.doubtful)
    with serving(binary, dynamic, release=release) as traefik:
        _compare_validity(traefik.verdicts(), asked, report)
        ours = [compile_rule(rule, "http", release) for rule in asked.rules]
        let_in = _compare_refusals(traefik, asked.requests, report)
        compare_pairs(traefik, ours, let_in, report)
        _compare_winners(traefik, ours, [priority for _, priority in asked.winners], let_in, report)
    return report


def compare_doors(binary: Path, seed: int, doors: Mapping[str, tuple[Door, Mapping[str, Any]]], **sizes: int) -> Report:
    """Ask both, at entry points with options: name -> (as we read them, as Traefik does)."""
    release = release_of(binary)
    asked = questions(seed, release, doubtful=0, **sizes)
    report = Report(seed, release)
    dynamic = gated(asked.rules, doors=["web", *doors])
    with serving(binary, dynamic, options={name: option for name, (_, option) in doors.items()}) as traefik:
        ours = [compile_rule(rule, "http", release) for rule in asked.rules]
        for name, (door, _) in doors.items():
            let_in = _compare_refusals(traefik, asked.requests, report, door, name)
            compare_pairs(traefik, ours, let_in, report, name)
    return report


def _compare_validity(verdicts: Mapping[str, Verdict], asked: Questions, report: Report) -> None:
    for number, rule in enumerate(asked.rules):
        if not verdicts[f"g{number}"].enabled:
            report.differ("invalid in Traefik:", repr(rule), verdicts[f"g{number}"].error)
    for number, rule in enumerate(asked.doubtful):
        compare_verdict(rule, verdicts[f"c{number}"], report)


def compare_verdict(rule: str, verdict: Verdict, report: Report) -> None:
    """Whether both take a rule, and give it the same priority."""
    report.validities += 1
    try:
        ours = compile_rule(rule, "http", report.release)
    except TooLarge:
        return
    except ParseError:
        ours = None
    if (ours is not None) != verdict.enabled:
        report.differ("valid to us only:" if ours else "valid to Traefik only:", repr(rule), verdict.error)
    elif ours and ours.priority != verdict.priority:
        report.differ("priority of", repr(rule), "ours", ours.priority, "Traefik's", verdict.priority)


def _compare_refusals(
    traefik: RealTraefik, requests: Sequence[Request], report: Report, door: Door = PLAIN, port: str = "web"
) -> list[tuple[Request, Seen]]:
    """The requests that reach the rules; whether Traefik answers the others itself is asked here."""
    let_in: list[tuple[Request, Seen]] = []
    for request in requests:
        seen = look(request, door, report.release)
        status, _ = traefik.ask_alone(wire(request), request, port)
        if isinstance(seen, Refused):
            report.refused += 1
            if status != seen.status:
                report.differ("status of", request, "ours", seen, "Traefik's", status)
        elif status not in (404, 418):
            report.differ("refused by Traefik with", status, request, seen)
        else:
            let_in.append((request, seen))
    return let_in


def compare_pairs(
    traefik: RealTraefik,
    rules: Sequence[Rule],
    let_in: Sequence[tuple[Request, Seen]],
    report: Report,
    port: str = "web",
) -> None:
    """Every rule with every request."""
    pairs = [(request, seen, number) for request, seen in let_in for number in range(len(rules))]
    answers = traefik.ask([(request, str(number)) for request, _, number in pairs], port)
    report.pairs += len(pairs)
    for (request, seen, number), (status, _) in zip(pairs, answers, strict=True):
        ours = rules[number].matches(seen)
        report.matches += ours
        if status != (418 if ours else 404):
            report.differ("match of", repr(rules[number].text), request, seen, "ours", ours, "Traefik's", status)


def _compare_winners(
    traefik: RealTraefik,
    rules: Sequence[Rule],
    priorities: Sequence[int],
    let_in: Sequence[tuple[Request, Seen]],
    report: Report,
) -> None:
    """Who wins among all rules; of several with the highest priority, any may."""
    answers = traefik.ask([(request, "") for request, _ in let_in], "all")
    for (request, seen), (status, router) in zip(let_in, answers, strict=True):
        matching = [
            (priority or rule.priority, f"w{number}")
            for number, (rule, priority) in enumerate(zip(rules, priorities, strict=True))
            if rule.matches(seen)
        ]
        highest = max(matching, default=(0, ""))[0]
        expected = {name for priority, name in matching if priority == highest}
        report.winners += bool(expected)
        report.tied += len(expected) > 1
        if router not in (expected or {""}) or (not expected and status != 404):
            report.differ("winner of", request, seen, "ours", sorted(expected), "Traefik's", router or status)
