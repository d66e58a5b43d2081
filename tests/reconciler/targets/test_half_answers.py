"""An API that answers by halves is an outage: nothing is refuted, nothing is called broken, on half a word."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from reconciler.core.target import Attempt, Verdict
from reconciler.targets.traefik import TraefikTarget
from state.model import Address, digest_bytes

Make = Callable[..., TraefikTarget]
Bend = Callable[[str, Any], Any]


def route(name: str, **spec: Any) -> dict[Address, Any]:
    whole = {"rule": f"Host(`{name}.test`)", "entryPoints": ["web"], "service": "noop@internal"}
    return {Address("traefik", "http.routers", name): {**whole, **spec}}


def tried(target: TraefikTarget, live: dict[Address, Any], id: str) -> tuple[Attempt, Verdict]:
    draft = Attempt(id=id, instance="traefik", commit="c0ffee", live=live, before=target.observe().file)
    attempt = Attempt(**{**draft.__dict__, "after": digest_bytes(target.render(draft))})
    target.write(attempt)
    return attempt, target.prove(attempt)


class Between:
    """Stands between us and a real Traefik; `bend(path, answer)` says what becomes of each answer, None: a 404."""

    def __init__(self, url: str) -> None:
        self.bend: Bend = lambda path, answer: answer
        self._url = url
        between = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = between.answer(self.path)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(self._url + path, timeout=5) as response:
                status, body = 200, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        if "support-dump" in path:
            return status, body
        bent = self.bend(path, json.loads(body))
        return (404, b'{"message":"not found"}') if bent is None else (status, json.dumps(bent).encode())


@pytest.fixture
def between(traefik: Any) -> Iterator[Between]:
    one = Between(traefik.url)
    thread = threading.Thread(target=one.server.serve_forever, args=(0.01,))
    thread.start()
    yield one
    one.server.shutdown()
    thread.join()
    one.server.server_close()


def empty(path: str, answer: Any) -> Any:
    return {} if path == "/api/rawdata" else answer


def without_routers(path: str, answer: Any) -> Any:
    return {**answer, "routers": {}} if path == "/api/rawdata" else answer


def without_the_marker_alone(path: str, answer: Any) -> Any:
    return None if path.startswith("/api/http/middlewares/waypost-gen-a2") else answer


def slandering(path: str, answer: Any) -> Any:
    if path != "/api/rawdata":
        return answer
    broken = {name: {**one, "status": "disabled"} for name, one in answer["routers"].items()}
    return {**answer, "routers": broken}


@pytest.mark.parametrize("bend", [empty, without_routers, without_the_marker_alone, slandering])
def test_a_write_that_half_an_api_speaks_against_is_unknown_and_is_proven_by_a_whole_one(
    traefik: Any, between: Between, a_target: Make, bend: Bend
) -> None:
    patient, target = (a_target(traefik.directory, between.url, deadline=seconds) for seconds in (15.0, 1.0))
    assert tried(patient, route("one"), "a1")[1].outcome == "proven"
    between.bend = bend
    attempt, verdict = tried(target, {**route("one"), **route("two")}, "a2")
    assert verdict.outcome == "unknown" and "contradicts itself" in verdict.evidence, verdict
    assert target.observe().file == attempt.after  # nothing was undone
    between.bend = lambda path, answer: answer
    assert patient.prove(attempt).outcome == "proven"


def test_what_a_whole_api_speaks_against_is_still_refuted(between: Between, traefik: Any, a_target: Make) -> None:
    target = a_target(traefik.directory, between.url, deadline=2.0)
    attempt, verdict = tried(target, route("one", service="nowhere"), "a1")
    assert verdict.outcome == "refuted" and verdict.faults
    assert target.undo(attempt, {}).outcome == "proven"


@pytest.mark.parametrize("bend", [empty, without_routers, slandering])
def test_half_an_api_is_a_witness_that_is_out(between: Between, traefik: Any, a_target: Make, bend: Bend) -> None:
    target = a_target(traefik.directory, between.url)
    assert tried(target, route("one"), "a1")[1].outcome == "proven"
    between.bend = bend
    seen = target.observe()
    assert "contradicts itself" in seen.witness
    assert (seen.unserved, seen.disabled, seen.problems) == ("", {}, ())
    assert seen.live == route("one")
