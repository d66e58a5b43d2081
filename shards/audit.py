"""One tool call from arguments to outcome, recorded durably before anybody hears the answer."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from reconciler.secrets import find_secrets
from shards.kit import Call, Refused, Tool
from state.events import Event, ToolCalled
from state.model import digest
from state.outbox import Outbox
from state.record import Entry

_logger = logging.getLogger("waypost.gateway")


@dataclass(frozen=True)
class Outcome:
    """What came of a call: an answer, or a refusal. Exactly one of them is set."""

    answer: BaseModel | None = None
    refusal: Refused | None = None

    @property
    def code(self) -> str:
        return self.refusal.code if self.refusal else "ok"


class Audit:
    """Writes to the gateway's outbox; used from many worker threads."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def close(self) -> None:
        self._outbox.close()

    def record(self, event: Event, *, stream: str, call: Call, id: str = "") -> None:
        """Durable when it returns. The same id again changes nothing. Raises LogError."""
        self.record_all([(event, stream, call, id)])

    def record_all(self, facts: Iterable[tuple[Event, str, Call, str]]) -> None:
        """Event, stream, call and id of each, all at once or none."""
        self._outbox.put_all(
            [
                Entry(stream=stream, event=event, actor=call.client, request_id=call.request_id, key=id)
                for event, stream, call, id in facts
            ]
        )

    def carry_out(self, tool: Tool, call: Call, arguments: Mapping[str, Any]) -> Outcome:
        """Run a tool and record that it was called, before the outcome is handed on. Never raises Refused."""
        outcome = _run(tool, call, arguments)
        self.note(call, tool.shard, arguments, outcome)
        return outcome

    def note(self, call: Call, shard: str, arguments: Mapping[str, Any], outcome: Outcome) -> None:
        """Record a call; its arguments only as a digest, since they may hold what must not be kept."""
        self.record(
            ToolCalled(
                shard=shard,
                tool=call.tool,
                client=call.client,
                outcome=outcome.code,
                arguments_digest=_fingerprint(arguments),
                reason=_recordable(outcome),
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
            },
        )


def _fingerprint(arguments: Mapping[str, Any]) -> str:
    try:
        return digest(arguments)
    except TypeError:  # JSON knows larger numbers and stranger text than our canonical form
        return digest(ascii(arguments))


def _recordable(outcome: Outcome) -> str:
    """Why a call was refused, for the log. A refusal may quote an argument, and the log never holds a secret."""
    reason = str(outcome.refusal or "")
    return "withheld: it quotes what looks like a secret" if any(find_secrets("reason", reason)) else reason


def _run(tool: Tool, call: Call, arguments: Mapping[str, Any]) -> Outcome:
    try:
        return Outcome(answer=tool.run(call, arguments))
    except Refused as refusal:
        return Outcome(refusal=refusal)
    except Exception:
        # The top level of a call: a fault of ours must be audited like any outcome, and must not take the
        # gateway along. The details are for the operator's log, not for a model.
        _logger.exception("a tool failed", extra={"request_id": call.request_id, "tool": call.tool})
        return Outcome(
            refusal=Refused(
                "internal",
                f"The gateway failed; its log tells more under request {call.request_id}. "
                "What this call may have done stands in proposals_list.",
                retry=True,
            )
        )
