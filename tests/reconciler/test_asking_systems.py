"""Asking a system of the house: one address, within bytes and seconds, and every failure in words."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from reconciler.asking import LARGEST, AskError, Asking, Cut, Question
from tests import dripping

Answering = Callable[[Any], None]


@contextlib.contextmanager
def serving(answer: Answering, context: ssl.SSLContext | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                answer(self)

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None: ...

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None: ...

    with Quiet(("127.0.0.1", 0), Handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http{'s' if context else ''}://localhost:{server.server_port}"
        server.shutdown()


def answered(handler: Any, body: bytes = b"{}", status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@contextlib.contextmanager
def asking(answer: Answering, **more: Any) -> Iterator[Asking]:
    with serving(answer) as url, contextlib.closing(Asking("Thing", url, **more)) as one:
        yield one


def test_an_answer_is_read_whole_whatever_its_status() -> None:
    with asking(lambda handler: answered(handler, handler.path.encode(), 404)) as one:
        reply = one.get("/x", [("a", "b c"), ("a", 2)])
        assert (reply.status, reply.body) == (404, b"/x?a=b+c&a=2")


def test_a_form_is_sent_as_one() -> None:
    def echo(handler: Any) -> None:
        answered(handler, handler.rfile.read(int(handler.headers["Content-Length"])))

    with asking(echo) as one:
        assert one.post("/token", {"username": "a", "password": "b&c"}).body == b"username=a&password=b%26c"


def test_what_is_no_json_is_told_and_will_not_get_better() -> None:
    with asking(lambda handler: answered(handler, b"<html>")) as one, pytest.raises(AskError, match="no JSON") as fault:
        one.get("/").json()
    assert not fault.value.retry


def test_nobody_there_is_told_with_the_address() -> None:
    words = r"Thing at http://127\.0\.0\.1:9 does not answer"
    with (
        contextlib.closing(Asking("Thing", "http://127.0.0.1:9")) as one,
        pytest.raises(AskError, match=words) as fault,
    ):
        one.get("/")
    assert fault.value.retry


def test_a_redirect_is_refused_with_what_to_do() -> None:
    def elsewhere(handler: Any) -> None:
        answered(handler, status=302, Location="http://169.254.169.254/")

    with asking(elsewhere) as one, pytest.raises(AskError, match="name the address itself"):
        one.get("/")


def test_an_answer_without_an_end_is_left() -> None:
    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65_536)

    with asking(endless) as one, pytest.raises(AskError, match=f"more than {LARGEST >> 20} MiB"):
        one.get("/")


def test_an_answer_that_drips_is_left_when_its_time_is_over() -> None:
    go_on = threading.Event()

    def dripping(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not go_on.wait(0.01):
            handler.wfile.write(b"x")

    with asking(dripping) as one:
        with pytest.raises(Cut, match="too slowly"), one.stream("/", seconds=0.05) as stream:
            list(stream.pieces)
        go_on.set()


@pytest.mark.parametrize("begin", dripping.PARTS.values(), ids=dripping.PARTS)
def test_whatever_part_of_an_answer_drips_it_is_left_when_its_time_is_over(begin: bytes) -> None:
    with (
        dripping.dripping(begin) as peer,
        contextlib.closing(Asking("Thing", peer.url)) as one,
        pytest.raises(AskError, match="answers too slowly") as fault,
    ):
        one.ask(Question(path="/", seconds=0.2))
    assert (fault.value.retry, peer.outlasted) == (True, 0)


def test_an_answer_that_breaks_off_is_told() -> None:
    def breaking(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"half")

    with asking(breaking) as one, pytest.raises(AskError, match="broke off"):
        one.get("/")


def test_a_certificate_is_believed_only_of_authorities_that_were_named(self_signed: Any) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed.certificate, self_signed.key)
    with serving(answered, context) as url:
        with contextlib.closing(Asking("Thing", url, self_signed.certificate)) as one:
            assert one.get("/").status == 200
        with contextlib.closing(Asking("Thing", url)) as one, pytest.raises(AskError, match="certificate"):
            one.get("/")


@pytest.mark.parametrize("secret", ["two\nlines of canary", "canary\u00e4", "\ufeffcanary"])
def test_what_no_header_can_carry_is_told_and_never_quoted(secret: str) -> None:
    with asking(answered) as one, pytest.raises(AskError) as refused:
        one.get("/", headers={"Authorization": f"token {secret}"})
    assert "one line of plain characters" in str(refused.value)
    assert "canary" not in str(refused.value)
