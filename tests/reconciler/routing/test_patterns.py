"""Regular expressions are those of Go: what it takes, what it finds, and since when."""

from __future__ import annotations

import pytest

from reconciler.routing.patterns import finder, in_re2, may_find, pattern_fault

OLD = (3, 5, 3)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("", "", True),
        ("a$", "a\n", False),
        (".", "\n", False),
        ("(?s).", "\n", True),
        ("^\\w$", "é", False),
        ("^\\d$", "٣", False),
        ("(?i)k", "\u212a", True),
        ("^.$", "\udcff", True),
        ("^.$", "\udce2\udc82", False),
        ("\\x{FFFD}", "\udcff", True),
        ("\\B", "", True),
        ("a|b", "xb", True),
        ("(a)(b)", "ab", True),
    ],
)
def test_a_text_is_searched_as_go_searches(pattern: str, text: str, found: bool) -> None:
    assert pattern_fault(pattern) == ""
    assert finder(pattern)(text) is found


@pytest.mark.parametrize(
    "pattern", ["(", "a**", "\\C", "[\\C]", "\\Z", "(?=a)", "\\1", "(?P<é>a)", "\udcff", "a{1001}"]
)
def test_what_go_does_not_take_has_a_fault(pattern: str) -> None:
    assert pattern_fault(pattern).startswith("no regular expression: ")


@pytest.mark.parametrize(
    "pattern", ["\\Q\\C\\E", "\\\\C", "[[:alpha:]]", "(?P<n>a)(?P<n>b)", "(?<n>a)", "[]a]", "\\pL{200}"]
)
def test_what_go_takes_has_none(pattern: str) -> None:
    assert pattern_fault(pattern) == ""


def test_names_of_characters_are_looser_since_go_1_25() -> None:
    for name in ("Letter", "lowercase_letter", "greek", "ASCII", "LC", "Cn", "Assigned", "any"):
        assert pattern_fault(f"\\p{{{name}}}") == "", name
        assert pattern_fault(f"\\p{{{name}}}", OLD) != "", name
    for name in ("Old_Italic", "SignWriting"):
        assert pattern_fault(f"\\p{{{name}}}") != "", name
        assert pattern_fault(f"\\p{{{name}}}", OLD) == "", name


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("^\\p{Letter}$", "aé", "1 "),
        ("^\\P{Letter}$", "1 ", "aé"),
        ("^\\p{^Letter}$", "1 ", "aé"),
        ("^\\p{ASCII}$", "a\x00", "é"),
        ("^\\P{ASCII}$", "é", "a"),
        ("^[x\\p{ASCII}]$", "a", "é"),
        ("^[^\\p{ascii}]$", "é", "a"),
        ("^[a\\P{ASCII}]$", "aé", "b"),
        ("^\\p{LC}$", "aÉ", "1ª"),
        ("^\\p{Assigned}$", "a", "\u0378"),
        ("^[\\p{Cn}]$", "\u0378", "a"),
        ("^\\p{greek}$", "Ω", "O"),
        ("^[[:alpha:]\\p{digit}]$", "a1", "-"),
    ],
)
def test_a_class_by_a_name_that_only_go_knows_holds_what_go_says(pattern: str, inside: str, outside: str) -> None:
    assert [finder(pattern)(one) for one in inside + outside] == [True] * len(inside) + [False] * len(outside)


def test_an_expression_without_such_names_stays_as_it_is() -> None:
    for pattern in ("^a$", "\\Q\\p{Letter}\\E", "\\\\p{x}", "[\\]\\p{Lu}]"):
        assert in_re2(pattern) == pattern


def test_nobody_can_tell_what_a_broken_expression_finds() -> None:
    assert may_find("(", "a")
    assert not may_find("b", "a")
