"""What the gateway records: every tool call, durably before anybody hears its answer, and what it did itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import anyio

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

Do = Callable[[Callable[[], None]], object]
"""Does something soon, in a thread: never two things at once."""


class Audit:
    """Writes to the gateway's outbox; used from many worker threads, and from the event loop."""

    def __init__(self, outbox: Outbox, do: Do | None = None) -> None:
        """`do`: how notes from the event loop are written, if not by a thread of its own."""
        self._outbox = outbox
        self._queue: deque[_Waiting] = deque()
        self._flushing = threading.Lock()
        self._hand = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._do = do or self._in_hand
        self._notes: deque[_Note] = deque()

    def close(self) -> None:
        """Ends when all is written."""
        self._hand.shutdown()
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
        self._put(_entries(call, shard, arguments, outcome))
        _say(call, outcome)

    async def noted(self, call: Call, shard: str, arguments: Mapping[str, Any], outcome: Outcome) -> None:
        """The same for who is on the event loop, also where its client does not wait for it any more.

        All that come while others are written are written together, by a thread that does nothing else: to wake one for
        each, which then waits with the others for the same flush, took as long as to make the note.
        """
        note = _Note(call, shard, arguments, outcome, asyncio.get_running_loop().create_future())
        self._notes.append(note)
        try:
            self._do(self._write_notes)
        except RuntimeError as fault:
            with contextlib.suppress(ValueError):
                self._notes.remove(note)  # who hears that nothing was recorded hears the truth
            raise LogError(f"the audit takes nothing: {fault}") from fault
        with anyio.CancelScope(shield=True):
            await note.written

    def _in_hand(self, work: Callable[[], None]) -> None:
        self._hand.submit(work).add_done_callback(_require_done)

    def _write_notes(self) -> None:
        """Put away all notes that wait by now. One that cannot be made fails alone: what waits behind it has its own
        turn to come."""
        made: list[tuple[_Note, _Waiting]] = []
        try:
            for _ in range(len(self._notes)):
                note = self._notes.popleft()
                made.append((note, note.made()))
        finally:
            if made:
                self._put_notes(made)

    def _put_notes(self, made: Sequence[tuple[_Note, _Waiting]]) -> None:
        try:
            self._put_together([one for _, one in made])
        finally:  # whatever becomes of it, nobody waits for ever
            for note, one in made:
                note.tell(one.fault if one.done else _lost())
        for note, one in made:
            if not one.fault:
                _say(note.call, note.outcome)

    def tell(self, event: Event) -> None:
        """Record what happened to the gateway itself. Raises LogError."""
        self._put([Entry(stream="gateway", event=event, actor="gateway")])

    def _put(self, entries: Sequence[Entry]) -> None:
        """Durable when it returns. Whoever comes while another one flushes shares the next flush with all who wait."""
        mine = _Waiting(entries)
        self._put_together([mine])
        if mine.fault:
            raise mine.fault
        if not mine.done:
            raise _lost()

    def _put_together(self, waiting: Sequence[_Waiting]) -> None:
        self._queue.extend(waiting)
        with self._flushing:
            if not all(one.done for one in waiting):
                self._flush()

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


def _lost() -> LogError:
    """Whoever made or flushed it failed in a way that nobody foresaw."""
    return LogError("what this call came to was not recorded")


@dataclass
class _Note:
    """What came of a call, told on the event loop, where it is waited for until it is `written`."""

    call: Call
    shard: str
    arguments: Mapping[str, Any]
    outcome: Outcome
    written: asyncio.Future[None]

    def made(self) -> _Waiting:
        found: _Waiting | None = None
        try:
            found = _Waiting(_entries(self.call, self.shard, self.arguments, self.outcome))
        finally:
            if found is None:
                self.tell(_lost())
        return found

    def tell(self, fault: LogError | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be gone by now
            self.written.get_loop().call_soon_threadsafe(self._settle, fault)

    def _settle(self, fault: LogError | None) -> None:
        if self.written.done():  # nobody waits for it any more
            return
        if fault:
            self.written.set_exception(fault)
        else:
            self.written.set_result(None)


def _require_done(done: Future[None]) -> None:
    if fault := done.exception():
        _logger.error("calls were not recorded", exc_info=fault)


def _entries(call: Call, shard: str, arguments: Mapping[str, Any], outcome: Outcome) -> list[Entry]:
    came = ToolCalled(
        shard=shard,
        tool=call.tool,
        client=call.client,
        outcome=outcome.code,
        arguments_digest=_fingerprint(arguments),
        reason=_recordable(outcome),
        arguments=told(arguments),
        milliseconds=round(outcome.seconds * 1000, 1),
        proposal=outcome.proposal,
    )
    return [Entry(stream="gateway", event=came, actor=call.client, request_id=call.request_id)]


def _say(call: Call, outcome: Outcome) -> None:
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
