"""What is rare and surprising in Traefik's rules, each case asked of the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.routing.evaluate import compile_rule
from reconciler.routing.grammar import ParseError, TooLarge
from reconciler.routing.request import NEWEST, Refused, Release, look
from tests.reconciler.routing.differential import Report, compare_verdict, compiled
from tests.reconciler.routing.entrances import doors_of
from tests.reconciler.routing.real_traefik import binary_of, gated, is_alone, release_of, serving, wire
from tests.reconciler.routing.traps import AT_DOORS, BEYOND, CHANGED, INVALID, MATCHES, STATUSES, VALID, Trap

VERSIONS = ("3.3.6", "3.4.3", "3.5.3", "3.6.15", "3.7.15")


def ours(trap: Trap, release: Release = NEWEST) -> bool:
    seen = look(trap.request, release=release)
    assert not isinstance(seen, Refused), (trap, seen)
    return compile_rule(trap.rule, "http", release).matches(seen)


def test_every_trap_is_evaded() -> None:
    assert [trap for trap in MATCHES if ours(trap) != trap.matches] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_otherwise_in_an_older_traefik_is_told_for_it(version: str) -> None:
    major, minor, patch = map(int, version.split("."))
    release = (major, minor, patch)
    assert [trap for trap in MATCHES if ours(trap, release) != trap.expected(release)] == []


def test_every_trap_at_an_entry_point_is_evaded() -> None:
    doors = doors_of(NEWEST)
    seen = [(door, trap, look(trap.request, doors[door][0])) for door, trap in AT_DOORS]
    rules = {trap.rule: compile_rule(trap.rule) for _, trap in AT_DOORS}
    assert [
        (door, trap)
        for door, trap, one in seen
        if isinstance(one, Refused) or rules[trap.rule].matches(one) != trap.matches
    ] == []


def test_what_traefik_answers_itself_is_refused() -> None:
    answers = [(request, look(request)) for request, _, _ in STATUSES]
    assert [(request, seen) for request, seen in answers if not isinstance(seen, Refused)] == []
    assert [seen.status for _, seen in answers if isinstance(seen, Refused)] == [status for _, status, _ in STATUSES]


@pytest.mark.parametrize("rule", VALID)
def test_a_strange_rule_that_traefik_takes_is_valid(rule: str) -> None:
    assert compile_rule(rule).priority == len(rule.encode())


@pytest.mark.parametrize("rule", INVALID)
def test_a_rule_for_which_traefik_disables_the_router_is_invalid(rule: str) -> None:
    with pytest.raises(ParseError) as caught:
        compile_rule(rule)
    assert 1 <= caught.value.column <= len(rule) + 1


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_a_rule_that_is_too_deep_to_be_read_is_unknown_and_not_invalid(protocol: str) -> None:
    for rule in BEYOND:
        with pytest.raises(TooLarge, match="not read here"):
            compile_rule(rule, protocol)


def test_a_rule_can_become_valid_or_invalid_with_another_traefik() -> None:
    for rule, (taken, since) in CHANGED.items():
        assert bool(compiled(rule, NEWEST)) == taken, rule
        assert bool(compiled(rule, (3, 5, 3))) != taken, rule
        assert since <= NEWEST


def test_the_real_traefik_falls_into_every_trap_as_written(traefik_binary: Path) -> None:
    report = spring(traefik_binary)
    assert report.pairs >= len(MATCHES)
    assert not report.differences, report


def spring(binary: Path) -> Report:
    """Ask a real Traefik every trap."""
    release = release_of(binary)
    report = Report(0, release)
    doors = doors_of(release)
    at_doors = [(door, trap) for door, trap in AT_DOORS if door in doors]
    rules = list(dict.fromkeys(trap.rule for trap in MATCHES))
    options = {name: option for name, (_, option) in doors.items()}
    checked = [*VALID, *INVALID, *CHANGED]
    elsewhere = [(trap.rule, door) for door, trap in at_doors]
    dynamic = gated(rules, checked=[*checked, *BEYOND], elsewhere=elsewhere)
    with serving(binary, dynamic, options=options, release=release) as traefik:
        verdicts = traefik.verdicts()
        for number, rule in enumerate(checked):
            compare_verdict(rule, verdicts[f"c{number}"], report)
        for number, rule in enumerate(BEYOND, len(checked)):
            if not verdicts[f"c{number}"].enabled:
                report.differ("not valid at all:", rule[:200])
        for request, status, since in STATUSES:
            answer, _ = traefik.ask_alone(wire(request), request)
            report.refused += 1
            if (answer == status) != (release >= since):
                report.differ("status of", request, "ours", status, "since", since, "Traefik's", answer)
        traps = sorted(MATCHES, key=lambda trap: is_alone(trap.request))
        answers = traefik.ask([(trap.request, str(rules.index(trap.rule))) for trap in traps])
        for trap, (answer, _) in zip(traps, answers, strict=True):
            report.pairs += 1
            if answer != (418 if trap.expected(release) else 404):
                report.differ(trap, "Traefik's", answer)
        for number, (door, trap) in enumerate(at_doors):
            ((answer, _),) = traefik.ask([(trap.request, f"e{number}")], door)
            if answer != (418 if trap.expected(release) else 404):
                report.differ(door, trap, "Traefik's", answer)
    return report


@pytest.mark.soak
@pytest.mark.parametrize("version", VERSIONS)
def test_every_older_traefik_falls_into_its_traps(version: str) -> None:
    report = spring(binary_of(version))
    assert not report.differences, report
