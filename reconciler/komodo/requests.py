"""A request beside a stack: restart or deploy it once more, dated and with a reason, as a commit. Pure.

The date makes it another request than the one before; a request that was carried out is live, and never done again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from reconciler.komodo.shapes import Fault, listing, matching, one_of, record, text

FILE: Final = "request.yaml"
RESTART, DEPLOY = "restart", "deploy"
STALE: Final = timedelta(days=30)
_AHEAD: Final = timedelta(days=1)
"""By which clocks may differ, and whoever writes one by hand may mistake the zone."""

_SHAPE: Final = record(
    {
        "do": one_of(RESTART, DEPLOY),
        "at": matching(
            r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z",
            "moment in UTC; write it in quotes as \"2026-11-21T15:04:05Z\"",
        ),
        "reason": text,
        "services": listing(text),
    },
    required=("do", "at", "reason"),
)  # fmt: skip


def faults(document: Any) -> list[Fault]:
    """Everything wrong with a request."""
    found = list(_SHAPE(document, ()))
    if not found:
        try:
            moment(document)
        except ValueError:
            found.append((("at",), f"there is no such moment as {document['at']}"))
    return found


def moment(request: Mapping[str, Any]) -> datetime:
    """When it was made. Raises ValueError for a day that no calendar has."""
    return datetime.fromisoformat(str(request["at"]))


def is_later(request: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return moment(request) > moment(other)


def is_stale(request: Mapping[str, Any], now: datetime) -> bool:
    """Whether nobody waits for it any more: a home that begins anew must not restart all that was ever restarted."""
    return now - moment(request) > STALE


def is_ahead(request: Mapping[str, Any], now: datetime) -> bool:
    """Whether it is of a time to come: once it was carried out, nothing that is asked for until then would be."""
    return moment(request) - now > _AHEAD


def written(do: str, at: str, reason: str, services: list[str]) -> bytes:
    """The file of a request. Text stands in it as JSON, in which nothing can be anything but text."""
    fields: list[tuple[str, Any]] = [("do", do), ("at", at), ("reason", reason)]
    if services:
        fields.append(("services", services))
    lines = [f"{name}: {orjson.dumps(value).decode()}" for name, value in fields]
    return ("\n".join(lines) + "\n").encode()
