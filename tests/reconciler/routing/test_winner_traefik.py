"""The winner of whole tables, against the real Traefik: every prediction is what it does, or it chooses in our tie."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.routing.reading import entry_point, from_api, from_files
from reconciler.routing.request import Request
from reconciler.routing.table import Answer, Table
from reconciler.traefik import insides
from tests.reconciler.routing.random_tables import DOORS, ENTRY_POINTS, TableMaker
from tests.reconciler.routing.real_traefik import RealTraefik, serving
from tests.reconciler.routing.secure import Secure

TABLES, REQUESTS = 6, 500


def by_kind(dynamic: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Mapping[str, Any]]:
    """A file's content as reading takes it."""
    return {f"{section}.{group}": held for section, groups in dynamic.items() for group, held in groups.items()}


def table_of(dynamic: Mapping[str, Any]) -> Table:
    def faults(kind: str, spec: Any) -> Iterable[str]:
        return (words for _, words, severity in insides.faults(kind, spec) if severity == "error")

    internal = [("http.services", f"{name}@internal") for name in ("api", "dashboard", "noop")]
    routers = from_files(by_kind(dynamic), others=internal, faults=faults)
    return Table(routers, ENTRY_POINTS)


def live_table(traefik: RealTraefik) -> tuple[Table, dict[str, Any]]:
    """The table as the API of the running Traefik gives it, and what it says of routers."""

    def told(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{traefik.ports['traefik']}/api/{path}", timeout=10) as answer:
            return json.loads(answer.read())

    raw = told("rawdata")
    doors = [entry_point(one) for one in told("entrypoints")]
    items = {"http.routers": raw.get("routers") or {}, "http.middlewares": raw.get("middlewares") or {}}
    return Table(from_api(items, doors), doors), raw["routers"]


def outcomes(answer: Answer) -> set[tuple[int, str]]:
    """What may be seen on the wire: status and X-Router."""
    if answer.tied:
        return set()
    return {(answer.status, "")} if answer.router is None else {(418, answer.router)}


@contextmanager
def served(binary: Path, dynamic: Mapping[str, Any]) -> Iterator[RealTraefik]:
    with serving(binary, dynamic, options=DOORS) as traefik:
        yield traefik


def judge(table: Table, request: Request, seen: tuple[int, str], counted: Counter[str], server_name: str = "") -> str:
    """What is wrong with the prediction, "" where nothing is."""
    answer = table.answer(request, server_name or None)
    if answer.unknown:
        counted["unknown"] += 1
        return ""
    if answer.ambiguous:
        counted["tied"] += 1
        family = {leaf for one in answer.tied for leaf in leaves(table, one)}
        return "" if seen[1] in family or (seen == (404, "") and "" in family) else f"{answer.tied} but {seen}"
    counted["decided" if answer.router else f"status {answer.status}"] += 1
    return "" if seen in outcomes(answer) else f"{answer.router or answer.status} but {seen}: {answer.reason}"


def leaves(table: Table, name: str) -> set[str]:
    """Whom a router may lead to; "" where it has children, of whom none need match."""
    children = [one.name.removesuffix("@file") for one in table.routers if f"{name}@file" in one.parents]
    found = {leaf for child in children if child != name for leaf in leaves(table, child)}
    return {*found, ""} if children else {name}


@pytest.mark.parametrize("seed", range(TABLES))
def test_every_winner_is_the_real_one_or_among_the_tied(traefik_binary: Path, seed: int) -> None:
    maker = TableMaker(seed)
    dynamic = maker.table()
    counted: Counter[str] = Counter()
    wrong: list[str] = []
    with served(traefik_binary, dynamic) as traefik:
        table, (live, routers) = table_of(dynamic), live_table(traefik)
        requests = [replace(maker.request(), entry_point="web") for _ in range(REQUESTS)]
        answers = traefik.ask([(request, "") for request in requests], "web")
        for request, seen in zip(requests, answers, strict=True):
            for name, one in (("files", table), ("API", live)):
                if fault := judge(one, request, seen, counted):
                    wrong.append(f"{name}: {request}: {fault}")
        for door in ("secure", "door"):
            secure = Secure(traefik.ports[door])
            for number in range(40):
                request = replace(maker.request(), host=maker._one(("a.test", "b.test", "x.a.test")), tls=True)
                request = replace(
                    request, entry_point=door, headers=(), method="GET", target=f"/a{number % 3 * '%2fb'}?{number}"
                )
                request = replace(request, client_ip="127.0.0.1")
                seen = secure.ask(request, request.host or "")
                for name, one in (("files", table), ("API", live)):
                    if fault := judge(one, request, seen, counted):
                        wrong.append(f"{name}, TLS: {request}: {fault}")
    assert not wrong, "\n".join(wrong[:20])
    assert counted["decided"] > 50, counted
    wrongly_disabled(table, routers, dynamic)


def wrongly_disabled(table: Table, routers: Mapping[str, Any], dynamic: Mapping[str, Any]) -> None:
    """What Traefik calls disabled is what we do, but for parents with a service, which it calls so and serves."""
    both = "router has both a service and is referenced as a parent by other routers"
    for name in dynamic["http"]["routers"]:
        listed = [routers[one] for one in (f"{name}@file", f"door-{name}@file") if one in routers]
        theirs = not listed or all(
            one["status"] == "disabled" and (one["error"] != [both] or "parentRefs" in one) for one in listed
        )
        ours = f"{name}@file" in table.disabled
        assert ours == theirs, (name, table.disabled.get(f"{name}@file"), [one.get("error") for one in listed], listed)
