"""Wrong beliefs about requests and matchers, each put into the evaluator as somebody might well have written it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from reconciler.routing import evaluate, headers, patterns, request, rules, urls


def python_pattern(pattern: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.compile(pattern)


def python_finder(pattern: str, release: object = None) -> Callable[[str], bool]:
    try:
        compiled = python_pattern(pattern)
    except re.error:
        return lambda text: False
    return lambda text: bool(compiled.search(text))


def anchored(pattern: str, release: object = None) -> Callable[[str], bool]:
    return real_finder(f"^(?:{pattern})" if not rules.pattern_fault(f"^(?:{pattern})") else pattern)


real_finder = patterns.finder
real_parameters = urls.parameters
real_query_of = request.query_of
real_canonical_host = request.canonical_host
real_address_range = evaluate.address_range
real_read = urls.read
real_routing_path = urls.routing_path
real_headers_of = request._headers_of
real_take_hop_headers = headers.take_hop_headers


def _distrustful(seen: request.Seen) -> request.Seen:
    seen._door = replace(seen._door, trust_all=False)
    return seen


def _keeping(seen: request.Seen) -> request.Seen:
    seen._door = replace(seen._door, odd_headers="keep", underscored_headers="keep")
    return seen


def lenient(text: str) -> str:
    return re.sub("%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), text)


def _python_fault(pattern: str) -> str:
    try:
        python_pattern(pattern)
    except re.error as error:
        return str(error)
    return ""


MATCHING: Mapping[str, tuple[Any, str, Any]] = {
    "Python's regular expressions": (evaluate, "finder", python_finder),
    "expressions match from the beginning": (evaluate, "finder", anchored),
    "bytes that are no text are left out": (
        evaluate,
        "finder",
        lambda pattern, release=None: lambda text: real_finder(pattern)(re.sub("[\udc80-\udcff]", "", text)),
    ),
    "HostRegexp does not match the empty name": (evaluate, "_host_regexp", lambda find: lambda seen: find(seen.host)),
    "paths are not cleaned": (urls, "clean", lambda text: text),
    "paths are decoded before they are cleaned": (
        urls,
        "routing_path",
        lambda target, release, sanitize=True: urls.clean(lenient(target.path)),
    ),
    "reserved characters are decoded too": (urls, "unescape_unreserved", lenient),
    "escapes keep their case": (urls, "normalized", lambda raw_path: raw_path),
    "nothing is escaped afresh": (urls, "escaped", lambda path, raw_path: raw_path or urls.escape(path)),
    "PathPrefix ends with a segment": (
        evaluate,
        "_path_prefix",
        lambda prefix: lambda seen: (seen.path + "/").startswith(prefix.rstrip("/") + "/"),
    ),
    "a wildcard spans labels": (
        evaluate,
        "_covers",
        lambda expression, host: expression.startswith("*.") and host.endswith(expression[1:]),
    ),
    "a star in front of anything is a wildcard": (
        evaluate,
        "_covers",
        lambda expression, host: host.partition(".")[0].endswith(expression[1:].partition(".")[0])
        and host.partition(".")[2] == expression.partition(".")[2],
    ),
    "a lone star is one label": (
        evaluate,
        "_host",
        lambda value, release: lambda seen: evaluate.wildcard_covers(value.lower(), seen.host)
        if value.startswith("*")
        else seen.host in evaluate.host_names(value),
    ),
    "hosts keep their case": (request, "canonical_host", lambda host: request.without_port(host)),
    "hosts keep their port": (request, "canonical_host", lambda host: host.lower()),
    "hosts keep their brackets": (
        request,
        "canonical_host",
        lambda host: host.lower() if host.startswith("[") else real_canonical_host(host),
    ),
    "a host without a port loses no brackets": (
        request,
        "canonical_host",
        lambda host: host.lower() if host.endswith("]") else real_canonical_host(host),
    ),
    "no dot at the end is forgiven": (evaluate, "host_names", lambda expression: frozenset({expression.lower()})),
    "every dot at the end is forgiven": (request, "canonical_host", lambda host: real_canonical_host(host).rstrip(".")),
    "the Host header beats an absolute target": (urls, "_authority", lambda text, scheme, release: ""),
    "header names are compared as written": (evaluate, "canonical_name", lambda name: name),
    "header values are split at commas": (
        evaluate,
        "_header",
        lambda name, test: lambda seen: any(
            test(part.strip()) for value in seen.headers.get(name, ()) for part in value.split(",")
        ),
    ),
    "only the first header line counts": (
        evaluate,
        "_header",
        lambda name, test: lambda seen: any(map(test, seen.headers.get(name, ())[:1])),
    ),
    "X-Forwarded headers of anybody count": (headers, "without_forwarded", lambda lines, release: dict(lines)),
    "underscores make another header": (
        headers,
        "is_forwarded",
        lambda name, release: name in headers._FORWARDED,
    ),
    "no X-Forwarded headers are set": (headers, "forward", lambda lines, **how: None),
    "a WebSocket is plain HTTP": (headers, "is_websocket", lambda lines: False),
    "hop headers stay": (headers, "take_hop_headers", lambda lines, release, kept=(): None),
    "Connection goes, what it names stays": (
        headers,
        "take_hop_headers",
        lambda lines, release, kept=(): lines.pop("Connection", None),
    ),
    "Pragma is only Pragma": (headers, "_translate_pragma", lambda lines: None),
    "';' does not separate": (
        request,
        "query_of",
        lambda query, door, release: real_query_of(query.replace(";", "%3B"), door, release),
    ),
    "blank parameters are dropped": (
        urls,
        "parameters",
        lambda query: [(key, value) for key, value in real_parameters(query) if value],
    ),
    "'+' is no blank": (urls, "_component", urls.unescape),
    "what cannot be decoded is kept": (urls, "_component", lambda text: lenient(text.replace("+", " "))),
    "Query(k) asks for k with any value": (evaluate, "_lone_query", lambda key: lambda seen: key in seen.query),
    "only the first value of a parameter counts": (
        evaluate,
        "_query",
        lambda key, test: lambda seen: any(map(test, seen.query.get(key, ())[:1])),
    ),
    "methods have no case": (evaluate, "_method", lambda method: lambda seen: seen.method.upper() == method),
    "a method in a rule keeps its case": (evaluate, "upper", lambda text: text),
    "::/0 is everybody": (
        evaluate,
        "address_range",
        lambda text: (4, 0, 2**32 - 1) if text == "::/0" else real_address_range(text),
    ),
    "host bits of a range count": (
        evaluate,
        "address_range",
        lambda text: (*real_address_range(text.partition("/")[0])[:2], real_address_range(text)[2]),
    ),
    "ClientIP believes X-Forwarded-For": (
        evaluate,
        "_client_ip",
        lambda value: lambda seen: any(
            headers.is_within(address, [value])
            for address in seen._received.get("X-Forwarded-For", [seen.client_ip])
        ),
    ),
    "priorities count characters": (evaluate, "computed_priority", lambda text, node: len(text)),
    "comments and blanks do not count": (
        evaluate,
        "computed_priority",
        lambda text, node: len(re.sub(r"/\*.*?\*/|\s", "", text).encode()),
    ),
    "no argument is invalid": (evaluate, "matcher_faults", lambda matcher, release: iter(())),
    "an expression is invalid where Python's is": (
        rules,
        "pattern_fault",
        lambda pattern, release: _python_fault(pattern),
    ),
    "a '#' in a path goes on": (
        urls,
        "read",
        lambda target, release, **how: real_read(target.replace("#", "x"), release, **how),
    ),
    "a target may say anything": (request, "NO_TUNNELS", (99, 0, 0)),
    "a rootless target goes on": (request, "ROOTED", (99, 0, 0)),
    "a Host header may hold anything": (headers, "_HOST", re.compile("")),
    "a header name may be anything": (headers, "_is_name", lambda text: True),
    "any brackets hold a host": (urls, "STRICT_HOSTS", (99, 0, 0)),
    "a host may have many colons": (urls, "ONE_COLON", (99, 0, 0)),
    # ── entry points with options
    "paths are always cleaned": (
        urls,
        "routing_path",
        lambda target, release, sanitize=True: real_routing_path(target, release),
    ),
    "nobody is trusted": (headers, "is_within", lambda address, ranges: False),
    "only some are trusted, never all": (
        request,
        "_headers_of",
        lambda seen: real_headers_of(_distrustful(seen)),
    ),
    "semicolons always separate": (
        request,
        "query_of",
        lambda query, door, release: real_query_of(query, request.PLAIN, release),
    ),
    "odd headers always stay": (request, "_headers_of", lambda seen: real_headers_of(_keeping(seen))),
    "what Connection names always goes": (
        headers,
        "take_hop_headers",
        lambda lines, release, kept=(): real_take_hop_headers(lines, release, set()),
    ),
}  # fmt: skip
