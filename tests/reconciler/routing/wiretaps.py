"""Both ends of a connection through a real Traefik: backends that say their name, clients that tell who answered."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PATIENCE = 20.0


@dataclass(frozen=True)
class Heard:
    """Who answered: an HTTP router (with its status), a TCP backend, or nobody."""

    by: str  # "http", "tcp" or "nobody"
    name: str = ""
    status: int = 0


class Backend:
    """Answers whatever comes with its name, and closes."""

    def __init__(self, name: str) -> None:
        self._said = f"TCP {name}\n".encode()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with contextlib.closing(connection), contextlib.suppress(OSError):
                connection.settimeout(PATIENCE)
                connection.recv(65536)
                connection.sendall(self._said)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE)


@contextlib.contextmanager
def backends(names: Sequence[str]) -> Iterator[dict[str, int]]:
    """Backends by name -> the port of each."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(contextlib.closing(Backend(name))).port for name in names}


def plain(port: int, host: str, path: str = "/") -> Heard:
    """Who answers a plain request."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) as connection:
        connection.sendall(_request(host, path))
        return _heard(_everything(connection))


def secure(port: int, server_name: str, host: str, path: str = "/", offers: Sequence[str] = ("http/1.1",)) -> Heard:
    """Who answers a request over TLS; a backend behind a passthrough answers the handshake itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if offers:
        context.set_alpn_protocols(list(offers))
    arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    channel = context.wrap_bio(arriving, leaving, server_hostname=server_name or None)
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)) as connection:
        raw = _shake_hands(connection, channel, arriving, leaving)
        if raw is not None:
            return _heard(raw)
        channel.write(_request(host, path))
        connection.sendall(leaving.read())
        return _heard(_decrypted(connection, channel, arriving))


def _shake_hands(
    connection: socket.socket, channel: ssl.SSLObject, arriving: ssl.MemoryBIO, leaving: ssl.MemoryBIO
) -> bytes | None:
    """None once the handshake is done; else what came instead of one."""
    seen = b""
    while True:
        try:
            channel.do_handshake()
            connection.sendall(leaving.read())
            return None
        except ssl.SSLWantReadError:
            data = _some(connection, leaving.read())
        except ssl.SSLError:
            return seen
        seen += data
        if not data or seen.startswith(b"TCP "):
            return seen
        arriving.write(data)


def _some(connection: socket.socket, data: bytes) -> bytes:
    try:
        connection.sendall(data)
        return connection.recv(65536)
    except ConnectionError:
        return b""


def _decrypted(connection: socket.socket, channel: ssl.SSLObject, arriving: ssl.MemoryBIO) -> bytes:
    found = b""
    while True:
        try:
            data = channel.read(65536)
            if not data:
                return found
            found += data
        except ssl.SSLWantReadError:
            data = _some(connection, b"")
            if not data:
                return found
            arriving.write(data)
        except ssl.SSLError:
            return found


def _request(host: str, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()


def _everything(connection: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            found += data
    return found


def _heard(data: bytes) -> Heard:
    if data.startswith(b"TCP "):
        return Heard("tcp", data[4:].strip().decode())
    if not data.startswith(b"HTTP/"):
        return Heard("nobody")
    head = data.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    return Heard("http", fields.get("x-router", ""), int(head[0].split()[1]))
