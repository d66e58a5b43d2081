"""The YAML guard reads what Traefik's reader reads, refuses what could hide something, and never falls over."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import document
from reconciler.traefik import render


def problems(text: str | bytes, **options: bool) -> list[str]:
    content = text.encode() if isinstance(text, str) else text
    return [str(problem) for problem in document.read("f.yaml", content, **options).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("~", None),
        ("", None),
        ("010", 8),
        ("0o10", 8),
        ("08", 8.0),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("+5", 5),
        ("-5", -5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1:30", "1:30"),
        ("1.2.3", "1.2.3"),
        ("0", 0),
        ("-", "-"),
        ("9223372036854775808", 9223372036854775808),
        ("18446744073709551616", 18446744073709551616.0),
        ("=", "="),
        ("2001-1", "2001-1"),
    ],
)
def test_unquoted_values_mean_what_they_mean_to_traefik(text: str, value: Any) -> None:
    read = document.plain(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("text", ["2001-01-01", "2001-1-1 10:00:00", ".inf", "-.INF", ".nan", "1e999"])
def test_unquoted_values_that_traefik_cannot_carry_are_named(text: str) -> None:
    assert problems(f"a: {text}") == [str(document.read("f.yaml", f"a: {text}".encode()).problems[0])]
    assert problems(f'a: "{text}"') == []


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("a: &x 1\n", "f.yaml:1:4", "anchor '&x'"),
        ("a:\n  - *x\n", "f.yaml:2:5", "alias '*x'"),
        ("a: !!str 1\n", "f.yaml:1:4", "tag"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1", "'a' stands here twice"),
        ("a:\n  <<: {b: 1}\n", "f.yaml:2:3", "merge key"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1", "second document"),
        ("%YAML 1.2\n---\na: 1\n", "f.yaml:1:1", "directive"),
        ("1: a\n", "f.yaml:1:1", "the key 1 is not text"),
        ("? [a]\n: b\n", "f.yaml:1:3", "a key must be text"),
        ("a: [1\n", "f.yaml:2:1", "not YAML"),
        ("a:\n\tb: 1\n", "f.yaml:2:1", "not YAML"),
        ("a: 'é'\n# \x01\n", "f.yaml:2:3", "U+0001"),
        ("a: " + "[" * 60, "f.yaml:1:53", "nested deeper"),
        ("k" * 300 + ": 1\n", "f.yaml:1:1", "a key longer"),
    ],
)
def test_what_could_hide_something_is_refused_with_its_place(text: str, where: str, what: str) -> None:
    found = problems(text)
    assert found
    assert found[0].startswith(where)
    assert what in found[0]


def test_all_problems_are_named_at_once() -> None:
    found = problems("a: &x 1\nb: *x\na: !t 2\nc: 2001-01-01\n# {{ .x }}\n", templates=False)
    assert len(found) == 6


def test_go_templates_are_refused_even_in_comments_where_traefik_reads() -> None:
    text = "a: 1 # {{ env `HOME` }}\n"
    assert problems(text, templates=False)[0].startswith("f.yaml:1:8: Go template")
    assert problems(text) == []


def test_text_that_is_not_utf8_is_placed() -> None:
    assert problems(b"a: 1\nb: \xff\n")[0].startswith("f.yaml:2:4: the file is not UTF-8")


def test_a_file_too_large_is_not_even_parsed() -> None:
    assert "more than 1,048,576" in problems(b"#" * (document.LARGEST + 1))[0]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert document.read("f.yaml", b"\xef\xbb\xbfa: 1\n").value == {"a": 1}


def test_every_value_has_a_place_and_an_end() -> None:
    read = document.read(
        "f.yaml", b"a:\n  b: 1\n  c:\n    - x\n    - |\n      two\n      lines\n\nd: {e: f}\n", ends=True
    )
    assert read.place(("a", "c", 1)) == (5, 7)
    assert read.place(("a", "c", 1, "nothing", "here")) == (5, 7)
    assert read.place(("d", "e")) == (9, 5)
    assert read.ends["a", "c", 1] >= 7
    assert read.flowing == {("d",)}


def test_toml_is_read_too() -> None:
    assert document.read("f.toml", b"[http.routers.a]\nrule = 'x'\n").value == {
        "http": {"routers": {"a": {"rule": "x"}}}
    }


@pytest.mark.parametrize(
    "text", ["a = ", "a = 2001-01-01", "a = inf", "a = nan", "a = " + "[" * 5000, "a = " + "[" * 60 + "]" * 60]
)
def test_toml_that_cannot_be_carried_is_a_problem(text: str) -> None:
    assert document.read("f.toml", text.encode()).problems


def test_a_number_of_toml_has_64_bits() -> None:
    for number in (-(2**63), 2**63 - 1):
        assert document.read("f.toml", b"a = %d" % number).value == {"a": number}
    for number in (b"-9223372036854775809", b"9223372036854775808", b"9" * 40, b"0x" + b"f" * 4_000):
        assert "too large" in document.read("f.toml", b"a = " + number).problems[0].message


def test_a_bomb_of_aliases_is_refused_without_expanding_it() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    bomb = "\n".join(lines).encode()
    assert len(document.read("f.yaml", bomb).problems) == 50
    trusted = document.read("f.yaml", bomb, trusting=True)
    whole = trusted.value is not None  # by itself: who writes out a Document to say what is wrong never ends
    assert not whole
    assert [problem.severity for problem in trusted.problems] == ["warning"]


def test_a_file_of_somebody_else_may_use_aliases_and_merges() -> None:
    text = b"x-a: &a {rule: r, service: s}\nhttp:\n  routers:\n    one: {<<: *a, service: t}\n    two: *a\n"
    read = document.read("f.yaml", text, trusting=True)
    assert read.problems == ()
    assert read.value["http"]["routers"] == {"one": {"rule": "r", "service": "t"}, "two": {"rule": "r", "service": "s"}}


def test_a_value_that_holds_itself_is_a_problem() -> None:
    assert document.read("f.yaml", b"a: &a [*a]\n", trusting=True).problems


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_json_is_read_as_the_same_value(value: Any) -> None:
    read = document.read("f.yaml", render.escape(orjson.dumps(value, option=orjson.OPT_INDENT_2)))
    assert read.problems == ()
    assert read.value == value


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "ignore")), st.booleans())
def test_no_bytes_at_all_make_it_fall_over(content: bytes, trusting: bool) -> None:
    for name in ("f.yaml", "f.toml"):
        read = document.read(name, content, templates=False, trusting=trusting)
        assert all(problem.file == name for problem in read.problems)


yaml_pieces = st.lists(
    st.sampled_from(
        ["a", "b: ", "- ", "\n", "  ", "[", "]", "{", "}", ",", "&x ", "*x", "!t ", "|", ">", "'", '"', "#", "? ", ": ",
         "<<: ", "---\n", "...\n", "%YAML 1.1\n", "\t", "{{", "~", "0x1", "é", "\ufeff", "\x85", "\r\n"]
    ),
    max_size=40,
)  # fmt: skip


@given(yaml_pieces.map("".join), st.booleans())
def test_no_mixture_of_yaml_makes_it_fall_over(text: str, trusting: bool) -> None:
    read = document.read("f.yaml", text.encode(), trusting=trusting, ends=True)
    if not read.problems and not trusting:
        assert document.comments(text) is not None
        assert all(line <= text.count("\n") + text.count("\x85") + text.count("\r") + 2 for line in read.ends.values())


def test_a_file_with_more_faults_than_are_told_ends_with_the_last_that_is_told() -> None:
    for count in (48, 49, 50, 60):
        read = document.read("f.yaml", b"a: 1\n" * count + b"b: [\n")
        assert len(read.problems) == min(count, 50)


def test_a_number_without_end_is_a_fault_in_words_for_a_person() -> None:
    for name, content in (("f.toml", b"a = " + b"9" * 5_000), ("f.yaml", b"a: " + b"9" * 5_000)):
        (problem,) = document.read(name, content).problems
        assert "number" in problem.message and "set_int_max_str_digits" not in problem.message
