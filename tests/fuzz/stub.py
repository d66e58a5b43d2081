"""Something on loopback that answers every request with the bytes it is given, and hangs up."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator, Mapping

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Next-Page: 1\r\n"
    # It hangs up, and says so: else a client may ask again over a connection that is about to close.
    b"Connection: close\r\nContent-Length: %d\r\n\r\n"
)

LENGTH = re.compile(rb"(?i)\ncontent-length: *(\d+)")


def answer(body: bytes) -> bytes:
    """A whole answer of HTTP with this body."""
    return HEAD % len(body) + body


def heard(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of a request, the whole of it: who hangs up on the rest of one may take the answer away again."""
    whole = connection.recv(65536)
    while b"\r\n\r\n" not in whole and (more := connection.recv(65536)):
        whole += more
    head, _, body = whole.partition(b"\r\n\r\n")
    found = LENGTH.search(head)
    while found and len(body) < int(found[1]) and (more := connection.recv(65536)):
        body += more
    return head, body


class Stub:
    """`answers`: path without its query -> the whole answer, as it goes over the wire; "*" for all others."""

    def __init__(self) -> None:
        self.answers: Mapping[str, bytes] = {}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # it is closed, and that is the end
            while True:
                connection, _ = self._listening.accept()
                with connection, contextlib.suppress(OSError):
                    head, body = heard(connection)
                    asked = head.split(b" ", 2)
                    path = asked[1].decode().partition("?")[0] if len(asked) > 1 else ""
                    connection.sendall(self.said(path, body))

    def said(self, path: str, body: bytes) -> bytes:
        """What is answered to this request."""
        return self.answers.get(path, self.answers.get("*", b""))

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextlib.contextmanager
def stub() -> Iterator[Stub]:
    one = Stub()
    thread = threading.Thread(target=one.serve)
    thread.start()
    try:
        yield one
    finally:
        one.close()
        thread.join()
