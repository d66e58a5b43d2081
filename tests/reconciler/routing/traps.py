"""What is rare and surprising in Traefik's rules, made by hand: random questions hardly ever ask it."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.routing.request import Request


@dataclass(frozen=True)
class Trap:
    """A rule and a request; `matches` in the newest Traefik, and in those before `since` the opposite."""

    rule: str
    request: Request
    matches: bool
    since: tuple[int, int, int] = (0, 0, 0)

    def expected(self, release: tuple[int, int, int]) -> bool:
        return self.matches == (release >= self.since)


def ask(
    target: str = "/",
    host: str | None = "a.test",
    *headers: tuple[str, str],
    method: str = "GET",
    client_ip: str = "127.0.0.1",
) -> Request:
    return Request(method=method, target=target, host=host, headers=headers, client_ip=client_ip)


def _hosts(
    rule: str, yes: Iterable[str | None], no: Iterable[str | None], since: tuple[int, int, int] = (0, 0, 0)
) -> list[Trap]:
    return [
        *(Trap(rule, ask(host=host), True, since) for host in yes),
        *(Trap(rule, ask(host=host), False, (0, 0, 0)) for host in no),
    ]


def _targets(rule: str, yes: Iterable[str], no: Iterable[str], since: tuple[int, int, int] = (0, 0, 0)) -> list[Trap]:
    return [
        *(Trap(rule, ask(target), True, since) for target in yes),
        *(Trap(rule, ask(target), False, (0, 0, 0)) for target in no),
    ]


def _headers(
    rule: str, yes: Iterable[tuple[tuple[str, str], ...]], no: Iterable[tuple[tuple[str, str], ...]]
) -> list[Trap]:
    return [
        *(Trap(rule, ask("/", "a.test", *lines), True) for lines in yes),
        *(Trap(rule, ask("/", "a.test", *lines), False) for lines in no),
    ]


WILDCARDS = (3, 7, 0)
ROUTING_PATHS = (3, 4, 1)
ALIASES = (3, 6, 15)

MATCHES: list[Trap] = [
    # ── hosts
    *_hosts("Host(`a.test`)", ["a.test", "A.Test", "a.test.", "a.test:80", "a.test:", "a.test:x", "[a.test]:80", "a.test.:80"], ["a.test..", "b.a.test", "a.test:80:80", "", None, "[a.test]", " "]),
    *_hosts("Host(`A.TEST.`)", ["a.test", "a.test.", "a.test.."], ["a.test..."]),
    *_hosts("Host(`a.test:80`)", ["[a.test:80]"], ["a.test:80", "a.test", "a.test:80:80"]),
    *_hosts("Host(`::1`)", ["[::1]", "[::1]:80", "::1"], ["1", "[::1"]),
    *_hosts("Host(`[::1]`)", [], ["[::1]", "[::1]:80"]),
    *_hosts("Host(`a.test:`)", ["[a.test:]"], ["a.test", "a.test:"]),
    *_hosts("Host(`*.a.test`)", ["b.a.test", "B.A.TEST:1", "b.a.test.", ".a.test", "-.a.test"], ["a.test", "c.b.a.test", "xa.test", "", None], WILDCARDS),
    *_hosts("Host(`*.a.test`)", ["*.a.test"], []),
    *_hosts("Host(`*.a.test.`)", ["b.a.test", "b.a.test.", "b.a.test.."], ["a.test"], WILDCARDS),
    *_hosts("Host(`*`)", ["a", "a.test", "c.b.a.test", "1.2.3.4", "", None, "a:80"], [], WILDCARDS),
    *_hosts("Host(`*.`)", ["a", "a.", "a.."], ["a.b", "a..."], WILDCARDS),
    *_hosts("Host(`*a.test`)", [], ["a.test", "ba.test", "b.a.test"]),
    *_hosts("Host(`**.a.test`)", [], ["b.a.test", "c.b.a.test", "a.test"]),
    *_hosts("Host(`a.*.test`)", ["a.*.test"], ["a.b.test"]),
    *_hosts("Host(`*.*.test`)", ["a.*.test"], ["a.b.test"], WILDCARDS),
    *_hosts("Host(`http://a.test`)", [], ["a.test"]),
    *_hosts("HostRegexp(`^$`)", ["a", "a.test", "", None], []),
    *_hosts("HostRegexp(`^A$`)", [], ["a", "A"]),
    *_hosts("HostRegexp(`(?i)^A$`)", ["a", "A", "a:80"], ["b", "a."]),
    *_hosts("HostRegexp(`^a\\.test$`)", ["A.TEST:80"], ["a.test.", "", None]),
    *_hosts("HostRegexp(`x*`)", ["a", None], []),
    *_hosts("!HostRegexp(`x*`)", [], ["a", None]),
    *_hosts("HostRegexp(`.`)", ["a"], ["", None]),
    *_hosts("HostRegexp(`{id:[a-z]+}\\.test`)", [], ["a.test"]),
    *_hosts("HostRegexp(`:80$`)", ["[a:80]", "a:80:80"], ["a:80"]),
    *_hosts("HostRegexp(`\\.$`)", ["a.", "a.:80"], ["a"]),
    *_hosts("HostRegexp(`^\\d+$`)", ["1"], ["1.2", "a"]),
    Trap("Host(`a.test`)", ask("http://a.test/", "b.test"), True),
    Trap("Host(`b.test`)", ask("http://a.test/", "b.test"), False),
    Trap("Host(`a.test`)", ask("http://u:p@A.TEST:81/", "b.test"), True),
    Trap("Host(`b.test`)", ask("http:///x", "b.test"), True),
    Trap("Host(`a.test`)", ask("http:/x", "a.test"), True),
    Trap("Host(`b.test`)", ask("//b.test/x", "a.test"), False),
    Trap("Path(`/b.test/x`)", ask("//b.test/x"), True),
    Trap("Host(`s.test`)", ask("http://%C5%BF.test/", "b.test"), True, WILDCARDS),
    Trap("Host(`k.test`)", ask("http://%E2%84%AA.test/", "b.test"), True),
    Trap("HostRegexp(`^\\x{e9}$`)", ask("http://%C3%89/", "b.test"), True),
    # ── paths
    *_targets("Path(`/a`)", ["/a", "//a", "/./a", "/b/../a", "/%61", "/a/.", "/..//a", "/a?x=/b", "http://h/a"], ["/a/", "/A", "/a%2F", "/a;", "/a/b", "/a%20"]),
    *_targets("Path(`/a`)", ["/%2E/a", "/b/%2e%2e/a"], [], ROUTING_PATHS),
    *_targets("Path(`/a/`)", ["/a/", "/a//", "/a/./", "/a/b/../"], ["/a", "/a/b/.."]),
    *_targets("Path(`/`)", ["/", "//", "/.", "/..", "http://h", "http://h?x", "http:"], ["*", "/%2F", "/a"]),
    *_targets("Path(`/`)", ["/%2e"], [], ROUTING_PATHS),
    *_targets("PathRegexp(`^\\*$`)", ["*"], ["/*"]),
    *_targets("Path(`/a b`)", ["/a%20b"], ["/a+b", "/a%2520b"]),
    *_targets("Path(`/a%20b`)", [], ["/a%20b"]),
    Trap("Path(`/a%20b`)", ask("/a%2520b"), False, ROUTING_PATHS),
    *_targets("Path(`/a%2Fb`)", ["/a%2Fb", "/a%2fb", "/c/../a%2Fb"], ["/a/b"], ROUTING_PATHS),
    *_targets("Path(`/a%2Fb`)", [], ["/a%2Fb{"]),
    *_targets("Path(`/a%2fb`)", [], ["/a%2Fb", "/a%2fb"]),
    *_targets("Path(`/a/b{`)", ["/a%2Fb{", "/a%2fb{"], []),
    *_targets("Path(`/a%28b{`)", ["/a(b{"], [], ROUTING_PATHS),
    *_targets("Path(`/a(b`)", ["/a(b"], []),
    *_targets("Path(`/a%28b`)", ["/a%28b"], ["/a(b"], ROUTING_PATHS),
    *_targets("Path(`/a%3Ab`)", ["/a%3Ab", "/a%3ab"], ["/a:b"], ROUTING_PATHS),
    *_targets("Path(`/a%25b`)", ["/a%25b"], [], ROUTING_PATHS),
    *_targets("Path(`/a%2541`)", ["/a%2541"], [], ROUTING_PATHS),
    *_targets("Path(`/a:b`)", ["/a:b"], []),
    *_targets("Path(`/é`)", ["/%C3%A9", "/%c3%a9", "/\xc3\xa9"], ["/e", "/%E9"]),
    *_targets('Path("/\\xe9")', ["/%E9", "/\xe9"], ["/%C3%A9"]),
    *_targets("PathRegexp(`^/.$`)", ["/a", "/%E9", "/%C3%A9"], ["/", "/ab", "/%0A", "/%E2%82"]),
    *_targets("PathRegexp(`^/\\x{FFFD}{2}$`)", ["/%E2%82", "/%FF%FE"], ["/%E2"]),
    *_targets("PathRegexp(`^/a$`)", ["/a"], ["/a%0A"]),
    *_targets("PathRegexp(`^/\\w$`)", ["/a"], ["/%C3%A9"]),
    *_targets("PathRegexp(`\\s$`)", ["/a%20", "/a%0A"], ["/a%0B", "/a%C2%A0"]),
    *_targets("PathRegexp(`^/\\d$`)", ["/1"], ["/%D9%A1"]),
    *_targets("PathRegexp(`(?i)^/k$`)", ["/K", "/%E2%84%AA"], []),
    *_targets("PathRegexp(`\\bapi\\b`)", ["/api", "/x-api"], ["/apis", "/_api"]),
    *_targets("PathRegexp(`b`)", ["/abc"], ["/B"]),
    *_targets("PathRegexp(`^$`)", [], ["/", "http://h"]),
    *_targets("PathRegexp(`{id:[0-9]+}`)", ["/%7Bid:1%7D", "/{id:12}"], ["/1"]),
    *_targets("PathPrefix(`/a`)", ["/a", "/ab", "/a/b", "/a%2Fb"], ["/", "/A", "/b/a"]),
    *_targets("PathPrefix(`/a/`)", ["/a/", "/a/b"], ["/a"]),
    Trap("PathPrefix(`/a/`)", ask("/a%2F"), False, ROUTING_PATHS),
    *_targets("PathPrefix(`/a%2`)", ["/a%2F", "/a%28"], ["/a2"], ROUTING_PATHS),
    *_targets("PathPrefix(`/a/..`)", ["/a/..b", "/a/..."], ["/a/..", "/b"]),
    *_targets("Path(`/a?x`)", [], ["/a?x"], ROUTING_PATHS),
    *_targets("Path(`/a%3Fx`)", ["/a%3Fx"], [], ROUTING_PATHS),
    *_targets("Path(`//a`)", [], ["//a", "/a"]),
    *_targets("Path(`/a/../b`)", [], ["/a/../b", "/b"]),
    *_targets("Path(`/.a`)", ["/.a", "/%2ea"], []),
    *_targets("Path(`/a/...`)", ["/a/..."], []),
    *_targets("Path(`/a\\b`)", ["/a%5Cb", "/a\\b"], []),
    *_targets('Path("/a\\x00")', ["/a%00"], []),
    # ── methods
    Trap("Method(`get`)", ask(), True),
    Trap("Method(`GET`)", ask(method="get"), False),
    Trap("Method(`get`)", ask(method="get"), False),
    Trap("Method(`HEAD`)", ask(method="HEAD"), True),
    Trap("Method(`GET`)", ask(method="HEAD"), False),
    Trap("Method(`ſ`)", ask(method="S"), True),
    # ── headers
    *_headers("Header(`x-a`, `v`)", [(("X-A", "v"),), (("x-A", " v "),), (("X-A", "w"), ("x-a", "v"))], [(("X-A", "V"),), (("X-A", "v, w"),), (("X_A", "v"),), (("X-A", "v w"),)]),
    *_headers("Header(`X_A`, `v`)", [(("x_a", "v"),)], [(("X-A", "v"),)]),
    *_headers("HeaderRegexp(`X-A`, `^$`)", [(("X-A", ""),)], [(), (("X-A", "v"),)]),
    *_headers("HeaderRegexp(`X-A`, `^.$`)", [(("X-A", "\xe9"),), (("X-A", "\xc3\xa9"),)], [(("X-A", "\xe2\x82"),)]),
    *_headers('Header(`X-A`, "\\xe9")', [(("X-A", "\xe9"),)], [(("X-A", "\xc3\xa9"),)]),
    *_headers("Header(`X-A`, `é`)", [(("X-A", "\xc3\xa9"),)], [(("X-A", "\xe9"),)]),
    *_headers("Header(`Host`, `a.test`)", [], [()]),
    *_headers("Header(`X-Forwarded-Proto`, `http`)", [(), (("X-Forwarded-Proto", "https"),)], []),
    *_headers("Header(`X-Forwarded-Proto`, `ws`)", [(("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket"))], [(), (("Connection", "x"), ("Connection", "upgrade"), ("Upgrade", "websocket")), (("Upgrade", "websocket"),)]),
    *_headers("HeaderRegexp(`X-Forwarded-For`, `.`)", [], [(), (("X-Forwarded-For", "1.2.3.4"),)]),
    *_headers("Header(`X-Forwarded-Host`, `a.test`)", [(), (("X-Forwarded-Host", "b.test"),)], []),
    Trap("Header(`X-Forwarded-Host`, `A.test:80`)", ask(host="A.test:80"), True),
    Trap("Header(`X-Forwarded-Port`, `81`)", ask(host="a.test:81"), True),
    Trap("Header(`X-Forwarded-Port`, `x`)", ask(host="a.test:x"), True),
    Trap("Header(`X-Forwarded-Port`, `80`)", ask(host="a.test:"), True),
    Trap("Header(`X-Forwarded-Port`, `80`)", ask(host="[a.test:81]"), True),
    Trap("Host(`b.test`)", ask("/", None, ("Host", "b.test")), True),
    Trap("Header(`X-Forwarded-Host`, `b.test`)", ask("/", None, ("Host", "b.test")), True),
    Trap("HeaderRegexp(`X-Forwarded-Host`, `.*`)", ask(host=None), False),
    Trap("Header(`X-Real-Ip`, `127.0.0.2`)", ask("/", "a.test", ("X-Real-Ip", "1.2.3.4"), client_ip="127.0.0.2"), True),
    Trap("HeaderRegexp(`X_Forwarded_For`, `.`)", ask("/", "a.test", ("X_Forwarded_For", "1")), False, ALIASES),
    *_headers("HeaderRegexp(`X-Forwarded-Scheme`, `.`)", [(("X-Forwarded-Scheme", "x"),)], [()]),
    *_headers("Header(`Connection`, `close`)", [], [(("Connection", "close"),)]),
    *_headers("Header(`Connection`, `Upgrade`)", [(("Connection", "upgrade, x"), ("Upgrade", "x"))], [(("Connection", "upgrade"),), (("Upgrade", "x"),)]),
    *_headers("HeaderRegexp(`X-A`, `.`)", [(("X-A", "v"), ("Connection", "x_a"))], [(("X-A", "v"), ("Connection", "close, x-a")), (("Connection", "X-A"), ("X-A", "v"))]),
    *_headers("HeaderRegexp(`X-Real-Ip`, `.`)", [(("Connection", "X-Real-Ip"),)], []),
    *_headers("Header(`Transfer-Encoding`, `chunked`)", [], [(("Transfer-Encoding", "chunked"),)]),
    *_headers("HeaderRegexp(`Content-Length`, `.`)", [(("Content-Length", "0"),), (("Content-Length", "0"), ("Content-Length", "0"))], [(("Content-Length", "0"), ("Transfer-Encoding", "Chunked"))]),
    *_headers("HeaderRegexp(`Trailer`, `.`)", [(("Trailer", "x"),)], [(("Trailer", "x"), ("Transfer-Encoding", "chunked"))]),
    *_headers("Header(`Cache-Control`, `no-cache`)", [(("Pragma", "no-cache"),), (("Pragma", "no-cache"), ("Pragma", "x"))], [(("Pragma", "No-Cache"),), (("Pragma", "no-cache"), ("Cache-Control", "x"))]),
    *_headers("HeaderRegexp(`é`, `.`)", [], [(("X-A", "v"),)]),
    # ── queries
    *_targets("Query(`k`)", ["/?k", "/?k=", "/?a=1&k", "/?k=v&k", "/?k;", "/?%6b="], ["/?k=v", "/", "/?K", "/?=k"]),
    *_targets("QueryRegexp(`k`)", ["/?k"], ["/?k=v"]),
    *_targets("Query(`k`, `v`)", ["/?k=v", "/?k=w&k=v", "/?a;k=v", "/?k=v;a", "/?%6B=%76", "/?k=v&k=%", "/?k=%&k=v"], ["/?k=V", "/?k=v=w", "/?k=v%26", "/k=v"]),
    *_targets("Query(`k`, `%`)", ["/?k=%25"], ["/?k=%"]),
    *_targets("Query(`k`, `v=w`)", ["/?k=v=w"], []),
    *_targets("Query(`k`, `a b`)", ["/?k=a+b", "/?k=a%20b"], ["/?k=a%2Bb"]),
    *_targets("Query(`k`, `v;w`)", ["/?k=v%3Bw"], ["/?k=v;w"]),
    *_targets("Query(`k`, `v#x`)", ["/?k=v#x"], []),
    *_targets("QueryRegexp(`k`, `^$`)", ["/?k", "/?k="], ["/", "/?k=%zz"]),
    *_targets("QueryRegexp(`k`, `^.$`)", ["/?k=%E9", "/?k=%C3%A9"], ["/?k=%0A", "/?k=ab"]),
    *_targets("Query(`é`, `1`)", ["/?%C3%A9=1", "/?\xc3\xa9=1"], ["/?%E9=1"]),
    *_targets("Query(`k[]`, `1`)", ["/?k[]=1", "/?k%5B%5D=1"], []),
    *_targets("Query(`a?b`, `1`)", ["/?a?b=1"], []),
    # ── clients
    Trap("ClientIP(`127.0.0.2/8`)", ask(), True),
    Trap("ClientIP(`127.0.0.1/32`)", ask(client_ip="127.0.0.2"), False),
    Trap("ClientIP(`::/0`)", ask(), False),
    Trap("ClientIP(`0.0.0.0/0`)", ask(), True),
    Trap("ClientIP(`::ffff:127.0.0.1`)", ask(), True),
    Trap("ClientIP(`::ffff:127.0.0.0/120`)", ask(client_ip="127.0.0.9"), True),
    Trap("ClientIP(`::ffff:0:0/96`)", ask(), True),
    Trap("ClientIP(`::ffff:0:0/95`)", ask(), False),
    Trap("ClientIP(`::127.0.0.1`)", ask(), False),
    Trap("ClientIP(`1.2.3.4`)", ask("/", "a.test", ("X-Forwarded-For", "1.2.3.4")), False),
    # ── operators
    Trap("!(Host(`a.test`) && Path(`/x`))", ask(), True),
    Trap("!(Host(`a.test`) || Path(`/x`))", ask(), False),
    Trap("!!Host(`a.test`)", ask(), True),
    Trap("Host(`b.test`) || Host(`a.test`) && Path(`/`)", ask(), True),
    Trap("(Host(`b.test`) || Host(`a.test`)) && Path(`/x`)", ask(), False),
    Trap("(Host(`a.test`) || Host(`b.test`)) && Path(`/x`)", ask(), False),
    Trap("Host(`a.test`) || Host(`b.test`) && Path(`/x`)", ask(), True),
    Trap("Path(`/x`) && Host(`b.test`) || Host(`a.test`)", ask(), True),
    Trap("!Host(`b.test`) && Path(`/x`)", ask(), False),
    Trap("!Host(`b.test`) || Path(`/`)", ask("/", "b.test"), True),
    Trap("!(!Host(`a.test`) && Path(`/`))", ask(), True),
    # ── how it is written
    *_targets("Path(`/a\\tb`)", ["/a%5Ctb"], ["/a%09b"]),
    *_targets('Path("/a\\tb")', ["/a%09b"], ["/a%5Ctb"]),
    *_targets('Path("/\\x61\\141\\u0061\\U00000061\\\\")', ["/aaaa%5C"], []),
    *_targets('Path("/\\303\\251")', ["/%C3%A9"], ["/%E9"]),
    *_targets("Path(`/\r`)", ["/"], ["/%0D"]),
    *_targets("Path(`/a/*b*/c`)", ["/a/*b*/c"], ["/a/c"]),
    *_targets("Path(`/\"a\"`)", ["/%22a%22"], ["/a"]),
    *_targets("Path(`/\n`)", ["/%0A"], ["/"]),
    *_targets("/* Path(`/b`) || */ Path(`/a`) && // Path(`/b`) ||\nPathPrefix(`/`)", ["/a"], ["/b"]),
    *_targets("PATHPREFIX(`/a`)", ["/a"], ["/"]),
]  # fmt: skip

_FORWARDED = ("X-Forwarded-For", "1.2.3.4")
AT_DOORS: list[tuple[str, Trap]] = [
    ("raw", Trap("Path(`//a`)", ask("//a"), True)),
    ("raw", Trap("Path(`/a`)", ask("//a"), False)),
    ("raw", Trap("Path(`/a/../b`)", ask("/a/%2e%2E/b"), True)),
    ("raw", Trap("PathRegexp(`^$`)", ask("http:"), True)),
    (
        "trusting",
        Trap("Header(`X-Forwarded-For`, `1.2.3.4`)", ask("/", "a.test", _FORWARDED, client_ip="127.0.0.2"), True),
    ),
    ("trusting", Trap("Header(`X-Forwarded-For`, `1.2.3.4`)", ask("/", "a.test", _FORWARDED), False)),
    (
        "trusting",
        Trap(
            "Header(`X-Forwarded-Proto`, `https`)",
            ask("/", "a.test", ("X-Forwarded-Proto", "https"), client_ip="127.0.0.3"),
            True,
        ),
    ),
    ("trusting", Trap("Query(`k`, `v;w`)", ask("/?k=v;w"), True)),
    ("gullible", Trap("Header(`X-Forwarded-For`, `1.2.3.4`)", ask("/", "a.test", _FORWARDED), True)),
    ("gullible", Trap("Header(`X-A`, `v`)", ask("/", "a.test", ("Connection", "x-a"), ("X-A", "v")), True)),
    ("deleting", Trap("HeaderRegexp(`X_A`, `.`)", ask("/", "a.test", ("X_A", "v")), False)),
    ("once-deleting", Trap("HeaderRegexp(`X_A`, `.`)", ask("/", "a.test", ("X_A", "v")), False)),
]
"""Traps at entry points with options of their own, by name."""

STATUSES: list[tuple[Request, int, tuple[int, int, int]]] = [
    (ask("*", method="OPTIONS"), 200, (0, 0, 0)),
    (ask("h:80", method="CONNECT"), 501, (3, 7, 0)),
    (ask("/x", method="CONNECT"), 501, (3, 7, 0)),
    (ask("http:a"), 400, (3, 7, 13)),
    (ask("a"), 400, (0, 0, 0)),
    (ask(""), 400, (0, 0, 0)),
    (ask("/a b"), 400, (0, 0, 0)),
    (ask("/a#b"), 400, (0, 0, 0)),
    (ask("/%"), 400, (0, 0, 0)),
    (ask("/%4"), 400, (0, 0, 0)),
    (ask("/%zz"), 400, (0, 0, 0)),
    (ask("/\x01"), 400, (0, 0, 0)),
    (ask("/\x7f"), 400, (0, 0, 0)),
    (ask(":"), 400, (0, 0, 0)),
    (ask("http://a:x/"), 400, (0, 0, 0)),
    (ask("http://%41/"), 400, (0, 0, 0)),
    (ask("http://a b/"), 400, (0, 0, 0)),
    (ask("http://[::1/"), 400, (0, 0, 0)),
    (ask("http://a{/"), 400, (0, 0, 0)),
    (ask("http://[a]/"), 400, (3, 6, 0)),
    (ask("http://a[b]/"), 400, (3, 6, 0)),
    (ask("http://a:b:1/"), 400, (3, 7, 0)),
    (ask(host="a{"), 400, (0, 0, 0)),
    (ask(host="a/b"), 400, (0, 0, 0)),
    (ask(host="a b"), 400, (0, 0, 0)),
    (ask(host="a@b"), 400, (0, 0, 0)),
    (ask(host="\xc3\xa9"), 400, (0, 0, 0)),
    (ask("/", "a.test", ("Host", "b.test")), 400, (0, 0, 0)),
    (ask("/", "a.test", ("X A", "v")), 400, (0, 0, 0)),
    (ask("/", "a.test", ("", "v")), 400, (0, 0, 0)),
    (ask("/", "a.test", ("X-A", "\x01")), 400, (0, 0, 0)),
    (ask("/", "a.test", ("Expect", "x")), 417, (0, 0, 0)),
    (ask("/", "a.test", ("Transfer-Encoding", "gzip")), 501, (0, 0, 0)),
    (ask("/", "a.test", ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")), 501, (0, 0, 0)),
    (ask("/", "a.test", ("Content-Length", "x")), 400, (0, 0, 0)),
    (ask("/", "a.test", ("Content-Length", "")), 400, (0, 0, 0)),
    (ask("/", "a.test", ("Content-Length", str(2**63))), 400, (0, 0, 0)),
    (ask("/", "a.test", ("Content-Length", "9" * 5_000)), 400, (0, 0, 0)),
    (ask("/", "a.test", ("Content-Length", "0"), ("Content-Length", "1")), 400, (0, 0, 0)),
    (ask("/", "a.test", ("Transfer-Encoding", "chunked"), ("Trailer", "host, content-length")), 400, (0, 0, 0)),
    (ask(method="G{T"), 400, (0, 0, 0)),
    (ask(method=""), 400, (0, 0, 0)),
    (ask(method="\xc3\xa9"), 400, (0, 0, 0)),
]
"""Requests that Go or the entry point answers itself: status, and since when."""

VALID = [
    "Host(`*.a.test`)", "Host(`**.a.test`)", "Host(`a b`)", "Host(`http://a`)", "Host(`a:80`)", 'Path("/\\xff")', 'Path("/\\377")', "Method(`G T`)", "Method(`é`)", "Header(`a b`, `c`)",
    "Header(`é`, `c`)", 'Header(`X`, "\\n")', "ClientIP(`::ffff:1.2.3.0/120`)", "ClientIP(`1.2.3.4/08`)", "ClientIP(`::1.2.3.4`)", "ClientIP(`10.0.0.1/8`)", "QueryRegexp(`(`)",
    "host(`a`)", "HOST(`a`)", "Hostregexp(`a`)", "CLIENTIP(`1.2.3.4`)", "Clientip(`1.2.3.4`)", "Host(`a`,)", "Host(`a`...)", "Host(`a`)\n\n", "\nHost(`a`)", "Host(\n`a`)", "Host(`a`,\n)",
    "!\nHost(`a`)", "\ufeffHost(`a`)", "Host(`a`)/*\n*/", "Host(`a`) /* x */ && Path(`/`)", "Host(`a`) // x", "Host(`a`) &&\nPath(`/`)", "((((Host(`a`)))))", "!!!!Host(`a`)", 'Host("\\u0061")',
    "/* comment */Host(`a`)", "Path(`/é`)", "PathRegexp(`a{2}`)", "PathRegexp(`(?<n>a)`)", "PathRegexp(`(?P<n>a)(?P<n>b)`)", "PathRegexp(`(a{10}){100}`)", "PathRegexp(`\\pL{200}`)", "PathRegexp(`[]a]`)", "PathRegexp(`^*`)",
    "PathRegexp(`\\Q\\C`)", "PathRegexp(`(?U)a`)", "PathRegexp(`\\07`)", "PathRegexp(`\\_`)", "PathRegexp(`\\p{Greek}`)", "PathRegexp(`\\p{^Greek}`)", "HostRegexp(`\\x{e9}`)", "PathRegexp(`{`)", "PathRegexp(`a{,2}`)",
    "HostRegexp(`{id:[0-9]+}`)", "Host(`a`) && // x\nPath(`/`)", "Host(`a`)/**/", "Host(`a`) ||/* x\n*/Path(`/`)", "(\nHost(`a`) &&\n\nPath(`/`))", "(" * 99 + "Host(`a`)" + ")" * 99, "!" * 99 + "Host(`a`)",
    "Pathprefix(`/`)", "PATHPREFIX(`/`)", "pathprefix(`/`)", "Queryregexp(`a`)", "Header(`a`, `b`,)", "Path(`/a//b`)", "\tHost(`a`)\r",
]  # fmt: skip
INVALID = [
    "", " ", "Host", "Host()", "Host(``)", "Host(`a`, `b`)", "Host(`é`)", 'Host("\\u00e9")', "HostRegexp(`é`)", "HostRegexp(``)", "HostRegexp(`(`)", "Path(`a`)", "Path(``)", "PathPrefix(`a`)", "PathRegexp(``)",
    "Header(`X`)", "Header(`X`, ``)", "Header(``, `v`)", "HeaderRegexp(`X`, `(`)", "Query(``)", "Query(`a`, ``)", "Query(`a`, `b`, `c`)", "QueryRegexp(`a`, `(`)", "ClientIP(`x`)", "ClientIP(`1.2.3.4/33`)", "ClientIP(`01.2.3.4`)",
    "ClientIP(`::1%lo`)", "ClientIP(`1.2.3.4/`)", "ClientIP(`1.2.3.4/+8`)", "ClientIP(`1.2.3.4/255.0.0.0`)", "ClientIP(`١.2.3.4`)", "ClientIP(`1.2.3.4/٣`)", "pathPrefix(`/`)", "HoSt(`a`)", "clientIP(`1.2.3.4`)", "HostSNI(`a`)", "HostHeader(`a`)", "Headers(`a`, `b`)",
    "Host('a')", "Host(a)", "Host(1)", "Host((`a`))", "Host(Host(`a`))", "Host(`a` + `b`)", "(Host)(`a`)", "Host[0](`a`)", "a.Host(`a`)", "`a`", "true", "Host(`a`) and Path(`/`)", "Host(`a`) & Path(`/`)", "Host(`a`) == Path(`/`)",
    "-Host(`a`)", "Host(`a`) ||", "|| Host(`a`)", "Host(`a`) Path(`/`)", "Host(`a`);", "Host(`a`)\n&& Path(`/`)", "Host\n(`a`)", "Host(`a`\n)", "(Host(`a`)\n)", "Host(`a`) /*\n*/ && Path(`/`)", "Host(`a`) /* x", "(Host(`a`)", "Host(`a`))", "Host(`a`)\u00a0", "Host(`a`)#",
    'Path("/\\ud800")', 'Path("/\\400")', 'Path("/\\q")', "Path(\"/\\'\")", "Host(`a`...,`b`)", "Path(`/\x00`)", "PathRegexp(`\\C`)", "PathRegexp(`[\\C]`)", "PathRegexp(`\\Z`)", "PathRegexp(`(?=a)`)", "PathRegexp(`(a)\\1`)", "PathRegexp(`a**`)", "PathRegexp(`x{2}{3}`)", "PathRegexp(`a{1001}`)",
    "PathRegexp(`(a{100}){100}`)", "PathRegexp(`(?P<é>a)`)", "PathRegexp(`(?x)a`)", "PathRegexp(`[[:foo:]]`)", "PathRegexp(`[z-a]`)", "PathRegexp(`\\é`)", 'PathRegexp("\\xff")', "PathRegexp(`\\p{Nope}`)", "PathRegexp(`*`)", "PathRegexp(`\\8`)",
    "Host(`a`) && Path(`b`)", "Host(`a`) || !Path(`b`)", "not Host(`a`)", "Host(`a`) or Path(`/`)", "Host(`a`) | Path(`/`)", "Host(`a`)!Path(`/`)", "!", "()", "Host(`a`,,)", "Host(,)", "Host(, `a`)", "Host(...)", "Host `a`", "Path(`/` `/`)",
    "Header('a', 'b')", "Host(`a')", "pathRegexp(`a`)", "PATHprefix(`/`)", "hostRegexp(`a`)", "Host(\"a\n\")", 'Path("/\\x4")', 'Path("/\\u12")', 'Path("/\\U00110000")', "Host(`a`)\ufeff", "Host(nil)", "Query()", "Header()", "Host(`a`) &&", "&& Host(`a`)", "Host(`a`) // x\n&& Path(`/`)",
]  # fmt: skip
BEYOND = ["(" * 101 + "Host(`a`)" + ")" * 101, "!" * 20_000 + "Host(`a`)", "Host(`a`)" + " " * 65_536]
"""Rules that Traefik takes and that are not read here, for their depth or length: they are unknown, not invalid."""
CHANGED = {
    "PathRegexp(`\\p{Letter}`)": (True, (3, 6, 0)),
    "PathRegexp(`\\p{greek}`)": (True, (3, 6, 0)),
    "PathRegexp(`\\p{LC}`)": (True, (3, 6, 0)),
    "PathRegexp(`\\p{Cn}`)": (True, (3, 6, 0)),
    "PathRegexp(`[\\p{ASCII}]`)": (True, (3, 6, 0)),
    "PathRegexp(`\\P{Assigned}`)": (True, (3, 6, 0)),
    "PathRegexp(`\\p{Old_Italic}`)": (False, (3, 6, 0)),
    "PathRegexp(`\\p{SignWriting}`)": (False, (3, 6, 0)),
}
"""Rules that later Traefiks take (True), or no longer take (False), since when."""
