"""The witnesses of changes, sent to the real Traefik: before and after it does what the diff says."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.routing.changes import Change, diff
from reconciler.routing.request import Request
from reconciler.routing.routers import Router
from reconciler.routing.table import Table
from reconciler.routing.treatments import Serving, Treatment
from tests.reconciler.routing.random_changes import DOORS, ChangeMaker
from tests.reconciler.routing.real_traefik import PATIENCE, RealTraefik, serving
from tests.reconciler.routing.test_winner_traefik import Secure

ROUTERS, CHANGED = 40, 14
_PROBE = {"rule": "Host(`probe.invalid`)", "service": "noop@internal", "priority": 2**62}
PROBES = {"probe": _PROBE, "probe-tls": {**_PROBE, "tls": {}}}
"""Say that an entry point serves the file: the API may say so a little earlier."""


def dynamic(routers: Sequence[Router]) -> dict[str, Any]:
    """A file of these routers; each says its name in X-Router, but for parents, who would talk over their children."""
    parents = {name for router in routers for name in router.parents}
    middlewares: dict[str, Any] = {"loaded": {"headers": {"customResponseHeaders": {"X-Loaded": "yes"}}}}
    for router in routers:
        middlewares[plain(router)] = {"headers": {"customResponseHeaders": {"X-Router": plain(router)}}}
    written = {plain(router): _written(router, router.name in parents) for router in routers}
    return {"http": {"routers": {**written, **PROBES}, "middlewares": middlewares}}


def plain(router: Router) -> str:
    return router.name.partition("@")[0]


def _written(router: Router, is_parent: bool) -> dict[str, Any]:
    spec: dict[str, Any] = {"rule": router.rule}
    if router.service:
        spec |= {"service": "noop@internal", "middlewares": [] if is_parent else [plain(router)]}
    if router.entry_points:
        spec["entryPoints"] = list(router.entry_points)
    if router.priority:
        spec["priority"] = router.priority
    if router.tls:
        spec["tls"] = {}
    if router.parents:
        spec["parentRefs"] = [name.partition("@")[0] for name in router.parents]
    if router.disabled:
        spec["middlewares"] = ["missing"]
    return spec


@contextmanager
def running(binary: Path, routers: Sequence[Router]) -> Iterator[RealTraefik]:
    with serving(binary, dynamic(routers), options={"secure": {}}) as traefik:
        deadline = time.monotonic() + PATIENCE
        probe = Request(host="probe.invalid")
        probes = [replace(probe, entry_point=door.name, tls=tls) for door in DOORS for tls in (False, True)]
        while any(status != 418 for status, _ in asked(traefik, probes)):
            assert time.monotonic() < deadline, "the entry points do not serve the file"
        yield traefik


def asked(traefik: RealTraefik, requests: Sequence[Request]) -> list[tuple[int, str]]:
    """Status and router of each."""
    found = {}
    for door in ("web", "secure"):
        ours = [one for one in requests if one.entry_point == door and not one.tls]
        found.update(zip(ours, traefik.ask([(one, "") for one in ours], door), strict=True))
        secure = Secure(traefik.ports[door])
        for one in requests:
            if one.entry_point == door and one.tls:
                found[one] = secure.ask(one, server_name(one))
    return [found[one] for one in requests]


def server_name(request: Request) -> str:
    name = (request.host or "").rstrip(".")
    return "" if not name or name.startswith(".") or name.replace(".", "").isdecimal() else name


def fits(seen: tuple[int, str], treatment: Treatment | None) -> bool:
    """Whether what came back is what should."""
    assert treatment is not None
    if treatment.kind == "tied":
        return any(fits(seen, one) for one in treatment.among)
    return seen == (418, treatment.router) if treatment.router else seen == (404, "")


def sendable(changes: Iterable[Change]) -> list[Change]:
    """Those whose witness can come from this machine."""
    return [one for one in changes if one.witness is not None and one.witness.client_ip.startswith("127.")]


@pytest.mark.parametrize("seed", range(8))
def test_every_witness_is_treated_as_the_diff_says(traefik_binary: Path, seed: int) -> None:
    maker = ChangeMaker(seed + 100, families=seed % 2 == 1)
    old = maker.routers(ROUTERS)
    new = maker.changed(old, CHANGED)
    changes = sendable(diff(Serving(Table(old, DOORS)), Serving(Table(new, DOORS))).known)
    requests = [one.witness for one in changes if one.witness is not None]
    with running(traefik_binary, old) as traefik:
        before = asked(traefik, requests)
    with running(traefik_binary, new) as traefik:
        after = asked(traefik, requests)
    wrong = [
        f"{change.witness}: {change.before} but {was}; {change.after} but {now}"
        for change, was, now in zip(changes, before, after, strict=True)
        if not fits(was, change.before) or not fits(now, change.after)
    ]
    assert wrong == [], "\n".join(wrong)
    assert len(changes) > 20
