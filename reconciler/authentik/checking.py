"""What speaks against blueprints before they are put in place: what the home cannot tell them, what authentik says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.authentik import blueprint, models
from reconciler.authentik.answers import AuthentikError
from reconciler.authentik.api import AuthentikApi, Json
from reconciler.authentik.blueprint import Entry, entries, written
from reconciler.authentik.dry_run import DryRun
from reconciler.authentik.held import Held
from reconciler.authentik.keeping import Keeper
from reconciler.authentik.shape import tagged
from reconciler.authentik.tags import asked_for
from reconciler.authentik.takeover import Takeover
from reconciler.core.target import Validation
from state.model import Address, Problem, Snapshot, Spec

_AUTHENTIKS_OWN: Final = "goauthentik.io/"
"""What authentik itself tells every blueprint."""


@dataclass
class Checking:
    """Checks what is wanted of one authentik."""

    api: AuthentikApi
    dry_run: DryRun
    keeper: Keeper

    def of(self, wanted: Snapshot, held: Held) -> Validation:
        """Everything that speaks against it, all at once; nothing that is live changes. Raises AuthentikError."""
        changed = _changed(wanted, held)
        problems = list(_fought_over(wanted, changed))
        notes: list[str] = []
        for address in changed:
            faults = self._faults(address, wanted[address], held)
            coming = self._coming(address, wanted, changed)
            if faults:
                problems += faults
            elif coming:
                notes.append(f"{address} needs {', '.join(coming)}: authentik can try it only once that is applied")
            else:
                try:
                    problems += self._tried(address, wanted[address], held)
                except AuthentikError as error:
                    # It answers to who only looks: a token that may do no more is a person's to mend, an outage is not.
                    notes += [f"{address} could not be tried: {error}"] if error.retry else []
                    problems += [] if error.retry else [Problem(message=str(error), address=str(address))]
        leaving = blueprint.leaving(held.live, wanted)
        notes += [f"the {entry} is let go of: it stays in authentik as it is" for entry in leaving.kept]
        return Validation(problems=tuple(problems), notes=tuple(notes))

    def hindrances(self, wanted: Snapshot, held: Held) -> list[Problem]:
        """What authentik would refuse of this at the moment. Raises AuthentikError where it does not take anything.

        An object that two blueprints hold is none: on the way to what is planned one may stand beside what it replaces.
        """
        changed = _changed(wanted, held)
        return [
            problem
            for address in changed
            for problem in self._faults(address, wanted[address], held)
            or ([] if self._coming(address, wanted, changed) else self._tried(address, wanted[address], held))
        ]

    def _faults(self, address: Address, spec: Spec, held: Held) -> list[Problem]:
        faults = [
            *self._untold(spec, held, address),
            *self._taken_off(spec, held, address),
            *Takeover(self.api, held, self.keeper.pending(held)).of(spec),
        ]
        return [Problem(message=fault, address=str(address)) for fault in faults]

    def _coming(self, address: Address, wanted: Snapshot, changed: Collection[Address]) -> list[str]:
        """What it needs that is not there yet."""
        return sorted(str(one) for one in blueprint.needs(address, wanted) if one in changed)

    def _untold(self, spec: Spec, held: Held, address: Address) -> Iterator[str]:
        """Names that stand for nothing, and secrets of the home that would be shown."""
        kept = held.blueprints.get(address.name)
        known = {*(spec.get("context") or {}), *(kept.context if kept else {}), *self.keeper.told}
        for asked in asked_for(spec):
            if asked.name not in known and not asked.has_value and not asked.name.startswith(_AUTHENTIKS_OWN):
                yield f"nobody says what !Context {asked.name} is: name it among the contexts of this target"
            if asked.name in self.keeper.told and not asked.is_secret:
                yield f"{asked.name} is a secret of this home, which would be shown at '{asked.where}'"

    def _tried(self, address: Address, spec: Spec, held: Held) -> list[Problem]:
        kept = held.blueprints.get(address.name)
        context = {**(kept.context if kept else {}), **self.keeper.context(spec)}
        said = self.dry_run.of(written(spec), context)
        words = [self.keeper.masked(message, context) for message in (said.messages if said else ())]
        return [Problem(message=f"authentik: {one}", address=str(address)) for one in words]

    def _taken_off(self, spec: Spec, held: Held, address: Address) -> Iterator[str]:
        """Providers that an outpost serves by somebody else's doing: a list in a blueprint replaces the one that is."""
        before = {str(one): one for one in entries(held.live.get(address)) if one.model == models.OUTPOST}
        by_id = {entry.id: entry.name for entry in entries(spec)}
        for entry in entries(spec):
            if entry.model != models.OUTPOST or "providers" not in entry.attrs or str(entry) in before:
                continue
            if any(tagged(value) for value in entry.identifiers.values()):
                yield f"the {entry.label} must be known by plain values, to see whom it answers for already"
                continue
            listed = {_name_of(one, by_id) for one in entry.attrs["providers"]}
            for outpost in self.api.objects(models.OUTPOST):
                for name in sorted(_served(outpost) - listed if _is(outpost, entry) else ()):
                    yield f"{outpost['name']} serves '{name}', which this list leaves out; list it with !Find as well"


def _changed(wanted: Snapshot, held: Held) -> list[Address]:
    return [address for address in sorted(wanted) if held.live.get(address) != wanted[address]]


def _fought_over(wanted: Snapshot, changed: Collection[Address]) -> Iterator[Problem]:
    for address, both in blueprint.held_twice(wanted).items():
        for entry, other in both:
            if address in changed or other in changed:
                message = f"the {entry} also stands in {other}; keep it in one of them"
                yield Problem(message=message, address=str(address))


def _name_of(provider: object, by_id: Mapping[str, str]) -> str:
    match tagged(provider):
        case "!Find", [str(), ["name", str(name)]]:
            return name
        case "!KeyOf", str(id):
            return by_id.get(id, "")
    return ""


def _is(outpost: Json, entry: Entry) -> bool:
    plain = {name: value for name, value in entry.identifiers.items() if isinstance(value, str)}
    return bool(plain) and all(outpost.get(name) == value for name, value in plain.items())


def _served(outpost: Json) -> set[str]:
    listed = outpost.get("providers_obj")
    return {str(one.get("name")) for one in listed if isinstance(one, dict)} if isinstance(listed, list) else set()
