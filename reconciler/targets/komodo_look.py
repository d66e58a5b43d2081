"""What Komodo says at one moment of all its stacks, in the words of the desired repo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from reconciler.komodo import contents, stacks
from reconciler.komodo.api import KomodoApi
from reconciler.komodo.deeds import Specs
from reconciler.komodo.reading import Stack
from reconciler.komodo.stacks import COMPOSE, REQUEST, STACK
from reconciler.komodo.wire import KomodoError
from reconciler.targets.komodo_record import Record

_CONFIGURING: Final = frozenset({"UpdateStack", "WriteStackContents", "RenameStack", "CreateStack", "CopyStack"})
_LONGEST_NAME: Final = 100

Find = Callable[[str], Stack | None]
"""A stack by its name, None where there is none."""


class Look(NamedTuple):
    """What Komodo says at one moment.

    `idle`: what it only has in its books, configured and not there; nothing is said of what we wrote there ourselves.
    """

    stacks: Mapping[str, Specs]
    idle: Mapping[str, Specs]
    servers: Mapping[str, str]  # name -> id
    states: Mapping[str, str]
    version: str
    by: Mapping[str, str]  # what is configured otherwise than it was put in place -> who did that


def look_at(api: KomodoApi, find: Find, record: Record) -> Look:
    """Everything, ours and others'. Raises KomodoError where Komodo cannot be asked."""
    servers = {one.name: one.id for one in api.servers()}
    lines = api.stacks()
    names = {id: name for name, id in servers.items()}
    found, idle, by = dict[str, Specs](), dict[str, Specs](), dict[str, str]()
    for line in lines:
        if (stack := find(line.name)) is not None:
            specs = specs_of(line.name, stack.config, names, record)
            # Of our own we know that they were deployed; that such a one is down is told otherwise.
            if line.info.state != "running" and _is_refused(line.name, stack.config, record):
                idle[line.name] = {}
            elif line.info.state == "down" and line.name not in record.held:
                idle[line.name] = {} if contents.is_ours(str(stack.config.get("file_contents"))) else specs
            else:
                found[line.name] = specs
            if _is_edited(line.name, stack.config, record) and (name := _configured_by(api, stack)):
                by[line.name] = name
    return Look(found, idle, servers, {one.name: one.info.state for one in lines}, api.version(), by)


def _configured_by(api: KomodoApi, stack: Stack) -> str:
    """Who gave a stack its configuration, as Komodo's newest update of that kind says; "" where it does not."""
    try:
        updates = api.updates(stack.id.oid)
    except KomodoError:
        return ""  # no answer to this is no reason to see nothing at all
    who = next((one.username for one in updates if one.operation in _CONFIGURING), "")
    return " ".join(who.split())[:_LONGEST_NAME]


def specs_of(stack: str, config: Mapping[str, Any], servers: Mapping[str, str], record: Record) -> dict[str, Any]:
    """One stack in the words of the desired repo; as it was put in place, while Komodo has it unchanged."""
    held = record.held.get(stack)
    if held and held.mark == stacks.mark(config):
        return dict(held.specs)
    own = {**config, "server": servers.get(str(config.get("server_id", "")), "")}
    order = {"after": held.specs[STACK]["after"]} if held and held.specs.get(STACK, {}).get("after") else {}
    found: dict[str, Any] = {STACK: {**stacks.shown(stacks.normal(own)), **order}}
    if text := str(config.get("file_contents") or "").strip():
        found[COMPOSE] = contents.understood(text)
    if held and REQUEST in held.specs:
        found[REQUEST] = held.specs[REQUEST]
    return found


def _is_refused(stack: str, config: Mapping[str, Any], record: Record) -> bool:
    """Whether all that there is of it is what was put there from here and came to nothing."""
    return record.refused.get(stack) == stacks.mark(config)


def _is_edited(stack: str, config: Mapping[str, Any], record: Record) -> bool:
    """Whether a stack that we put in place has another configuration now, and not because an attempt is under way."""
    held, under_way = record.held.get(stack), record.under_way
    ours = under_way is not None and any(step.stack == stack for step in under_way.steps)
    return held is not None and not ours and held.mark != stacks.mark(config)
