"""The independent sides of a request: what a rule may ask of each, and a value that answers it.

A side is the host, the path, the method, the client's address, one header or one query parameter. Whatever is asked
of one side says nothing about another, so a conjunction can be met exactly where each of its sides can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from reconciler.routing import addresses, domain, matchers
from reconciler.routing.evaluate import address_range, host_names, is_wildcard, sni_names, upper
from reconciler.routing.headers import canonical_name, is_forwarded
from reconciler.routing.languages.language import Language, beginning_with, exactly, found_by, pick, whole
from reconciler.routing.languages.products import Budget, Exceeded
from reconciler.routing.languages.trees import Unmodelled
from reconciler.routing.matchers import Matcher
from reconciler.routing.patterns import in_re2
from reconciler.routing.request import NEWEST, NO_TUNNELS, PLAIN, Door, address_of, takes_away
from reconciler.routing.urls import ROUTING_PATHS, Release


class Side(NamedTuple):
    """One side of a request; `key` names the header or the query parameter."""

    kind: str
    key: str = ""


HOST, PATH, METHOD, CLIENT = Side("host"), Side("path"), Side("method"), Side("client")
SERVER_NAME, PROTOCOLS = Side("server name"), Side("protocol")
PROTO = Side("header", "X-Forwarded-Proto")


@dataclass(frozen=True)
class Asked:
    """What is asked of one side: all of these, none of those."""

    inside: frozenset[Matcher] = frozenset()
    outside: frozenset[Matcher] = frozenset()

    def and_(self, matcher: Matcher, yes: bool) -> Asked:
        """One thing more."""
        if yes:
            return Asked(self.inside | {matcher}, self.outside)
        return Asked(self.inside, self.outside | {matcher})


Values = tuple[str, ...]
"""The value that answers; any number of values for a header or query parameter."""


@dataclass(frozen=True)
class Solved:
    """`values` None: nothing answers. `unknown`: why nobody can tell. `cost`: steps that it took."""

    values: Values | None
    cost: int = 0
    unknown: str = ""


def side_of(matcher: Matcher) -> Side:
    match matcher:
        case matchers.Host() | matchers.HostRegexp():
            return HOST
        case matchers.Path() | matchers.PathPrefix() | matchers.PathRegexp():
            return PATH
        case matchers.Method():
            return METHOD
        case matchers.ClientIP():
            return CLIENT
        case matchers.Header(key, _) | matchers.HeaderRegexp(key, _):
            return Side("header", canonical_name(key))
        case matchers.Query(key, _) | matchers.QueryRegexp(key, _):
            return Side("query", key)
        case matchers.HostSNI() | matchers.HostSNIRegexp():
            return SERVER_NAME
        case matchers.ALPN():
            return PROTOCOLS
    raise Unmodelled(f"{matcher.name} asks for something unknown")


def takes(matcher: Matcher, values: Values, release: Release = NEWEST) -> bool:
    """Whether a matcher takes what one side of a request is. Raises Unmodelled."""
    if isinstance(matcher, matchers.ClientIP):
        version, low, high = address_range(matcher.value)
        found = address_of(values[0])
        return found[0] == version and low <= found[1] <= high
    accepted = language(matcher, release)
    return any(map(accepted.matches, values))


@lru_cache(20_000)
def is_modelled(matcher: Matcher, release: Release = NEWEST) -> bool:
    """Whether one side of a request alone decides about a matcher, in a way that is understood here."""
    try:
        side = side_of(matcher)
        return side == CLIENT or (side.key not in _DERIVED and bool(language(matcher, release)))
    except Unmodelled:
        return False


_DERIVED = {"X-Forwarded-Port", "X-Forwarded-Host", "X-Forwarded-Server", "X-Real-Ip"}
"""Headers that Traefik makes from other sides of the request, or of the machine that it runs on."""


def is_multiple(side: Side) -> bool:
    """Whether a request can have any number of values there."""
    return side.kind in ("header", "query", "protocol") and side != PROTO


# ── what a matcher takes ─────────────────────────────────────────────────────────────────────────


@lru_cache(20_000)
def language(matcher: Matcher, release: Release = NEWEST) -> Language:
    """The values that one matcher takes. Raises Unmodelled."""
    match matcher:
        case matchers.Host(value):
            return _host(value.lower(), release)
        case matchers.HostRegexp(value):
            found = _found_by(value, release)
            return _EVERYTHING if found.matches("") else found
        case matchers.HostSNI(value):
            return _server_name(value, release)
        case matchers.Path(value) | matchers.Header(_, value) | matchers.ALPN(value):
            return exactly(value)
        case matchers.PathPrefix(value):
            return beginning_with(value)
        case matchers.PathRegexp(value) | matchers.HeaderRegexp(_, value) | matchers.HostSNIRegexp(value):
            return _found_by(value, release)
        case matchers.Query(_, value):
            return exactly(value or "")
        case matchers.QueryRegexp(_, value):
            return _found_by(value, release) if value is not None else exactly("")
        case matchers.Method(value):
            return exactly(upper(value))
    raise Unmodelled(f"{matcher.name} takes no text")


_EVERYTHING = beginning_with("")


def _found_by(pattern: str, release: Release) -> Language:
    spelled_out = in_re2(pattern, release)
    return found_by(spelled_out, unicode=spelled_out != pattern)


def _host(name: str, release: Release) -> Language:
    """One dot at the end counts neither in the rule nor in the request; `*.` stands for one label."""
    if not is_wildcard(name, release):
        return exactly(*host_names(name))
    if name == "*":
        return _EVERYTHING
    return _wildcard(name) if name.startswith("*.") else exactly()


def _server_name(name: str, release: Release) -> Language:
    if name == "*":
        return _EVERYTHING
    return _host(name.lower(), release) if is_wildcard(name, release) else exactly(*sni_names(name, release))


def _wildcard(name: str) -> Language:
    suffix = name[1:]
    endings = sorted({suffix, suffix + ".", suffix.removesuffix(".")} - {""})
    bare = ["[^.]+"] if suffix == "." else []  # `*.` is `*` with a dot that does not count
    return whole("|".join([*(rf"[^.]*\Q{ending}\E" for ending in endings), *bare]))


# ── values that answer ───────────────────────────────────────────────────────────────────────────

_MOST_STEPS = 20_000
_USUAL = {
    "host": ("example.org", "example.com", "example.net", "any.example"),
    "server name": ("example.org", "example.com", "example.net", "any.example"),
    "path": ("/", "/a", "/x", "/other"),
    "method": ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"),
}


@lru_cache(100_000)
def solve(side: Side, asked: Asked, release: Release = NEWEST, door: Door = PLAIN) -> Solved:
    """A value, or values, for one side. The same question always has the same answer and cost."""
    if side == CLIENT:
        address = addresses.pick(_ranges(asked.inside), _ranges(asked.outside))
        return Solved(None if address is None else (address,))
    budget = Budget(_MOST_STEPS)
    try:
        inside, outside = _languages(asked.inside, release), _languages(asked.outside, release)
        if is_multiple(side):
            values = _several(_values_of(side, release, door), inside, outside, budget)
        else:
            values = _one(side, inside, outside, budget, release, door)
    except Exceeded:
        return Solved(None, _MOST_STEPS, f"the {side.kind} takes more steps than one answer may cost")
    return Solved(values, budget.spent)


def _ranges(asked: frozenset[Matcher]) -> list[addresses.Range]:
    return sorted(address_range(matcher.arguments[0]) for matcher in asked)


def _languages(asked: frozenset[Matcher], release: Release) -> list[Language]:
    """In an order of their own, so that the same set always gives the same values."""
    return [language(one, release) for one in sorted(asked, key=lambda one: (one.name, one.arguments))]


def _one(
    side: Side, inside: Sequence[Language], outside: Sequence[Language], budget: Budget, release: Release, door: Door
) -> Values | None:
    if side == METHOD and release >= NO_TUNNELS:
        outside = [*outside, domain.TUNNEL]
    if not inside:
        for usual in _USUAL.get(side.kind, ()):
            if not any(one.matches(usual) for one in outside):
                return (usual,)
    for values in _domains(side, release, door):
        found = pick(values, inside, outside, budget)
        if found is not None:
            return (found,)
    return None


def _domains(side: Side, release: Release, door: Door) -> list[Language]:
    """What a value may be: first the ordinary ones, where they will do."""
    values = _values_of(side, release, door)
    if side in (HOST, SERVER_NAME):
        return [domain.NAMES, values]
    if side == PATH:
        return [values, domain.STAR] if door.sanitize_path else [_values_of(PATH, release, PLAIN), values, domain.STAR]
    return [values]


def _several(
    values: Language, inside: Sequence[Language], outside: Sequence[Language], budget: Budget
) -> Values | None:
    """One value for each thing that is asked, unless one value answers several."""
    found: list[str] = []
    for one in sorted(inside, key=lambda each: each.texts is None):
        if any(one.matches(value) for value in found):
            continue
        value = pick(values, [one], outside, budget)
        if value is None:
            return None
        found.append(value)
    return tuple(found)


# ── the headers that Traefik has its hands in ────────────────────────────────────────────────────

_RESTRICTED = {
    "X-Forwarded-Proto": exactly(*domain.SCHEMES),
    "Host": exactly(),
    "Transfer-Encoding": exactly(),
    "Connection": exactly("Upgrade"),
    "Content-Length": whole("[0-9]+"),
}


def _values_of(side: Side, release: Release, door: Door) -> Language:
    match side.kind:
        case "host":
            return domain.HOSTS
        case "path":
            return _paths(release, door)
        case "method":
            return domain.TOKENS
        case "query":
            return domain.ANYTHING
        case "server name":
            return domain.SERVER_NAMES
        case "protocol":
            return domain.PROTOCOLS
    return _header_values(side.key, release, door)


def _paths(release: Release, door: Door) -> Language:
    if release >= ROUTING_PATHS:
        return domain.PATHS if door.sanitize_path else domain.RAW_PATHS
    return domain.DECODED_PATHS if door.sanitize_path else domain.RAW_DECODED_PATHS


@lru_cache(5_000)
def _header_values(name: str, release: Release, door: Door) -> Language:
    if name in _RESTRICTED:
        return _RESTRICTED[name]
    hidden = is_forwarded(name, release) and not door.trust_all
    if hidden or takes_away(door, name) or not domain.TOKENS.matches(name):
        return exactly()
    return domain.HEADER_VALUES
