"""What Traefik's answer says about our resources: found, disabled, served from elsewhere, still there. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from reconciler.traefik import mentions
from reconciler.traefik.api import EntryPoint, Item, Runtime
from state.model import Address, Snapshot, Spec

LISTED: Final = frozenset(
    {
        "http.routers",
        "http.services",
        "http.middlewares",
        "tcp.routers",
        "tcp.services",
        "tcp.middlewares",
        "udp.routers",
        "udp.services",
    }
)
"""The kinds that Traefik's API lists; it says nothing of TLS options, stores, certificates and transports."""

_ROUTERS: Final = frozenset(kind for kind in LISTED if kind.endswith(".routers"))
_UNLISTED: Final = "Traefik does not list it"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a resource that should be served. `otherwise`: its name is served, with other content."""

    words: str
    otherwise: bool = False


def examine(
    live: Snapshot,
    runtime: Runtime,
    entry_points: Iterable[EntryPoint],
    elsewhere: Mapping[Address, str] = MappingProxyType({}),
) -> dict[Address, Fault]:
    """What is wrong with each resource that should be served. `elsewhere`: names that other files hold -> the file."""
    doors = [door.name for door in entry_points]
    of_door = tuple(f"{door}-" for door in doors)
    # Most Traefiks make no copies at all; then there is one name to look for instead of three for each entry point.
    copying = {kind for kind in LISTED if any(name.startswith(of_door) for name in runtime.of(kind))}
    found: dict[Address, Fault] = {}
    for address, spec in live.items():
        kind = address.kind
        if kind in LISTED:
            using, item = doors if kind in copying else [], runtime.of(kind).get(f"{address.name}@file")
            if item and item.status == "enabled" and not using and (kind not in _ROUTERS or _same(spec, item)):
                continue  # nearly always
            if fault := _fault(address, spec, live, runtime, using, elsewhere):
                found[address] = fault
    return found


def faults(
    live: Snapshot,
    runtime: Runtime,
    entry_points: Iterable[EntryPoint],
    elsewhere: Mapping[Address, str] = MappingProxyType({}),
) -> dict[Address, str]:
    """The same in words, Traefik's own where it has any."""
    return {address: fault.words for address, fault in examine(live, runtime, entry_points, elsewhere).items()}


def lingering(
    gone: Collection[Address], live: Snapshot, runtime: Runtime, elsewhere: Collection[Address]
) -> dict[Address, str]:
    """The deleted resources that Traefik still lists, but for names that somebody else's file holds too."""
    return {
        address: f"Traefik still lists {address.name}@file"
        for address in gone
        if address.kind in LISTED
        and address not in live
        and address not in elsewhere
        and f"{address.name}@file" in runtime.of(address.kind)
    }


def caused(
    found: Mapping[Address, str], live: Snapshot, gone: Collection[Address], previous: Snapshot
) -> dict[Address, str]:
    """Of these faults, those that the write from `previous` to `live` can have caused.

    A resource that is as before, and so is all it refers to, was broken by somebody else.
    """
    touched = mentions.users(changed(live, previous) | set(gone), live)
    return {address: fault for address, fault in found.items() if address in touched}


def changed(live: Snapshot, previous: Snapshot) -> set[Address]:
    return {
        address
        for address, spec in live.items()
        if address not in previous or (previous[address] is not spec and previous[address] != spec)
    }


def variants(name: str, doors: Iterable[str]) -> Iterator[str]:
    """The names under which Traefik may list a router.

    An entry point with options of its own copies the router to `<entry point>-<router>`; contradicting TLS
    options rename it to `<entry point>-conflicted-<router>`.
    """
    yield f"{name}@file"
    for door in doors:
        yield f"{door}-{name}@file"
        yield f"{door}-conflicted-{name}@file"
        yield f"{door}-conflicted-{door}-{name}@file"


def field_of(spec: Spec, name: str) -> Any:
    """A field by its name, in whatever case: Traefik does not mind."""
    if not isinstance(spec, Mapping):
        return None
    if name in spec:
        return spec[name]
    return next((value for key, value in spec.items() if str(key).lower() == name.lower()), None)


def _fault(
    address: Address, spec: Spec, live: Snapshot, runtime: Runtime, doors: list[str], elsewhere: Mapping[Address, str]
) -> Fault | None:
    listed = runtime.of(address.kind)
    item = listed.get(f"{address.name}@file")
    if address.kind not in _ROUTERS:
        words = _UNLISTED if item is None else _disabled(item)
        return Fault(words) if words else None
    mine = [item for item in _candidates(address, live, listed, doors) if _same(spec, item)]
    if not mine:
        return Fault(_UNLISTED) if item is None else _stranger(address, item, live, doors, elsewhere)
    troubles = [trouble for item in mine if (trouble := _troubled(item))]
    return Fault("; ".join(dict.fromkeys(troubles))) if troubles else None


def _candidates(address: Address, live: Snapshot, listed: Mapping[str, Item], doors: list[str]) -> Iterator[Item]:
    for name in variants(address.name, doors):
        if name in listed and not _anothers(name.removesuffix("@file"), address, live):
            yield listed[name]


def _anothers(name: str, address: Address, live: Snapshot) -> bool:
    """Is this variant of a router's name the own name of another of our routers?"""
    return name != address.name and Address(address.instance, address.kind, name) in live


def _same(spec: Spec, item: Item) -> bool:
    """Is what Traefik lists what we wrote? Another file may hold the name, and be read first."""
    theirs = item.spec.get
    if (
        type(spec) is dict
        and "rule" in spec
        and spec["rule"] == theirs("rule")
        and spec.get("service") == theirs("service")
    ):
        return True
    return all(
        (wanted := field_of(spec, name)) is None or str(item.spec.get(name, "")) == str(wanted)
        for name in ("rule", "service")
    )


def _stranger(
    address: Address, item: Item, live: Snapshot, doors: list[str], elsewhere: Mapping[Address, str]
) -> Fault:
    rule = f"rule {item.spec.get('rule', '')}"
    if address in elsewhere:
        return Fault(f"Traefik serves another router under this name ({rule}): see {elsewhere[address]}", True)
    for door in doors:
        origin = address._replace(name=address.name.removeprefix(f"{door}-"))
        if origin != address and origin in live and _same(live[origin], item):
            return Fault(f"Traefik serves its copy of our router {origin.name} under this name: one of the two is lost")
    return Fault(
        f"Traefik serves other content under this name ({rule}): it has not loaded our file as it stands, "
        "or a file that only Traefik can read holds the name too",
        True,
    )


def _disabled(item: Item) -> str:
    return _words(item) if item.status == "disabled" else ""


def _troubled(item: Item) -> str:
    return _words(item) if item.status in ("disabled", "warning") else ""


def _words(item: Item) -> str:
    return f"{item.status}: {'; '.join(item.errors) or 'Traefik gives no reason'}"
