"""Alerts on a real Traefik: one cause, one message, a recovery; delivered by Apprise to a real receiver."""

import json
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reconciler import alerts, drifting
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
        alerts.announce(world, alerts.Receivers([url]))


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
            alerts.announce(later, alerts.Receivers([url]))
        assert len(titles) == 2
    assert [raised.reason for raised in house.events(events.AlertRaised)] == ["new", "still so"]


def test_without_addresses_alerts_are_still_recorded(house):
    drifted(house)
    with house.world() as world:
        alerts.announce(world, alerts.Receivers([]))
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
