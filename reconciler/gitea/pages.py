"""What people read in Gitea: a proposal with its plan, as Markdown. Pure.

Titles, names and specs come from a model or from files. They stand in code only, where Gitea follows no link, tells
no `@name` and closes no `#issue`, and no text can end the code it stands in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from reconciler.core import account
from reconciler.core.plan import Plan
from state.review import ProposalRecord

MARK = "<!-- waypost: this comment follows the plan -->"
"""How our own comment is found again, so that there is one of it."""

MOST_BYTES = 60_000
"""Of UTF-8: Gitea's database holds 65,535 of a comment on some servers."""
MOST_BYTES_BESIDE = 140
"""What is shown beside a commit is one line, and more of it than this is cut off there."""

_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]")
_REFERENCE = re.compile(r"([#!@])(?=\w)")
_TICKS = re.compile(r"`+")


class Page(NamedTuple):
    """A text for people; not `whole` where it was too long, and nobody can have read the rest of it there."""

    text: str
    whole: bool = True


def title(record: ProposalRecord) -> str:
    """One line; what Gitea would take for a person or an issue is taken apart."""
    return _REFERENCE.sub(r"\1 ", _plain(record.title).replace("\n", " "))[:200] or record.id


def body(record: ProposalRecord, plan: Plan, reason: str) -> Page:
    """The proposal, why it was made, and what it does."""
    asked = f"Asked for by {_code(record.client)} through {_code(record.tool)}, request {_code(record.request_id)}."
    why = _block([reason]) if reason.strip() else "No reason was given."
    parts = [asked, "### Why", why, *told(plan), _answers(record, plan)]
    return _bounded("\n\n".join(parts))


def follow_up(record: ProposalRecord, plan: Plan, main: str) -> Page:
    """The one comment that says what the proposal does now that main, or what is live, has moved on."""
    moved = f"{MARK}\nThe plan was made again, for main at {_code(main[:12])}."
    return _bounded("\n\n".join([moved, *told(plan), _answers(record, plan)]))


def settled(record: ProposalRecord) -> str:
    """Why a review ends without a merge here."""
    return f"This proposal was settled elsewhere: {_code(record.status)}. {_code(record.reason or 'no reason')}"


def verdict(plan: Plan) -> tuple[str, str]:
    """State and description of `waypost/plan` beside a proposal's commit."""
    if _is_wrong(plan):
        return "failure", _line(f"{plan.held}: read the plan")
    if plan.refusals:
        return "pending", f"needs a person's word on {len(plan.refusals)} losses; plan {plan.code}"
    if not plan.changes:
        return "success", "changes nothing that is live"
    lost = f", {len(plan.losses)} losses to agree to" if plan.losses else ""
    return "success", f"{len(plan.changes)} changes{lost}; plan {plan.code}"


def outcome(plan: Plan, state: str, said: str, revision: int) -> tuple[str, str]:
    """State and description of `waypost/apply` beside a commit of main, from what a pass came to.

    What was refuted has failed for as long as it is kept out; what waits for a person or a target has not.
    """
    if revision and state in ("applied", "nothing", "drift"):
        return "success", f"revision {revision}: live, and proven"
    failed = state == "refuted" or plan.quarantined or _is_wrong(plan)
    return ("failure" if failed else "pending"), _line(said)


def _is_wrong(plan: Plan) -> bool:
    """Whether it can only go on once something else is changed: a person's word alone does not help."""
    return bool(plan.errors or plan.conflicts)


def _line(text: str) -> str:
    """One line that is short enough to stand beside a commit."""
    return _cut(" ".join(_plain(text).split()), MOST_BYTES_BESIDE)


def _cut(text: str, most: int) -> str:
    """As much of a text as fits into that many bytes, and no half of a letter."""
    return text.encode(errors="replace")[:most].decode(errors="ignore")


def told(plan: Plan) -> list[str]:
    """What a page says of the plan itself."""
    lines = account.lines(plan) or ["nothing changes: live is as it says already"]
    head = f"### Plan {_code(plan.code)}" + (f": **held**, {plan.held}" if plan.held else "")
    return [head, _block(lines)]


def _answers(record: ProposalRecord, plan: Plan) -> str:
    return (
        f"Merging this applies it; nothing is live before. The same from a terminal: `waypost show {record.id}`, "
        f"`waypost approve {record.id}`. To turn it down, close this pull request."
    )


def _block(lines: Iterable[str]) -> str:
    text = _plain("\n".join(lines)).strip("\n")
    fence = "`" * max(3, 1 + max(map(len, _TICKS.findall(text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _code(text: str) -> str:
    """Inline code that its text cannot leave."""
    plain = " ".join(_plain(text).split()) or "–"
    ticks = "`" * (1 + max(map(len, _TICKS.findall(plain)), default=0))
    pad = " " if "`" in plain else ""
    return f"{ticks}{pad}{plain}{pad}{ticks}"


def _plain(text: str) -> str:
    return _HIDDEN.sub("", text)


def _bounded(text: str) -> Page:
    kept = _cut(text, MOST_BYTES)
    if kept == text:
        return Page(text)
    # Cut inside the one long block: its fence is closed again, so that the rest is still no Markdown of others.
    fence = max(_TICKS.findall(text), key=len, default="```")
    rest = "This is longer than fits here, so merging agrees to none of its losses: `waypost show` has all of it."
    return Page(f"{kept}\n{fence}\n\n{rest}", whole=False)
