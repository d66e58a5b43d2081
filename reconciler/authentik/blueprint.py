"""A blueprint as a value: its entries, who they are, what it needs of others, and how it is written. Pure.

A tag is a mapping of one key: `!KeyOf app` stands as {"!KeyOf": "app"}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from reconciler.authentik import models
from reconciler.authentik.shape import tagged
from reconciler.document import Path
from state.model import Address, Snapshot, Spec, canonical

KIND: Final = "blueprint"
"""The kind of every resource of an authentik: one blueprint is one resource."""

ABSENT: Final = "absent"
_LABELS: Final = {
    models.APPLICATION: "application",
    models.PROXY: "proxy provider",
    models.OAUTH2: "OAuth2 provider",
    models.OUTPOST: "outpost",
    models.FLOW: "flow",
    models.STAGE_BINDING: "stage binding",
    models.POLICY_BINDING: "policy binding",
    models.BRAND: "brand",
}
_UNREADABLE: Final = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What JSON lets stand and YAML does not, or takes for the end of a line."""
_NAMING: Final = ("slug", "domain", "name", "managed")


@dataclass(frozen=True)
class Entry:
    """One entry of a blueprint. `path` is where it stands in its file, `spec` the whole of it as written."""

    model: str
    identifiers: Mapping[str, Any]
    attrs: Mapping[str, Any]
    spec: Mapping[str, Any]
    path: Path = ()

    @property
    def id(self) -> str:
        return str(self.spec.get("id", ""))

    @property
    def state(self) -> str:
        return str(self.spec.get("state", "present"))

    @property
    def label(self) -> str:
        """What it is, in a word."""
        return _LABELS.get(self.model, "stage")

    @property
    def name(self) -> str:
        """What people call it; "" where it is only known by what it binds."""
        named = (self.identifiers.get(key) for key in _NAMING)
        return next((value for value in named if isinstance(value, str)), "")

    @property
    def fields(self) -> Mapping[str, Any]:
        """All that it says about its object."""
        return {**self.identifiers, **self.attrs}

    def __str__(self) -> str:
        return f"{self.label} '{self.name}'" if self.name else self.label


def entries(spec: Spec) -> list[Entry]:
    """All entries of a blueprint, in the order in which authentik takes them."""
    listed = spec.get("entries") if isinstance(spec, dict) else None
    groups = listed.items() if isinstance(listed, dict) else [(None, listed)]
    return [
        Entry(str(one.get("model", "")), _mapping(one.get("identifiers")), _mapping(one.get("attrs")), one, path)
        for group, members in groups
        for index, one in enumerate(members if isinstance(members, list) else [])
        if isinstance(one, dict)
        for path in [("entries", index) if group is None else ("entries", group, index)]
    ]


def _mapping(value: Any) -> Mapping[str, Any]:
    """What stands in authentik may be anything that a person wrote there."""
    return value if isinstance(value, dict) and tagged(value) is None else {}


def tags(value: Any, path: Path = ()) -> Iterator[tuple[Path, str, Any]]:
    """Every tag in a value, outermost first: where it stands, its name, its content."""
    if found := tagged(value):
        yield path, *found
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in inner:
            yield from tags(each, (*path, key))


# ── who is who ───────────────────────────────────────────────────────────────────────────────────

Identity = bytes
"""Which object of authentik an entry is about, however it refers to others."""


def identities(spec: Spec) -> list[tuple[Identity, Entry]]:
    """The entries of a blueprint with the identity of each."""
    return [(identity, entry) for identity, entry, _ in meant(spec)]


def meant(spec: Spec) -> list[tuple[Identity, Entry, Mapping[str, Any]]]:
    """The entries of a blueprint with the identity of each, and its fields: in place of a reference, its object."""
    known: dict[str, Identity] = {}
    found: list[tuple[Identity, Entry, Mapping[str, Any]]] = []
    for entry in entries(spec):
        identity = canonical([entry.model, _resolved(dict(entry.identifiers), known)])
        fields = {name: _resolved(value, known) if tagged(value) else value for name, value in entry.fields.items()}
        if entry.id:
            known[entry.id] = identity
        found.append((identity, entry, fields))
    return found


def referred(value: Any) -> Identity:
    """Which object a field of `meant` refers to; b"" where it does not say."""
    of = value.get("of") if isinstance(value, dict) and len(value) == 1 else None
    return of.encode() if isinstance(of, str) else b""


def _resolved(value: Any, known: Mapping[str, Identity]) -> Any:
    """The same with references to entries written as what they refer to: one object has one identity."""
    match tagged(value):
        case "!KeyOf", str(id) if id in known:
            return {"of": known[id].decode()}
        case "!Find", [str(model), *conditions] if all(map(_is_pair, conditions)):
            return {"of": canonical([model, dict(conditions)]).decode()}
    if isinstance(value, dict):
        return {key: _resolved(inner, known) for key, inner in value.items()}
    return [_resolved(inner, known) for inner in value] if isinstance(value, list) else value


