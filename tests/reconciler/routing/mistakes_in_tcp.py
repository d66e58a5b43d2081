"""Wrong beliefs about what single TCP rules match, each put into the evaluator on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.routing import evaluate, grammar, matchers, rules
from reconciler.routing.evaluate import server_name, wildcard_covers
from reconciler.routing.matchers import ALPN, Host, HostSNI, Matcher
from reconciler.routing.patterns import finder
from tests.reconciler.routing.mistakes_in_grammar import Mistake

real_tcp_test = evaluate.tcp_test
real_sni_names = evaluate.sni_names
real_fault = rules._fault


def _instead(kind: type, test: Any) -> Mistake:
    """One matcher means something else."""

    def tcp_test(node: Any, release: Any = evaluate.NEWEST) -> Any:
        return test(node) if isinstance(node, kind) else real_tcp_test(node, release)

    return ((evaluate, "tcp_test", tcp_test),)


def _host_sni(test: Any) -> Mistake:
    return ((evaluate, "_host_sni", lambda value, release: lambda connection: test(value, connection)),)


def _truly(value: str, connection: Any) -> bool:
    if value == "*":
        return True
    if evaluate.is_wildcard(value):
        return wildcard_covers(value.lower(), server_name(connection))
    return server_name(connection) in real_sni_names(value)


def _any_protocol(matcher: Matcher, *what: Any) -> str:
    return "" if isinstance(matcher, ALPN) else real_fault(matcher, *what)


TCP: Mapping[str, Mistake] = {
    "HostSNI(`*`) needs a server name": _host_sni(lambda value, asked: bool(asked.sni) and _truly(value, asked)),
    "a wildcard of HostSNI spans labels": _host_sni(
        lambda value, asked: (
            _truly(value, asked) or (value.startswith("*.") and asked.sni.lower().endswith(value[1:].lower()))
        )
    ),
    "HostSNI knows no wildcards": _host_sni(
        lambda value, asked: value == "*" or (value[0] != "*" and _truly(value, asked))
    ),
    "server names keep their case": ((evaluate, "server_name", lambda connection: connection.sni),),
    "names in HostSNI keep their case": (
        (evaluate, "sni_names", lambda value, release=None: {value, value.removesuffix(".")}),
    ),
    "HostSNI forgives no dot": ((evaluate, "sni_names", lambda value, release=None: {value.lower()}),),
    "HostSNI forgives every dot": (
        (evaluate, "sni_names", lambda value, release=None: {value.lower(), value.lower().rstrip(".")}),
    ),
    "HostSNIRegexp has no case": _instead(
        matchers.HostSNIRegexp, lambda node: lambda asked: finder(f"(?i){node.value}")(server_name(asked))
    ),
    "HostSNIRegexp matches whole names": _instead(
        matchers.HostSNIRegexp, lambda node: lambda asked: finder(f"^(?:{node.value})$")(server_name(asked))
    ),
    "HostSNIRegexp that finds nothing in nothing takes connections without a name": _instead(
        matchers.HostSNIRegexp, lambda node: lambda asked: not asked.sni or finder(node.value)(server_name(asked))
    ),
    "ALPN has no case": _instead(ALPN, lambda node: lambda asked: node.value.lower() in asked.alpn),
    "ALPN asks for the first protocol alone": _instead(ALPN, lambda node: lambda asked: node.value in asked.alpn[:1]),
    "ALPN(`*`) is any protocol": _instead(ALPN, lambda node: lambda asked: node.value in ("*", *asked.alpn)),
    "a catch-all has the priority of its length": ((evaluate, "computed_priority", lambda text, node: len(text)),),
    "a denied catch-all has the priority of its length": (
        (evaluate, "computed_priority", lambda text, node: -1 if node == HostSNI("*") else len(text)),
    ),
    "every rule with a catch-all comes last": (
        (evaluate, "computed_priority", lambda text, node: -1 if "HostSNI(`*`)" in text else len(text)),
    ),
    "HostSNI takes any text": ((rules, "_server_name", lambda release: rules.re.compile("")),),
    "Host is a matcher of TCP": (
        (grammar, "_KNOWN", {**grammar._KNOWN, "tcp": {**grammar._KNOWN["tcp"], "Host": Host}}),
        (
            evaluate,
            "tcp_test",
            lambda node, release=None: (lambda asked: True) if isinstance(node, Host) else real_tcp_test(node),
        ),
    ),
    "acme-tls/1 is a protocol like others": ((rules, "_fault", _any_protocol),),
}
