"""The ways a message can go out. Each knows its own address, which is a secret and told to nobody."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from reconciler.schemes import SCHEMES
from reconciler.setting import ConfigError, Secret
from reconciler.underway import Message
from state.model import digest_bytes

if TYPE_CHECKING:
    import apprise


class Undelivered(Exception):
    """A channel could not take a message; the words tell why, and no address."""


class Channel(Protocol):
    """One way out. `name` is what the policy calls it ("" where it has no name), `mark` tells it from all others."""

    @property
    def name(self) -> str: ...

    @property
    def mark(self) -> str: ...

    def send(self, message: Message) -> None:
        """Hand a message over. Raises Undelivered where it did not take it."""

    def look(self) -> str:
        """What can be told of it without telling it anything, in words. Raises Undelivered where it is of no use."""
        ...


@runtime_checkable
class Standing(Protocol):
    """A channel that forgets an alert unless it is told of it again and again, for as long as it stands."""

    def keep(self, messages: Sequence[Message]) -> None:
        """These stand. Raises Undelivered."""


def mark(address: str) -> str:
    """What tells an address from others, so short that many guesses of a weak password in it would fit as well."""
    return digest_bytes(address.encode())[:4]


_TYPES: Final = {"critical": "failure", "warning": "warning", "info": "info"}


class OverApprise:
    """A receiver that Apprise can reach. Its address is looked up with each message, so that a rotated one counts."""

    def __init__(self, address: Secret) -> None:
        self.name = address.name
        self.mark = mark(address.reference)
        self._address = address
        self._built: tuple[str, apprise.Apprise] | None = None

    def send(self, message: Message) -> None:
        kind = _TYPES[message.severity] if message.raised else "success"
        form = "markdown" if message.fingerprint.startswith("report/") else None
        if not self._channel().notify(title=message.title, body=message.body, notify_type=kind, body_format=form):
            raise Undelivered("it did not take the message")

    def look(self) -> str:
        """What can be told of it without a message: that its address can be read. Raises Undelivered."""
        self._channel()
        return "its address can be read"

    def _channel(self) -> apprise.Apprise:
        try:
            address = self._address.reveal()
        except ConfigError as fault:
            raise Undelivered(str(fault)) from None
        if self._built is None or self._built[0] != address:
            self._built = (address, _opened(address))
        return self._built[1]


def _opened(address: str) -> apprise.Apprise:
    scheme, _, _ = address.partition("://")
    if scheme.lower() not in SCHEMES:
        raise Undelivered(f"no message goes by {scheme[:20]}://; README lists what does")
    import apprise  # a tenth of all that a reconciler has in memory, and most homes name no receiver

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its words may quote the address
    service: Any = apprise.Apprise.instantiate(address)
    # What is written as an address of the web is whatever Apprise takes it for.
    if service is None or not service.schemas() & SCHEMES:
        raise Undelivered("Apprise cannot read its address")
    channel = apprise.Apprise()
    channel.add(service)
    return channel


def over_apprise(*addresses: str) -> list[Channel]:
    """Channels to these addresses, which have no names."""
    return [OverApprise(Secret(address)) for address in addresses]


def numbered(channels: Iterable[Channel]) -> dict[str, Channel]:
    """The channels by mark, each once; a mark that is taken gets a number."""
    found: dict[str, Channel] = {}
    for channel in channels:
        name = channel.mark if channel.mark not in found else f"{channel.mark}-{len(found)}"
        found[name] = channel
    return found
