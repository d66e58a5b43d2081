"""The doctor's look at Gitea's webhooks: whether any is expected, and what the reconciler that runs has heard."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from reconciler.config import Settings
from reconciler.doctor.finding import Finding, ok, warn
from reconciler.query_client import Away, QueryClient
from reconciler.setting import revealed

_CHECK: Final = "webhooks"
_TEST: Final = (
    "Gitea's page of the webhook sends one as a test: it has to call http://RECONCILER/webhooks/gitea with the secret "
    "of WAYPOST_WEBHOOK_SECRETS, and Gitea must be allowed to (webhook.ALLOWED_HOST_LIST)"
)


def examine(settings: Settings) -> Iterator[Finding]:
    """One finding, where there is a Gitea or a secret. main is looked at on schedule whatever comes of it."""
    if settings.webhook_secrets:
        yield _expected(settings)
    elif settings.gitea_url and settings.desired_repo:
        yield ok(_CHECK, "none is expected (WAYPOST_WEBHOOK_SECRETS): main is looked at on schedule")


def _expected(settings: Settings) -> Finding:
    known, wanted = len(list(revealed(settings.webhook_secrets))), len(settings.webhook_secrets)
    if not known:
        return warn(_CHECK, "none can be taken: no secret of theirs can be read", "See the findings about secrets")
    with contextlib.closing(QueryClient(settings.query_url)) as client:
        told = client.webhooks()
    if isinstance(told, Away):
        return ok(_CHECK, f"{known} of {wanted} secrets can be read; what was heard knows only a reconciler that runs")
    return _heard(told)


def _heard(told: dict[str, Any]) -> Finding:
    deliveries = told.get("deliveries") or []
    if not deliveries:
        return warn(_CHECK, f"none has come since the reconciler started ({told.get('since', '')})", _TEST)
    last = deliveries[0]
    if last.get("status") in (200, 202):
        return ok(_CHECK, f"{told.get('taken', 0)} were taken; the last one came at {last.get('at', '')}")
    return warn(_CHECK, f"the last one, at {last.get('at', '')}, was not taken: {last.get('said', '')}", _TEST)
