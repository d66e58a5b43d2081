"""Rules are compiled to functions that say whether a request matches, and what can never match is named."""

from __future__ import annotations

import pytest

from reconciler.routing.evaluate import RuleError, compile_rule, doubtful, host_names, never, sni_names
from reconciler.routing.grammar import ParseError, parse
from reconciler.routing.request import Connection, Door, Request, Seen, look


def matches(rule: str, seen: Seen) -> bool:
    return compile_rule(rule).matches(seen)


def test_a_rule_is_asked_about_what_rules_see() -> None:
    seen = look(Request(target="/api/v1?k=v", host="a.test", method="POST", headers=(("x-a", "1"),)))
    assert isinstance(seen, Seen)
    assert matches("Host(`a.test`) && PathPrefix(`/api`) && Method(`POST`) && Query(`k`, `v`)", seen)
    assert matches("Path(`/x`) || Header(`X-A`, `1`) || ClientIP(`1.2.3.4`)", seen)
    assert not matches("Host(`a.test`) && !PathPrefix(`/api`)", seen)


def test_what_rules_see_can_be_made_by_hand() -> None:
    seen = Seen(host="a.test", path="/a", headers={"X-A": ("v",)}, query={"k": ("",)}, client_ip="::ffff:10.0.0.1")
    assert matches("Host(`a.test`) && Path(`/a`) && Header(`x-a`, `v`) && Query(`k`) && ClientIP(`10.0.0.0/8`)", seen)


def test_a_rule_that_traefik_does_not_take_is_refused_with_its_column() -> None:
    with pytest.raises(RuleError, match="does not start with") as caught:
        compile_rule("Host(`a.test`) && Path(`b`)")
    assert caught.value.column == 19
    with pytest.raises(ParseError, match="column 16: expected") as parsed:
        compile_rule("Host(`a.test`) Path(`/b`)")
    assert not isinstance(parsed.value, RuleError)


def test_the_computed_priority_counts_bytes() -> None:
    assert compile_rule("Path(`/é`)").priority == 11
    assert compile_rule("/* c */ Path(`/`)").priority == 17


# ── TCP ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rule", "connection", "expected"),
    [
        ("HostSNI(`a.test`)", Connection(sni="A.TEST"), True),
        ("HostSNI(`A.test.`)", Connection(sni="a.test"), True),
        ("HostSNI(`a.test`)", Connection(), False),
        ("HostSNI(`*`)", Connection(), True),
        ("HostSNI(`*.a.test`)", Connection(sni="b.a.test"), True),
        ("HostSNI(`*.a.test`)", Connection(sni="c.b.a.test"), False),
        ("HostSNIRegexp(`^$`)", Connection(), True),
        ("HostSNIRegexp(`^$`)", Connection(sni="a"), False),
        ("HostSNIRegexp(`^A`)", Connection(sni="a"), False),
        ("ClientIP(`10.0.0.0/8`) && ALPN(`h2`)", Connection(client_ip="10.1.1.1", alpn=("http/1.1", "h2")), True),
        ("ALPN(`h2`)", Connection(alpn=("H2",)), False),
        ("!HostSNI(`a.test`) || ALPN(`x`)", Connection(sni="b.test"), True),
    ],
)
def test_a_tcp_rule_is_asked_about_a_connection(rule: str, connection: Connection, expected: bool) -> None:
    assert compile_rule(rule, "tcp").matches(connection) == expected


def test_a_tcp_catch_all_comes_last_even_where_it_is_negated() -> None:
    assert compile_rule("HostSNI(`*`)", "tcp").priority == -1
    assert compile_rule("!HostSNI(`*`)", "tcp").priority == -1
    assert compile_rule("HostSNI(`*`) || ALPN(`x`)", "tcp").priority == 25


def test_before_wildcards_server_names_were_compared_as_written() -> None:
    old = (3, 6, 15)
    assert not compile_rule("HostSNI(`A.test`)", "tcp", old).matches(Connection(sni="a.test"))
    assert compile_rule("HostSNI(`a.test..`)", "tcp", old).matches(Connection(sni="a.test"))
    assert not compile_rule("HostSNI(`a.test..`)", "tcp").matches(Connection(sni="a.test"))
    with pytest.raises(RuleError, match="no host name"):
        compile_rule("HostSNI(`*.a.test`)", "tcp", old)
    assert compile_rule("HostSNI(`*.a.test`)", "tcp").priority == 19


def test_the_names_that_a_rule_stands_for_are_told() -> None:
    assert host_names("A.test") == {"a.test", "a.test."}
    assert host_names("a.test.") == {"a.test", "a.test.", "a.test.."}
    assert sni_names("A.test.") == {"a.test", "a.test."}


