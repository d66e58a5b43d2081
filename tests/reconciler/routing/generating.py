"""Random rules and adversarial requests, made from one number, about the same few hosts, paths and headers."""

# ruff: noqa: E501

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from reconciler.routing.request import Request

LABELS = ("a", "b", "api", "git", "x-y", "1")
HOSTS = (
    "a.test",
    "b.test",
    "api.a.test",
    "x.api.a.test",
    "git.lab",
    "localhost",
    "127.0.0.1",
    "test",
    "a",
    "xn--bcher-kva.test",
)
HOST_VALUES = (
    *HOSTS, "A.Test", "a.test.", "a.test..", "*.a.test", "*.A.test", ".a.test", "*", "*a.test", "a.*.test", "**.a.test", "*.test",
    "*.", "*.a.test.", "a.test:80", "::1", "[::1]", "http://a.test", "a.test/", "*.*.test", "*.*", "", " a.test", "a_b.test",
)  # fmt: skip
HOST_PATTERNS = (
    "^a\\.test$", "^.+\\.a\\.test$", "a", "^A", "(?i)^A", "^$", "^.*$", ".", "", "^[a-z]+\\.test$", "\\.test$", "^\\w+$", "^\\d", "{id:[a-z]+}.test",
    "^(a|b)\\.test$", "\\.$", "^x*", "[^a]", "^[^.]+$", "\\btest\\b", "\\Btest", "test\\z", "^\\S+$", "(?s).\\n?$", "\\x2e",
)  # fmt: skip
SEGMENTS = (
    "a", "ab", "b", "A", "api", "v1", ".", "..", "", "a b", "%20", "a%20b", "%2F", "%2f", "a%2Fb", "%2e", "%2E%2e", "%41", "%61", "%3A", ":",
    "%3a", "é", "\xc3\xa9", "%C3%A9", "%c3%a9", "\xff", "%FF", "%00", "%0A", "%7B", "{", "}", "(", "!", "'", "[", "]", "%5B", ";", "=", "~", "%7e",
    "%25", "%252F", "%2541", "$&+,@", "*", "^", "|", "\\", "\"", "<", "`", "...", ".a", "a.", "%2e.", ".%2E", "%20.", "-_", "%", "%4", "%zz", "#", "a#b",
)  # fmt: skip
PATH_VALUES = (
    "/", "/a", "/ab", "/A", "/a/", "/a/b", "/api", "/api/v1", "/a b", "/a%20b", "/a%2Fb", "/a%2fb", "/%2F", "//a", "/a//b", "/./a", "/a/../b", "/b",
    "/a?x", "/é", "/%C3%A9", "/A%41", "/%41", "/a:", "/a%3A", "/%25", "/%252F", "/%", "/{", "/%7B", "/(", "/%28", "/!", "/%21", "/'", "/[", "/%5B",
    "/*", "/~", "/a;", "/a=", "/\\xff", "/.a", "/...", "/a.", "/\x00", "/%00", "/\n", "/^", "/|", "/$&+,@", "/a#b", "/%23", "/ ",
)  # fmt: skip
PATH_PATTERNS = (
    "", "^/", "^/a", "/a$", "^/a/?$", "^/api(/|$)", "\\.", "%", "%2F", "^/[a-z]+$", "^/\\w+$", "^/\\W", "é", "^/.$", "^/[^/]*$", "(?i)^/A$", "\\s", "\\x00", "[[:space:]]",
    "^/a.b$", "(?s)^/.$", "\\d+", "^/(?P<n>a|b)/?$", "//", "\\.\\.", "\\n$", "$", "^/a\\z", "\\bapi\\b", "{", "{id:[a-z]+}", "\\Q.\\E", "\\p{L}", "\\pL", "^\\P{L}+$", "\\x{e9}",
    "[\\x{80}-\\x{10FFFF}]", "\\x{FFFD}", "^(?:/[^/]+){2}$", "a{2}", "^/a?b?$", "[^\\x00-\\x7F]", "(?i)\\x{212a}", "(?-s).", "(?m)^a", "(?U)a+", "^\\S*$",
)  # fmt: skip
METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "Get", "PROPFIND", "M-SEARCH", "x!")
METHOD_VALUES = (*METHODS, "post", "options", "CONNECT", "G T", "é", "ſ", "x!")
HEADER_NAMES = (
    "X-A", "x-a", "X-a", "X_A", "x.a", "Accept", "User-Agent", "Cookie", "X-Forwarded-For", "x-forwarded-for", "X-Forwarded-Proto", "X-Forwarded-Host",
    "X-Forwarded-Port", "X-Real-Ip", "X-Real-IP", "X_Forwarded_Proto", "X-Forwarded-Uri", "X-Forwarded-Prefix", "X-Forwarded-Method", "Pragma", "Cache-Control",
    "Upgrade", "Te", "TE", "Keep-Alive", "Content-Length", "Content-Type", "X-Scheme", "X-Forwarded-Scheme", "X-Forwarded-Tls-Client-Cert", "Trailer", "Origin",
)  # fmt: skip
HEADER_RULE_NAMES = (
    *HEADER_NAMES,
    "Host",
    "Connection",
    "Transfer-Encoding",
    "a b",
    "é",
    "Expect",
    "X-Forwarded-Server2",
)
HEADER_VALUES = (
    "v", "V", "v, w", "w", "", "v w", "1", "0", "no-cache", "http", "https", "ws", "127.0.0.1", "80", "a.test", "A.test:8080", "trailers", "websocket", "é", "\xc3\xa9", "\xe9", "v;q=1", "close",
    "Upgrade", "100-continue", "x-a", "a\tb",
)  # fmt: skip
HEADER_PATTERNS = (
    "^v$",
    "v",
    "",
    "^$",
    ".",
    "(?i)V",
    "^\\w$",
    "^\\d+$",
    "a|b",
    "é",
    "\\x{FFFD}",
    "^.$",
    "^..$",
    "http",
    "[^v]",
    "\\s",
    "^127\\.",
)
QUERY_KEYS = ("k", "K", "a", "b", "", "a b", "é", "k[]", "%6b", "+")
QUERY_VALUES = ("v", "", "1", "a b", "é", "+", "%", "=", "&", "V", "v=w", ";")
QUERY_PIECES = (
    "k", "k=", "k=v", "k=v=w", "K=v", "%6b=v", "%6B=%76", "k=%", "%=v", "k=%zz", "a+b=v", "a%20b=1", "k=a+b", "k=a%20b", "k=%2B", "=v", "=", "", "k=v;a=1", ";", "k;", "é=v", "\xc3\xa9=1",
    "%C3%A9=v", "k=\xe9", "k=%E9", "k[]=v", "k%5B%5D=v", "a=1", "b=v", "k=V", "k=%26", "k=v#x", "a=?", "k=%3B", "+=v", "k=%00", "%00", "k=\"",
)  # fmt: skip
QUERY_PATTERNS = HEADER_PATTERNS
CLIENT_IPS = ("127.0.0.1", "127.0.0.2", "127.1.2.3")
CLIENT_IP_VALUES = (
    "127.0.0.1", "127.0.0.0/8", "127.0.0.2/31", "127.0.0.3/32", "10.0.0.0/8", "0.0.0.0/0", "::/0", "::1", "::ffff:127.0.0.1", "::ffff:127.0.0.0/120", "::ffff:0:0/96",
    "::ffff:0:0/95", "127.1.2.3/08", "127.0.0.1/0", "::127.0.0.1", "fe80::/10",
)  # fmt: skip