def _is_pair(condition: Any) -> bool:
    return isinstance(condition, list) and len(condition) == 2 and isinstance(condition[0], str)


def held_twice(wanted: Snapshot) -> dict[Address, list[tuple[Entry, Address]]]:
    """Objects that two blueprints want to be as they say: authentik would apply one after the other, for ever.

    Each is told at the later one, with the other. An entry that only looks (`created`) is none of them.
    """
    known: dict[Identity, Address] = {}
    found: dict[Address, list[tuple[Entry, Address]]] = {}
    for address in sorted(wanted):
        for identity, entry in identities(wanted[address]):
            other = known.setdefault(identity, address) if entry.state == "present" else address
            if other != address:
                found.setdefault(address, []).append((entry, other))
    return found


# ── what one needs of another ────────────────────────────────────────────────────────────────────


def needs(address: Address, wanted: Snapshot) -> frozenset[Address]:
    """The blueprints that hold what this one looks for with `!Find`."""
    sought = {
        canonical([content[0], dict(content[1:])])
        for _, tag, content in tags(wanted[address])
        if tag == "!Find" and isinstance(content, list) and content and all(map(_is_pair, content[1:]))
    }
    return frozenset(
        other
        for other, spec in wanted.items()
        if other != address and any(_answers(entry, sought) for entry in entries(spec))
    )


def _answers(entry: Entry, sought: set[bytes]) -> bool:
    plain = {key: value for key, value in entry.fields.items() if isinstance(value, str)}
    return any(canonical([entry.model, {key: value}]) in sought for key, value in plain.items())


def in_order(wanted: Snapshot) -> list[Address]:
    """Those that others need come first; by name else. What goes round in circles comes as it is."""
    ordered: list[Address] = []
    waiting = {address: needs(address, wanted) for address in sorted(wanted)}
    while waiting:
        ready = [one for one, needed in waiting.items() if not needed & waiting.keys()] or list(waiting)
        ordered += ready
        for one in ready:
            del waiting[one]
    return ordered


# ── how it is written ────────────────────────────────────────────────────────────────────────────


def written(spec: Spec, mark: str = "") -> str:
    """The blueprint as authentik reads it: JSON with tags, which is YAML; `mark` is a comment before it.

    The same blueprint is always written the same, so that its hash says which one authentik applied.
    """
    return (f"# {mark}\n" if mark else "") + _text(spec, "") + "\n"


def _text(value: Any, indent: str) -> str:
    if found := tagged(value):
        return f"{found[0]} {_text(found[1], indent)}"
    inside = indent + " "
    if isinstance(value, dict) and value:
        lines = [f"{_text(key, '')}: {_text(inner, inside)}" for key, inner in value.items()]
        return "{\n" + ",\n".join(inside + line for line in lines) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(inside + _text(inner, inside) for inner in value) + f"\n{indent}]"
    return scalar(value)


def scalar(value: Any) -> str:
    """A value that holds no others, as JSON that is YAML as well."""
    return _UNREADABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(value).decode())


# ── what leaves ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Leaving:
    """What a change of blueprints no longer holds: what is to be taken away in authentik, and what is let go of."""

    removed: tuple[Entry, ...] = ()
    kept: tuple[Entry, ...] = ()
    spec: Spec = None  # the blueprint that takes it away; None where nothing is to be taken away


def leaving(before: Snapshot, after: Snapshot) -> Leaving:
    """What stood in blueprints before and stands in none after.

    authentik itself forgets such objects and lets them live on, so each is to be taken away by an entry of its own,
    the last first. A brand, an outpost and what authentik brings with it are let go of instead: others live by them. So
    is what authentik could not tell from something that stays.
    """
    mentioned = {identity for spec in after.values() for identity, _ in identities(spec)}
    was = {identity for spec in before.values() for identity, _ in identities(spec)}
    became = known_otherwise(before, after)
    removed: list[Entry] = []
    kept: list[Entry] = []
    parts: list[Mapping[str, Any]] = []
    for address in sorted(before):
        held = identities(before[address])
        gone = [
            (entry, became.get(identity))
            for identity, entry in held
            if identity not in mentioned and entry.state != ABSENT
        ]
        going = [entry for entry, other in gone if not other and not _is_authentiks_own(entry)]
        removed += going
        kept += [entry for entry, other in gone if other in was or (not other and _is_authentiks_own(entry))]
        parts += _taking_away(going, [entry for _, entry in held], address)
    spec = {"version": 1, "entries": parts, **_context(before)} if parts else None
    return Leaving(tuple(removed), tuple(kept), spec)


