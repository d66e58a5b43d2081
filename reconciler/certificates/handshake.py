"""One TLS handshake: what a server shows for a name, and whether this machine would trust it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reconciler.certificates.plain import plain

PATIENCE: Final = 3.0
"""Seconds that each connection gets."""


@dataclass(frozen=True)
class Shown:
    """What came of a handshake: the chain as DER, its leaf first; or `error`, why there is none.

    `distrust` says why a client of this machine would turn away, "" where it would not.
    """

    chain: tuple[bytes, ...] = ()
    version: str = ""
    distrust: str = ""
    error: str = ""


def shown(name: str, host: str, port: int, authorities: Path | None) -> Shown:
    """What the server at this address shows to whoever asks for `name`. `authorities`: whom to trust instead.

    The certificate is fetched whatever it is worth; whether it is believed, a second handshake says, as every other
    client would find out. Never raises.
    """
    try:
        with _connected(name, host, port, _unchecked()) as secured:
            chain, version = _chain(secured), secured.version() or ""
    except (OSError, ValueError) as fault:  # ValueError: no name that TLS could ask for
        return Shown(error=_words(fault))
    return Shown(chain, version, distrust=_distrust(name, host, port, authorities))


def _connected(name: str, host: str, port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    name.encode("idna")  # what cannot be asked for leaves an open socket behind, once there is one
    plain = socket.create_connection((host, port), timeout=PATIENCE)
    try:
        return context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def _unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _chain(secured: ssl.SSLSocket) -> tuple[bytes, ...]:
    leaf = secured.getpeercert(binary_form=True) or b""
    # Python has had it since 3.10; the name without underscore came with 3.13.
    inside: Any = getattr(secured, "_sslobj", None)
    told = getattr(inside, "get_unverified_chain", None)
    rest = [one.public_bytes(2) for one in (told() or ())] if told else []  # 2: as DER
    return tuple(rest) or (leaf,)


def _distrust(name: str, host: str, port: int, authorities: Path | None) -> str:
    try:
        with _connected(name, host, port, ssl.create_default_context(cafile=authorities)):
            return ""
    except ssl.SSLCertVerificationError as fault:
        return plain(fault.verify_message)[:200]
    except (OSError, ValueError) as fault:
        return _words(fault)


def _words(fault: Exception) -> str:
    if isinstance(fault, TimeoutError):
        return f"no answer within {PATIENCE:g} s"
    if isinstance(fault, ConnectionRefusedError):
        return "the connection is refused: nothing listens there"
    if isinstance(fault, ssl.SSLEOFError | ConnectionResetError):
        return "the connection is closed in the handshake: no TLS is spoken there, or not for this name"
    if isinstance(fault, ssl.SSLError):
        return plain(f"no TLS handshake: {fault.reason or fault}".replace("_", " ").lower())[:200]
    return plain(str(fault) or type(fault).__name__)[:200]