NAMES = (
    "Host",
    "HostRegexp",
    "Path",
    "PathPrefix",
    "PathRegexp",
    "Method",
    "Header",
    "HeaderRegexp",
    "Query",
    "QueryRegexp",
    "ClientIP",
)


class Maker:
    """Makes rules and requests; the same number makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def _one(self, some: Sequence[str]) -> str:
        return self.chance.choice(some)

    def _often(self, share: float) -> bool:
        return self.chance.random() < share

    # ── rules ────────────────────────────────────────────────────────────────────────────────────

    def rule(self, depth: int = 3) -> str:
        """A rule that is well formed; its arguments may be ones that Traefik does not take."""
        roll = self.chance.random()
        if depth == 0 or roll < 0.4:
            return self.matcher()
        if roll < 0.55:
            return f"!{self._gap()}{self._bracketed(depth - 1)}"
        sign = "&&" if roll < 0.8 else "||"
        parts = [self._bracketed(depth - 1) for _ in range(self.chance.choice((2, 2, 3)))]
        return f"{self._gap()}{sign}{self._gap()}{self._line()}".join(parts)

    def _bracketed(self, depth: int) -> str:
        inner = self.rule(depth)
        return f"({inner})" if self._often(0.6) or not inner.endswith(")") else inner

    def _gap(self) -> str:
        return self.chance.choice((" ", " ", " ", "", "  ", "\t", "/* c */"))

    def _line(self) -> str:
        return self.chance.choice(("", "", "", "", "\n", " // c\n"))

    def matcher(self) -> str:
        """One matcher, spelled one way or another."""
        name = self._one(NAMES)
        arguments = ", ".join(self._quoted(argument) for argument in self._arguments(name))
        spelled = self.chance.choice((name, name, name, name.lower(), name.upper(), name.capitalize()))
        return f"{spelled}({arguments}{',' if self._often(0.05) else ''})"

    def _quoted(self, text: str) -> str:
        if "`" in text or self._often(0.15):
            return '"' + "".join(self._escaped(one) for one in text) + '"'
        return f"`{text}`"

    def _escaped(self, character: str) -> str:
        if character in '"\\' or character == "\n":
            return {"\n": "\\n"}.get(character, "\\" + character)
        if self._often(0.2):
            return f"\\u{ord(character):04x}"
        return character

    def _arguments(self, name: str) -> list[str]:
        makers: dict[str, Callable[[], list[str]]] = {
            "Host": lambda: [self._one(HOST_VALUES)],
            "HostRegexp": lambda: [self._one(HOST_PATTERNS)],
            "Path": lambda: [self._path()],
            "PathPrefix": lambda: [self._path()],
            "PathRegexp": lambda: [self._one(PATH_PATTERNS)],
            "Method": lambda: [self._one(METHOD_VALUES)],
            "Header": lambda: [self._one(HEADER_RULE_NAMES), self._one(HEADER_VALUES)],
            "HeaderRegexp": lambda: [self._one(HEADER_RULE_NAMES), self._one(HEADER_PATTERNS)],
            "Query": lambda: [self._one(QUERY_KEYS), *self._maybe(QUERY_VALUES)],
            "QueryRegexp": lambda: [self._one(QUERY_KEYS), *self._maybe(QUERY_PATTERNS)],
            "ClientIP": lambda: [self._one(CLIENT_IP_VALUES)],
        }
        return makers[name]()

    def _maybe(self, some: Sequence[str]) -> list[str]:
        return [self._one(some)] if self._often(0.75) else []

    def _path(self) -> str:
        if self._often(0.8):
            return self._one(PATH_VALUES)
        return "/" + "/".join(self._one(SEGMENTS) for _ in range(self.chance.randrange(1, 3)))

    def broken(self) -> str:
        """A rule with something wrong in it, or almost."""
        rule = self.rule(2)
        for _ in range(self.chance.randrange(1, 3)):
            at = self.chance.randrange(len(rule) + 1)
            what = self.chance.choice(
                (
                    "",
                    "`",
                    '"',
                    "(",
                    ")",
                    "&",
                    "&&",
                    "||",
                    "!",
                    ",",
                    "\\",
                    "\n",
                    "//",
                    "/*",
                    "é",
                    "\x00",
                    "...",
                    ";",
                    "x",
                    " ",
                    "'",
                    "*",
                    "{2}",
                    "[",
                    "?",
                    "\\p{Greek}",
                    "(?i)",
                    "\ufeff",
                )
            )
            rule = rule[:at] + what + rule[at + self.chance.choice((0, 0, 1, 2)) :]
        return rule

    def pattern(self) -> str:
        """A regular expression, or almost."""
        pieces = (
            "a", "b", ".", "*", "+", "?", "*?", "(", ")", "(?:", "(?i)", "(?s:", "(?P<n>", "(?<n>", "|", "[a-c]", "[^a]", "[", "]", "{2}", "{1,2}", "{,2}", "{1000}", "{1001}", "{", "}",
            "^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z", "\\d", "\\W", "\\s", "\\pL", "\\PL", "\\p{Greek}", "\\p{^Greek}", "\\p{Nope}", "\\x41", "\\x{e9}", "\\x{110000}", "\\101", "\\1", "\\8", "\\C", "\\Q",
            "\\E", "\\/", "\\-", "\\_", "\\a", "\\n", "[[:alpha:]]", "[[:^alpha:]]", "[:alpha:]", "[[:nope:]]", "\\", "é", "(?", "(?x)", "[a-\\d]", "[z-a]", "\\p{Any}", "\\p{ASCII}", "\\p{Letter}", "\\p{greek}",
        )  # fmt: skip
        return "".join(self._one(pieces) for _ in range(self.chance.randrange(1, 7)))

    # ── requests ─────────────────────────────────────────────────────────────────────────────────

    def request(self) -> Request:
        """A request that may be anything but ordinary."""
        return Request(
            method=self._one(METHODS) if self._often(0.5) else "GET",
            target=self.target(),
            host=self.host(),
            headers=self.headers(),
            client_ip=self._one(CLIENT_IPS),
        )

    def host(self) -> str | None:
        if self._often(0.03):
            return None
        host = self._one(HOSTS)
        roll = self.chance.random()
        if roll < 0.5:
            return host
        if roll < 0.6:
            return "".join(one.upper() if self._often(0.5) else one for one in host)
        if roll < 0.7:
            return host + self.chance.choice((":80", ":", ":x", ":8080", ":80:80", ":99999"))
        if roll < 0.8:
            return host + self.chance.choice((".", "..", ".:80", ".a", "...", "-"))
        if roll < 0.9:
            return self._one(
                (
                    "",
                    "[::1]",
                    "[::1]:80",
                    "::1",
                    "[::1",
                    "::1]",
                    "[a.test]",
                    "[a.test]:80",
                    "a[b]",
                    "*.a.test",
                    "*",
                    ".",
                    ":",
                    ":80",
                    "a.test,b.test",
                    "[]",
                    "[]:",
                    "[a]:b]",
                    "[[a]]",
                    "(a)",
                    "a_b.test",
                    "~",
                    "%41.test",
                )
            )
        at = self.chance.randrange(len(host) + 1)
        return (
            host[:at]
            + self._one(
                (
                    "*",
                    ".",
                    ":",
                    "[",
                    "]",
                    "%",
                    "_",
                    "~",
                    "{",
                    "/",
                    "@",
                    " ",
                    "\xc3\xa9",
                    "b.",
                    "a",
                    "\\",
                    "^",
                    '"',
                    "|",
                    ",",
                    ";",
                    "'",
                )
            )
            + host[at:]
        )

    def target(self) -> str:
        path = "/" + "/".join(
            self._one(SEGMENTS[:12] if self._often(0.5) else SEGMENTS) for _ in range(self.chance.randrange(0, 4))
        )
        if self._often(0.15):
            path = wire_text(self._one(PATH_VALUES))
        roll = self.chance.random()
        if roll < 0.1:
            authority = self._one(
                (
                    *HOSTS,
                    "",
                    "A.TEST:80",
                    "a.test:",
                    "a.test:x",
                    "u@a.test",
                    "u:p@b.test:1",
                    "[::1]:80",
                    "[a]",
                    "%41",
                    "a.test.",
                    "*.a.test",
                    "%C3%89",
                    "a:b:c",
                    "[fe80::1%25x]",
                    "a[b]",
                    "%C5%BF.test",
                )
            )
            path = self._one(("http", "HTTP", "https", "x")) + "://" + authority + self.chance.choice((path, path, ""))
        elif roll < 0.13:
            path = self._one(("*", "x", "http:a", "http:/a", "//a.test/b", "http:", ":", "?", "a/b", "http:///a"))
        if self._often(0.45):
            path += "?" + self.chance.choice(("&", "&", ";")).join(
                self._one(QUERY_PIECES) for _ in range(self.chance.randrange(0, 4))
            )
        return wire_text(path).replace(" ", "%20" if self._often(0.95) else " ")

    def headers(self) -> tuple[tuple[str, str], ...]:
        found = [
            (self._one(HEADER_NAMES), wire_text(self._one(HEADER_VALUES)))
            for _ in range(self.chance.choice((0, 0, 1, 1, 2, 3)))
        ]
        if self._often(0.04):
            found.append(
                (
                    "Connection",
                    self._one(
                        (
                            "close",
                            "X-A",
                            "x-a, upgrade",
                            "Upgrade",
                            "keep-alive",
                            "x-forwarded-for",
                            "X_A",
                            "Te,, X-A ",
                            "cookie",
                        )
                    ),
                )
            )
        if self._often(0.02):
            found.append(self.chance.choice((("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "gzip"), ("Expect", "x"), ("Expect", "100-continue"), ("Host", "b.test"), ("X A", "v"), ("X-A", "\x01"), ("", "v"), ("é", "v"))))  # fmt: skip
        # A length with nothing behind it leaves Traefik waiting.
        return tuple((name, "0" if name == "Content-Length" else value) for name, value in found)


def wire_text(text: str) -> str:
    """Text as its bytes in UTF-8, a character each; what are bytes already stays."""
    return text if all(ord(one) < 256 for one in text) else text.encode().decode("latin-1")
