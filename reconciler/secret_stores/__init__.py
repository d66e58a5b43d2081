"""Where secrets are kept, and the one way to one: by its reference, at the moment when it is used.

`env:NAME`, `file:/path`, `sops:/path#key` and `vault:mount/path#key` are references. Nothing but a reference is ever
written down; what it leads to is remembered for a moment only, so that a rotated secret counts without a restart.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from reconciler.secret_stores.errors import SecretError
from reconciler.secret_stores.places import ENV, FILE, SCHEMES, SOPS, VAULT, Keyed, keyed

__all__ = ["SCHEMES", "Keyed", "SecretError", "SecretStore", "Vault", "keyed"]

REMEMBERED: Final = 30.0
"""Seconds that a secret from another program or over a network is remembered."""

_MISSED: Final = 10.0
"""Seconds that a failure is: whoever does not answer is not asked by every webhook."""

_STALE: Final = 3600.0
"""Seconds that a remembered secret still serves while its store is out of reach."""


@dataclass(frozen=True)
class Vault:
    """Where `vault:` leads: an address, and who may read there. `token` is asked when it is used."""

    url: str
    token: Callable[[], str] = field(repr=False)
    namespace: str = ""
    ca_file: Path | None = None


class _Memory(NamedTuple):
    value: str
    at: float
    failed: SecretError | None = None
    failed_at: float = 0.0


class SecretStore:
    """Resolves references. Usable by several threads; its repr tells nothing."""

    def __init__(
        self,
        environ: Mapping[str, str],
        vault: Vault | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ = environ
        self._vault = vault
        self._monotonic = monotonic
        self._memory: dict[str, _Memory] = {}
        self._locks: dict[str, threading.Lock] = {}

    def over(self, environ: Mapping[str, str]) -> SecretStore:
        """The same, of another environment."""
        return SecretStore(environ, self._vault, self._monotonic)

    def get(self, reference: str) -> str:
        """The secret itself. Raises SecretError, whose words go on after "X refers to"."""
        scheme, _, place = reference.partition(":")
        if scheme == ENV:
            return self._from_environment(place)
        if scheme == FILE:
            return _from_file(Path(place))
        if scheme not in (SOPS, VAULT):
            return reference  # an address that a person chose to write in full
        with self._locks.setdefault(reference, threading.Lock()):
            return self._remembered(reference, scheme, place)

    def _remembered(self, reference: str, scheme: str, place: str) -> str:
        now, known = self._monotonic(), self._memory.get(reference)
        if known and known.failed and now - known.failed_at < _MISSED:
            return _even_so(known, known.failed, now)
        if known and not known.failed and now - known.at < REMEMBERED:
            return known.value
        try:
            value = self._from_sops(place) if scheme == SOPS else self._from_vault(place)
        except SecretError as fault:
            known = known or _Memory("", 0.0)
            self._memory[reference] = known._replace(failed=fault, failed_at=now)
            return _even_so(known, fault, now)
        self._memory[reference] = _Memory(value, now)
        return value

    def _from_environment(self, name: str) -> str:
        if value := self._environ.get(name, ""):
            return value
        raise SecretError(f"the environment variable {name}, which is not set: set it for this process")

    def _from_sops(self, place: str) -> str:
        from reconciler.secret_stores import sops  # few homes have one, and a command would start later

        return sops.read(keyed(SOPS, place), self._environ)

    def _from_vault(self, place: str) -> str:
        if self._vault is None:
            raise SecretError(f"vault:{place}, and WAYPOST_VAULT_URL and WAYPOST_VAULT_TOKEN do not say which Vault")
        from reconciler.secret_stores import vault

        return vault.read(keyed(VAULT, place), self._vault)


def _even_so(known: _Memory, fault: SecretError, now: float) -> str:
    """What is remembered although its store is out of reach; who says no is believed at once."""
    if fault.retry and known.value and now - known.at < _STALE:
        return known.value
    raise fault


def _from_file(path: Path) -> str:
    try:
        value = path.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is not UTF-8 text"
        raise SecretError(
            f"the file {path}, which cannot be read ({reason}): make it readable for this account"
        ) from None
    if value:
        return value
    raise SecretError(f"the file {path}, which is empty: write the secret into it")
