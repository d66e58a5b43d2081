"""Values inside a middleware for which Traefik would disable every router that uses it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from reconciler.routing import rules
from reconciler.routing.values import number
from reconciler.traefik.references import Path, at, listed
from state.model import Spec

_Fault = tuple[Path, str]


def faults(spec: Spec) -> Iterator[_Fault]:
    """Where something is wrong inside a middleware by itself, and what; each as the running Traefik was seen to."""
    if isinstance(spec, dict):
        for name, value in spec.items():
            if name in _BY_TYPE and isinstance(value, dict):
                yield from (((name, *path), message) for path, message in _BY_TYPE[name](value))
    yield from _patterns(spec)


_PATTERNS: Final[tuple[tuple[str, ...], ...]] = (
    ("redirectRegex", "regex"),
    ("replacePathRegex", "regex"),
    ("stripPrefixRegex", "regex"),
    ("forwardAuth", "authResponseHeadersRegex"),
    ("headers", "accessControlAllowOriginListRegex"),
)


def _patterns(spec: Spec) -> Iterator[_Fault]:
    for path in _PATTERNS:
        value = at(spec, *path)
        for pattern in value if isinstance(value, list) else [value]:
            if isinstance(pattern, str) and (fault := rules.pattern_fault(pattern)):
                yield path, fault


# ── who may come in ──────────────────────────────────────────────────────────────────────────────


def _addresses(spec: Mapping[str, Any]) -> Iterator[_Fault]:
    ranges, status = listed(spec, "sourceRange"), number(at(spec, "rejectStatusCode"))
    if not ranges:
        yield ("sourceRange",), "holds no range, and a list that admits nobody is refused by Traefik"
    yield from _ranges(("sourceRange",), ranges)
    if status and status not in set(HTTPStatus):
        yield ("rejectStatusCode",), f"{status} is no status of HTTP"
    yield from _strategy(spec)


def _strategy(spec: Any, above: Path = ()) -> Iterator[_Fault]:
    """How Traefik finds the address of whoever asks."""
    strategy, path = at(spec, "ipStrategy"), (*above, "ipStrategy")
    yield from _ranges((*path, "excludedIPs"), listed(strategy, "excludedIPs"))
    subnet = at(strategy, "ipv6Subnet")
    if subnet is not None and not 0 < number(subnet) <= 128:
        yield (*path, "ipv6Subnet"), f"{subnet} is no length of an IPv6 subnet; it is from 1 to 128"


def _ranges(path: Path, ranges: Sequence[Any]) -> Iterator[_Fault]:
    for index, one in enumerate(ranges):
        if not rules.is_range(str(one)):
            yield (*path, index), f"'{one}' is neither an address nor a range like 192.168.1.0/24"


def _users(parts: int, like: str) -> Callable[[Mapping[str, Any]], Iterator[_Fault]]:
    def check(spec: Mapping[str, Any]) -> Iterator[_Fault]:
        users = listed(spec, "users")
        if not users and not at(spec, "usersFile"):
            yield (), "has neither users nor usersFile"
        for index, user in enumerate(users):
            if str(user).count(":") != parts - 1:  # never quoted: it may hold a hash
                yield ("users", index), f"is no entry of the form {like}"

    return check


def _grouped(spec: Mapping[str, Any]) -> Iterator[_Fault]:
    """By what those are told apart for whom something is limited."""
    criterion = at(spec, "sourceCriterion")
    yield from _strategy(criterion, ("sourceCriterion",))
    if at(criterion, "requestHost") and at(criterion, "requestHeaderName"):
        yield ("sourceCriterion",), "takes either requestHost or requestHeaderName"


def _rate(spec: Mapping[str, Any]) -> Iterator[_Fault]:
    yield from _grouped(spec)
    if str(at(spec, "period") or "").startswith("-"):
        yield ("period",), "is negative"


# ── what is answered, and where to ───────────────────────────────────────────────────────────────


def _errors(spec: Mapping[str, Any]) -> Iterator[_Fault]:
    if not at(spec, "service"):
        yield ("service",), "names no service that would answer"
    rewritten = at(spec, "statusRewrites")
    for key, found in (("status", listed(spec, "status")), ("statusRewrites", [*(rewritten or {})])):
        for index, status in enumerate(found):
            if not _is_range_of_statuses(str(status).strip()):
                yield (key, index), f"'{status}' is neither a status nor a range like 500-599"


def _is_range_of_statuses(text: str) -> bool:
    return all(re.fullmatch(r"[+-]?[0-9]{1,18}", one) for one in text.split("-")[:2])


def _headers(spec: Mapping[str, Any]) -> Iterator[_Fault]:
    if all(value is False or value is None or value in ("", []) for value in spec.values()):
        yield (), "sets nothing, and Traefik takes no such middleware"


def _prefix(spec: Mapping[str, Any]) -> Iterator[_Fault]:
    if not at(spec, "prefix"):
        yield ("prefix",), "is empty"


def _scheme(spec: Mapping[str, Any]) -> Iterator[_Fault]:
    if not at(spec, "scheme"):
        yield ("scheme",), "says no scheme to redirect to"


def _attempts(spec: Mapping[str, Any]) -> Iterator[_Fault]:
    if number(at(spec, "attempts")) < 1:
        yield ("attempts",), "needs at least one attempt"


# ── how much ─────────────────────────────────────────────────────────────────────────────────────

_SIZES: Final = ("maxRequestBodyBytes", "memRequestBodyBytes", "maxResponseBodyBytes", "memResponseBodyBytes")
_RETRYING: Final = frozenset({"IsNetworkError", "Attempts", "ResponseCode", "RequestMethod"})
_BREAKING: Final = frozenset({"NetworkErrorRatio", "LatencyAtQuantileMS", "ResponseCodeRatio"})


def _buffering(spec: Mapping[str, Any]) -> Iterator[_Fault]:
    for size in _SIZES:
        if number(at(spec, size)) < 0:
            yield (size,), "is negative"
    if retry := at(spec, "retryExpression"):
        yield from ((("retryExpression",), fault) for fault in _expression(str(retry), _RETRYING))


def _breaking(spec: Mapping[str, Any]) -> Iterator[_Fault]:
    yield from ((("expression",), fault) for fault in _expression(str(at(spec, "expression") or ""), _BREAKING))


def _expression(text: str, known: frozenset[str]) -> Iterator[str]:
    """What is surely wrong with an expression; not every fault is found here."""
    if not text.strip():
        yield "is empty"
    if text.count("(") != text.count(")"):
        yield "has brackets that do not match"
    for name in re.findall(r"([A-Za-z_]\w*)\s*\(", text):
        if name not in known:
            yield f"Traefik knows no '{name}' here; it knows {', '.join(sorted(known))}"
    if re.search(r"!(?!=)", re.sub(r'"[^"]*"', "", text)):
        yield "has a '!', which Traefik does not take here"


_ENCODINGS: Final = ("br", "gzip", "zstd")
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA: Final = re.compile(rf'\s*{_TOKEN}(/{_TOKEN})?\s*(;\s*{_TOKEN}=({_TOKEN}|"[^"]*")\s*)*;?\s*')


def _compress(spec: Mapping[str, Any]) -> Iterator[_Fault]:
    chosen, first = listed(spec, "encodings"), at(spec, "defaultEncoding")
    for index, one in enumerate(chosen):
        if one not in _ENCODINGS:
            yield ("encodings", index), f"Traefik does not encode by '{one}'; it knows {', '.join(_ENCODINGS)}"
    if first and first not in (chosen or _ENCODINGS):
        yield ("defaultEncoding",), f"'{first}' is none of the encodings"
    if listed(spec, "excludedContentTypes") and listed(spec, "includedContentTypes"):
        yield (), "takes either excludedContentTypes or includedContentTypes"
    for key in ("excludedContentTypes", "includedContentTypes"):
        for index, one in enumerate(listed(spec, key)):
            if not _MEDIA.fullmatch(str(one)):
                yield (key, index), f"'{one}' is no content type like text/html"


_BY_TYPE: Final[Mapping[str, Callable[[Mapping[str, Any]], Iterator[_Fault]]]] = {
    "addPrefix": _prefix,
    "basicAuth": _users(2, "name:hash"),
    "buffering": _buffering,
    "circuitBreaker": _breaking,
    "compress": _compress,
    "digestAuth": _users(3, "name:realm:hash"),
    "errors": _errors,
    "headers": _headers,
    "inFlightReq": _grouped,
    "ipAllowList": _addresses,
    "ipWhiteList": _addresses,
    "rateLimit": _rate,
    "redirectScheme": _scheme,
    "retry": _attempts,
}
