"""The doctor's look at the Vault that references lead to: it answers, and knows our token, for a while yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from reconciler.config import Settings
from reconciler.doctor.finding import Finding, fail, ok, warn
from reconciler.secret_stores import SecretError, Vault
from reconciler.setting import ConfigError
from reconciler.tokens import EXPIRES_SOON

_CHECK = "vault: answers"
_SEE = "See that it runs and is unsealed, and that WAYPOST_VAULT_URL and WAYPOST_VAULT_TOKEN are right"


def examine(settings: Settings) -> Iterator[Finding]:
    """Whether it can be used now. Asks it only about our own token; which secrets can be read another check says."""
    if settings.vault_url is None or settings.vault_token is None:
        return
    from reconciler.secret_stores import vault  # few homes have one

    token = settings.vault_token
    try:
        left = vault.lifetime(Vault(settings.vault_url, token.reveal, settings.vault_namespace, settings.ca_file))
    except ConfigError as fault:
        yield fail(_CHECK, str(fault), "Correct the reference, or what it refers to")
    except SecretError as fault:
        yield fail(_CHECK, f"{token.setting} refers to {fault}", _SEE)
    else:
        yield _lasting(settings.vault_url, token.setting, left)


def _lasting(url: str, name: str, left: int | None) -> Finding:
    if left is None:
        return ok(_CHECK, f"{url} knows our token, which does not end")
    found = f"{url} knows our token, which ends in {timedelta(seconds=left)}"
    if timedelta(seconds=left) < EXPIRES_SOON:
        return warn(_CHECK, found, f"Renew it (`vault token renew`), or put another where {name} leads")
    return ok(_CHECK, found)
