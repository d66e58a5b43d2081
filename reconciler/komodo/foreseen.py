"""A Traefik as it will serve once stacks are deployed: what it says now, with the labels that go and come. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from reconciler.core.target import Observation
from reconciler.komodo.checking import labelled
from reconciler.traefik.api import item
from state.model import Snapshot

_PROVIDER: Final = "docker"


def foreseen(observed: Observation, before: Snapshot, after: Snapshot) -> Observation:
    """The same Traefik after the stacks of one Komodo went from one state to the other.

    It is the very same observation where no label changes anything, or where that Traefik does not answer.
    """
    was, will_be = labelled(before).kinds, labelled(after).kinds
    if was == will_be or observed.witness:
        return observed
    served = {kind: dict(items) for kind, items in observed.served.items()}
    for kind, held in was.items():
        for name in held.keys() - will_be.get(kind, {}).keys():
            served.get(kind, {}).pop(f"{name}@{_PROVIDER}", None)
    for kind, held in will_be.items():
        for name, spec in held.items():
            if spec != was.get(kind, {}).get(name):
                served.setdefault(kind, {})[f"{name}@{_PROVIDER}"] = item({**spec, "status": "enabled"})
    return replace(observed, served=served)


def of_all(
    kinds: Mapping[str, str],
    observed: Mapping[str, Observation],
    before: Mapping[str, Snapshot],
    after: Mapping[str, Snapshot],
) -> dict[str, Observation]:
    """Each Traefik of which the labels of stacks will make another one: instance -> what it will be.

    `kinds` says of each instance what it is; `before` and `after` are the states of all that change. Where several
    Traefiks are known, only those that read labels already are meant.
    """
    komodos = [name for name in after if kinds.get(name) == "komodo"]
    traefiks = [name for name in observed if komodos and kinds.get(name) == "traefik"]
    reading = [name for name in traefiks if _reads_labels(observed[name])] or traefiks
    found = {name: observed[name] for name in reading}
    for komodo in komodos:
        found = {name: foreseen(one, before[komodo], after[komodo]) for name, one in found.items()}
    return {name: one for name, one in found.items() if one is not observed[name]}


def _reads_labels(observed: Observation) -> bool:
    return any(name.endswith(f"@{_PROVIDER}") for items in observed.served.values() for name in items)