def known_otherwise(before: Snapshot, after: Snapshot) -> dict[Identity, Identity]:
    """What was known by other fields before than it is after: authentik finds what stays by what it was known by."""
    standing = [one for spec in after.values() for one in meant(spec) if one[1].state != ABSENT]
    mentioned, found = {identity for identity, _, _ in standing}, dict[Identity, Identity]()
    for address in sorted(before):
        for identity, entry, fields in meant(before[address]):
            said = {name: _followed(fields[name], found) for name in entry.identifiers}
            for other, one, there in standing if said and identity not in mentioned else ():
                if one.model == entry.model and all(there.get(name) == value for name, value in said.items()):
                    found.setdefault(identity, other)
    return found


def _followed(value: Any, found: Mapping[Identity, Identity]) -> Any:
    """A reference as it is written where the object that it refers to is known otherwise by now."""
    return {"of": found[of].decode()} if (of := referred(value)) in found else value


def still_leaving(earlier: Spec, spec: Spec, after: Snapshot) -> Spec:
    """What an earlier change has not taken away yet, together with `spec`; without what is wanted again."""
    mentioned = {identity for one in after.values() for identity, _ in identities(one)}
    mentioned |= known_otherwise({Address("", KIND, ""): earlier}, after).keys()
    more = entries(spec) if spec else []
    known = {identity for identity, _ in identities(spec)} if spec else set()
    parts = [
        entry.spec
        for identity, entry in identities(earlier)
        if identity not in known and (entry.state != ABSENT or identity not in mentioned)
    ]
    parts += [entry.spec for entry in more]
    if not any(part.get("state") == ABSENT for part in parts):
        return None
    context = {**_mapping(earlier.get("context")), **_mapping((spec or {}).get("context"))}
    return {"version": 1, "entries": parts, **({"context": context} if context else {})}


def is_shipped(entry: Entry) -> bool:
    """Is it one of the flows, stages and others that authentik brings with it?"""
    named = (entry.fields.get(name) for name in ("slug", "name", "managed"))
    return any(isinstance(one, str) and one.startswith("default-") for one in named)


def _is_authentiks_own(entry: Entry) -> bool:
    shipped = entry.name.startswith("default-") or str(entry.identifiers.get("managed", "")).startswith("goauthentik.")
    return entry.model in models.KEPT or shipped


def _taking_away(going: list[Entry], held: list[Entry], address: Address) -> list[Mapping[str, Any]]:
    """Entries that take these away. What belongs to something that goes too goes with it by itself; what belongs to
    something that stays is found through that, which is left as it is."""
    by_id = {entry.id: entry for entry in held if entry.id}
    leaves = {entry.id for entry in going if entry.id}
    taken, owners = [], dict[str, Mapping[str, Any]]()
    for entry in reversed(going):
        if not leaves & set(_owners(entry)):
            _find_owners(entry, by_id, address, owners)
            identifiers = _renamed(dict(entry.identifiers), address)
            taken.append({"model": entry.model, "state": ABSENT, "identifiers": identifiers})
    return [*owners.values(), *taken]


def _owners(entry: Entry) -> list[str]:
    """The ids of the entries that an object is known by."""
    return [str(content) for _, tag, content in tags(dict(entry.identifiers)) if tag == "!KeyOf"]


def _find_owners(
    entry: Entry, by_id: Mapping[str, Entry], address: Address, found: dict[str, Mapping[str, Any]]
) -> None:
    """Entries that find those which an object is known by, and change nothing about them."""
    for id in _owners(entry):
        if id in by_id and id not in found and by_id[id] is not entry:
            owner = by_id[id]
            _find_owners(owner, {known: one for known, one in by_id.items() if known != id}, address, found)
            identifiers = _renamed(dict(owner.identifiers), address)
            found[id] = {
                "model": owner.model, "id": _own(id, address), "state": "created", "identifiers": identifiers,
            }  # fmt: skip


def _own(id: str, address: Address) -> str:
    """An id that is nobody else's when entries of several blueprints come together."""
    return f"{address.name}/{id}"


def _renamed(value: Any, address: Address) -> Any:
    match tagged(value):
        case "!KeyOf", str(id):
            return {"!KeyOf": _own(id, address)}
    if isinstance(value, dict):
        return {key: _renamed(inner, address) for key, inner in value.items()}
    return [_renamed(inner, address) for inner in value] if isinstance(value, list) else value


def _context(before: Snapshot) -> Mapping[str, Any]:
    merged: dict[str, Any] = {}
    for address in sorted(before):
        merged |= _mapping(before[address].get("context"))
    return {"context": merged} if merged else {}
