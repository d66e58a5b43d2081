"""`get_backend_status`: real servers that answer, hang, refuse or lie; and no address but those that are configured."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shards import backends
from tests import dripping
from tests.ports import free_port
from tests.shards.serving import Answers, DesiredRepo, Waypost

MakeWaypost = Callable[..., Waypost]


@contextlib.contextmanager
def answering(status: int) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def saying(what: bytes) -> Iterator[str]:
    """A port that takes connections and says this, or nothing at all."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                held.append(connection)
                connection.sendall(what)

    held: list[socket.socket] = []
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        listening.close()
        thread.join()
        for connection in held:
            connection.close()


def want(desired: DesiredRepo, **urls: str) -> None:
    services = "".join(
        f"    {name}:\n      loadBalancer:\n        servers:\n          - url: {url}\n" for name, url in urls.items()
    )
    routers = "".join(f"    r-{name}:\n      rule: Host(`{name}.lab`)\n      service: {name}\n" for name in urls)
    content = f"http:\n  routers:\n{routers}  services:\n{services}".encode()
    desired.commit({"traefik/more.yaml": content, "traefik/grafana.yaml": None})  # whose address is not ours to ask


def test_it_says_of_each_backend_whether_it_answers_and_how(waypost: Waypost, desired: DesiredRepo) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with answering(200) as good, answering(500) as ill, saying(b"what?\r\n\r\n" * 10) as liar:
        want(desired, good=good, ill=ill, nobody=nobody, liar=liar)
        told = {one["service"]: one for one in waypost.answer("traefik_get_backend_status")["backends"]}
    assert (told["good"]["answers"], told["good"]["status"], told["good"]["error"]) == (True, 200, "")
    assert (told["ill"]["answers"], told["ill"]["status"]) == (True, 500)
    assert not told["nobody"]["answers"] and "nothing listens" in told["nobody"]["error"]
    assert not told["liar"]["answers"] and told["liar"]["error"]


def test_those_that_do_not_answer_come_first_and_hold_up_nobody(
    waypost: Waypost, desired: DesiredRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "PATIENCE", 0.3)
    with answering(200) as good, saying(b"") as silent:
        want(desired, good=good, **{f"silent{number}": silent for number in range(8)})
        told = waypost.answer("traefik_get_backend_status")
    names = [one["service"] for one in told["backends"]]
    assert names[-1] == "good" and "no answer within" in told["backends"][0]["error"]


def test_one_that_says_a_byte_now_and_then_is_left_when_its_time_is_over(
    waypost: Waypost, desired: DesiredRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "PATIENCE", 0.3)
    with answering(200) as good, dripping.dripping(dripping.PARTS["headers"]) as peer:
        want(desired, good=good, dripping=peer.url)
        [ill, well] = waypost.answer("traefik_get_backend_status")["backends"]
        assert (ill["service"], ill["error"], peer.outlasted) == ("dripping", "no answer within 0.3 s", 0)
    assert well["answers"]


def test_when_all_of_the_time_is_over_those_that_answered_are_told_and_the_others_named(
    waypost: Waypost, desired: DesiredRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "PATIENCE", 30.0)
    monkeypatch.setattr(backends, "ALTOGETHER", 2.0)
    with answering(200) as good, saying(b"") as silent:
        want(desired, good=good, **{f"silent{number}": silent for number in range(20)})
        told = waypost.answer("traefik_get_backend_status")["backends"]
    assert {one["error"] for one in told if one["service"] != "good"} == {"no answer within 2 s"}
    assert told[-1]["service"] == "good" and told[-1]["answers"]


def test_one_route_may_be_asked_for_by_its_name(waypost: Waypost, desired: DesiredRepo) -> None:
    with answering(204) as good:
        want(desired, wiki=good)
        for name in ("r-wiki", "wiki", "wiki@file"):
            [one] = waypost.answer("traefik_get_backend_status", name=name)["backends"]
            assert (one["service"], one["status"], one["known_from"]) == ("wiki", 204, "desired")
    assert waypost.refusal("traefik_get_backend_status", name="nobody")["code"] == "unknown-service"


def test_what_only_traefik_serves_is_asked_too_with_its_own_opinion(
    make_waypost: MakeWaypost, reconciler: str, answers: Answers
) -> None:
    with answering(200) as good:
        answers.told["live"] = {"services": {"media@docker": {"servers": {good: "DOWN"}}}}
        [one] = make_waypost(reconciler_url=reconciler).answer("traefik_get_backend_status", name="media@docker")[
            "backends"
        ]
    assert (one["known_from"], one["traefik_says"], one["answers"]) == ("live", "DOWN", True)


@pytest.mark.parametrize(
    "odd",
    ["http://a..localhost/", f"http://{'a' * 70}.localhost", "http://127.0.0.1:9/ü", "http://a b/", "http://[::1"],
)
def test_what_no_request_can_be_sent_to_is_told_beside_what_answers(
    make_waypost: MakeWaypost, reconciler: str, answers: Answers, odd: str
) -> None:
    with answering(200) as good:
        answers.told["live"] = {"services": {"media@docker": {"servers": {good: "UP", odd: "UP"}}}}
        told = make_waypost(reconciler_url=reconciler).answer("traefik_get_backend_status", name="media@docker")
    [ill, well] = told["backends"]
    assert well["answers"] and not ill["answers"] and "no address" in ill["error"]


def test_no_other_address_can_be_asked(waypost: Waypost) -> None:
    for name in ("http://127.0.0.1:22", "127.0.0.1:22", "grafana/../x"):
        assert waypost.refusal("traefik_get_backend_status", name=name)["code"] == "unknown-service"
    assert waypost.refusal("traefik_get_backend_status", url="http://127.0.0.1:22")["code"] == "bad-arguments"


def test_a_password_in_an_address_is_neither_told_nor_used(waypost: Waypost, desired: DesiredRepo) -> None:
    want(desired, wiki="http://ada:hunter2hunter2@127.0.0.1:9")
    assert "hunter2" not in str(waypost.answer("traefik_get_backend_status"))
