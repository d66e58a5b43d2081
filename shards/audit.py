"""What the gateway records: every tool call, durably before anybody hears its answer, and what it did itself."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from reconciler.secrets import find_secrets, redacted
from shards.kit import Call
from shards.outcome import Outcome
from state.errors import LogError
from state.events import Event, ToolCalled
from state.model import digest
from state.outbox import Outbox
from state.record import Entry
from state.sparing import dataclass

_LONGEST_ARGUMENTS: Final = 4_000
"""Characters of arguments that are kept of a call."""

_LOOKED_AT: Final = 4 * _LONGEST_ARGUMENTS
"""Characters in which secrets are looked for: in megabytes that takes seconds, also where a call is refused."""

_logger = logging.getLogger("waypost.gateway")


class Audit:
    """Writes to the gateway's outbox; used from many worker threads."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._queue: deque[_Waiting] = deque()
        self._flushing = threading.Lock()

    def close(self) -> None:
        self._outbox.close()

    def record(self, event: Event, *, stream: str, call: Call, id: str = "") -> None:
        """Durable when it returns. The same id again changes nothing. Raises LogError."""
        self.record_all([(event, stream, call, id)])

    def record_all(self, facts: Iterable[tuple[Event, str, Call, str]]) -> None:
        """Event, stream, call and id of each, all at once or none."""
        self._put(
            [
                Entry(stream=stream, event=event, actor=call.client, request_id=call.request_id, key=id)
                for event, stream, call, id in facts
            ]
        )

    def note(self, call: Call, shard: str, arguments: Mapping[str, Any], outcome: Outcome) -> None:
        """Record a call: durable when it returns. Raises LogError."""
        self.record(
            ToolCalled(
                shard=shard,
                tool=call.tool,
                client=call.client,
                outcome=outcome.code,
                arguments_digest=_fingerprint(arguments),
                reason=_recordable(outcome),
                arguments=told(arguments),
                milliseconds=round(outcome.seconds * 1000, 1),
                proposal=outcome.proposal,
            ),
            stream="gateway",
            call=call,
        )
        _logger.info(
            "tool called",
            extra={
                "request_id": call.request_id,
                "tool": call.tool,
                "client": call.client,
                "outcome": outcome.code,
                "milliseconds": round(outcome.seconds * 1000, 1),
            },
        )

    def tell(self, event: Event) -> None:
        """Record what happened to the gateway itself. Raises LogError."""
        self._put([Entry(stream="gateway", event=event, actor="gateway")])

    def _put(self, entries: Sequence[Entry]) -> None:
        """Durable when it returns. Whoever comes while another one flushes shares the next flush with all who wait."""
        mine = _Waiting(entries)
        self._queue.append(mine)
        with self._flushing:
            if not mine.done:
                self._flush()
        if mine.fault:
            raise mine.fault
        if not mine.done:  # whoever flushed it failed in a way that nobody foresaw
            raise LogError("what this call came to was not recorded")

    def _flush(self) -> None:
        """Put away all that waits: at once, or one after the other where one of them cannot be."""
        waiting = [self._queue.popleft() for _ in range(len(self._queue))]
        try:
            self._outbox.put_all([entry for one in waiting for entry in one.entries])
        except LogError as fault:
            if len(waiting) == 1:
                waiting[0].fault = fault
            else:
                for one in waiting:
                    self._put_one(one)
        for one in waiting:
            one.done = True

    def _put_one(self, one: _Waiting) -> None:
        try:
            self._outbox.put_all(one.entries)
        except LogError as fault:
            one.fault = fault


@dataclass
class _Waiting:
    """What one call has to say, until it is put away; `fault` is why it could not be."""

    entries: Sequence[Entry]
    done: bool = False
    fault: LogError | None = None


def told(arguments: Mapping[str, Any]) -> str:
    """Arguments as they are kept: JSON without secrets, long ones cut short."""
    beginning = _Beginning(_LOOKED_AT)
    try:
        text = json.dumps(redacted(beginning.of(arguments)), ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return "(no JSON)"
    text = text.encode("utf-8", "replace").decode()
    whole = beginning.left > 0 and len(text) <= _LONGEST_ARGUMENTS
    return text if whole else f"{text[:_LONGEST_ARGUMENTS]}…"


@dataclass
class _Beginning:
    """The beginning of JSON-plain data: as many of its characters as are `left`."""

    left: int

    def of(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {self._text(str(name)): self.of(each) for name, each in value.items() if self.left > 0}
        if isinstance(value, list | tuple):
            return [self.of(each) for each in value if self.left > 0]
        if isinstance(value, str):
            return self._text(value)
        self.left -= 1
        return value

    def _text(self, text: str) -> str:
        cut = text[: self.left]
        self.left -= len(text) + 1
        return cut


def _fingerprint(arguments: Mapping[str, Any]) -> str:
    try:
        return digest(arguments)
    except TypeError:  # JSON knows larger numbers and stranger text than our canonical form
        return digest(ascii(arguments))


def _recordable(outcome: Outcome) -> str:
    """Why a call was refused, for the log. A refusal may quote an argument, and the log never holds a secret."""
    if outcome.refusal is None:
        return ""
    reason = str(outcome.refusal)
    return "withheld: it quotes what looks like a secret" if find_secrets("reason", reason) else reason
