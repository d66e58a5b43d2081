"""Errors of the protocol that are ours: their numbers, all of them, and what a client is told to act on."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from shards.kit import Refused


class Code(IntEnum):
    """In the range that the protocol leaves to servers (-32000 to -32019), and none that was ever somebody else's: the
    SDKs use -32000 and -32001 for what became of a connection, the protocol has retired -32002, and drafts of it had
    others up to -32004."""

    TURNED_AWAY = -32010
    UNABLE = -32011
    UNKNOWN = -32012
    TOO_LARGE = -32013
    STRANGE = -32015  # by a host name or from a page that nobody has named
    FAILED = -32014  # a shard does not answer; its own errors keep theirs


STRANGE_HOST: Final = Refused(
    "strange-host",
    "Nobody has said that this gateway goes by that host name. If it does, name the address in WAYPOST_PUBLIC_URL.",
)
STRANGE_ORIGIN: Final = Refused(
    "strange-origin",
    "A web page from elsewhere asks for this. If it is one of yours, name its address in WAYPOST_PUBLIC_URL.",
)


def data(refusal: Refused, request_id: str = "") -> dict[str, Any]:
    """The `data` of an error: what a tool that refuses says too, under the same names."""
    told = {"code": refusal.code, "retry": refusal.retry, "retry_after_seconds": refusal.after}
    return {**told, "request_id": request_id} if request_id else told
