"""Alerts on a real Traefik: one cause, one message, a recovery; delivered by Apprise to a real receiver."""

import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reconciler import alerts, drifting, loop
from reconciler.alerting.channels import over_apprise
from reconciler.alerting.receivers import Receivers
from reconciler.core.target import Verdict
from state import events

GUARD = """
http:
  middlewares:
    auth:
      basicAuth: {users: ["ada:$2y$05$abcdefghijklmnopqrstuuKrLNXoRPmUdj7OYTPvxYgvRjzEFQkxe"]}
"""


def routes(count=1, **more):
    names = ["hello", *(f"hello{number}" for number in range(1, count))]
    return {
        "http": {
            "routers": {name: {"rule": f"Host(`{name}.lab`)", "service": "hello", **more} for name in names},
            "services": {"hello": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
        }
    }


@contextmanager
def receiver(status=200):
    """An address that takes alerts (Apprise's JSON form), and the titles that arrived."""
    titles = []

    class Take(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            titles.append(body["title"])
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Take)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"json://127.0.0.1:{server.server_port}/", titles
    finally:
        server.shutdown()
        server.server_close()


def drifted(house):
    house.push({"traefik/hello.yaml": routes()})
    house.run()
    house.edit_live("hello.lab", "edited.lab")
    house.run()


def announce(house, url):
    with house.world() as world:
        alerts.announce(world, Receivers(over_apprise(url)))


def test_drift_is_announced_once_and_its_end_too(house):
    drifted(house)
    with receiver() as (url, titles):
        announce(house, url)
        announce(house, url)
        assert titles == ["Waypost: traefik/http.routers/hello drifted"]
        house.edit_live("edited.lab", "hello.lab")
        house.run()
        announce(house, url)
        assert titles[1:] == ["Waypost: resolved: traefik/http.routers/hello drifted"]


def test_an_alert_that_nobody_took_is_sent_again_and_is_still_one_alert(house):
    drifted(house)
    with receiver(status=500) as (url, titles):
        announce(house, url)
        announce(house, url)
        assert len(titles) == 2
    assert len(house.events(events.AlertRaised)) == 1
    assert not house.events(events.AlertDelivered)


def test_one_reminder_after_a_day(house):
    drifted(house)
    with receiver() as (url, titles):
        announce(house, url)
        with house.world() as world:

            class Tomorrow:
                def now(self):
                    return world.clock.now() + timedelta(days=1, minutes=1)

            later = type(world)(**{**vars(world), "clock": Tomorrow()})
            alerts.announce(later, Receivers(over_apprise(url)))
        assert len(titles) == 2
    assert [raised.reason for raised in house.events(events.AlertRaised)] == ["new", "still so"]


def test_without_addresses_alerts_are_still_recorded(house):
    drifted(house)
    with house.world() as world:
        alerts.announce(world, Receivers(over_apprise()))
    (raised,) = house.events(events.AlertRaised)
    assert raised.title == "traefik/http.routers/hello drifted"


def test_our_file_deleted_with_all_its_routes_is_one_message_and_its_healing_another(house):
    house.push({"traefik/hello.yaml": routes(8)})
    house.run()
    house.live_file.unlink()
    house.run()
    with receiver() as (url, titles):
        announce(house, url)
        assert len(titles) == 1
        assert "resources of traefik drifted" in titles[0]
        with house.session() as person:
            drifting.heal(person, None, "put it back")
        house.run()
        announce(house, url)
        assert len(titles) == 2


def test_garbage_in_our_file_is_one_message(house):
    house.push({"traefik/hello.yaml": routes(8)})
    house.run()
    house.live_file.write_text("{ not: [valid")
    house.run()
    with receiver() as (url, titles):
        announce(house, url)
        assert titles == ["Waypost: mcp-managed/waypost.yml keeps Traefik from loading anything"]


def test_a_router_that_lost_its_authentication_with_a_neighbours_file_is_an_alert(house):
    guard = house.traefik.drop("guard.yml", GUARD)
    house.until(lambda: "auth@file" in house.traefik.names(), "the neighbour's middleware")
    house.push({"traefik/hello.yaml": routes(middlewares=["auth@file"])})
    assert house.run().state == "applied"
    assert house.status("hello.lab") == 401
    guard.unlink()
    house.until(lambda: house.status("hello.lab") == 404, "the router to fall away")
    house.run()
    house.run()
    (lost,) = house.events(events.ServingLost)
    assert list(lost.resources) == ["traefik/http.routers/hello"]
    with receiver() as (url, titles):
        announce(house, url)
        assert titles == ["Waypost: traefik does not serve all that is in our file"]
        house.traefik.drop("guard.yml", GUARD)
        house.until(lambda: house.status("hello.lab") == 401, "the neighbour's middleware")
        house.run()
        announce(house, url)
        assert len(titles) == 2
    assert len(house.events(events.ServingRestored)) == 1


def bodies(house, severity):
    return [one.body for one in house.events(events.AlertRaised) if one.severity == severity]


class No:
    """A Traefik that refuses the write; all else is the real one."""

    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)

    def prove(self, attempt):
        return Verdict(outcome="refuted", evidence="it does not want that")


def test_a_change_that_was_refuted_is_told_with_before_and_after_and_that_it_is_undone(house):
    house.push({"traefik/hello.yaml": routes()})
    house.run()
    commit = house.push({"traefik/hello.yaml": routes(priority=7)})
    with house.world() as world:
        outcome = loop.run_pass(replace(world, targets={"traefik": No(world.targets["traefik"])}))
        alerts.announce(world, Receivers([]))
    assert outcome.state == "refuted"
    (told,) = bodies(house, "critical")
    assert told.startswith("it does not want that\nUndone: what stood before is served again.")
    assert "update traefik/http.routers/hello" in told and "priority: None → 7" in told
    assert f"Look at it: git show {commit[:12]}" in told


def test_a_change_that_went_well_is_told_where_the_policy_says_so(house):
    house.push({"traefik/hello.yaml": routes(), "waypost.yaml": "version: 1\nalerts: {changes: true}\n"})
    house.run()
    id = house.propose({"traefik/hello.yaml": routes(priority=7)}, title="Raise it")
    house.run()
    with house.session() as person:
        person.merge(person.proposal(id))
    house.run()
    with receiver() as (url, titles):
        announce(house, url)
        announce(house, url)
        assert titles == [f"Waypost: revision {number} is applied and proven" for number in (2, 3)]
    told = bodies(house, "info")[-1]
    assert told.startswith("Proven: the target itself lists it.")
    assert "priority: None → 7" in told and f"Look at it: waypost show {id}" in told
