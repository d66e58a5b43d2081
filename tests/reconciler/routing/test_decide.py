"""Decisions about rules: what they find, what they prove, and where they say that they cannot tell."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

import pytest

from reconciler.routing import cubes, dimensions, domain, plain, witnesses
from reconciler.routing import decide as deciding
from reconciler.routing.decide import (
    Contained,
    Escapes,
    Found,
    FoundConnection,
    Nothing,
    Unknown,
    contains,
    equal,
    find,
    find_connection,
    meet,
)
from reconciler.routing.evaluate import Rule, compile_rule, tcp_test
from reconciler.routing.grammar import ParseError, parse
from reconciler.routing.languages.language import beginning_with, exactly, found_by
from reconciler.routing.matchers import ALPN, And, ClientIP, HostSNI, HostSNIRegexp, Node, Not, Or
from reconciler.routing.request import NEWEST, Connection, Refused, Request, Seen, look
from reconciler.routing.urls import Release
from tests.reconciler.routing.generating import Maker
from tests.reconciler.routing.pairs_of_rules import CORPUS


def _kind(answer: object) -> str:
    return type(answer).__name__.lower()


@pytest.mark.parametrize(("one", "other", "expected"), CORPUS)
def test_pairs_of_rules_meet_as_they_do_in_traefik(one: str, other: str, expected: str) -> None:
    assert _kind(meet(parse(one), parse(other))) == expected
    assert _kind(meet(parse(other), parse(one))) == expected


@pytest.mark.parametrize(
    ("all_of", "none_of", "url", "headers"),
    [
        (["Host(`git.lab`) && PathPrefix(`/api`)"], [], "http://git.lab/api", ()),
        (["Host(`git.lab`)"], ["PathPrefix(`/a`)"], "http://git.lab/", ()),
        (["HostRegexp(`^.+\\.lab$`)"], [], "http://a.lab/", ()),
        (["Host(`*.lab`)"], [], "http://a.lab/", ()),
        (["PathRegexp(`^/v[0-9]+/users$`)"], [], "http://example.org/v0/users", ()),
        (["Path(`/a b/é`)"], [], "http://example.org/a%20b/%C3%A9", ()),
        (["Query(`debug`) && Query(`q`, `a b`)"], [], "http://example.org/?debug&q=a%20b", ()),
        (["Header(`x-api-key`, `s`)"], ["Host(`example.org`)"], "http://example.com/", (("X-Api-Key", "s"),)),
        (["Host(`::1`)"], [], "http://[::1]/", ()),
    ],
)
def test_a_witness_is_short_and_plain_to_read(
    all_of: list[str], none_of: list[str], url: str, headers: tuple[tuple[str, str], ...]
) -> None:
    found = find(list(map(parse, all_of)), list(map(parse, none_of)))
    assert isinstance(found, Found)
    assert (found.witness.url, found.witness.headers) == (url, headers)


@pytest.mark.parametrize(
    "rule",
    [
        "HeaderRegexp(`X-A`, `\\p{Greek}`)",  # a script is not modelled
        "Header(`X-Forwarded-Port`, `8443`)",  # Traefik makes it from the Host header
        "PathRegexp(`^.*a.{15}b$`)",  # more states than the budget
        "Header(`Expect`, `nothing`)",  # Go answers 417
    ],
)
def test_what_cannot_be_told_is_unknown_and_never_nothing(rule: str) -> None:
    answer = find([parse(rule)])
    assert isinstance(answer, Unknown) and answer.reason


def test_what_is_not_modelled_does_not_stand_in_the_way_of_what_is() -> None:
    assert isinstance(find([parse("HeaderRegexp(`X-A`, `\\p{Greek}`) || Host(`a`)")]), Found)
    assert isinstance(find([parse("HeaderRegexp(`X-A`, `\\p{Greek}`) && Host(`a`)"), parse("Host(`b`)")]), Nothing)
    assert isinstance(find([parse("Host(`a`)")], [parse("HeaderRegexp(`X-A`, `\\p{Greek}`)")]), Found)


def test_a_budget_that_runs_out_is_unknown() -> None:
    rng = random.Random(1)
    clauses = [
        " || ".join(f"{rng.choice(['', '!'])}Query(`k{n}`)" for n in rng.sample(range(60), 3)) for _ in range(258)
    ]
    assert isinstance(find([parse(f"({clause})") for clause in clauses], budget=2_000), Unknown)


def test_one_rule_against_a_thousand_others_forks_only_where_it_must() -> None:
    others = [parse(f"Host(`h{number}.test`) && PathPrefix(`/p{number % 7}`)") for number in range(1000)]
    found = find([parse("Host(`h5.test`)")], others, budget=8_000)
    assert isinstance(found, Found) and found.witness.host == "h5.test"
    covering = [*others, parse("Host(`h5.test`) && !PathPrefix(`/p5`)"), parse("Host(`h5.test.`)")]
    assert isinstance(find([parse("Host(`h5.test`)")], covering, budget=8_000), Nothing)


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ("PathPrefix(`/`)", "Host(`a`)", Escapes),  # GET *
        ("PathPrefix(`/`)", "Host(`a`) && PathPrefix(`/b`)", Contained),
        ("Host(`a`) && PathPrefix(`/b`)", "Host(`A`) && Path(`/bc`)", Contained),
        ("Host(`a`)", "Host(`a`) && PathPrefix(`/b`)", Contained),
        ("Host(`a`) && PathPrefix(`/`)", "Host(`a`)", Escapes),
        ("HostRegexp(`^[a-z]+\\.test\\.?$`)", "Host(`a.test`) || Host(`b.test`)", Contained),
        ("HostRegexp(`^[a-z]+\\.test$`)", "Host(`a.test`)", Escapes),  # a.test.
        ("Host(`a.test`)", "HostRegexp(`^a\\.test$`)", Contained),
        ("Query(`k`)", "QueryRegexp(`k`)", Contained),
        ("ClientIP(`10.0.0.0/8`) || ClientIP(`11.0.0.0/8`)", "ClientIP(`10.0.0.0/7`)", Contained),
    ],
)
def test_containment(outer: str, inner: str, expected: type) -> None:
    assert isinstance(contains(parse(outer), parse(inner)), expected)


def test_equality() -> None:
    assert isinstance(equal(parse("Host(`a`) && Path(`/b`)"), parse("!(!Path(`/b`) || !Host(`A`))")), Contained)
    assert isinstance(equal(parse("Path(`/b`)"), parse("PathRegexp(`^/b$`)")), Contained)
    escapes = equal(parse("Path(`/b`)"), parse("PathRegexp(`^/b?$`)"))
    assert isinstance(escapes, Escapes) and escapes.witness.target == "/"


# ── TCP ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("HostSNI(`*`)", "HostSNI(`a.test`)", FoundConnection),
        ("HostSNI(`a.test`)", "HostSNI(`b.test`)", Nothing),
        ("HostSNI(`a.test`)", "HostSNI(`a.test.`)", FoundConnection),
        ("HostSNIRegexp(`^$`)", "HostSNI(`*`)", FoundConnection),  # no server name
        ("HostSNIRegexp(`^$`)", "HostSNI(`*.test`)", Nothing),
        ("HostSNIRegexp(`^a\\.`)", "HostSNI(`*.test`)", FoundConnection),
        ("HostSNI(`*.test`)", "HostSNI(`a.b.test`)", Nothing),
        ("ALPN(`h2`)", "ALPN(`mqtt`)", FoundConnection),
        ("ALPN(`h2`)", "!ALPN(`h2`)", Nothing),
        ("ClientIP(`10.0.0.0/8`)", "HostSNI(`a`) && !ClientIP(`10.0.0.0/9`)", FoundConnection),
    ],
)
def test_tcp_rules_meet_too(one: str, other: str, expected: type) -> None:
    assert isinstance(find_connection([parse(one, "tcp"), parse(other, "tcp")]), expected)


def test_no_answer_about_random_tcp_rules_is_refuted() -> None:
    rng, wrong = random.Random(4), list[str]()
    connections = [
        Connection(sni, client, alpn)
        for sni in ("", "a", "a.test", "A.test", "b.a.test", ".test", "test", "x-y", "1")
        for client in ("127.0.0.1", "10.1.2.3", "::1")
        for alpn in ((), ("h2",), ("h2", "http/1.1"))
    ]
    rules = [(node := _tcp_rule(rng, 2), tcp_test(node)) for _ in range(80)]
    for _ in range(1500):
        (one, takes_one), (other, takes_other) = rng.choice(rules), rng.choice(rules)
        answer = find_connection([one], [other])
        refuted = [each for each in connections if takes_one(each) and not takes_other(each)]
        if isinstance(answer, Unknown) or (isinstance(answer, Nothing) and refuted):
            wrong.append(f"{one} without {other}: {answer}, {refuted[:1]}")
        if isinstance(answer, FoundConnection):
            assert takes_one(answer.witness) and not takes_other(answer.witness)
    assert wrong == []


def _tcp_rule(rng: random.Random, depth: int) -> Node:
    if depth and rng.random() < 0.6:
        parts = tuple(_tcp_rule(rng, depth - 1) for _ in range(2))
        return rng.choice((And(parts), Or(parts), Not(parts[0])))
    names = ("*", "a", "a.test", "*.test", "*.a.test", "a.test.", "test")
    patterns = ("^a", "^$", "test$", "\\.", "^[a-z.]+$", "")
    return rng.choice(
        (
            HostSNI(rng.choice(names)),
            HostSNIRegexp(rng.choice(patterns)),
            ALPN(rng.choice(("h2", "http/1.1"))),
            ClientIP(rng.choice(("10.0.0.0/8", "::/0", "127.0.0.1"))),
        )
    )


# ── random rules and requests ────────────────────────────────────────────────────────────────────


def _rules(count: int, seed: int, release: Release = NEWEST) -> list[Rule]:
    return list(islice(_valid_rules(Maker(seed), release), count))


def _valid_rules(maker: Maker, release: Release) -> Iterator[Rule]:
    while True:
        try:
            yield compile_rule(maker.rule(), release=release)
        except ParseError:
            continue


@lru_cache
def _requests(count: int, seed: int, release: Release) -> list[Seen]:
    """Random requests, as rules see them, that DOMAIN speaks of."""
    maker, found = Maker(seed), list[Seen]()
    while len(found) < count:
        seen = look(maker.request(), release=release)
        if not isinstance(seen, Refused) and _in_domain(seen):
            found.append(seen)
    return found


def _in_domain(seen: Seen) -> bool:
    return domain.HOSTS.matches(seen.host)


def _complaints(rules: Sequence[Rule], pairs: int, seed: int, release: Release = NEWEST) -> list[str]:
    """Every answer about random pairs that random requests, or the evaluator, show to be wrong."""
    rng, requests = random.Random(seed), _requests(1500, seed, release)
    matched = [frozenset(number for number, seen in enumerate(requests) if rule.matches(seen)) for rule in rules]
    wrong: list[str] = []
    for _ in range(pairs):
        one, other = rng.randrange(len(rules)), rng.randrange(len(rules))
        together = rng.random() < 0.5
        inside, outside = ([one, other], []) if together else ([one], [other])
        answer = find([rules[at].node for at in inside], [rules[at].node for at in outside], release=release)
        refuting = matched[one] & matched[other] if together else matched[one] - matched[other]
        if isinstance(answer, Nothing) and refuting:
            wrong.append(f"{rules[one].text} | {rules[other].text}: {requests[min(refuting)]}")
        if isinstance(answer, Found) and not _answers(look(answer.witness, release=release), inside, outside, rules):
            wrong.append(f"{rules[one].text} | {rules[other].text}: {answer.witness}")
    return wrong


def _answers(seen: Seen | Refused, inside: Sequence[int], outside: Sequence[int], rules: Sequence[Rule]) -> bool:
    if isinstance(seen, Refused):
        return False
    return all(rules[at].matches(seen) for at in inside) and not any(rules[at].matches(seen) for at in outside)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_answer_about_random_rules_is_refuted(seed: int) -> None:
    assert _complaints(_rules(150, seed), 700, seed) == []


@pytest.mark.parametrize("release", [(3, 3, 0), (3, 4, 1), (3, 5, 0), (3, 6, 0)])
def test_nor_is_any_about_an_older_traefik(release: Release) -> None:
    assert _complaints(_rules(120, 9, release), 500, 9, release) == []


@pytest.mark.parametrize(
    ("rule", "target"),
    [
        ("PathRegexp(`//`)", "/%2F"),
        ("PathRegexp(`/\\.\\./`)", "/%2E%2E%2F"),
        ("Path(`/a/./b`)", "/a%2F%2E%2Fb"),
        ("Path(`/a b`)", "/a%20b"),
        ("!PathPrefix(`/`)", "*"),
    ],
)
def test_before_3_4_1_a_witness_hides_in_escapes_what_would_be_cleaned(rule: str, target: str) -> None:
    found = find((parse(rule),), release=(3, 4, 0))
    assert isinstance(found, Found) and found.witness.target == target


def test_an_older_traefik_leaves_no_more_unanswered_than_the_newest() -> None:
    maker, reasons = Maker(11), set[str]()
    for _ in range(100):
        for release in ((3, 3, 6), (3, 6, 15)):
            both = [_node(maker, release) for _ in range(2)]
            answer = find(both, release=release)
            if isinstance(answer, Unknown) and "Expect" not in str(both):  # Go answers some of these itself
                reasons.add(answer.reason)
    assert all("is not modelled here" in reason for reason in reasons), reasons


def test_a_header_that_only_upgrades_have_is_met_by_an_upgrade() -> None:
    found = find((parse("HeaderRegexp(`Connection`, `.`) && Header(`X-A`, `1`)"),))
    assert isinstance(found, Found) and ("Connection", "Upgrade") in found.witness.headers


def _node(maker: Maker, release: Release) -> Node:
    while True:
        try:
            return compile_rule(maker.rule(), "http", release).node
        except ParseError:
            continue


def test_what_a_star_in_a_host_means_is_a_question_of_the_release() -> None:
    one, other = parse("Host(`*.test`)"), parse("Host(`a.test`)")
    assert isinstance(meet(one, other), Found)
    assert isinstance(meet(one, other, release=(3, 6, 0)), Nothing)
    assert isinstance(meet(one, one, release=(3, 6, 0)), Found)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 30))
def test_no_answer_about_many_random_rules_is_refuted(seed: int) -> None:
    assert _complaints(_rules(400, seed), 6000, seed) == []


def test_random_requests_are_of_the_domain_that_is_stated() -> None:
    """The edges of DOMAIN: all that reaches a rule is in it, but for the hosts that it says it leaves out."""
    maker, outside = Maker(5), set[str]()
    for _ in range(6000):
        request = maker.request()
        seen = look(request)
        if isinstance(seen, Refused):
            continue
        assert domain.PATHS.matches(seen.path) or seen.path == "*"
        assert domain.TOKENS.matches(seen.method)
        if not domain.HOSTS.matches(seen.host):
            outside.add(request.target[:4].lower())
    assert outside <= {"http", "x://"}


def test_most_random_pairs_have_an_answer() -> None:
    rules, rng = _rules(200, 7), random.Random(7)
    answers = [meet(rng.choice(rules).node, rng.choice(rules).node) for _ in range(600)]
    kinds = [_kind(answer) for answer in answers]
    assert kinds.count("unknown") < 30 and kinds.count("nothing") > 50 and kinds.count("found") > 200


def test_containment_obeys_the_laws_of_sets() -> None:
    rules, rng = [rule.node for rule in _rules(120, 8)], random.Random(8)
    for _ in range(250):
        one, other = rng.choice(rules), rng.choice(rules)
        both, either = And((one, other)), Or((one, other))
        assert not isinstance(contains(one, one), Escapes)
        assert not isinstance(contains(one, both), Escapes) and not isinstance(contains(either, one), Escapes)
        if isinstance(contains(one, other), Contained):
            assert not isinstance(equal(one, either), Escapes) and not isinstance(equal(other, both), Escapes)
            assert _kind(meet(other, Not(one))) in ("nothing", "unknown")
        if isinstance(meet(one, other), Nothing):
            assert not isinstance(contains(Not(one), other), Escapes)


# ── can these tests fail? ────────────────────────────────────────────────────────────────────────


def _wrong_pairs() -> int:
    return sum(_kind(meet(parse(one), parse(other))) != expected for one, other, expected in CORPUS)


def _forget() -> None:
    for cached in (dimensions.language, dimensions.is_modelled, dimensions.solve, dimensions._header_values):
        cached.cache_clear()
    deciding._known.cache_clear()


_meet = plain.Plain.meet


def _by_parts(one: plain.Plain, other: plain.Plain) -> plain.Plain | None:
    shorter, longer = sorted((one.path, other.path), key=len)
    return _meet(one, other) if f"{longer}/".startswith(shorter.rstrip("/") + "/") else None


MUTANTS: dict[str, tuple[object, str, Callable[..., object]]] = {
    "a dot at the end of a host counts": (dimensions, "host_names", lambda name: frozenset({name})),
    "a regular expression that finds nothing empty": (dimensions, "_EVERYTHING", found_by("^x$")),  # type: ignore[dict-item]
    "a star spans labels": (dimensions, "_wildcard", lambda name: found_by(f"{name[1:]}$")),
    "any path is a routing path": (domain, "PATHS", beginning_with("/")),  # type: ignore[dict-item]
    "no request for *": (domain, "STAR", exactly()),  # type: ignore[dict-item]
    "a header has one value": (dimensions, "is_multiple", lambda side: False),
    "blanks around a header value": (domain, "HEADER_VALUES", beginning_with("")),  # type: ignore[dict-item]
    "header names as written": (dimensions, "canonical_name", lambda name: name),
    "any header can be sent": (dimensions, "is_forwarded", lambda name, release: False),
    "methods as written": (dimensions, "upper", lambda name: name.lower()),
    "CONNECT reaches a router": (domain, "TUNNEL", exactly()),  # type: ignore[dict-item]
    "only IPv4": (dimensions.addresses, "_ALL", ((4, 0, 2**32 - 1),)),  # type: ignore[dict-item]
    "a cube is met by the first way only": (cubes, "_living", lambda cube, choice: list(choice)[:1]),
    "hosts with a colon have no brackets": (witnesses, "_written", lambda host: host),
    "plain prefixes are read part by part": (plain.Plain, "meet", _by_parts),
}


def test_the_corpus_is_right_before_anything_is_broken() -> None:
    _forget()
    assert _wrong_pairs() == 0


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_belief_put_in_on_purpose_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, wrong = MUTANTS[name]
    with monkeypatch.context() as patched:
        patched.setattr(where, what, wrong)
        _forget()
        noticed = _wrong_pairs()
    _forget()
    assert noticed > 0


def test_a_witness_is_never_taken_on_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a search that makes up answers, what comes out is unknown, not found."""
    with monkeypatch.context() as patched:
        patched.setattr(deciding, "request_of", lambda cube: Request(target="/made/up", host="nowhere"))
        answer = find([parse("Host(`a`) && (Path(`/x`) || Path(`/y`))")])
    assert isinstance(answer, Unknown)
