"""The ready-made middlewares of the starter: a real Traefik takes each as it is, and it does what its file says."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from reconciler import desired, founding
from reconciler.git.store import Store

HOURLY = "hourly-limit"
"""The rate limit with another period: whether one of 200 requests a second is turned away depends on the machine."""


@pytest.fixture(scope="module")
def presets():
    """Name -> content of the file, as `waypost init` plants it."""
    found = {path: content for path, content in founding.starter_files().items() if "/presets/" in path}
    return {path.rpartition("/")[2].removesuffix(".yaml"): content for path, content in found.items()}


@pytest.fixture
def backend():
    """A backend that answers 200 with much text, slowly where it is asked to."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/slow":
                started.release()
                go_on.wait(60)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(b"so much text " * 1_000)

        def log_message(self, *_):
            pass

    started, go_on = threading.Semaphore(0), threading.Event()

    class Patient(ThreadingHTTPServer):
        request_queue_size = 64  # many come at once

    server = Patient(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], started, go_on
    go_on.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def served(traefik, until, presets, backend):
    """A Traefik with all presets, and a host for each of them."""
    hourly = presets["rate-limit"].replace(b"preset-rate-limit", f"preset-{HOURLY}".encode())
    served = {**presets, HOURLY: hourly.replace(b"period: 1s", b"period: 1h")}
    for name, content in served.items():
        traefik.drop(f"{name}.yaml", content)
    routers = {
        name: {"rule": f"Host(`{name}.lab`)", "service": "text", "middlewares": [f"preset-{name}"]} for name in served
    }
    service = {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{backend[0]}"}]}}
    traefik.drop("routes.yml", json.dumps({"http": {"routers": routers, "services": {"text": service}}}))
    until(lambda: {f"{name}@file" for name in served} <= traefik.names("routers"), "all routers")
    return traefik


def ask(traefik, preset, path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", traefik.ports["web"], timeout=60)
    try:
        connection.request("GET", path, headers={"Host": f"{preset}.lab", **headers})
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def test_the_starter_has_what_a_homelab_asks_for(presets):
    assert set(presets) == {
        "authentik", "compress", "in-flight-limit", "lan-only", "rate-limit", "redirect-to-https", "retry",
        "security-headers",
    }  # fmt: skip


def test_each_says_what_it_is_for_and_its_parameters_point_at_something(tmp_path):
    made = founding.create(tmp_path / "home", chosen={}, environ={}, now=lambda: datetime.now(UTC))
    store = Store.open(made.desired_store_path)
    loaded = desired.load(store, store.head(), [desired.Instance("traefik", "traefik", "traefik")])
    assert loaded.problems == ()
    for name, preset in loaded.presets.items():
        assert preset.notes["title"] and preset.notes["description"] and preset.notes["fits"], name
        resources = {
            f"/http/middlewares/{address.name}": loaded.resources[address].spec for address in preset.resources
        }
        for parameter in preset.notes["parameters"]:
            assert parameter["description"]
            (start,) = (place for place in resources if parameter["pointer"].startswith(f"{place}/"))
            value = resources[start]
            for step in parameter["pointer"].removeprefix(f"{start}/").split("/"):
                value = value[step]


def test_a_real_traefik_enables_all_of_them(served, presets):
    connection = http.client.HTTPConnection("127.0.0.1", served.ports["traefik"], timeout=5)
    connection.request("GET", "/api/rawdata")
    data = json.loads(connection.getresponse().read())
    connection.close()
    for name in presets:
        assert data["routers"][f"{name}@file"]["status"] == "enabled", data["routers"][f"{name}@file"]
        assert data["middlewares"][f"preset-{name}@file"]["status"] == "enabled"


def test_they_do_what_they_say(served, backend):
    assert ask(served, "compress", **{"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"
    moved = ask(served, "redirect-to-https", "/x?y=1")
    assert (moved.status, moved.headers["Location"]) == (301, "https://redirect-to-https.lab/x?y=1")
    assert ask(served, "authentik").status >= 500, "nobody gets in while authentik is away"
    headers = ask(served, "security-headers").headers
    assert headers["X-Frame-Options"] == "DENY" and headers["X-Content-Type-Options"] == "nosniff"
    assert ask(served, "rate-limit").status == 200
    assert [ask(served, HOURLY).status for _ in range(101)] == [200] * 100 + [429]


def test_a_backend_that_cannot_be_reached_is_asked_again(traefik, until, presets, backend):
    """Of two backends that take turns nobody listens at the first; who has the preset does not notice."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and closed to all
        servers = [{"url": f"http://127.0.0.1:{port}"} for port in (nobody.getsockname()[1], backend[0])]
        routers = {
            name: {"rule": f"Host(`{name}.lab`)", "service": "turns", "middlewares": middlewares}
            for name, middlewares in {"retry": ["preset-retry"], "once": []}.items()
        }
        turns = {"turns": {"loadBalancer": {"servers": servers}}}
        traefik.drop("retry.yaml", presets["retry"])
        traefik.drop("routes.yml", json.dumps({"http": {"routers": routers, "services": turns}}))
        until(lambda: {"retry@file", "once@file"} <= traefik.names("routers"), "both routers")
        assert {ask(traefik, "once").status for _ in range(4)} == {200, 502}
        assert [ask(traefik, "retry").status for _ in range(4)] == [200] * 4


OUTSIDE = ("203.0.113.7", "8.8.8.8", "172.32.0.1", "192.169.0.1", "2001:db8::7")
INSIDE = ("127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.7.7", "::1", "fd00::7", "fe80::7")


def ask_from(traefik, client, preset):
    """The status that a client of this address is answered, by an entry point that is told who comes."""
    family = "TCP6" if ":" in client else "TCP4"
    here = "::1" if ":" in client else "127.0.0.1"
    with socket.create_connection(("127.0.0.1", traefik.ports["web"]), timeout=60) as connection:
        announced = f"PROXY {family} {client} {here} 40000 80\r\n"
        connection.sendall(f"{announced}GET / HTTP/1.1\r\nHost: {preset}.lab\r\nConnection: close\r\n\r\n".encode())
        with contextlib.closing(http.client.HTTPResponse(connection)) as response:
            response.begin()
            return response.status


def test_lan_only_shuts_out_whoever_comes_from_elsewhere(start_traefik, until, presets):
    traefik = start_traefik(static={"entryPoints": {"web": {"proxyProtocol": {"insecure": True}}}})
    traefik.drop("lan-only.yaml", presets["lan-only"])
    router = {"rule": "Host(`lan-only.lab`)", "service": "noop@internal", "middlewares": ["preset-lan-only"]}
    traefik.drop("routes.yml", json.dumps({"http": {"routers": {"lan-only": router}}}))
    until(lambda: "lan-only@file" in traefik.names("routers"), "the router")
    assert {client: ask_from(traefik, client, "lan-only") for client in OUTSIDE} == dict.fromkeys(OUTSIDE, 403)
    assert {client: ask_from(traefik, client, "lan-only") for client in INSIDE} == dict.fromkeys(INSIDE, 418)


def test_lan_only_believes_no_header(served):
    """Behind a proxy that we do not know, the address is the proxy's: a header cannot make it another one."""
    assert ask(served, "lan-only", **{"X-Forwarded-For": "203.0.113.7"}).status == 200


def test_one_client_cannot_take_all_of_a_service(served, backend, until):
    _, started, go_on = backend
    waiting = [threading.Thread(target=ask, args=(served, "in-flight-limit", "/slow")) for _ in range(20)]
    for thread in waiting:
        thread.start()
    for _ in waiting:
        assert started.acquire(timeout=60), "twenty requests reach the service"
    assert ask(served, "in-flight-limit").status == 429
    go_on.set()
    for thread in waiting:
        thread.join()
    assert ask(served, "in-flight-limit").status == 200
