"""TCP rules and a real Traefik agree: the same rules, asked by real TLS handshakes.

Rule number i is served behind a ClientIP of its own, so that each can be asked by itself.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.routing.evaluate import Rule, compile_rule
from reconciler.routing.grammar import ParseError
from reconciler.routing.request import Connection, Release
from tests.reconciler.routing.real_traefik import RealTraefik, binary_of, gated, release_of, serving
from tests.reconciler.routing.scenarios import TCP_RULES, tcp_asks


@pytest.fixture(scope="module")
def backend() -> Iterator[int]:
    """The port of a server that says "ok" to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"ok")


def _address(number: int) -> str:
    return f"127.0.1.{number + 1}"


def _configuration(port: int) -> dict[str, Any]:
    routers: dict[str, Any] = {}
    for number, rule in enumerate(TCP_RULES):
        own = f"ClientIP(`{_address(number)}`) && ({rule})"
        routers[f"g{number}"] = {"rule": own, "service": "ok", "entryPoints": ["web"], "tls": {}}
        routers[f"c{number}"] = {"rule": rule, "service": "ok", "entryPoints": ["all"], "tls": {}}
    services = {"ok": {"loadBalancer": {"servers": [{"address": f"127.0.0.1:{port}"}]}}}
    return {**gated(["Path(`/`)"]), "tcp": {"routers": routers, "services": services}}


def _ours(rule: str, release: Release) -> Rule | None:
    try:
        return compile_rule(rule, "tcp", release)
    except ParseError:
        return None


def _is_taken(traefik: RealTraefik, number: int, name: str | None, protocols: tuple[str, ...]) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    source = (_address(number), 0)
    with (
        socket.create_connection(("127.0.0.1", traefik.ports["web"]), timeout=30, source_address=source) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(2) == b"ok"
    return False


def differences(binary: Path, port: int) -> list[str]:
    """What Traefik says otherwise than we do."""
    release = release_of(binary)
    found: list[str] = []
    with serving(binary, _configuration(port), release=release) as traefik:
        verdicts = traefik.verdicts("tcp")
        rules = [_ours(rule, release) for rule in TCP_RULES]
        for number, (text, rule) in enumerate(zip(TCP_RULES, rules, strict=True)):
            verdict = verdicts[f"c{number}"]
            if (rule is not None) != verdict.enabled or (rule and rule.priority != verdict.priority):
                found.append(f"{text}: ours {rule}, Traefik's {verdict}")
        for number, rule in enumerate(rules):
            for name, protocols in tcp_asks() if rule else ():
                asked = Connection(name or "", _address(number), protocols)
                taken = _is_taken(traefik, number, name, protocols)
                if rule and rule.matches(asked) != taken:
                    found.append(f"{rule.text} and {asked}: Traefik's {taken}")
    return found


def test_tcp_rules_are_judged_as_the_real_traefik_judges_them(traefik_binary: Path, backend: int) -> None:
    assert differences(traefik_binary, backend) == []


@pytest.mark.soak
@pytest.mark.parametrize("version", ["3.3.6", "3.4.3", "3.5.3", "3.6.15"])
def test_tcp_rules_are_judged_as_every_older_traefik_judges_them(version: str, backend: int) -> None:
    found = differences(binary_of(version), backend)
    # A rule with several dots at its end changes with each connection there, until one is left.
    assert [one for one in found if not one.startswith("HostSNI(`a.test..`)")] == []
