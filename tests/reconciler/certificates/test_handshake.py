"""One TLS handshake with whatever listens there: it is told what came, and nothing raises."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.certificates import handshake, leaf
from tests.ports import free_port


@contextlib.contextmanager
def listening(context: ssl.SSLContext | None, says: bytes = b"", hangs: bool = False) -> Iterator[int]:
    """A port that speaks TLS with this context, or says something else, or nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                held.append(connection)
                with contextlib.suppress(OSError):
                    if context:
                        held.append(context.wrap_socket(connection, server_side=True))
                    elif says:
                        connection.sendall(says)
                    elif not hangs:
                        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for connection in held:
            connection.close()


@pytest.fixture
def speaking(self_signed: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed.certificate, self_signed.key)
    return context


def test_a_certificate_is_fetched_whatever_it_is_worth_and_its_worth_is_told(
    speaking: ssl.SSLContext, self_signed: Any
) -> None:
    with listening(speaking) as port:
        unknown = handshake.shown("localhost", "127.0.0.1", port, None)
        known = handshake.shown("localhost", "127.0.0.1", port, self_signed.certificate)
        other = handshake.shown("git.lab", "127.0.0.1", port, self_signed.certificate)
    assert (len(unknown.chain), leaf.read(unknown.chain[0]).subject, unknown.error) == (1, "localhost", "")
    assert "self-signed" in unknown.distrust and known.distrust == "" and "git.lab" in other.distrust


@pytest.mark.parametrize(
    ("says", "words"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "no tls handshake"), (b"", "the connection is closed")]
)
def test_what_speaks_no_tls_is_said_to_speak_none(says: bytes, words: str) -> None:
    with listening(None, says) as port:
        found = handshake.shown("git.lab", "127.0.0.1", port, None)
    assert found.chain == () and found.error.lower().startswith(words)


def test_a_dead_port_a_silent_one_and_a_name_that_is_none_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nothing listens" in handshake.shown("git.lab", "127.0.0.1", free_port(), None).error
    monkeypatch.setattr(handshake, "PATIENCE", 0.2)
    with listening(None, hangs=True) as port:
        assert "no answer within" in handshake.shown("git.lab", "127.0.0.1", port, None).error
        assert handshake.shown("x" * 300, "127.0.0.1", port, None).error


def test_authorities_that_cannot_be_read_are_a_reason_for_distrust(speaking: ssl.SSLContext, tmp_path: Path) -> None:
    with listening(speaking) as port:
        found = handshake.shown("localhost", "127.0.0.1", port, tmp_path / "none.pem")
    assert found.chain and found.distrust


def test_a_wildcard_is_good_for_one_label_and_a_common_name_for_none() -> None:
    def made(*names: str) -> leaf.Leaf:
        return leaf.Leaf("wild.lab", "CA", names, None, None, False)  # type: ignore[arg-type]

    assert made("*.wild.lab").covers("GIT.wild.lab.") and not made("*.wild.lab").covers("a.b.wild.lab")
    assert not made("*.wild.lab").covers("wild.lab") and not made().covers("wild.lab")
