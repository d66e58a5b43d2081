"""What no file of a stack can show alone: what belongs together, the order, the servers that there are. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from reconciler.core.snapshots import same
from reconciler.komodo import deeds, labels, requests, stacks
from reconciler.komodo.compose import services
from reconciler.komodo.contents import UNREADABLE
from reconciler.komodo.deeds import Specs
from reconciler.komodo.labels import Labelled
from reconciler.komodo.ordering import rings
from reconciler.komodo.stacks import COMPOSE, REQUEST, STACK
from state.model import Address, Problem, Snapshot, Spec


def problems(wanted: Snapshot, live: Snapshot, servers: Collection[str], now: datetime) -> Iterator[Problem]:
    """Everything wrong with the stacks that change. What others have in Komodo is not ours to judge."""
    instance = next((address.instance for address in wanted), "")
    will_be, was = deeds.by_stack(wanted), deeds.by_stack(live)
    changed = [name for name, specs in will_be.items() if not same(dict(specs), dict(was.get(name, {})))]
    order = deeds.after(will_be)
    ringed = rings(order)
    for name in sorted(changed):
        for kind, message in (*_of_stack(will_be[name], servers), *_of_time(will_be[name].get(REQUEST), now)):
            yield Problem(message=message, address=str(Address(instance, kind, name)))
        for before in order[name]:
            if STACK not in will_be.get(before, {}):
                message = f"it comes after '{before}', and there is no such stack"
                yield Problem(message=message, address=str(Address(instance, STACK, name)))
        if name in ringed:
            message = f"it waits for itself: {', '.join(ringed)} each come after another of them"
            yield Problem(message=message, address=str(Address(instance, STACK, name)))


def taken(wanted: Snapshot, live: Snapshot, idle: Mapping[str, Specs]) -> Iterator[Problem]:
    """New stacks that somebody else configured in Komodo, otherwise, and of which nothing is there: whose are they?

    `idle` says nothing of one that was written there from here.
    """
    instance, was = next((address.instance for address in wanted), ""), deeds.by_stack(live)
    for name, specs in sorted(deeds.by_stack(wanted).items()):
        if idle.get(name) and name not in was and not deeds.alike(specs, idle[name]):
            message = (
                "Komodo has a stack of this name that is configured otherwise than it is wanted, was not put there "
                "from here, and is not deployed; remove it there, or deploy it there to compare the two"
            )
            yield Problem(message=message, address=str(Address(instance, STACK, name)))


def _of_stack(specs: Specs, servers: Collection[str]) -> Iterator[tuple[str, str]]:
    stack = specs.get(STACK)
    if stack is None:
        kind = COMPOSE if COMPOSE in specs else REQUEST
        yield kind, "there is no stack.toml beside it, so nobody knows where it runs"
        return
    yield from ((STACK, message) for message in _whole(stack, COMPOSE in specs))
    if (server := stack.get("server", "")) not in servers:
        known = ", ".join(sorted(servers)) or "none that its key may see"
        yield STACK, f"Komodo knows no server '{server}'; there are: {known}"
    if REQUEST in specs and COMPOSE in specs and UNREADABLE not in specs[COMPOSE]:
        for name in specs[REQUEST].get("services", ()):
            if name not in services(specs[COMPOSE]):
                yield REQUEST, f"its compose file has no service '{name}'"


def _of_time(request: Spec, now: datetime) -> Iterator[tuple[str, str]]:
    if request and requests.is_ahead(request, now):
        yield REQUEST, f"{request['at']} is yet to come, and nothing that is asked for before would be carried out"


def of_labels(wanted: Snapshot, live: Snapshot) -> Iterator[Problem]:
    """What is odd about labels for Traefik in the compose files that change. A warning: Traefik may be a newer one."""
    was, will_be = labelled(live), labelled(wanted)
    for words in (*will_be.faults, *will_be.notes):
        if words not in (*was.faults, *was.notes):
            yield Problem(message=words, severity="warning")


def labelled(stacks: Snapshot) -> Labelled:
    """What the labels of all compose files of one Komodo make of a Traefik that reads them."""
    found = deeds.by_stack(stacks)
    return labels.of_stacks({name: specs[COMPOSE] for name, specs in found.items() if COMPOSE in specs})


def _whole(stack: Mapping[str, Any], has_compose: bool) -> Iterator[str]:
    """Each stack gets its compose file from exactly one place."""
    elsewhere = [name for name in ("repo", "files_on_host") if stack.get(name)]
    if has_compose and elsewhere:
        yield f"it has a compose.yaml beside it and '{elsewhere[0]}' as well; keep one of them"
    elif not has_compose and not elsewhere:
        yield "there is no compose.yaml beside it, and it names no 'repo' either"
    elif stacks.is_pinned(stack) and "files_on_host" in elsewhere:
        yield "it names a 'repo' and 'files_on_host'; keep one of them"
