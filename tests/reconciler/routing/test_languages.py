"""Languages: RE2's syntax and the automata made from it, against RE2 itself."""

from __future__ import annotations

import itertools
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.routing.languages import charsets
from reconciler.routing.languages.language import Language, beginning_with, exactly, found_by, pick, whole
from reconciler.routing.languages.products import Budget, Exceeded
from reconciler.routing.languages.trees import Unmodelled
from reconciler.routing.patterns import finder, pattern_fault

ANYTHING = whole("(?s).*")

CHARACTERS = "abkKsS09_-./ \n\té\u212a\u017fß\u00c9Ωω日\ufffd\udcff\U0001f600"
TEXTS = st.text(st.sampled_from(CHARACTERS), max_size=8)
ATOMS = st.sampled_from(
    [
        "a", "b", "k", "s", "0", "-", "/", "é", "É", "Ω", r"\.", ".", "^", "$", r"\A", r"\z", r"\b", r"\B",
        r"\d", r"\D", r"\s", r"\S", r"\w", r"\W", r"\x61", r"\x{e9}", r"\141", r"\n", r"\pL", r"\PL", r"\p{Lu}",
        r"\p{^Ll}", r"\P{Nd}", "[ab]", "[^ab]", "[a-k]", "[^a-k\n]", r"[\d_]", r"[^\d]", r"[\W]", "[[:alpha:]]",
        "[[:^alpha:]]", "[^[:space:]]", "[]a]", "[^]a]", "[a-]", "[-a]", "[k-s]", "[é-ω]", r"[\pL-]", r"[^\pL]",
        r"[\x{fffd}]", "日", r"\Qa.b\E", r"\Q+\E+", "(?i)", "(?s)", "(?m)", "(?U)", "(?-i)", "(?i-s)",
    ]
)  # fmt: skip
REPEATS = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{2,3}?", "{,2}", "{0}", "{", "{1"])


def _joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=2, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join),
        inner.map(lambda part: f"({part})"),
        inner.map(lambda part: f"(?:{part})"),
        st.tuples(st.sampled_from(["i", "s", "m", "U", "im", "i-m", "ims-U"]), inner).map(
            lambda two: f"(?{two[0]}:{two[1]})"
        ),
        inner.map(lambda part: f"(?P<name>{part})"),
        st.tuples(inner, REPEATS).map(lambda two: f"(?:{two[0]}){two[1]}"),
        st.tuples(ATOMS, REPEATS).map("".join),
    )


PATTERNS = st.recursive(ATOMS, _joined, max_leaves=8)


@settings(max_examples=500, deadline=None)
@given(PATTERNS, st.lists(TEXTS, max_size=12))
@example(r"a{,2}", ["a{,2}", "aa"])
@example(r"(?i)k", ["\u212a", "K"])
@example(r"\b", ["", "é", "a"])
@example(r"\B", ["", "é", "a"])
@example(r"\B\B", ["0É0"])
@example(r"(?m)^$", ["a\n", "\n", "a\nb"])
@example(r"[^a]", ["\n", "\udcff"])
@example(r"^.$", ["\udcff", "\n", "\ufffd"])
@example("", [""])
@example("|a", ["b"])
def test_an_automaton_finds_what_re2_finds(pattern: str, texts: list[str]) -> None:
    if pattern_fault(pattern):
        return
    try:
        language = found_by(pattern)
    except Unmodelled:
        return
    find = finder(pattern)
    for text in texts:
        assert language.matches(text) == find(text), text


def test_what_is_modelled_is_nearly_everything_that_re2_takes() -> None:
    """The property above would hold for a reader that models nothing."""
    rng = random.Random(3)
    parts = ["a", "b.", "[^a]", r"\d", r"\w+", "(a|b)", "^", "$", r"\b", "(?i:k)", "x{2,3}", r"\pL", "[[:alpha:]]"]
    patterns = ["".join(rng.choices(parts, k=4)) for _ in range(300)]
    assert all(found_by(pattern) for pattern in patterns if not pattern_fault(pattern))


@pytest.mark.parametrize(
    "pattern",
    [r"\p{Greek}", r"[\p{Latin}]", r"\C", "(?=a)", r"\1", "a**", r"\p{Cn}", "(((a{100}){10}){10}){2}", r"[[:what:]]",
     "a{1001}", "(", ")", "[a", "*", r"\8", r"\x", "[b-a]", "(?z)", "a\\", "a(?i){2}", "{2}"],
)  # fmt: skip
def test_what_is_not_modelled_is_refused_and_never_guessed(pattern: str) -> None:
    with pytest.raises(Unmodelled):
        found_by(pattern)


# ── products ─────────────────────────────────────────────────────────────────────────────────────

