"""What is to be done so that Komodo holds what is wanted: a step a stack, in order, each with its reason. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from reconciler.core.diff import explain
from reconciler.core.snapshots import same
from reconciler.komodo import requests
from reconciler.komodo.ordering import ordered
from reconciler.komodo.stacks import COMPOSE, REQUEST, STACK, is_covered
from state.model import Address, Snapshot, Spec

Deed = Literal["deploy", "restart", "remove", "note"]
State = Literal["todo", "preparing", "asking", "asked", "done", "failed", "undoing", "undone"]
Specs = Mapping[str, Spec]
"""What is said of one stack: kind -> spec."""

_MOST_FIELDS: Final = 6


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do to one stack, and how far it is.

    From "preparing" on Komodo may hold what is wanted, and from "undoing" on what was before. `seen` is the newest
    update that it had of the stack before it was asked, `update` the one that it answered with, `mark` the digest of
    the configuration that was deployed. `seconds` is how long it took. `fails` once it was put back and still does not
    come up. `stays`: the stack itself was configured before, though nothing of it was there, and whoever takes it down
    leaves it in Komodo's books.
    """

    stack: str
    deed: Deed
    why: str
    previous: Specs = field(default_factory=dict)
    wanted: Specs = field(default_factory=dict)
    services: tuple[str, ...] = ()
    state: State = "todo"
    seen: str = ""
    update: str = ""
    mark: str = ""
    tries: int = 0
    said: str = ""
    seconds: float = 0.0
    fails: bool = False
    stays: bool = False

    def now(self, state: State, **more: Any) -> Step:
        return replace(self, state=state, **more)

    @property
    def begun(self) -> bool:
        return self.state not in ("todo", "undone")

    @property
    def needs_secrets_back(self) -> bool:
        """Whether to put it back takes secrets of which only the cover is known here."""
        is_deployed_for_that = self.begun and self.deed in ("deploy", "remove")
        return is_deployed_for_that and any(is_covered(spec) for spec in self.previous.values())


def by_stack(live: Snapshot) -> dict[str, dict[str, Spec]]:
    """A snapshot of one instance by the stacks it speaks of."""
    found: dict[str, dict[str, Spec]] = {}
    for address, spec in live.items():
        found.setdefault(address.name, {})[address.kind] = spec
    return found


def snapshot(instance: str, stacks: Mapping[str, Specs]) -> dict[Address, Spec]:
    return {Address(instance, kind, name): spec for name, specs in stacks.items() for kind, spec in specs.items()}


def after(stacks: Mapping[str, Specs]) -> dict[str, list[str]]:
    """Which stacks each of them waits for."""
    return {name: list((specs.get(STACK) or {}).get("after", ())) for name, specs in stacks.items()}


def steps(
    before: Snapshot,
    wanted: Snapshot,
    now: datetime,
    asked: Mapping[str, str] | None = None,
    idle: Collection[str] = (),
) -> list[Step]:
    """All there is to do, in the order in which it is done: what goes last, and then the dependent ones first.

    `asked` is, by stack, the date of the last request that was carried out. `idle` are those that are configured, and
    of which nothing is there.
    """
    was, will_be = by_stack(before), by_stack(wanted)
    changed = [name for name in was.keys() | will_be.keys() if not _alike(was.get(name, {}), will_be.get(name, {}))]
    gone = [name for name in changed if STACK not in will_be.get(name, {})]
    kept = ordered((name for name in changed if name not in gone), after(will_be))
    order = [*kept, *reversed(ordered(gone, after(was)))]
    last = asked or {}
    return [
        replace(step, stays=name in idle)
        for name in order
        for step in _of_stack(name, was.get(name, {}), will_be.get(name, {}), now, last.get(name, ""), name in idle)
    ]


def _alike(one: Specs, other: Specs) -> bool:
    return one.keys() == other.keys() and all(same(one[kind], other[kind]) for kind in one)


def _of_stack(name: str, previous: Specs, wanted: Specs, now: datetime, last: str, idle: bool) -> Iterator[Step]:
    if STACK not in wanted:
        deed: Deed = "remove" if STACK in previous else "note"
        yield Step(stack=name, deed=deed, why="it is wanted no more", previous=previous, wanted=wanted)
        return
    asked = _new_request(previous, wanted, last)
    request = None if asked is None or requests.is_stale(asked, now) else asked
    reasons = [*_reasons(previous, wanted, idle)]
    if reasons or (request and request["do"] == requests.DEPLOY):
        services = () if reasons or not request else tuple(request.get("services", ()))
        why = "; ".join([*reasons, *([_asked(request)] if request and request["do"] == requests.DEPLOY else [])])
        yield Step(stack=name, deed="deploy", why=why, previous=previous, wanted=wanted, services=services)
    if request and request["do"] == requests.RESTART:
        services = tuple(request.get("services", ()))
        # What a deploy before it has put in place is what was there before this step.
        ground = wanted if reasons else previous
        yield Step(stack=name, deed="restart", why=_asked(request), previous=ground, wanted=wanted, services=services)
    if not reasons and not request:
        why = f"too late to be carried out, {_asked(asked)}" if asked else "nothing that Komodo is told"
        yield Step(stack=name, deed="note", why=why, previous=previous, wanted=wanted)


def _new_request(previous: Specs, wanted: Specs, last: str) -> Spec:
    """The request that is wanted, if it is later than all that were carried out: a reverted one is an older one."""
    request, before = wanted.get(REQUEST), previous.get(REQUEST)
    known = [before, *([{"at": last}] if last else [])]
    return request if request and all(requests.is_later(request, one) for one in known if one) else None


def _asked(request: Spec) -> str:
    return f"asked for at {request['at']}: {request['reason']}"


def _reasons(previous: Specs, wanted: Specs, idle: bool) -> Iterator[str]:
    """Why a stack is deployed, in words: what of it differs."""
    if STACK not in previous:
        yield "it is configured in Komodo, and nothing of it is there" if idle else "it is new"
        return
    for kind, file in ((STACK, "stack.toml"), (COMPOSE, "compose.yaml")):
        old, new = (_told_to_komodo(kind, specs.get(kind)) for specs in (previous, wanted))
        if not same(old, new):
            yield f"{file} changes{_fields(old, new)}"


def alike(one: Specs, other: Specs) -> bool:
    """Whether Komodo would be told the same of both."""
    return all(same(*(_told_to_komodo(kind, specs.get(kind)) for specs in (one, other))) for kind in (STACK, COMPOSE))


def _told_to_komodo(kind: str, spec: Spec) -> Spec:
    """The order of stacks is ours to keep."""
    return {name: value for name, value in spec.items() if name != "after"} if kind == STACK and spec else spec


def _fields(old: Spec, new: Spec) -> str:
    """The names of what differs, never the values."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return ""
    paths = list(dict.fromkeys(change.path for change in explain(old, new)))
    more = f" and {len(paths) - _MOST_FIELDS} more" if len(paths) > _MOST_FIELDS else ""
    return f" ({', '.join(paths[:_MOST_FIELDS])}{more})"
