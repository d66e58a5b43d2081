"""Objects that a person made in authentik, and that an entry would meet and overwrite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.authentik import models
from reconciler.authentik.api import LOOKUPS, AuthentikApi, Json
from reconciler.authentik.blueprint import Entry, entries, is_shipped
from reconciler.authentik.held import Held
from reconciler.authentik.shape import tagged
from state.model import Spec

_WATCHED: Final = models.STAGES | {models.APPLICATION, models.PROXY, models.OAUTH2, models.FLOW}
"""Models of which objects are somebody's own; those that authentik brings with it are overruled with consent."""

_NOBODY_KNOWS: Final = object()


@dataclass
class Takeover:
    """Compares entries with what is live. `pending` is what is to be taken away yet: that is ours as well."""

    api: AuthentikApi
    held: Held
    pending: Spec
    _listed: dict[str, list[Json]] = field(default_factory=dict)

    def of(self, spec: Spec) -> Iterator[str]:
        """What speaks against each entry that would change an object which no blueprint of ours made.

        One that is already all that the entry says is none: nothing about it changes. Raises AuthentikError.
        """
        by_id = {entry.id: entry for entry in entries(spec) if entry.id}
        for entry in entries(spec):
            if entry.model not in _WATCHED or entry.state != "present" or self._is_told_already(entry):
                continue
            if is_shipped(entry):
                continue
            if any(tagged(value) for value in entry.identifiers.values()):
                yield f"the {entry.label} must be known by plain values, to see whether it is there already"
                continue
            for there in self._objects(entry.model):
                if _is(entry, there) and not self._is_ours(entry, there) and not self._agrees(entry, there, by_id):
                    yield (
                        f"the {entry} is in authentik already, made by somebody else, and would be overwritten: give "
                        "it another name here, write 'state: created' to leave it as it is, or remove it there first"
                    )

    def _ours(self, model: str) -> list[Entry]:
        standing = [one for spec in self.held.live.values() for one in entries(spec) if one.state == "present"]
        leaving = [one for one in entries(self.pending) if one.state != "created"]
        return [one for one in standing + leaving if one.model == model]

    def _is_told_already(self, entry: Entry) -> bool:
        return any(one.identifiers == entry.identifiers for one in self._ours(entry.model))

    def _is_ours(self, entry: Entry, there: Json) -> bool:
        return any(_is(one, there) for one in self._ours(entry.model))

    def _objects(self, model: str) -> list[Json]:
        if model not in self._listed:
            self._listed[model] = self.api.objects(model)
        return self._listed[model]

    def _agrees(self, entry: Entry, there: Json, by_id: Mapping[str, Entry]) -> bool:
        said = {name: self._meant(value, by_id) for name, value in entry.attrs.items()}
        return all(name in there and _same(value, there[name]) for name, value in said.items())

    def _meant(self, value: Any, by_id: Mapping[str, Entry]) -> Any:
        """What a reference stands for in authentik."""
        match tagged(value):
            case None:
                return value
            case "!KeyOf", str(id) if id in by_id:
                return self._key(by_id[id].model, by_id[id].identifiers)
            case "!Find", [str(model), [str(name), str(wanted)]]:
                return self._key(model, {name: wanted})
        return _NOBODY_KNOWS

    def _key(self, model: str, identifiers: Mapping[str, Any]) -> Any:
        known = LOOKUPS[model][1] if model in LOOKUPS else {}
        if not identifiers or not all(name in known and isinstance(one, str) for name, one in identifiers.items()):
            return _NOBODY_KNOWS
        found = self.api.found(model, identifiers)
        return found.get("pk", _NOBODY_KNOWS) if found else _NOBODY_KNOWS


def _is(entry: Entry, there: Json) -> bool:
    """Would authentik take this object for that of the entry? By its key, or by all else that it is known by."""
    others = {name: value for name, value in entry.identifiers.items() if name != "pk"}
    by_key = "pk" in entry.identifiers and str(there.get("pk")) == str(entry.identifiers["pk"])
    return by_key or bool(others) and all(there.get(name) == value for name, value in others.items())


def _same(said: Any, there: Any) -> bool:
    """Is what is there what is said, whatever more authentik tells of it?"""
    if isinstance(said, dict) and isinstance(there, dict):
        return all(name in there and _same(value, there[name]) for name, value in said.items())
    if isinstance(said, list) and isinstance(there, list):
        return len(said) == len(there) and all(map(_same, said, there))
    return type(said) is type(there) and bool(said == there)
