"""Alerts for a Prometheus Alertmanager, in its own words: POST /api/v2/alerts.

It knows an alert by its labels, and takes one that is no longer told of for over. So what stands is told again every
minute, and it sends no more of it for that: grouping, silencing and repeating are its own affair.
"""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import orjson

from reconciler.alerting.channels import Undelivered, mark
from reconciler.asking import AskError, Asking
from reconciler.ports import Clock
from reconciler.setting import ConfigError, Secret
from reconciler.underway import Message

NAME: Final = "alertmanager"
"""The channel's name in the policy."""

LASTS: Final = timedelta(hours=1)
"""How long it believes an alert that it hears no more of: a restart of ours must not look like an end."""

_TIMEOUT: Final = 5.0  # seconds


class Alertmanager:
    """The channel `alertmanager`. `auth` is user:password where it asks for them."""

    name = NAME

    def __init__(self, url: str, clock: Clock, *, auth: Secret | None = None, ca_file: Path | None = None) -> None:
        self.mark = mark(url)
        self._address = url.rstrip("/")
        self._url = f"{self._address}/api/v2/alerts"
        self._shown = urlsplit(url).netloc
        self._clock = clock
        self._auth = auth
        self._ca_file = ca_file

    def send(self, message: Message) -> None:
        """Tell of one alert, or of its end. Raises Undelivered."""
        self._post([_alert(message, self._clock.now())])

    def keep(self, messages: Sequence[Message]) -> None:
        """Tell of all that stands. Raises Undelivered."""
        if messages:
            self._post([_alert(message, self._clock.now()) for message in messages])

    def look(self) -> str:
        """What can be told of it without an alert: that it answers us, and its version. Raises Undelivered."""
        try:
            asking = Asking("the Alertmanager", self._address, self._ca_file)
            with contextlib.closing(asking):
                reply = asking.get("/api/v2/status", headers=self._header())
                if reply.status == 200:
                    return f"version {_version(reply.json())} at {self._shown} answers us"
        except AskError as fault:
            raise Undelivered(str(fault)) from None
        asks = " and wants to know who asks: see WAYPOST_ALERTMANAGER_AUTH" if reply.status in (401, 403) else ""
        raise Undelivered(f"the Alertmanager at {self._shown} answers with status {reply.status}{asks}")

    def _header(self) -> dict[str, str]:
        known = self._credentials()
        return {"Authorization": f"Basic {base64.b64encode(':'.join(known).encode()).decode()}"} if known else {}

    def _post(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        try:
            # Its status is all that counts: a body is not waited for, whose end might never come.
            with httpx2.stream(
                "POST",
                self._url,
                content=orjson.dumps(alerts),
                headers={"Content-Type": "application/json"},
                verify=self._trust(),
                auth=self._credentials(),
                timeout=_TIMEOUT,
                follow_redirects=False,
                trust_env=False,
            ) as response:
                status = response.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as fault:
            why = "no answer in time" if isinstance(fault, httpx2.TimeoutException) else type(fault).__name__
            raise Undelivered(f"the Alertmanager at {self._shown} does not answer ({why})") from None
        if status != 200:
            raise Undelivered(f"the Alertmanager at {self._shown} answers with status {status}")

    def _credentials(self) -> tuple[str, str] | None:
        if self._auth is None:
            return None
        try:
            user, _, password = self._auth.reveal().partition(":")
        except ConfigError as fault:
            raise Undelivered(str(fault)) from None
        return user, password

    def _trust(self) -> ssl.SSLContext | bool:
        return ssl.create_default_context(cafile=self._ca_file) if self._url.startswith("https:") else False


def _version(status: Any) -> str:
    """Raises Undelivered where that is no Alertmanager's."""
    try:
        return str(status["versionInfo"]["version"])[:40]
    except (KeyError, TypeError):
        raise Undelivered("what answers at WAYPOST_ALERTMANAGER_URL is no Alertmanager") from None


def made(url: str | None, clock: Clock, auth: Secret | None, ca_file: Path | None) -> list[Alertmanager]:
    """The one that settings name, or none."""
    return [Alertmanager(url, clock, auth=auth, ca_file=ca_file)] if url else []


def _alert(message: Message, now: datetime) -> dict[str, Any]:
    """Its labels are what makes it the same alert, so nothing in them may move while it stands."""
    labels = {"alertname": "Waypost", "cause": message.fingerprint, "severity": message.severity}
    if message.instance:
        labels["target"] = message.instance  # `instance` is Prometheus's own word for whom it asked
    alert: dict[str, Any] = {
        "labels": labels,
        "annotations": {"summary": message.alert, "description": message.body},
        "endsAt": (now + LASTS if message.raised else now).isoformat(),
    }
    if message.since:  # by a clock that ran ahead it may be later than the end, and would be refused
        alert["startsAt"] = min(message.since, now).isoformat()
    return alert
