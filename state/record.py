"""What the log hands out and takes in, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from state.events import Event

GENESIS = bytes(32)
"""What stands where the first event would name its predecessor's hash."""


class Recorded(NamedTuple):
    """One row of the log: the event, and when, where, by whom and in which order it was recorded.

    `seq` counts from 1 without gaps over the whole log, `version` likewise within the stream. `at` is UTC.
    `hash` is hexadecimal and covers every event up to this one.
    """

    seq: int
    id: str
    at: datetime
    stream: str
    version: int
    type: str
    schema: int
    actor: str
    request_id: str
    event: Event
    hash: str


class Occasion(Protocol):
    """As much of a recorded event as a view looks at beside the event: which one it was, when, and whose."""

    @property
    def seq(self) -> int: ...

    @property
    def at(self) -> datetime: ...

    @property
    def actor(self) -> str: ...

    @property
    def request_id(self) -> str: ...


class Brief(NamedTuple):
    """An occasion and nothing else: of millions that are only folded, it is not worth reading more."""

    seq: int
    at: datetime
    actor: str
    request_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One event on its way into the log.

    `key` makes it happen once: a second entry with the same key is the first one. "" means it may repeat.
    """

    stream: str
    event: Event
    actor: str = "waypost"
    request_id: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The last event: its seq (0 for an empty log) and the hash that covers everything before it."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head as it was written down outside the log, so that a lost tail can be seen."""

    seq: int
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What a check of the whole log found.

    `broken` is the seq of the first event that is not as it was written (None where all are); `reason` says
    what is wrong with it. `lost_tail` means that an anchor knows events which the log no longer has.
    """

    ok: bool
    events: int
    broken: int | None = None
    reason: str = ""
    lost_tail: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an outbox was read: its own identity, the last row taken and that row's id."""

    source: str
    outbox: str
    row: int
    id: str
