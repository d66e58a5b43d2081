"""What was done of an attempt, stack by stack, as facts for the log, each under the key that makes it one fact. Pure.

A stack that is left alone is news only beside one that is not: where a commit changes stacks, one event says of the
others why they stay as they are, once for that commit. A pass that changes no stack says nothing of them, and a second
attempt at the same commit only of those whose reason is another one by now. Those that were not begun because one
before them failed are news of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final

from reconciler.komodo.deeds import Deed, Step
from reconciler.komodo.stacks import STACK
from reconciler.targets.komodo_record import Held, UnderWay
from state.events import Event, StackDeployed, StacksSkipped
from state.model import Address, digest

_DIGITS: Final = 16
"""Of a digest of reasons: told once, they are told again only when one of them changes."""


def done(instance: str, attempt: UnderWay) -> dict[str, Event]:
    """Every deploy, restart and removal that came to its end, and those that put back what was there before."""
    return {
        key: _deployed(instance, attempt, step)
        for index, one in enumerate(attempt.steps)
        for key, step in _ended(f"deed:{attempt.attempt}:{index}", one)
    }


def _ended(key: str, step: Step) -> Iterator[tuple[str, Step]]:
    if step.deed != "note" and step.state in ("done", "failed"):
        yield key, replace(step, fails=step.state == "failed")
    if step.deed in ("deploy", "remove") and step.state == "undone":
        back: Deed = "deploy" if STACK in step.previous else "remove"
        yield f"{key}:back", replace(step, deed=back, why="all that went with it is put back")


def _deployed(instance: str, attempt: UnderWay, step: Step) -> StackDeployed:
    kinds = step.wanted.keys() | step.previous.keys()
    return StackDeployed(
        instance=instance,
        attempt=attempt.attempt,
        commit=attempt.commit,
        stack=step.stack,
        resources=tuple(sorted(str(Address(instance, kind, step.stack)) for kind in kinds)),
        deed=step.deed,
        reason=step.why,
        good=not step.fails,
        said=step.said,
        update=step.update,
        seconds=round(step.seconds, 3),
    )


def skipped(instance: str, attempt: UnderWay) -> dict[str, Event]:
    """Our stacks that stay as they are though the commit changes others, where that was not said of it yet.

    Before all of the attempt is done only those that will not be begun by it, as one before them failed.
    """
    failed = next((step.stack for step in attempt.steps if step.state == "failed"), "")
    if failed:
        return _not_begun(instance, attempt, failed)
    reasons = {address: why for address, why in attempt.alone.items() if attempt.known.get(address) != why}
    if not reasons:
        return {}
    changed = {step.stack for step in attempt.steps if step.deed != "note"}
    reason = f"the same commit changes {len(changed)} other stacks" if changed else "nothing of them is deployed"
    event = StacksSkipped(instance=instance, commit=attempt.commit, resources=reasons, reason=reason)
    return {f"skipped:{instance}:{attempt.commit}:{digest(reasons)[:_DIGITS]}": event}


def left_alone(
    instance: str, attempt: UnderWay, held: Mapping[str, Held], there: Collection[Address]
) -> dict[str, str]:
    """Why an attempt that is done leaves stacks as they are, by address; `there` is all that is live after it.

    Nothing is said of those whose turn is later, nor of what the same commit put in place before.
    """
    alone = {step.stack: step.why for step in attempt.steps if step.deed == "note"}
    changed = {step.stack for step in attempt.steps if step.deed != "note"}
    rest = {name: _since(one) for name, one in held.items() if one.commit != attempt.commit} if changed else {}
    return {
        str(Address(instance, STACK, name)): why
        for name, why in sorted((rest | alone).items())
        if name not in changed
        and name not in attempt.pending
        and (name in alone or Address(instance, STACK, name) in there)
    }


def _not_begun(instance: str, attempt: UnderWay, failed: str) -> dict[str, Event]:
    names = sorted({step.stack for step in attempt.steps if step.state == "todo"} - {failed})
    if not names:
        return {}
    event = StacksSkipped(
        instance=instance,
        commit=attempt.commit,
        resources={str(Address(instance, STACK, name)): f"{failed} failed before it" for name in names},
        reason=f"{failed} failed before them",
    )
    return {f"not-begun:{attempt.attempt}": event}


def _since(held: Held) -> str:
    since = f" since commit {held.commit[:12]} was deployed" if held.commit else ""
    return f"nothing of it changes{since}"