# ── what never matches ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("Host(`a.test:80`)", "takes the port off"),
        ("Host(`[::1]`)", "takes the brackets off"),
        ("Host(`http://a.test`)", "no scheme"),
        ("Host(`a.test/`)", "holds '/'"),
        ("Host(`*a.test`)", "whole label"),
        ("Host(`a.*.test`)", "whole label"),
        ("Host(`**.a.test`)", "whole label"),
        ("HostRegexp(`^A$`)", "capital 'A'"),
        ("HostRegexp(`^git\\.Lab$`)", "capital 'L'"),
        ("HostRegexp(`{id:[0-9]+}.test`)", "Traefik 2"),
        ("HostRegexp(`^a\\.test:\\d+$`)", "takes the port off"),
        ("Path(`/a?x`)", "use Query"),
        ("Path(`/a#b`)", "'#'"),
        ("Path(`/a%20b`)", "decoded"),
        ("Path(`/a%2fb`)", "capitals"),
        ("Path(`/a%`)", "decoded"),
        ("Path(`//a`)", "cleans"),
        ("Path(`/a/../b`)", "cleans"),
        ("PathPrefix(`/a//`)", "cleans"),
        ("PathPrefix(`/a/../`)", "cleans"),
        ("Method(`G T`)", "no method"),
        ("Method(`CONNECT`)", "501"),
        ("Header(`Host`, `a.test`)", "use Host"),
        ("Header(`Transfer-Encoding`, `chunked`)", "takes this header out"),
        ("Header(`Connection`, `close`)", "takes this header out"),
        ("HeaderRegexp(`connection`, `^close$`)", "takes this header out"),
        ("Header(`X-Forwarded-For`, `1.2.3.4`)", "trusts"),
        ("Header(`X-Forwarded-Proto`, `HTTPS`)", "sets this header itself"),
        ("HeaderRegexp(`X-Forwarded-Proto`, `^tcp`)", "sets this header itself"),
        ("Header(`a b`, `v`)", "no header name"),
        ("Header(`X-A`, ` v`)", "no header has such a value"),
    ],
)
def test_what_can_never_match_is_named(rule: str, why: str) -> None:
    assert len(never(parse(rule))) == 1
    assert why in never(parse(rule))[0]
    assert never(parse(f"Path(`/`) || !({rule})")) == never(parse(rule))


@pytest.mark.parametrize(
    "rule",
    [
        "Host(`a.test`)", "Host(`*.a.test`)", "Host(`*`)", "Host(`::1`)", "Host(`a_b.test.`)", "HostRegexp(`^[A-Z]`)",
        "HostRegexp(`(?i)^A$`)", "HostRegexp(`^A?b`)", "HostRegexp(`a{2}`)", "Path(`/a b`)", "Path(`/a%2Fb`)",
        "Path(`/(`)", "PathPrefix(`/a/..`)", "PathPrefix(`/a%2`)", "PathPrefix(`/a%`)", 'Path("/\\xff")',
        "Path(`/é`)", "Method(`get`)",
        "Header(`Connection`, `Upgrade`)", "Header(`X-Forwarded-Proto`, `https`)", "HeaderRegexp(`X-Real-Ip`, `.`)",
    ],
)  # fmt: skip
def test_what_can_match_is_not_named(rule: str) -> None:
    assert never(parse(rule)) == []


def test_what_never_matches_depends_on_the_release_and_the_entry_point() -> None:
    assert "3.7" in never(parse("Host(`*.a.test`)"), (3, 6, 15))[0]
    assert never(parse("Header(`X-Forwarded-For`, `1`)"), door=Door(trusted=("10.0.0.0/8",))) == []
    assert never(parse("Path(`//a`)"), door=Door(sanitize_path=False)) == []
    assert never(parse("Path(`/a%20b`)"), (3, 3, 6)) == []


@pytest.mark.parametrize(
    ("rule", "why"), [("HostSNI(`a.test:443`)", "no port"), ("HostSNI(`10.0.0.1`)", "for an address")]
)
def test_server_names_that_no_client_sends_are_named(rule: str, why: str) -> None:
    assert why in never(parse(rule, "tcp"))[0]


def test_what_matches_other_than_it_seems_is_doubtful() -> None:
    assert "without a value" in doubtful(parse("Query(`k`)"))[0]
    assert "Traefik 2" in doubtful(parse("PathRegexp(`/{id:[0-9]+}`)"))[0]
    assert doubtful(parse("Query(`k`, `v`) && PathRegexp(`a{2}`)")) == []
