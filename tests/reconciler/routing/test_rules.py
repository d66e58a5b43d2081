"""Rules are built from parts and parsed back; nothing in a name can become a part of the rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.routing.matchers import (
    ALPN,
    And,
    ClientIP,
    Header,
    Host,
    HostRegexp,
    HostSNI,
    Method,
    Node,
    Not,
    Or,
    Path,
    PathPrefix,
    PathRegexp,
    Query,
    QueryRegexp,
)
from reconciler.routing.rules import ParseError, build, build_route_rule, conditions, faults, hosts, parse


def test_a_rule_is_its_parts() -> None:
    text = "Host(`a.test`) && (PathPrefix(`/x`) || !Method(`GET`))"
    assert parse(text) == And((Host("a.test"), Or((PathPrefix("/x"), Not(Method("GET"))))))


def test_and_binds_stronger_than_or_and_not_strongest() -> None:
    assert parse("!Host(`a`) && Path(`/`) || Method(`GET`)") == Or((And((Not(Host("a")), Path("/"))), Method("GET")))


def test_parts_of_one_sort_are_flat_however_they_are_bracketed() -> None:
    assert parse("(Host(`a`) || Host(`b`)) || Host(`c`)") == Or((Host("a"), Host("b"), Host("c")))
    with pytest.raises(ValueError, match="at least two"):
        And((Host("a"),))


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("host(`a`)", Host("a")),
        ("HOST(`a`)", Host("a")),
        ("Hostregexp(`a`)", HostRegexp("a")),
        ('Path("/\\x61\\u00e9\\t\\"")', Path('/aé\t"')),
        ('Path("/\\xc3\\xa9\\303\\251")', Path("/éé")),
        ("Host(`a`,)", Host("a")),
        ("Host(`a`...)", Host("a")),
        ("Query(`k`)", Query("k")),
        ("Query(`k`, `v`)", Query("k", "v")),
        ("Host(`a`) // why", Host("a")),
        ("/* why */ Host /* not */ (`a`)", Host("a")),
        ("Host(`a`) &&\n  Path(`/`)\n", And((Host("a"), Path("/")))),
        ("(\nHost(`a`))", Host("a")),
        ("Path(`/\r\n`)", Path("/\n")),
    ],
)
def test_whatever_go_takes_is_taken(text: str, node: Node) -> None:
    assert parse(text) == node


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        ("Host(`a`, `b`)", 1),
        ("pathPrefix(`/a`)", 1),
        ("Host(`a`", 9),
        ("Host(`a)", 6),
        ("Host('a')", 6),
        ("Host(a)", 6),
        ("Host()", 1),
        ("Host(`a`) and Path(`/`)", 11),
        ("Host(`a`) & Path(`/`)", 11),
        ("Host(`a`)\n&& Path(`/`)", 11),
        ("Host(`a`) Path(`/`)", 11),
        ("(Host(`a`)", 11),
        ("Host(`a`))", 10),
        ('Path("/\\q")', 8),
        ('Path("/\\ud800")', 8),
        ("Host(`a`) /* x", 11),
        ("Header(`a`..., `b`)", 16),
        ("true", 1),
        ("Host(`a`) && \0", 14),
        ("HostSNI(`a`)", 1),
        ("!" * 200 + "Host(`a`)", 101),
        ("(" * 5000, 101),
    ],
)
def test_what_go_refuses_is_refused_with_its_column(text: str, column: int) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert caught.value.column == column


def test_tcp_rules_have_matchers_of_their_own() -> None:
    assert parse("HostSNI(`a`) && ALPN(`h2`)", "tcp") == And((HostSNI("a"), ALPN("h2")))
    with pytest.raises(ParseError, match="there are HostSNI"):
        parse("Host(`a`)", "tcp")


@pytest.mark.parametrize(
    "text",
    [
        "Host(``)", "Host(`é`)", "HostRegexp(`(`)", "Path(`a`)", "PathPrefix(`a`)", "PathRegexp(`(?=a)`)",
        "PathRegexp(`\\C`)", "Header(`a`, ``)", "Query(`a`, ``)", "ClientIP(`x`)", "ClientIP(`1.2.3.4/33`)",
        "ClientIP(`fe80::1%eth0`)", "ClientIP(`1.2.3.4/255.0.0.0`)", "QueryRegexp(`a`, `(`)",
    ],
)  # fmt: skip
def test_arguments_that_disable_a_router_are_named(text: str) -> None:
    assert len(faults(parse(text))) == 1


@pytest.mark.parametrize(
    "text",
    ["Host(`a:80`)", "Host(`*.a`)", "Path(`/é`)", "QueryRegexp(`(`)", "ClientIP(`10.0.0.1/8`)", "PathRegexp(`a{2}`)"],
)
def test_arguments_that_traefik_takes_are_no_faults(text: str) -> None:
    assert faults(parse(text)) == []


def test_literal_hosts_are_found_but_not_what_is_excluded() -> None:
    node = parse("(Host(`A.test`) || Host(`b.test`) && !Host(`c.test`)) && Path(`/`)")
    assert hosts(node) == {"a.test", "b.test"}
    assert hosts(parse("HostSNI(`x.test`)", "tcp")) == {"x.test"}
    assert len(list(conditions(node))) == 4


# ── building ─────────────────────────────────────────────────────────────────────────────────────


def test_a_route_is_its_hosts_and_what_is_below_a_path() -> None:
    assert build_route_rule(["git.example.org"]) == "Host(`git.example.org`)"
    assert build_route_rule(["Git.Example.org"], "/") == "Host(`git.example.org`)"
    assert (
        build_route_rule(["a.test", "*.b.test"], "/api") == "(Host(`a.test`) || Host(`*.b.test`)) && PathPrefix(`/api`)"
    )
    assert build_route_rule(["bücher.example"]) == "Host(`xn--bcher-kva.example`)"


@pytest.mark.parametrize(
    "host",
    [
        "", "a`) || PathPrefix(`/", "a b", "http://a", "a:80", "a/b", "1.2.3.4", "::1", "-a.test", "a..b", "*",
        "*a.test", "a.*.test", "a\nb", "a" * 64 + ".test", ".".join(["a" * 60] * 5), "{{.}}",
        "a.test || b", "a\\", 'a"',
    ],
)  # fmt: skip
def test_what_is_no_host_name_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        build_route_rule([host])


@pytest.mark.parametrize(
    "prefix", ["api", "/a`) || Host(`b", "/a b", "/a?x", "//a", "/a/../b", "/%2e", "/é", "/{{x}}", "/a\n"]
)
def test_what_is_no_path_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        build_route_rule(["a.test"], prefix)


def test_a_route_needs_a_host() -> None:
    with pytest.raises(ValueError, match="at least one"):
        build_route_rule([])


@given(st.lists(st.text(max_size=30), min_size=1, max_size=3), st.text(max_size=30))
def test_no_text_makes_more_of_a_route_than_hosts_and_a_path(names: list[str], prefix: str) -> None:
    try:
        node = parse(build_route_rule(names, prefix))
    except ValueError:
        return
    assert len(hosts(node)) <= len(names)
    assert {type(part) for part in conditions(node)} <= {Host, PathPrefix}
    assert faults(node) == []


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
parts: st.SearchStrategy[Node] = st.one_of(
    *(st.builds(kind, texts) for kind in (Host, Path, PathRegexp, Method, ClientIP)),
    st.builds(Header, texts, texts),
    st.builds(Query, texts, st.none() | texts),
    st.builds(QueryRegexp, texts, st.none() | texts),
)
nodes: st.SearchStrategy[Node] = st.recursive(
    parts,
    lambda inner: (
        st.builds(Not, inner)
        | st.lists(inner, min_size=2, max_size=3).map(lambda some: And(tuple(some)))
        | st.lists(inner, min_size=2, max_size=3).map(lambda some: Or(tuple(some)))
    ),
    max_leaves=8,
)


@given(nodes)
def test_what_is_built_is_parsed_back_the_same(node: Node) -> None:
    assert parse(build(node)) == node


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["Host(`a`)", "!", "(", ")", "&&", "||", "`", '"', "\n", "//", "\\"])).map("".join)
)
def test_no_text_at_all_makes_the_parser_fall_over(text: str) -> None:
    try:
        node = parse(text)
    except ParseError as error:
        assert 1 <= error.column <= len(text) + 1
    else:
        faults(node)
        assert parse(build(node)) == node
