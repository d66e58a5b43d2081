"""A client that asks a real Traefik over TLS, one connection a request."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing

from reconciler.routing.request import Request
from tests.reconciler.routing.real_traefik import wire


class Secure:
    """One TLS connection a request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def ask(self, request: Request, server_name: str) -> tuple[int, str]:
        """Status and X-Router; status 0 where no answer comes."""
        with (
            closing(socket.create_connection(("127.0.0.1", self._port), timeout=10)) as plain,
            self._context.wrap_socket(plain, server_hostname=server_name or None) as secure,
        ):
            secure.sendall(wire(request))
            data = b""
            while b"\r\n\r\n" not in data:
                more = secure.recv(65536)
                if not more:
                    return 0, ""
                data += more
        head = data.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        names = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:]}
        return int(head[0].split()[1]), names.get("x-router", "")
