"""Which of TCP and HTTP takes a connection: scenarios, and what is asked of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from reconciler.routing.reading import from_files
from reconciler.routing.request import Request
from reconciler.routing.routers import EntryPoint
from reconciler.routing.table import Answer, Table
from tests.reconciler.routing.wiretaps import Heard

DOORS = (EntryPoint(name="web", port=80), EntryPoint(name="websecure", port=443))
OPTIONS = {"strict": {"minVersion": "VersionTLS12"}, "other": {"minVersion": "VersionTLS12"}}
NAMES = ("t", "u", "v", "w")
Routers = Mapping[str, Mapping[str, Any]]


class Asked(NamedTuple):
    """One connection, and the request that is sent over it; `server_name` None is one without TLS."""

    server_name: str | None
    host: str
    path: str = "/"
    door: str = "websecure"

    @property
    def request(self) -> Request:
        return Request(target=self.path, host=self.host, entry_point=self.door, tls=self.server_name is not None)


def asks() -> Iterator[Asked]:
    """What is asked in every scenario."""
    for door in ("web", "websecure"):
        yield Asked(None, "a.test", door=door)
        for name in ("a.test", "b.test", "x.a.test", "y.x.a.test", ""):
            yield Asked(name, name or "a.test", door=door)
    yield from (Asked("a.test", "b.test"), Asked("b.test", "a.test"), Asked("z.test", "a.test"))
    yield from (Asked("a.test", "a.test", "/any"), Asked("b.test", "b.test", "/any"))


def table_of(http: Routers, tcp: Routers, ports: Mapping[str, int]) -> Table:
    """A scenario as we see it."""
    return Table(from_files(specs_of(http, tcp, ports)), DOORS)


def expected(answer: Answer) -> set[Heard]:
    """Everything that may be heard. Raises AssertionError where nobody can tell."""
    if answer.taken_by == "nobody":
        return {Heard("nobody")}
    if answer.unknown:
        raise AssertionError(answer.unknown)
    if answer.taken_by == "tcp":
        return {Heard("tcp", name) for name in answer.tied or (answer.router,) if name}
    if answer.tied:
        return {Heard("http", name, status) for name in answer.tied for status in (418,)} | {Heard("http", "", 421)}
    return {Heard("http", answer.router, 418) if answer.router else Heard("http", "", answer.status or 0)}


def specs_of(http: Routers, tcp: Routers, ports: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    routers = {
        name: {
            "service": "noop@internal",
            **spec,
            "middlewares": [*spec.get("middlewares", ()), *_revealed(name, spec)],
        }
        for name, spec in http.items()
    }
    revealing = {f"x-{name}": {"headers": {"customResponseHeaders": {"X-Router": name}}} for name in (*http, "nobody")}
    services = {
        name: {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{ports[name]}"}]}} for name in tcp if name in ports
    }
    return {
        "http.routers": routers,
        "http.middlewares": revealing,
        "tcp.routers": {name: {"service": name, **spec} for name, spec in tcp.items()},
        "tcp.services": services,
        "tls.options": dict(OPTIONS),
    }


def _revealed(name: str, spec: Mapping[str, Any]) -> list[str]:
    return [f"x-{name}"] if spec.get("service", "here") else []


def over_tls(rule: str, **more: Any) -> dict[str, Any]:
    return {"rule": rule, "entryPoints": ["websecure"], "tls": {}, **more}


def without_tls(rule: str, **more: Any) -> dict[str, Any]:
    return {"rule": rule, "entryPoints": ["web"], **more}


SCENARIOS: Mapping[str, tuple[Routers, Routers]] = {
    "an HTTP host comes before a TCP router of any priority": (
        {"h": over_tls("Host(`a.test`)")},
        {"t": over_tls("HostSNI(`a.test`)", priority=100000), "u": over_tls("HostSNI(`*`)")},
    ),
    "a TCP host comes before HTTP routers without a host, and those before a TCP catch-all": (
        {"h": over_tls("PathPrefix(`/`)")},
        {"t": over_tls("HostSNI(`a.test`)"), "u": over_tls("HostSNI(`*`)")},
    ),
    "a TCP catch-all alone takes every name": ({}, {"u": over_tls("HostSNI(`*`)")}),
    "a TCP catch-all of high priority hides the TCP hosts, and yields to HTTP without a host": (
        {"h": over_tls("PathPrefix(`/`)")},
        {"t": over_tls("HostSNI(`a.test`)"), "u": over_tls("HostSNI(`*`)", priority=1000)},
    ),
    "a TCP catch-all without a priority comes after any other": (
        {},
        {"t": over_tls("HostSNI(`a.test`)", priority=5), "u": over_tls("HostSNI(`*`)")},
    ),
    "a catch-all with more to it has the priority of its length": (
        {},
        {"t": over_tls("HostSNI(`a.test`)", priority=5), "u": over_tls("HostSNI(`*`) || ALPN(`none`)")},
    ),
    "a client's address decides among TCP routers over TLS as any rule does": (
        {"h": over_tls("PathPrefix(`/`)")},
        {"t": over_tls("ClientIP(`127.0.0.0/8`)"), "u": over_tls("HostSNI(`a.test`)", priority=1)},
    ),
    "an HTTP host that is disabled still claims its connections": (
        {"h": over_tls("Host(`a.test`)", middlewares=["nope"])},
        {"t": over_tls("HostSNI(`a.test`)")},
    ),
    "an HTTP rule that cannot be read claims nothing": (
        {"h": over_tls("Host(`a.test`) && (")},
        {"t": over_tls("HostSNI(`a.test`)")},
    ),
    "an HTTP wildcard claims one label": (
        {"h": over_tls("Host(`*.a.test`)")},
        {
            "t": over_tls("HostSNI(`x.a.test`)"),
            "u": over_tls("HostSNI(`a.test`)"),
            "v": over_tls("HostSNI(`y.x.a.test`)"),
        },
    ),
    "Host(`*`) is no host": (
        {"h": over_tls("Host(`*`)")},
        {"t": over_tls("HostSNI(`a.test`)"), "u": over_tls("HostSNI(`*`)")},
    ),
    "a denied host is not claimed": (
        {"h": over_tls("!Host(`a.test`)")},
        {"t": over_tls("HostSNI(`a.test`)"), "u": over_tls("HostSNI(`*`)")},
    ),
    "a pattern for all names is no catch-all": (
        {"h": over_tls("PathPrefix(`/`)")},
        {"t": over_tls("HostSNIRegexp(`.*`)")},
    ),
    "a TCP passthrough stands in the same order": (
        {"h": over_tls("Host(`b.test`)")},
        {
            "t": over_tls("HostSNI(`a.test`)", tls={"passthrough": True}),
            "u": over_tls("HostSNI(`b.test`)", tls={"passthrough": True}),
            "v": over_tls("HostSNI(`*`)", tls={"passthrough": True}),
        },
    ),
    "a TCP router whose TLS options do not exist closes its connections": (
        {"h": over_tls("PathPrefix(`/`)")},
        {"t": over_tls("HostSNI(`a.test`)", tls={"options": "nope"})},
    ),
    "an HTTP router whose TLS options do not exist closes those for its host": (
        {"h": over_tls("Host(`a.test`)", tls={"options": "nope"}), "g": over_tls("PathPrefix(`/`)")},
        {"t": over_tls("HostSNI(`a.test`)")},
    ),
    "broken TCP routers let HTTP answer": (
        {"h": over_tls("PathPrefix(`/`)")},
        {
            "t": over_tls("HostSNI(`a.test`)", priority=2**63 - 1),
            "u": over_tls("HostSNI(`b.test`)", middlewares=["nope"]),
            "v": over_tls("HostSNI(`x.a.test`)", service="nope"),
            "w": over_tls("HostSNI(`a.test`) && Host(`x`)"),
        },
    ),
    "without TLS a catch-all steals the entry point, and TLS connections with it where nobody has TLS": (
        {"h": without_tls("Host(`a.test`)")},
        {"t": without_tls("HostSNI(`*`)")},
    ),
    "without TLS a catch-all leaves TLS to HTTP routers that have it": (
        {"h": without_tls("Host(`a.test`)"), "g": without_tls("Host(`a.test`)", tls={})},
        {"t": without_tls("HostSNI(`*`)")},
    ),
    "a client's address alone steals too": (
        {"h": without_tls("Host(`a.test`)")},
        {"t": without_tls("ClientIP(`127.0.0.0/8`)")},
    ),
    "another's address does not": (
        {"h": without_tls("Host(`a.test`)")},
        {"t": without_tls("ClientIP(`10.0.0.0/8`)")},
    ),
    "a name without TLS serves nothing": (
        {"h": without_tls("Host(`a.test`)")},
        {"t": without_tls("HostSNI(`a.test`) || ClientIP(`127.0.0.1`)")},
    ),
    "a denied name without TLS matches everything": (
        {"h": without_tls("Host(`a.test`)")},
        {"t": without_tls("!HostSNI(`a.test`)"), "u": without_tls("!HostSNIRegexp(`.+`)", priority=1)},
    ),
    "a star before a name without TLS is taken": (
        {"h": without_tls("Host(`a.test`)")},
        {"t": without_tls("HostSNI(`*`) || HostSNI(`a.test`)")},
    ),
    "TLS options that differ between server name and host are misdirected": (
        {
            "a": over_tls("Host(`a.test`)", tls={"options": "strict"}),
            "b": over_tls("Host(`b.test`)"),
            "any": over_tls("PathPrefix(`/any`)", priority=1000),
        },
        {},
    ),
    "TLS options in conflict for one host are the default ones, of the whole router": (
        {
            "a": over_tls("Host(`a.test`) || Host(`x.a.test`)", tls={"options": "strict"}),
            "c": over_tls("Host(`a.test`) && PathPrefix(`/any`)"),
            "b": over_tls("Host(`b.test`)", tls={"options": "strict"}),
        },
        {},
    ),
    "a disabled router counts among the TLS options": (
        {
            "a": over_tls("Host(`a.test`)", tls={"options": "strict"}, middlewares=["nope"]),
            "c": over_tls("Host(`a.test`) && PathPrefix(`/any`)"),
        },
        {},
    ),
    "TLS options of a router without a host are the default ones": (
        {
            "a": over_tls("PathPrefix(`/`)", tls={"options": "strict"}),
            "b": over_tls("Host(`b.test`)", tls={"options": "other"}),
        },
        {},
    ),
    "a rule in the old syntax claims every host that it names": (
        {"h": over_tls("Host(`a.test`, `B.test`) || !HostHeader(`x.a.test`)", ruleSyntax="v2", middlewares=["nope"])},
        {"t": over_tls("HostSNIRegexp(`.+`)")},
    ),
    "a rule in the old syntax without a host leaves names alone": (
        {"h": over_tls("HostRegexp(`{any:.+}`)", ruleSyntax="v2", middlewares=["nope"])},
        {"t": over_tls("HostSNI(`a.test`)"), "u": over_tls("HostSNI(`*`)")},
    ),
    "a rule with a matcher that the old syntax lacks is disabled, and claims": (
        {"h": over_tls("Host(`a.test`) && Header(`A`, `b`)", ruleSyntax="v2"), "g": over_tls("PathPrefix(`/`)")},
        {"t": over_tls("HostSNIRegexp(`.+`)")},
    ),
    "a rule with an argument too many is disabled, and claims": (
        {"h": over_tls("Host(`a.test`, `b.test`)")},
        {"t": over_tls("HostSNIRegexp(`.+`)")},
    ),
    "only v2 is the old syntax": (
        {"h": over_tls("Host(`a.test`)", ruleSyntax="V2"), "g": over_tls("Host(`b.test`)", ruleSyntax="v9")},
        {"t": over_tls("HostSNI(`a.test`, `b.test`)", ruleSyntax="V2"), "u": over_tls("HostSNIRegexp(`.+`)")},
    ),
    "a TCP rule in the old syntax leaves alone what it does not name": (
        {"h": over_tls("PathPrefix(`/`)")},
        {
            "t": over_tls("HostSNI(`q.test`, `r.test`)", ruleSyntax="v2", priority=1000),
            "u": over_tls("HostSNI(`a.test`)"),
            "v": over_tls("HostSNI(`b.test`, `s.test`)", ruleSyntax="v2", middlewares=["nope"]),
        },
    ),
    "a name in the old syntax without TLS serves nothing": (
        {"h": without_tls("Host(`a.test`)")},
        {"t": without_tls("HostSNI(`a.test`, `b.test`)", ruleSyntax="v2")},
    ),
    "HTTP's own services are none of TCP's": (
        {"h": without_tls("Host(`a.test`)")},
        {"t": without_tls("HostSNI(`*`)", service="noop@internal")},
    ),
    "a child claims no connections": (
        {
            "p": over_tls("Host(`a.test`)", service=""),
            "c": {"rule": "Host(`b.test`)", "parentRefs": ["p"]},
        },
        {"t": over_tls("HostSNI(`b.test`)"), "u": over_tls("HostSNI(`*`)")},
    ),
}  # fmt: skip


# ── single TCP rules ─────────────────────────────────────────────────────────────────────────────

TCP_RULES = (
    "HostSNI(`a.test`)", "HostSNI(`A.test`)", "HostSNI(`a.test.`)", "HostSNI(`a.test..`)", "HostSNI(`*.a.test`)",
    "HostSNI(`*.A.test`)", "HostSNI(`*.a.test.`)", "HostSNI(`*`)", "!HostSNI(`*`)", "!!HostSNI(`*`)",
    "HostSNI(`*a.test`)", "HostSNI(`**.a.test`)", "HostSNI(`.a.test`)", "HostSNI(`a.*.test`)", "HostSNI(`*.`)",
    "HostSNI(`a b`)", "HostSNI(`é.test`)", "HostSNI(`xn--bcher-kva.test`)", "HostSNI(`a_b.test`)", "HostSNI(`1.2.3.4`)",
    "HostSNI(`::1`)", "HostSNI(`[::1]`)", "HostSNI(`a.test:443`)", "HostSNI(`a/b`)", "HostSNI(``)", "HostSNI(`-`)",
    "HostSNIRegexp(`^a\\.test$`)", "HostSNIRegexp(`^A`)", "HostSNIRegexp(`^$`)", "HostSNIRegexp(`.`)",
    "HostSNIRegexp(`é`)", "HostSNIRegexp(`(`)", "ClientIP(`127.0.0.0/8`)", "ClientIP(`10.0.0.1`)", "ClientIP(`x`)",
    "ALPN(`h2`)", "ALPN(`H2`)", "ALPN(`http/1.1`)", "ALPN(`foo`)", "ALPN(`acme-tls/1`)", "ALPN(`*`)", "ALPN(``)",
    "!HostSNI(`a.test`)", "HostSNI(`a.test`) || HostSNI(`b.test`)", "HostSNI(`a.test`) && !ALPN(`h2`)",
    "hostsni(`a.test`)", "HOSTSNI(`a.test`)", "Hostsni(`a.test`)", "HostSni(`a.test`)", "Alpn(`h2`)",
    "HostSNI(`a`, `b`)", "Host(`a.test`)", "HostSNI(`*`) || ALPN(`h2`)", "HostSNI(`*.test`)",
)  # fmt: skip
TCP_NAMES = ("a.test", "A.TEST", "b.test", "x.a.test", "y.x.a.test", "xn--bcher-kva.test", "a_b.test", "test", None)
TCP_OFFERS: tuple[tuple[str, ...], ...] = ((), ("h2",), ("foo", "http/1.1"))


def tcp_asks() -> Iterator[tuple[str | None, tuple[str, ...]]]:
    """Server names and the protocols that clients offer with them."""
    for name in TCP_NAMES:
        for offers in TCP_OFFERS if name in ("a.test", None) else TCP_OFFERS[:1]:
            yield name, offers
