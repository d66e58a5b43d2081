"""What a running reconciler does beside its passes: it watches, reports, warns of ends, and gives signs of life."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler import app
from reconciler.documentation import watch_file
from state import events, views
from tests.reconciler.documentation.recorded import Site, recorded
from tests.stories.conftest import House
from tests.stories.test_alerts import receiver
from tests.stories.town import DAY, Authority

PAGE = "/traefik/settled/forwardauth.md"
WORDS = b"# ForwardAuth\n\n## trustForwardHeader\n\nDefault is %s.\n"
ALIVE = "/alive"

OFTEN = dict.fromkeys(("reconcile", "drift", "documentation", "drift_report"), "1s")


def policy(**more: Any) -> dict[str, Any]:
    return {"version": 1, "schedules": OFTEN, **more}


def ends_in(length: timedelta) -> str:
    """A token that says itself when it ends, as many issuers sign them."""
    claims = json.dumps({"exp": int((datetime.now(UTC) + length).timestamp())}).encode()
    return f"eyJ0.{base64.urlsafe_b64encode(claims).decode()}.signed"


def wanted(page: str, certificate: Mapping[str, str]) -> dict[str, Any]:
    secure = {"rule": "Host(`soon.lab`)", "service": "noop@internal", "entryPoints": ["websecure"], "tls": {}}
    return {
        "waypost.yaml": policy(),
        watch_file.FILE: {"pages": [page]},
        "traefik/hello.yaml": {
            "http": {
                "routers": {"hello": {"rule": "Host(`hello.lab`)", "service": "noop@internal"}, "soon": secure},
            }
        },
        "traefik/tls.yaml": {"tls": {"certificates": [certificate]}},
    }


@contextmanager
def running(house: House, site: Site, **settings: str) -> Iterator[None]:
    """The reconciler's own process, in a world whose documentation is this site."""
    command = [sys.executable, "-m", "tests.stories.published", str(site.port), "--home", str(house.home.path)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYPOST_")}
    process = subprocess.Popen(
        [*command, "serve-reconciler"],
        cwd=Path(__file__).parents[2],
        env={**kept, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def asked(site: Site, path: str) -> int:
    """How often somebody came to an address."""
    return [one for one, _ in site.asked].count(path)


def has_looked(house: House) -> bool:
    """Whether the chores that compare have something to compare with."""
    with app.opened(house.home, write=False) as world:
        return bool(world.log.cursor("drift report") and world.log.view(views.Documentation).known)


ONCE = (
    "traefik/http.routers/hello drifted",
    "documentation changed: ForwardAuth",
    "the certificate of soon.lab (websecure) will end soon",
    "what WAYPOST_AUTHENTIK_READ_TOKEN refers to ends soon",
    "the token 'wall' has ended",
)
REPORT = "drift report: 1 resource has drifted"


def test_a_running_reconciler_does_each_chore_in_its_time_and_tells_what_came_of_it(
    house: House, until: Callable[..., None], free_port: Callable[[], int], waypost: Any, tmp_path: Path
) -> None:
    soon = Authority(tmp_path).issue("soon.lab", until=DAY)
    assert waypost("token", "create", "wall", "--expires", "1s")[0] == 0
    with receiver() as (channel, told), recorded({PAGE: WORDS % b"false", ALIVE: b"heard"}) as site:
        house.push(wanted(f"http://docs.lab:{site.port}{PAGE}", soon))
        with running(
            house,
            site,
            WAYPOST_RECONCILER_LISTEN=f"127.0.0.1:{free_port()}",
            WAYPOST_ALERT_URLS=channel,
            WAYPOST_HEARTBEAT_URL=f"http://127.0.0.1:{site.port}{ALIVE}",
            WAYPOST_AUTHENTIK_READ_TOKEN="env:READING",
            READING=ends_in(5 * DAY),
        ):
            until(lambda: asked(site, PAGE) and has_looked(house), "the first looks")
            due = datetime.now(UTC) + timedelta(seconds=2)
            site.pages[PAGE] = WORDS % b"true"
            house.edit_live("hello.lab", "edited.lab")
            until(lambda: f"Waypost: {ONCE[0]}" in told, "the drift")
            until(lambda: datetime.now(UTC) > due, "every schedule to come round")
            # A chore looks once a minute; what is due by another policy is not left that long.
            house.push({"waypost.yaml": policy(alerts={"remind_after": "2d"})})
            awaited = {f"Waypost: {title}" for title in (*ONCE, REPORT)}
            until(lambda: awaited <= set(told), "all that is to be told", patience=180)
            beats = asked(site, ALIVE)
            until(lambda: asked(site, ALIVE) >= beats + 2, "two more good passes")
    assert [told.count(f"Waypost: {title}") for title in ONCE] == [1] * len(ONCE)
    (changed,) = house.events(events.DocumentationChanged)
    assert "traefik/http.middlewares/preset-authentik" in changed.resources
    assert "+Default is true." in changed.difference
    report = house.events(events.DriftReported)[0]
    assert report.resources == ("traefik/http.routers/hello",) and "waypost drift --heal" in report.body
