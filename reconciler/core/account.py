"""A plan told to others: as JSON for machines, as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from reconciler.core.diff import FieldChange, explain
from reconciler.core.plan import ABSENT, Change, Difference, Drift, Plan, Side
from reconciler.core.redact import COVERED, redact, telling
from state.model import Problem


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-plain data; secrets covered."""
    return {
        "commit": plan.commit,
        "digest": plan.digest,
        "code": plan.code,
        "held": plan.held,
        "changes": [{"action": change.action, **_difference(change)} for change in plan.changes],
        "drift": [{"accepted_until": drift.accepted, **_difference(drift)} for drift in plan.drift],
        "adopted": [str(one.address) for one in plan.adopted],
        "conflicts": [_difference(one) for one in plan.conflicts],
        "taken_over": list(plan.taken_over),
        "quarantined": [str(one) for one in plan.quarantined],
        "deferred": [str(one) for one in plan.deferred],
        "effects": [{"told": effect.told, **effect.data} for effect in plan.effects[:MOST_EFFECTS]],
        "effects_in_all": len(plan.effects),
        "losses": [loss.as_json() for loss in plan.losses],
        "refusals": [refusal.as_json() for refusal in plan.refusals],
        "problems": [problem_json(problem) for problem in plan.problems],
        "notes": list(plan.notes),
    }


def problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "severity": problem.severity,
        "where": ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part),
        "address": problem.address,
        "message": problem.message,
    }


def lines(plan: Plan) -> list[str]:
    """The plan for a person's eyes, a line at a time; nothing at all where there is nothing to say."""
    return [
        *_section("changes", chain.from_iterable(map(_change, plan.changes))),
        *_section("drift: changed by hand, no commit asked for it", chain.from_iterable(map(_drift, plan.drift))),
        *_section("adopted: live already is as desired", (f"= {one.address}" for one in plan.adopted)),
        *_section("in conflict: changed by hand and by a commit", chain.from_iterable(map(_conflict, plan.conflicts))),
        *_section("taken over: a file that Traefik reads before ours has the name too", plan.taken_over),
        *_section("quarantined: refuted before, and still the same", map(str, plan.quarantined)),
        *_section("waits for another target, which has its turn first", map(str, plan.deferred)),
        *_section("what happens to requests", _effects(plan)),
        *_section("what people would lose", map(str, plan.losses)),
        *_section("refused", map(str, plan.refusals)),
        *_section("problems", (f"{problem.severity}: {problem}" for problem in plan.problems)),
        *_section("notes", plan.notes),
    ]


def _section(title: str, content: Iterable[str]) -> list[str]:
    found = [f"  {line}" for line in content]
    return [f"{title}:", *found] if found else []


MOST_EFFECTS = 50
"""More sorts of requests than a person reads; the most important come first."""


def _effects(plan: Plan) -> Iterator[str]:
    yield from (effect.told for effect in plan.effects[:MOST_EFFECTS])
    if len(plan.effects) > MOST_EFFECTS:
        yield f"… and {len(plan.effects) - MOST_EFFECTS} more sorts of requests"


_SIGNS = {"create": "+", "update": "~", "delete": "-", "restore": "<"}


def _change(change: Change) -> Iterator[str]:
    yield f"{_SIGNS[change.action]} {change}"
    if change.action in ("update", "restore"):
        yield from _fields(explain(change.live if change.live is not ABSENT else {}, change.want))
    elif change.action == "create":
        yield f"    {redact(change.want)}"


def _drift(drift: Drift) -> Iterator[str]:
    accepted = f" (accepted until {drift.accepted})" if drift.accepted else ""
    if drift.live is ABSENT:
        yield f"! {drift.address} is gone{accepted}"
    else:
        yield f"! {drift.address}{accepted}"
        yield from _fields(explain(drift.base, drift.live))


def _conflict(conflict: Difference) -> Iterator[str]:
    yield f"x {conflict.address}"
    live = "gone" if conflict.live is ABSENT else str(redact(conflict.live))
    want = "gone" if conflict.want is ABSENT else str(redact(conflict.want))
    yield f"    live is:   {live}"
    yield f"    wanted is: {want}"
    yield f"    to discard the hand edit: waypost drift --heal {conflict.address}"


def _fields(changes: Iterable[FieldChange]) -> Iterator[str]:
    for change in changes:
        old, new = _covered(change)
        yield f"    {change.path}: {old!r} → {new!r}"


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "address": str(one.address),
        "base": _side(one.base),
        "want": _side(one.want),
        "live": _side(one.live),
        "fields": [
            {"path": field.path, "old": _covered(field)[0], "new": _covered(field)[1]}
            for field in explain(_side(one.live) or {}, _side(one.want) or {})
        ],
    }


def _covered(field: FieldChange) -> tuple[Any, Any]:
    if telling(field.path):
        return COVERED, COVERED
    at = tuple(field.path.split("."))
    return redact(field.old, at), redact(field.new, at)


def _side(side: Side) -> Any:
    return None if side is ABSENT else redact(side)
