"""Which of TCP and HTTP takes a connection, against the real Traefik: every scenario, and random ones."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from reconciler.routing.table import Table
from tests.reconciler.routing.scenarios import (
    DOORS,
    NAMES,
    SCENARIOS,
    Asked,
    Routers,
    asks,
    expected,
    specs_of,
    table_of,
)
from tests.reconciler.routing.wiretaps import backends, plain, secure


class Bench:
    """A Traefik whose configuration is replaced for each scenario; asks it, and asks the table."""

    def __init__(self, traefik: Any, ports: Mapping[str, int], until: Callable[..., None]) -> None:
        self._traefik, self._ports, self._until = traefik, ports, until
        self._generation = 0
        self.table = Table((), DOORS)

    def load(self, http: Routers, tcp: Routers) -> None:
        self._generation += 1
        marker = f"generation-{self._generation}"
        specs = specs_of(http, tcp, self._ports)
        self.table = table_of(http, tcp, self._ports)
        document: dict[str, Any] = {}
        for kind, held in specs.items():
            if held:
                section, group = kind.split(".")
                document.setdefault(section, {})[group] = held
        document["http"]["middlewares"] = {**document["http"]["middlewares"], marker: {"headers": {"frameDeny": True}}}
        self._traefik.drop("all.yml", json.dumps(document))
        self._until(lambda: f"{marker}@file" in self._traefik.names(), "loading the scenario")

    def check(self, asked: Asked) -> str:
        """What is wrong with the prediction for one connection."""
        port = self._traefik.ports[asked.door]
        answer = self.table.answer(asked.request, asked.server_name)
        if asked.server_name is None:
            heard = plain(port, asked.host, asked.path)
        else:
            heard = secure(port, asked.server_name, asked.host, asked.path)
        return "" if heard in expected(answer) else f"{asked}: {answer.reason or answer} but {heard}"


@pytest.fixture
def bench(start_traefik: Callable[..., Any], until: Callable[..., None]) -> Iterator[Bench]:
    with backends(NAMES) as ports:
        yield Bench(start_traefik(throttle="0s"), ports, until)


def test_every_scenario_ends_as_predicted(bench: Bench) -> None:
    wrong: list[str] = []
    for sentence, (http, tcp) in SCENARIOS.items():
        bench.load(http, tcp)
        found = [bench.check(asked) for asked in asks()]
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
            asked = Asked(name, host, "/any", door)
            answer = bench.table.answer(asked.request, name)
            counted["unknown" if answer.unknown else answer.taken_by] += 1
            if not answer.unknown and (fault := bench.check(asked)):
                wrong.append(f"{json.dumps(http)} {json.dumps(tcp)}: {fault}")
    assert not wrong, "\n".join(wrong[:10])
    assert counted["tcp"] > 50 and counted["http"] > 50 and counted["unknown"] < 50, counted
