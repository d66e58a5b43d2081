"""A Traefik that is down, slow, or not a Traefik at all: what was applied last is served on, and somebody is told."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from reconciler import home, loop
from reconciler.causes import causes
from reconciler.traefik import api
from reconciler.world import World
from state import events
from tests import dripping
from tests.fuzz.stub import answer, stub
from tests.stories.test_hard_days import routes, wire

NONSENSE = {
    "a login page": (answer(b"<html><title>Sign in</title>"), "is not JSON"),
    "half an answer": (answer(b'{"Version": "3.7.15", '), "is not JSON"),
    "a cut connection": (answer(b"{}" * 500)[:80], "does not answer"),
    "silence": (b"", "does not answer"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "does not answer"),
    "an error of its own": (b"HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "status 500"),
    "a way elsewhere": (
        b"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: http://127.0.0.1:9/\r\n\r\n",
        "redirects to",
    ),
    "a list": (answer(b"[]"), "another shape"),
    "nothing at all": (answer(b"null"), "another shape"),
    "an empty object": (answer(b"{}"), "without 'Version'"),
    "other types": (answer(b'{"Version": 3, "routers": [], "name": {}}'), "without 'Version'"),
    "no end": (answer(b"[" * 3_000_000), "is not JSON"),
}


def told(world: World) -> list[str]:
    return [f"{cause.title}\n{cause.body}" for cause in causes(world)]


def test_whatever_answers_instead_of_traefik_what_was_applied_is_served_on_and_the_answer_is_told(house):
    house.push({"traefik/r.yaml": routes("r1")})
    assert house.run().state == "applied"
    honest, before = house.home, house.live_file.read_bytes()
    house.push({"traefik/r2.yaml": routes("r2")})
    with stub() as liar:
        house.home = home.open(honest.path, {"WAYPOST_TRAEFIK_API_URL": liar.url})
        with house.world() as world:
            for said, (nonsense, words) in NONSENSE.items():
                liar.answers = {"*": nonsense}
                outcome = loop.run_pass(world)
                assert (outcome.state, words in outcome.said) == ("waiting", True), (said, outcome.said)
                (cause,) = told(world)
                assert words in cause and "traefik does not answer" in cause and "WAYPOST_TRAEFIK_API_URL" in cause
                assert house.live_file.read_bytes() == before, said
                assert wire(house, "r1") == [True], said
    with house.world() as world:  # and now nobody listens there at all
        assert loop.run_pass(world).state == "waiting"
        (cause,) = told(world)
        assert "traefik does not answer" in cause and "refused" in cause
        assert house.live_file.read_bytes() == before
        assert wire(house, "r1") == [True]
    house.home = honest
    with house.world() as world:
        assert loop.run_pass(world).state == "applied"
        assert wire(house, "r1", "r2") == [True, True]
        assert told(world) == []


@contextlib.contextmanager
def mute() -> Iterator[tuple[str, Callable[[], list[bytes]]]]:
    """Somebody who takes a call and never says a word; and what each said until it hung up again.

    After a while it goes itself: whoever still waits then has no limit, and is told something else.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        tired = threading.Timer(15, listening.close)
        tired.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", lambda: list(_said_to(listening))
        finally:
            tired.cancel()
            tired.join()


def _said_to(listening: socket.socket) -> Iterator[bytes]:
    listening.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            caller, _ = listening.accept()
            with caller, caller.makefile("rb") as words:
                caller.settimeout(10)
                yield words.read()


def test_a_traefik_that_takes_calls_and_never_answers_holds_a_pass_up_for_two_time_outs_only(house):
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    honest = house.home
    with mute() as (url, heard):
        house.home = home.open(honest.path, {"WAYPOST_TRAEFIK_API_URL": url})
        house.push({"traefik/r2.yaml": routes("r2")})
        with house.world() as world:
            outcome = loop.run_pass(world)
            (cause,) = told(world)
            calls = heard()
    assert (outcome.state, "no answer in time" in outcome.said) == ("waiting", True)
    # Each was hung up on when its time was over, and the pass asked for no more: two time-outs are all that it took.
    assert [call.split(b" ")[:2] for call in calls] == [[b"GET", b"/api/overview"], [b"GET", b"/api/version"]]
    assert "traefik does not answer" in cause and "no answer in time" in cause
    assert wire(house, "r1") == [True]
    house.home = honest
    assert house.run().state == "applied"


@pytest.mark.parametrize("begin", dripping.PARTS.values(), ids=dripping.PARTS)
def test_a_traefik_that_says_a_byte_now_and_then_holds_a_pass_up_no_longer_than_an_answer_may_take(
    house, monkeypatch, begin
):
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    honest = house.home
    monkeypatch.setattr(api, "_PATIENCE", 0.1)
    with dripping.dripping(begin) as peer:
        house.home = home.open(honest.path, {"WAYPOST_TRAEFIK_API_URL": peer.url})
        house.push({"traefik/r2.yaml": routes("r2")})
        with house.world() as world:
            outcome = loop.run_pass(world)
            (cause,) = told(world)
        assert (outcome.state, "answers too slowly" in outcome.said, peer.outlasted) == ("waiting", True, 0)
    assert "traefik does not answer" in cause and "answers too slowly" in cause
    assert wire(house, "r1") == [True]


class LosingItsTongue:
    """Stands before the real Traefik, and lies from the moment on that `lying` is set."""

    def __init__(self, port: int) -> None:
        self.lying = False
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                with caller, contextlib.suppress(OSError):
                    asked = caller.recv(65536)
                    caller.sendall(answer(b"[]") if self.lying else self._passed_on(asked))

    def _passed_on(self, asked: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self._port), timeout=5) as traefik:
            traefik.sendall(asked.replace(b"Connection: keep-alive", b"Connection: close"))
            return b"".join(iter(lambda: traefik.recv(65536), b""))

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def between(house) -> Iterator[LosingItsTongue]:
    one = LosingItsTongue(house.traefik.ports["traefik"])
    thread = threading.Thread(target=one.serve)
    thread.start()
    yield one
    one.close()
    thread.join()


def test_a_witness_that_fails_in_the_middle_of_a_proof_undoes_nothing_and_is_waited_for(house, between):
    house.push({"traefik/r.yaml": routes("r1")})
    house.run()
    honest = house.home
    house.home = home.open(honest.path, {"WAYPOST_TRAEFIK_API_URL": between.url, "WAYPOST_TRAEFIK_DEADLINE": "1s"})
    house.push({"traefik/r2.yaml": routes("r2")})
    with house.world() as world:
        target = world.targets["traefik"]
        prove = target.prove

        def lying_first(attempt):
            between.lying = True
            return prove(attempt)

        target.prove = lying_first
        assert loop.run_pass(world).state == "unknown"
        assert any("nobody knows whether traefik serves the last write" in cause for cause in told(world))
    assert not house.events(events.ResourcesQuarantined)
    assert "r2" in json.loads(house.live_file.read_bytes())["http"]["routers"]
    between.lying = False
    house.run()
    assert house.run().state == "nothing"
    assert wire(house, "r1", "r2") == [True, True]
    with house.world() as world:
        assert told(world) == []
