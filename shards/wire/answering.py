"""What came of a call, in the one shape that every client is told it."""

from __future__ import annotations

import mcp_types as protocol

from shards.kit import Call, Refused
from shards.outcome import Outcome


def answered(call: Call, outcome: Outcome) -> protocol.CallToolResult:
    """What came of a call, as clients are told it."""
    if outcome.refusal is not None:
        return _refusal(call, outcome.refusal)
    if isinstance(outcome.answer, protocol.CallToolResult):  # from elsewhere: as it is
        return outcome.answer
    assert outcome.answer is not None
    return protocol.CallToolResult(
        content=[protocol.TextContent(text=outcome.text)], structured_content=outcome.answer.model_dump(mode="json")
    )


def _refusal(call: Call, refusal: Refused) -> protocol.CallToolResult:
    """The one shape of every error: a stable code, sentences, whether to retry, the request id."""
    problems = [str(problem) for problem in refusal.problems]
    later = f"in {refusal.after:.0f} s" if refusal.after and refusal.after >= 1 else "later"
    again = f"The same call may succeed {later}." if refusal.retry else "The same call will fail again."
    lines = [f"{refusal.code}: {refusal}", *(f"- {problem}" for problem in problems), f"{again} ({call.request_id})"]
    return protocol.CallToolResult(
        is_error=True,
        content=[protocol.TextContent(text="\n".join(lines))],
        structured_content={
            "code": refusal.code,
            "message": str(refusal),
            "problems": problems,
            "retry": refusal.retry,
            "retry_after_seconds": refusal.after,
            "request_id": call.request_id,
        },
    )
