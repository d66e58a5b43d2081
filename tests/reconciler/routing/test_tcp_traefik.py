"""Which of TCP and HTTP takes a connection, against the real Traefik: every scenario, and random ones."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from reconciler.routing.reading import from_files
from reconciler.routing.request import Request
from reconciler.routing.routers import EntryPoint
from reconciler.routing.table import Answer, Table
from tests.reconciler.routing.wiretaps import Heard, backends, plain, secure

DOORS = (EntryPoint(name="web", port=80), EntryPoint(name="websecure", port=443))
OPTIONS = {"strict": {"minVersion": "VersionTLS12"}, "other": {"minVersion": "VersionTLS12"}}
NAMES = ("t", "u", "v", "w")
Routers = Mapping[str, Mapping[str, Any]]


class Bench:
    """A Traefik whose configuration is replaced for each scenario; asks it, and asks the table."""

    def __init__(self, traefik: Any, ports: Mapping[str, int], until: Callable[..., None]) -> None:
        self._traefik, self._ports, self._until = traefik, ports, until
        self._generation = 0
        self.table = Table((), DOORS)

    def load(self, http: Routers, tcp: Routers) -> None:
        self._generation += 1
        marker = f"generation-{self._generation}"
        specs = _specs(http, tcp, self._ports)
        self.table = Table(from_files(specs), DOORS)
        document: dict[str, Any] = {}
        for kind, held in specs.items():
            if held:
                section, group = kind.split(".")
                document.setdefault(section, {})[group] = held
        document["http"]["middlewares"] = {**document["http"]["middlewares"], marker: {"headers": {"frameDeny": True}}}
        self._traefik.drop("all.yml", json.dumps(document))
        self._until(lambda: f"{marker}@file" in self._traefik.names(), "loading the scenario")

    def check(self, server_name: str | None, host: str, path: str = "/", door: str = "websecure") -> str:
        """What is wrong with the prediction for one connection; server_name None is one without TLS."""
        tls, port = server_name is not None, self._traefik.ports[door]
        request = Request(target=path, host=host, entry_point=door, tls=tls)
        answer = self.table.answer(request, server_name)
        heard = plain(port, host, path) if server_name is None else secure(port, server_name, host, path)
        asked = f"{server_name!r} {host} {path} at {door}"
        return "" if heard in expected(answer) else f"{asked}: {answer.reason or answer} but {heard}"


def expected(answer: Answer) -> set[Heard]:
    """Everything that may be heard."""
    if answer.taken_by == "nobody":
        return {Heard("nobody")}
    if answer.unknown:
        raise AssertionError(answer.unknown)
    if answer.taken_by == "tcp":
        return {Heard("tcp", name) for name in answer.tied or (answer.router,) if name}
    if answer.tied:
        return {Heard("http", name, status) for name in answer.tied for status in (418,)} | {Heard("http", "", 421)}
    return {Heard("http", answer.router, 418) if answer.router else Heard("http", "", answer.status or 0)}


def _specs(http: Routers, tcp: Routers, ports: Mapping[str, int]) -> dict[str, dict[str, Any]]:
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


@pytest.fixture
def bench(start_traefik: Callable[..., Any], until: Callable[..., None]) -> Iterator[Bench]:
    with backends(NAMES) as ports:
        yield Bench(start_traefik(throttle="0s"), ports, until)


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
        {"t": over_tls("HostSNI(`x.a.test`)"), "u": over_tls("HostSNI(`a.test`)")},
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


def test_every_scenario_ends_as_predicted(bench: Bench) -> None:
    wrong: list[str] = []
    for sentence, (http, tcp) in SCENARIOS.items():
        bench.load(http, tcp)
        found = [bench.check(None, "a.test", door=door) for door in ("web", "websecure")]
        for door in ("web", "websecure"):
            for name in ("a.test", "b.test", "x.a.test", "y.x.a.test", ""):
                found.append(bench.check(name, name or "a.test", door=door))
        found += [bench.check("a.test", "b.test"), bench.check("b.test", "a.test"), bench.check("z.test", "a.test")]
        found += [bench.check("a.test", "a.test", "/any"), bench.check("b.test", "b.test", "/any")]
        wrong += [f"{sentence}: {fault}" for fault in found if fault]
    assert not wrong, "\n".join(wrong)


TCP_RULES = (
    "HostSNI(`*`)", "HostSNI(`a.test`)", "HostSNI(`b.test`)", "HostSNI(`*.a.test`)", "HostSNIRegexp(`^a`)",
    "!HostSNI(`a.test`)", "HostSNI(`a.test`) || HostSNI(`*`)", "ClientIP(`127.0.0.1`)", "!ClientIP(`127.0.0.1`)",
    "HostSNI(`a.test`) && ClientIP(`127.0.0.1`)", "HostSNI(`*`) && HostSNIRegexp(`.`)", "HostSNI(`A.test`)",
    "HostSNI(`a.test.`)", "HostSNI(`ä.test`)", "HostSNI(`a b`)",
)  # fmt: skip
HTTP_RULES = (
    "Host(`a.test`)", "Host(`b.test`)", "Host(`*.a.test`)", "Host(`a.test`) && PathPrefix(`/any`)", "PathPrefix(`/`)",
    "Host(`*`)", "!Host(`a.test`)", "Host(`a.test`) || Host(`b.test`)", "HostRegexp(`^a`)", "Host(`B.test.`)",
    "Method(`GET`) && !Host(`b.test`)",
)  # fmt: skip
PRIORITIES = (0, 0, 0, 5, 500, -7)


def random_scenario(chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    http: dict[str, Any] = {}
    for name in "abcd"[: chance.randrange(5)]:
        http[name] = {
            "rule": chance.choice(HTTP_RULES),
            "priority": chance.choice(PRIORITIES),
            "entryPoints": chance.choice((["web"], ["websecure"], ["websecure"], ["web", "websecure"])),
        }
        if chance.random() < 0.75:
            options = chance.choice((None, None, None, "strict", "other", "default", "nope"))
            http[name]["tls"] = {"options": options} if options else {}
        if chance.random() < 0.1:
            http[name]["middlewares"] = ["nope"]
    tcp: dict[str, Any] = {}
    for name in NAMES[: chance.randrange(1, 4)]:
        tcp[name] = {
            "rule": chance.choice(TCP_RULES),
            "priority": chance.choice(PRIORITIES),
            "entryPoints": chance.choice((["web"], ["websecure"], ["websecure"], ["web", "websecure"])),
        }
        if chance.random() < 0.8:
            tcp[name]["tls"] = chance.choice(
                ({}, {}, {"passthrough": True}, {"options": "strict"}, {"options": "nope"})
            )
    return http, tcp


def test_random_scenarios_end_as_predicted(bench: Bench) -> None:
    chance = random.Random(2026)
    wrong: list[str] = []
    counted: Counter[str] = Counter()
    for _ in range(40):
        http, tcp = random_scenario(chance)
        bench.load(http, tcp)
        for _ in range(12):
            name = chance.choice((None, "a.test", "b.test", "x.a.test", "c.test", ""))
            host = chance.choice((name or "a.test", "a.test", "b.test"))
            door = chance.choice(("web", "websecure", "websecure"))
            request = Request(target="/any", host=host, entry_point=door, tls=name is not None)
            answer = bench.table.answer(request, name)
            counted["unknown" if answer.unknown else answer.taken_by] += 1
            if not answer.unknown and (fault := bench.check(name, host, "/any", door)):
                wrong.append(f"{json.dumps(http)} {json.dumps(tcp)}: {fault}")
    assert not wrong, "\n".join(wrong[:10])
    assert counted["tcp"] > 50 and counted["http"] > 50 and counted["unknown"] < 50, counted
