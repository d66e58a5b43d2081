"""What is tried where two versions of Traefik are compared: something of every router, from every side."""

from __future__ import annotations

from dataclasses import replace

from reconciler.routing import changes
from reconciler.routing.changes import diff
from reconciler.routing.planes import planes
from reconciler.routing.request import NEWEST
from reconciler.routing.routers import EntryPoint, Router
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving
from reconciler.routing.trials import trials
from reconciler.routing.wording import told

DOORS = (EntryPoint(name="web", port=80),)
OLDER = (3, 6, 15)


def router(name: str, rule: str, **more: object) -> Router:
    return Router(**({"name": f"{name}@file", "service": f"{name}@file", "rule": rule} | more))


def serving(*routers: Router, release: tuple[int, int, int] = NEWEST) -> Serving:
    return Serving(Table(routers, DOORS, release=release))


ALL = router("all", "PathPrefix(`/`)", priority=1)
API = router("api", "Host(`a.lab`) && PathPrefix(`/api`)")


def outcomes(*routers: Router) -> set[tuple[str, str, str]]:
    one = serving(*routers)
    (plane,) = planes(one.table).values()
    tried = [(trial.request, one.treatment(trial.request)) for trial in trials(plane, NEWEST)]
    return {(request.host or "", treatment.kind, treatment.router) for request, treatment in tried}


def test_every_router_is_tried_alone_beside_others_and_just_missed() -> None:
    found = outcomes(ALL, API)
    assert ("a.lab", "served", "api") in found
    assert ("a.lab", "served", "all") in found  # the host of the one, and not its path
    assert any(router == "all" and host != "a.lab" for host, _, router in found)


def test_requests_that_traefik_itself_refuses_are_tried_too() -> None:
    assert ("a.lab", "refused", "") in outcomes(API)


def test_what_a_version_reads_otherwise_is_told_from_before_to_after() -> None:
    wild = router("wild", "Host(`*.wild.lab`)")
    lines = [told(one) for one in diff(serving(wild, ALL), serving(wild, ALL, release=OLDER)).known]
    assert "`GET http://*.wild.lab/` went to `wild`; after this it goes to `all`." in lines
    assert any(line.startswith("`CONNECT") for line in lines)


def test_long_work_says_how_far_it_is_and_ends_with_a_word_about_the_rest(monkeypatch) -> None:
    many = [router(f"r{number}", f"Host(`r{number}.lab`)") for number in range(30)]
    monkeypatch.setattr(changes, "MOST_TRIALS", 25)
    monkeypatch.setattr(changes, "A_WHILE", 10)
    said: list[str] = []
    found = diff(serving(*many), serving(*many, release=OLDER), progress=said.append)
    assert said[:2] == ["10 requests tried at web", "20 requests tried at web"]
    assert any("only the first 25 requests were tried" in one.unknown for one in found.unknown)


def test_the_same_version_changes_nothing() -> None:
    assert diff(serving(ALL, API), serving(ALL, replace(API))).total == 0
