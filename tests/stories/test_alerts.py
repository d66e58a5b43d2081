"""Alerts follow transitions: one cause, one message, a recovery; delivered by Apprise to a real receiver."""

import json
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from reconciler import alerts
from state import events

ROUTE = {
    "http": {
        "routers": {"hello": {"rule": "Host(`hello.lab`)", "service": "hello"}},
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
    house.push({"traefik/hello.yaml": ROUTE})
    house.run()
    house.edit_live("hello.lab", "edited.lab")
    house.run()


def announce(house, url):
    with house.world() as world:
        alerts.announce(world, alerts.sender([url]))


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


def test_an_alert_that_nobody_took_is_sent_again_and_its_failure_is_recorded(house):
    drifted(house)
    with receiver(status=500) as (url, titles):
        announce(house, url)
        announce(house, url)
        assert len(titles) == 2
    assert not any(raised.delivered for raised in house.events(events.AlertRaised))


def test_one_reminder_after_a_day(house):
    drifted(house)
    with receiver() as (url, titles):
        announce(house, url)
        with house.world() as world:

            class Tomorrow:
                def now(self):
                    return world.clock.now() + timedelta(days=1, minutes=1)

            later = type(world)(**{**vars(world), "clock": Tomorrow()})
            alerts.announce(later, alerts.sender([url]))
        assert len(titles) == 2
    assert [raised.reason for raised in house.events(events.AlertRaised)] == ["new", "still so"]


def test_without_addresses_alerts_are_still_recorded(house):
    drifted(house)
    with house.world() as world:
        alerts.announce(world, alerts.sender([]))
    (raised,) = house.events(events.AlertRaised)
    assert raised.title == "traefik/http.routers/hello drifted"
