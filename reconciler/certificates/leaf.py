"""What a certificate says of itself, read from its bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from reconciler.certificates.plain import plain

if TYPE_CHECKING:
    from cryptography import x509
else:
    from state import lazily

    x509 = lazily.module("cryptography.x509")

DEFAULT: Final = "TRAEFIK DEFAULT CERT"
"""The subject of what Traefik shows where it has no certificate for a name."""

_MOST_NAMES: Final = 100


@dataclass(frozen=True)
class Leaf:
    """A certificate in words: names are those it is good for, `issued_by_itself` that nobody vouches for it."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    issued_by_itself: bool

    @property
    def is_default(self) -> bool:
        return DEFAULT in self.subject

    def covers(self, host: str) -> bool:
        """Whether it is good for a host."""
        return covers(self.names, host)


def covers(names: Iterable[str], host: str) -> bool:
    """Whether one of the names of a certificate is good for a host; a wildcard stands for one label."""
    wanted = host.lower().removesuffix(".")
    return any(
        name == wanted or (name.startswith("*.") and wanted.partition(".")[2] == name[2:])
        for name in (one.lower() for one in names)
    )


def read(der: bytes) -> Leaf:
    """A certificate. Raises ValueError where these bytes are none, or none that can be read."""
    try:
        return _leaf(x509.load_der_x509_certificate(der))
    except (x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, TypeError) as fault:
        raise ValueError(str(fault)) from fault


def _leaf(found: x509.Certificate) -> Leaf:
    return Leaf(
        subject=_text(found.subject),
        issuer=_text(found.issuer),
        names=_names(found)[:_MOST_NAMES],
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
        issued_by_itself=found.issuer == found.subject,
    )


def _names(found: x509.Certificate) -> tuple[str, ...]:
    """Names of the extension; the common name counts for nobody any more."""
    try:
        listed = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = map(str, listed.get_values_for_type(x509.IPAddress))
    return tuple(plain(name) for name in (*listed.get_values_for_type(x509.DNSName), *addresses))


def _text(name: x509.Name) -> str:
    """The common name, or all of it where there is none. Whoever made the certificate wrote it."""
    common = name.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    return plain(str(common[0].value) if common else name.rfc4514_string())[:200]
