"""What a target says and did, as it may enter the log: secrets covered, each deed told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from reconciler.core import redact
from reconciler.core.target import Observation, Verdict
from reconciler.secrets import without_secrets
from reconciler.world import World
from state import events, views
from state.log import Entry
from state.model import Spec


def tell(world: World, instance: str, deeds: Mapping[str, events.Event]) -> None:
    """What the target did part by part, before the verdict: who dies in between tells the same under the same keys."""
    if deeds:
        entries = [Entry(stream=f"target/{instance}", event=event, key=key) for key, event in deeds.items()]
        world.log.append(entries)


def catch_up(world: World, started: events.ApplyStarted, observed: Observation) -> None:
    """Tell what was done of an attempt by somebody who died, or was cut off, before telling of it."""
    if not observed.deeds:
        return  # most targets have none, and what they hold can be long
    specs = specs_around(world, started)
    tell(world, started.instance, {key: _covered_words(event, specs) for key, event in observed.deeds.items()})


def is_done_of(started: events.ApplyStarted, observed: Observation) -> bool:
    """Whether anything was done of this attempt: a target may still tell of the one before."""
    return any(getattr(event, "attempt", "") == started.attempt for event in observed.deeds.values())


def specs_around(world: World, started: events.ApplyStarted) -> list[Spec]:
    """What was there before an attempt and what it was to become: whose secrets a target may quote."""
    before = world.log.view(views.Applied).base(started.instance)
    return [*before.values(), *(spec for spec in started.changes.values() if spec is not None)]


def covered(verdict: Verdict, specs: Iterable[Spec]) -> Verdict:
    # Traefik quotes what it cannot parse, a password hash for instance; that must not enter the log.
    specs = list(specs)
    deeds = {key: _covered_words(event, specs) for key, event in verdict.deeds.items()}
    if verdict.outcome == "proven":
        return replace(verdict, deeds=deeds)  # in our own words, and a look through thousands of specs has its price
    words = {str(address): fault for address, fault in verdict.faults.items()}
    faults, evidence = redact.covered([words, verdict.evidence], specs)
    if verdict.outcome == "refuted":  # of an outage, a sentence of ours tells; it may name the setting of a secret
        faults, evidence = _without_secrets(faults), _without_secrets(evidence)
    by_address = {address: faults[str(address)] for address in verdict.faults}
    return replace(verdict, evidence=evidence, faults=by_address, deeds=deeds)


_FREE_TEXT: Final = frozenset({"reason", "said", "resources"})
"""Of a deed, what may quote the target; names and numbers stay what they are, whatever a secret may look like."""


def _covered_words(event: events.Event, specs: list[Spec]) -> events.Event:
    words = {each.name: getattr(event, each.name) for each in fields(event) if each.name in _FREE_TEXT}
    texts = {name: value for name, value in words.items() if isinstance(value, str | Mapping)}
    return replace(event, **_without_secrets(redact.covered(texts, specs)))


def _without_secrets(words: Any) -> Any:
    """What a target says may hold secrets that stand in no spec: a program's, in what Komodo tells of a deploy."""
    if isinstance(words, Mapping):
        return {name: _without_secrets(each) for name, each in words.items()}
    return without_secrets(words) if isinstance(words, str) else words
