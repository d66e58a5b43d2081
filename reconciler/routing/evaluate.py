"""Does this rule match this request? Rules compiled once, to functions that are quick to ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from reconciler.routing import matchers
from reconciler.routing.grammar import ParseError, TooLarge, places
from reconciler.routing.headers import address_range, canonical_name
from reconciler.routing.headers import number as address_of
from reconciler.routing.lints import doubtful, never
from reconciler.routing.matchers import And, Matcher, Node, Not, Or
from reconciler.routing.patterns import TOO_LARGE, Finder, finder
from reconciler.routing.request import NEWEST, Connection, Seen
from reconciler.routing.rules import WILDCARDS, conditions, matcher_faults, parse
from reconciler.routing.urls import Release

__all__ = [
    "WILDCARDS", "Rule", "RuleError", "TcpTest", "Test", "TooLarge", "address_range", "compile_rule",
    "computed_priority", "doubtful", "host_names", "http_test", "is_wildcard", "never", "server_name",
    "sni_names", "tcp_test", "upper", "wildcard_covers",
]  # fmt: skip

Test = Callable[[Seen], bool]
TcpTest = Callable[[Connection], bool]


class RuleError(ParseError):
    """A rule that is well formed, with an argument for which Traefik disables the router."""


@dataclass(frozen=True)
class Rule:
    """A rule that Traefik takes. `priority` is the one it computes."""

    text: str
    node: Node
    priority: int
    protocol: str = "http"
    release: Release = NEWEST

    @cached_property
    def matches(self) -> Callable[..., bool]:
        """Whether it matches a Seen, a TCP rule a Connection. Made when it is first asked: most rules never are."""
        return tcp_test(self.node, self.release) if self.protocol == "tcp" else http_test(self.node, self.release)


@lru_cache(20_000)
def compile_rule(text: str, protocol: str = "http", release: Release = NEWEST) -> Rule:
    """The rule, ready to be asked.

    Raises ParseError where Traefik disables the router: for an argument RuleError, and TooLarge where nobody can tell.
    """
    node = parse(text, protocol)
    for matcher in conditions(node):
        for _ in matcher_faults(matcher, release):
            raise _argument_error(text, protocol, release)
    return Rule(text, node, computed_priority(text, node), protocol, release)


def _argument_error(text: str, protocol: str, release: Release) -> ParseError:
    """The first fault in the arguments of a rule, and where it stands; too large only where all else is well."""
    faults = [
        (fault.endswith(TOO_LARGE), column, fault)
        for matcher, column in places(text, protocol)
        for fault in matcher_faults(matcher, release)
    ]
    too_large, column, fault = min(faults)
    return (TooLarge if too_large else RuleError)(fault, column)


def computed_priority(text: str, node: Node) -> int:
    """What a rule without a priority gets: its length in bytes; a TCP catch-all comes last."""
    while isinstance(node, Not):
        node = node.part  # Traefik asks what a rule without operators names, not whether it is negated
    if isinstance(node, matchers.HostSNI) and node.value == "*":
        return -1
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


# ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────


def http_test(node: Node, release: Release = NEWEST) -> Test:
    """A function that says whether a request matches."""
    match node:
        case And(parts):
            return _all([http_test(part, release) for part in parts])
        case Or(parts):
            return _any([http_test(part, release) for part in parts])
        case Not(part):
            return _not(http_test(part, release))
    return _matcher_test(node, release)


def _matcher_test(matcher: Matcher, release: Release) -> Test:
    match matcher:
        case matchers.Host(value):
            return _host(value, release)
        case matchers.HostRegexp(value):
            return _host_regexp(finder(value, release))
        case matchers.Path(value):
            return lambda seen: seen.path == value
        case matchers.PathPrefix(value):
            return _path_prefix(value)
        case matchers.PathRegexp(value):
            return _path_regexp(finder(value, release))
        case matchers.Method(value):
            return _method(upper(value))
        case matchers.ClientIP(value):
            return _client_ip(value)
        case matchers.Header(key, value):
            return _header(canonical_name(key), lambda given: given == value)
        case matchers.HeaderRegexp(key, value):
            return _header(canonical_name(key), finder(value, release))
        case matchers.QueryRegexp(key, str(value)):
            return _query(key, finder(value, release))
        case matchers.Query(key, None) | matchers.QueryRegexp(key, None):
            return _lone_query(key)
        case matchers.Query(key, str(value)):
            return _query(key, lambda given: given == value)
    raise TypeError(f"{matcher.name} is no matcher of HTTP rules")


def _all(tests: list[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda seen: first(seen) and second(seen)
    return lambda seen: all(test(seen) for test in tests)


def _any(tests: list[Test]) -> Test:
    if len(tests) == 2:
        first, second = tests
        return lambda seen: first(seen) or second(seen)
    return lambda seen: any(test(seen) for test in tests)


def _not(test: Test) -> Test:
    return lambda seen: not test(seen)


def _host(value: str, release: Release) -> Test:
    expression = value.lower()
    if expression == "*" and is_wildcard(expression, release):
        return lambda seen: True
    if is_wildcard(expression, release):
        return lambda seen: wildcard_covers(expression, seen.host)
    names = host_names(expression)
    if release < WILDCARDS:
        return lambda seen: seen.host in names
    return lambda seen: seen.host in names or (not seen.host.isascii() and _folded(seen.host) in names)


def host_names(expression: str) -> frozenset[str]:
    """The hosts (as rules see them) that a Host without a wildcard stands for: a dot at the end is forgiven once."""
    name = expression.lower()
    return frozenset({name, name + ".", name.removesuffix(".")} - {""})


def is_wildcard(expression: str, release: Release = NEWEST) -> bool:
    """Whether a Host or HostSNI stands for more than one name."""
    return expression.startswith("*") and release >= WILDCARDS


def wildcard_covers(expression: str, host: str) -> bool:
    """Whether `*.example.org` stands for a host: one label for the star; a dot at the end is forgiven once."""
    if not host:
        return False
    return (
        _covers(expression, host)
        or (expression.endswith(".") and _covers(expression[:-1], host))
        or (host.endswith(".") and _covers(expression, host[:-1]))
    )


def _covers(expression: str, host: str) -> bool:
    _, dot, rest = host.partition(".")
    return expression == f"*{dot}{rest}" or (not host.isascii() and expression == _folded(f"*{dot}{rest}"))


def _folded(host: str) -> str:
    """The one letter beyond ASCII that Go takes for one of ASCII when it ignores case (the long s)."""
    return host.replace("\u017f", "s")


def _host_regexp(find: Finder) -> Test:
    # Traefik also asks the host that a CNAME leads to, which is "" where it looks none up.
    if find(""):
        return lambda seen: True
    return lambda seen: find(seen.host)


def _path_prefix(prefix: str) -> Test:
    return lambda seen: seen.path.startswith(prefix)


def _path_regexp(find: Finder) -> Test:
    return lambda seen: find(seen.path)


def _method(method: str) -> Test:
    return lambda seen: seen.method == method


def upper(text: str) -> str:
    """Upper case as Go makes it: character by character, never one from two."""
    return text.upper() if text.isascii() else "".join(one.upper() if len(one.upper()) == 1 else one for one in text)


def _client_ip(value: str) -> Test:
    version, first, last = address_range(value)
    return lambda seen: seen.address[0] == version and first <= seen.address[1] <= last


def _header(name: str, test: Callable[[str], bool]) -> Test:
    return lambda seen: any(test(value) for value in seen.lines_of(name))


def _query(key: str, test: Callable[[str], bool]) -> Test:
    return lambda seen: any(test(value) for value in seen.query.get(key, ()))


def _lone_query(key: str) -> Test:
    """A key alone asks for the key without a value."""
    return lambda seen: "" in seen.query.get(key, ())


# ── TCP ──────────────────────────────────────────────────────────────────────────────────────────


def tcp_test(node: Node, release: Release = NEWEST) -> TcpTest:
    """A function that says whether a connection matches."""
    match node:
        case And(parts):
            every = [tcp_test(part, release) for part in parts]
            return lambda connection: all(test(connection) for test in every)
        case Or(parts):
            some = [tcp_test(part, release) for part in parts]
            return lambda connection: any(test(connection) for test in some)
        case Not(part):
            inner = tcp_test(part, release)
            return lambda connection: not inner(connection)
        case matchers.HostSNI(value):
            return _host_sni(value, release)
        case matchers.HostSNIRegexp(value):
            find = finder(value, release)
            return lambda connection: find(server_name(connection))
        case matchers.ClientIP(value):
            version, first, last = address_range(value)
            return lambda connection: _within(address_of(connection.client_ip), version, first, last)
        case matchers.ALPN(value):
            return lambda connection: value in connection.alpn
    raise TypeError(f"{node.name} is no matcher of TCP rules")


def _within(address: tuple[int, int], version: int, first: int, last: int) -> bool:
    return address[0] == version and first <= address[1] <= last


def server_name(connection: Connection) -> str:
    """The server name as TCP rules see it."""
    return connection.sni.strip().lower()


def _host_sni(value: str, release: Release) -> TcpTest:
    if value == "*":
        return lambda connection: True
    if is_wildcard(value, release):
        return lambda connection: wildcard_covers(value.lower(), server_name(connection))
    names = sni_names(value, release)
    return lambda connection: server_name(connection) in names


def sni_names(value: str, release: Release = NEWEST) -> frozenset[str]:
    """The server names that a HostSNI without a wildcard stands for.

    Before wildcards a rule in capitals matched nothing, and every connection that a rule did not match took one dot
    from its end: what is said here holds after the first few.
    """
    if release < WILDCARDS:
        return frozenset({value, value.rstrip(".")} - {""})
    name = value.lower()
    return frozenset({name, name.removesuffix(".")} - {""})