SMALL = "ab."
SHORT_TEXTS = ["".join(letters) for size in range(6) for letters in itertools.product(SMALL, repeat=size)]
SMALL_ATOMS = st.sampled_from(["a", "b", ".", r"\.", "[^a]", "^", "$", r"\b", "[ab]", "a{2}"])
SMALL_PATTERNS = st.recursive(
    SMALL_ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=2).map(lambda two: f"(?:{'|'.join(two)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?"])).map(lambda two: f"(?:{two[0]}){two[1]}"),
    ),
    max_leaves=5,
)
LITERALS = st.text(st.sampled_from(SMALL), max_size=3)
LANGUAGES = st.one_of(
    SMALL_PATTERNS.map(lambda pattern: ("pattern", pattern)),
    LITERALS.map(lambda text: ("beginning", text)),
    st.lists(LITERALS, max_size=3).map(lambda texts: ("texts", tuple(texts))),
)


def _language(kind: str, value: str | tuple[str, ...]) -> Language:
    if kind == "pattern":
        return found_by(str(value))
    return beginning_with(str(value)) if kind == "beginning" else exactly(*value)


def _member(kind: str, value: str | tuple[str, ...], text: str) -> bool:
    if kind == "pattern":
        return finder(str(value))(text)
    return text.startswith(str(value)) if kind == "beginning" else text in value


@settings(max_examples=300, deadline=None)
@given(st.lists(LANGUAGES, max_size=3), st.lists(LANGUAGES, max_size=3))
def test_the_picked_text_is_in_all_and_none_and_no_shorter_one_is(inside: list, outside: list) -> None:
    domain = whole(r"[ab.]*")
    found = pick(domain, [_language(*one) for one in inside], [_language(*one) for one in outside], Budget(50_000))
    fitting = [
        text
        for text in SHORT_TEXTS
        if all(_member(*one, text) for one in inside) and not any(_member(*one, text) for one in outside)
    ]
    if found is None:
        assert not fitting
    else:
        assert all(_member(*one, found) for one in inside) and not any(_member(*one, found) for one in outside)
        assert set(found) <= set(SMALL)
        assert len(found) == len(fitting[0]) if fitting else len(found) > 5


@pytest.mark.parametrize(
    ("inside", "outside", "expected"),
    [
        (["^[a-z]+$"], [], "a"),
        (["^.+$"], [], "a"),
        (["^[^a-z]$"], [], "0"),
        ([r"^\W$"], [], "-"),
        ([r"^/.+/$"], [], "/a/"),
        (["^[^[:ascii:]]$"], [], "ª"),
        (["^a{3,5}$"], ["^a{3}$"], "aaaa"),
        (["^a", "b$"], ["^ab$"], "aab"),
        (["x"], ["x"], None),
        (["(?i)^key$"], ["^[a-z]+$", "^[A-Z]+$", "^[a-z]"], "Key"),
    ],
)
def test_the_plainest_of_the_shortest_is_picked(inside: list[str], outside: list[str], expected: str | None) -> None:
    found = pick(ANYTHING, list(map(found_by, inside)), list(map(found_by, outside)), Budget(50_000))
    assert found == expected


@pytest.mark.parametrize(("inside", "outside"), [(["^.*a.{15}b$"], []), ([], ["(a|b)*a(a|b){14}$"])])
def test_what_grows_beyond_the_budget_is_no_answer(inside: list[str], outside: list[str]) -> None:
    needed = [*inside, "^[ab]{40}$"]
    with pytest.raises(Exceeded):
        pick(ANYTHING, [*map(found_by, needed)], [*map(found_by, outside), found_by("^[ab]*$")], Budget(300))


def test_the_same_question_costs_the_same_however_much_is_known_already() -> None:
    def cost() -> int:
        budget = Budget(50_000)
        pick(ANYTHING, [found_by(r"^(a|b)*a(a|b){5}c\d+$")], [found_by("b{3}")], budget)
        return budget.spent

    assert cost() == cost() > 0


def test_bytes_that_are_no_text_have_one_stand_in() -> None:
    found = pick(ANYTHING, [found_by(r"^\x{fffd}$")], [exactly("\ufffd")], Budget(50_000))
    assert found == charsets.BROKEN and found_by("^..$").matches("\udcc3(")


def test_literal_expressions_are_told_from_others() -> None:
    assert found_by("^/api/").open_ended and found_by("^/api/").beginning == "/api/"
    assert found_by("^/api$").texts == {"/api"}
    assert found_by("^/api/v[0-9]").beginning == "/api/v"
    assert not found_by("/api").open_ended and found_by("/api").beginning == ""


def test_several_threads_walk_one_automaton() -> None:
    texts = ["".join(letters) for letters in itertools.product("ab", repeat=9)]
    expected = [finder("(a|b)*a(a|b){6}$")(text) for text in texts]
    language = whole("(a|b)*a(a|b){6}")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: [language.matches(text) for text in texts], range(8)))
    finally:
        sys.setswitchinterval(before)
    assert found == [expected] * 8
