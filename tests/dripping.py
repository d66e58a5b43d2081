"""Somebody on loopback who says a byte now and then: never silent, and never done."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PARTS = {
    "headers": _OK + b"X-Long: ",
    "body": _OK + b"Content-Length: 1000000\r\n\r\n[",
    "between two parts of the body": _OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1;",
}
"""What does not end -> the beginning of such an answer."""

_PACE, _MOST = 0.005, 1_000  # seconds for a byte; so many of them, and whoever is still there has waited too long


class Dripping:
    """`outlasted`: callers that were still there when it gave up."""

    def __init__(self, begin: bytes) -> None:
        self.outlasted = 0
        self._begin = begin
        self._over = threading.Event()
        self._callers: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # it is closed, and that is the end
            while True:
                caller, _ = self._listening.accept()
                self._callers.append(threading.Thread(target=self._drip, args=(caller,)))
                self._callers[-1].start()

    def _drip(self, caller: socket.socket) -> None:
        with caller, contextlib.suppress(OSError):
            caller.recv(65536)
            caller.sendall(self._begin)
            for _ in range(_MOST):
                if self._over.wait(_PACE):
                    return
                caller.sendall(b"x")
            self.outlasted += 1

    def close(self) -> None:
        self._over.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._callers:
            one.join()


@contextlib.contextmanager
def dripping(begin: bytes) -> Iterator[Dripping]:
    one = Dripping(begin)
    thread = threading.Thread(target=one.serve)
    thread.start()
    try:
        yield one
    finally:
        one.close()
        thread.join()
