"""What comes of a tool call, wherever the tool runs: an answer, or a refusal; never an exception."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from pydantic import BaseModel

from reconciler.ports import Clock
from shards import untrusted
from shards.kit import Call, Made, Refused, Tool
from state.sparing import dataclass

LARGEST: Final = 1 << 20
"""Characters of an answer that clients are sent at most."""

_logger = logging.getLogger("waypost.gateway")


@dataclass(frozen=True)
class Outcome:
    """What came of a call: an answer, or a refusal. Exactly one of them is set.

    `text` is the answer of a tool of ours as clients get it; `failed`: so the answer of another's says of itself.
    """

    answer: BaseModel | None = None
    refusal: Refused | None = None
    text: str = ""
    failed: bool = False
    seconds: float = 0.0  # that it took

    @property
    def code(self) -> str:
        if self.refusal:
            return self.refusal.code
        return "tool-failed" if self.failed else "ok"

    @property
    def proposal(self) -> str:
        """Id of the proposal that was made, "" where none was."""
        return self.answer.proposal if isinstance(self.answer, Made) else ""


def run(tool: Tool, call: Call, arguments: Mapping[str, Any], clock: Clock) -> Outcome:
    """Run a tool of ours, in this thread."""
    started = clock.monotonic()
    outcome = _run(tool, call, arguments)
    return replace(outcome, seconds=clock.monotonic() - started)


def _run(tool: Tool, call: Call, arguments: Mapping[str, Any]) -> Outcome:
    try:
        return _said(tool.run(call, arguments))
    except Refused as refusal:
        return Outcome(refusal=_cleaned(refusal))
    except Exception:
        return _failed(call)


async def asked(call: Call, ask: Callable[[], Awaitable[BaseModel]]) -> Outcome:
    """Ask somebody elsewhere."""
    try:
        return Outcome(answer=await ask())
    except Refused as refusal:
        return Outcome(refusal=refusal)
    except Exception:
        return _failed(call)


def _failed(call: Call) -> Outcome:
    """What came of a call that raised what nobody foresaw, said where that is caught.

    The top level of a call: a fault of ours must be audited like any outcome, and must not take the gateway along. The
    details are for the operator's log, not for a model.
    """
    _logger.exception("a tool failed", extra={"request_id": call.request_id, "tool": call.tool})
    return Outcome(
        refusal=Refused(
            "internal",
            f"The gateway failed; its log tells more under request {call.request_id}. "
            "What this call may have done stands in proposals_list.",
            retry=True,
        )
    )


def _said(answer: BaseModel) -> Outcome:
    """An answer, if it is not too long. What made a proposal is told in any case.

    Whatever an answer quotes (files, commits, other systems) is cleaned here, so that no tool has to think of it.
    """
    text = answer.model_dump_json(exclude_none=True)
    if untrusted.may_trick(text):
        answer = untrusted.cleaned(answer)
        text = answer.model_dump_json(exclude_none=True)
    if len(text) > LARGEST and not isinstance(answer, Made):
        return Outcome(refusal=Refused("too-large", f"The answer is {len(text):,} characters long: ask for less."))
    return Outcome(answer=answer, text=text)


def _cleaned(refusal: Refused) -> Refused:
    """The same refusal: it may quote a file or another system as well."""
    problems = (replace(one, **untrusted.cleaned(asdict(one))) for one in refusal.problems)
    return Refused(
        refusal.code,
        untrusted.clean(str(refusal)),
        retry=refusal.retry,
        after=refusal.after,
        problems=tuple(problems),
    )
