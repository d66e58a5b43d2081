"""The sign of life: an address is called after each good pass, and whoever keeps it notices when no call comes."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2

from reconciler.setting import ConfigError, Secret

_TIMEOUT: Final = 10.0  # seconds
_FAREWELL: Final = 1.0  # seconds

_ALIVE: Final = frozenset({"nothing", "applied", "drift", "held", "waiting", "refuted"})
"""Outcomes of a pass that did its work, whatever there is to say about it; alerts say that."""


class Heartbeat:
    """Calls the address beside the passes, which wait for nobody. Complains once for each outage."""

    def __init__(self, address: Secret | None, ca_file: Path | None, complain: Callable[[str], None]) -> None:
        self._address = address
        self._ca_file = ca_file
        self._complain = complain
        self._calling: threading.Thread | None = None
        self._failed = False

    def after(self, state: str) -> None:
        """A pass came to this."""
        if self._address is None or state not in _ALIVE or (self._calling and self._calling.is_alive()):
            return
        self._calling = threading.Thread(target=self._call, args=(self._address,), name="heartbeat", daemon=True)
        self._calling.start()

    def stop(self) -> None:
        """Wait for a call that is being made, but for a moment only."""
        if self._calling:
            self._calling.join(_FAREWELL)

    def _call(self, address: Secret) -> None:
        fault = call(address, self._ca_file)
        if fault and not self._failed:
            self._complain(f"the heartbeat of WAYPOST_HEARTBEAT_URL is not heard, and goes on: {fault}")
        self._failed = bool(fault)


def is_address(text: str) -> bool:
    """Whether this can be called at all."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def call(address: Secret, ca_file: Path | None) -> str:
    """Call it: why that was in vain, "" where it was not. The address is a secret, and so are words that quote it."""
    try:
        url = address.reveal()
        trust = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else False
        # Its status is all that counts: a body is not waited for, whose end might never come.
        with httpx2.stream(
            "GET", url, verify=trust, timeout=_TIMEOUT, trust_env=False, follow_redirects=False
        ) as answer:
            return "" if answer.is_success else f"status {answer.status_code}"
    except ConfigError as fault:
        return str(fault)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as fault:
        return "no answer in time" if isinstance(fault, httpx2.TimeoutException) else type(fault).__name__
