"""Entry points with options of their own: name -> as we read them, as Traefik does."""

from __future__ import annotations

from typing import Any

from reconciler.routing.request import Door, Release

DOORS: dict[str, tuple[Door, dict[str, Any]]] = {
    "raw": (Door(sanitize_path=False), {"http": {"sanitizePath": False}}),
    "trusting": (
        Door(trusted=("127.0.0.2/31",), encode_semicolons=True),
        {"forwardedHeaders": {"trustedIPs": ["127.0.0.2/31"]}, "http": {"encodeQuerySemicolons": True}},
    ),
    "gullible": (
        Door(trust_all=True, connection_headers=("x-a",)),
        {"forwardedHeaders": {"insecure": True, "connection": ["x-a"]}},
    ),
}
NEWER_DOORS: dict[str, tuple[Door, dict[str, Any]]] = {
    "deleting": (Door(odd_headers="delete"), {"http": {"aliasHeadersStrategy": "delete"}}),
    "rejecting": (Door(odd_headers="reject"), {"http": {"aliasHeadersStrategy": "reject"}}),
    "once-deleting": (Door(underscored_headers="delete"), {"http": {"underscoreHeadersStrategy": "delete"}}),
    "once-rejecting": (Door(underscored_headers="reject"), {"http": {"underscoreHeadersStrategy": "reject"}}),
}


def doors_of(release: Release) -> dict[str, tuple[Door, dict[str, Any]]]:
    """Those that a Traefik can be told."""
    return DOORS if release < (3, 7, 12) else {**DOORS, **NEWER_DOORS}
