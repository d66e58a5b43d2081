"""The view of what comes to its end and must be renewed: certificates that are served, credentials of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from state.events import CertificateEnding, CertificateRenewed, CredentialFailing, CredentialSound, CredentialUndated
from state.record import Occasion
from state.view import View, on


class Ending(NamedTuple):
    """What ends when (ISO 8601, UTC; "" where it is of no use already), and in words."""

    ends: str
    reason: str


@dataclass
class Expiring(View):
    """`certificates`: "instance entry-point host" -> when the one that is served ends; `credentials`: by setting.
    `undated`: setting -> why nobody can say when what it refers to ends."""

    version = 2

    certificates: dict[str, Ending] = field(default_factory=dict)
    credentials: dict[str, Ending] = field(default_factory=dict)
    undated: dict[str, str] = field(default_factory=dict)

    @on(CertificateEnding)
    def _end(self, event: CertificateEnding, at: Occasion) -> None:
        self.certificates[served(event)] = Ending(event.ends, event.reason)

    @on(CertificateRenewed)
    def _renew(self, event: CertificateRenewed, at: Occasion) -> None:
        self.certificates.pop(served(event), None)

    @on(CredentialFailing)
    def _fail(self, event: CredentialFailing, at: Occasion) -> None:
        self.credentials[event.credential] = Ending(event.ends, event.reason)
        if event.ends:
            self.undated.pop(event.credential, None)

    @on(CredentialSound)
    def _mend(self, event: CredentialSound, at: Occasion) -> None:
        self.credentials.pop(event.credential, None)
        self.undated.pop(event.credential, None)

    @on(CredentialUndated)
    def _doubt(self, event: CredentialUndated, at: Occasion) -> None:
        self.undated[event.credential] = event.reason


def served(event: CertificateEnding | CertificateRenewed) -> str:
    """Which certificate is meant: what is shown for a host, at one entry point of one instance."""
    return f"{event.instance} {event.entry_point} {event.host}"
