"""A foreign route as a file of the desired repo: what is written, and what its owner takes away afterwards."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field

from reconciler.routing.routers import HIGHEST_PRIORITY
from reconciler.traefik.references import Reference, references
from shards import labels, routes, wanted
from shards.drafting import Draft, Ground
from shards.kit import Call, Refused
from shards.lent import Lent, Part, Place
from shards.proposing import Desk, Intent, Proposed
from state.model import Address, Problem
from state.sparing import dataclass

_CONTAINERS: Final = frozenset({"docker", "swarm", "ecs", "nomad", "consulcatalog", "kubernetes", "kubernetescrd"})
"""Providers that know a backend by an address which it has until it is made anew."""


class Adopted(Proposed):
    """A proposal that writes a foreign route as a file, and what to do once it is approved."""

    adopted: str = Field(description="the foreign router, name@provider")
    priority: int = Field(description="priority of the file route: above the foreign one, so that nothing ties; UDP: 0")
    remove: list[str] = Field(description="what its owner removes after the approval: labels, keys or paths, exactly")
    hand_over: list[str] = Field(description="the steps, in order")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How a person or model wants it: another name, other backends, other middlewares for some of them."""

    name: str = ""
    backends: Sequence[str] = ()
    instead: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What a proposal writes, and what may go afterwards."""

    name: str
    priority: int
    resources: Mapping[Address, dict[str, Any]]
    remove: tuple[str, ...]
    steps: tuple[str, ...]


def adoption(lent: Lent, ground: Ground, instance: str, wish: Wish) -> Adoption:
    """The native file route for a foreign one. Raises Refused, with the way out."""
    _refuse_unfit(lent)
    moved = _moved(lent, wish) if wish.backends else lent
    needed = list(_needed(moved, wish))
    _refuse_secrets(moved, needed)
    _refuse_moving(lent, needed, wish)
    name = wish.name or lent.router.rpartition("@")[0]
    priority = _priority(lent)
    chosen = {(lent.routers, lent.router): name, **({lent.service: name} if wish.backends else {})}
    names = _names(moved, ground, instance, needed, chosen)
    written = {Address(instance, place[0], names[place]): _rewritten(moved, place, names, wish) for place in needed}
    if priority:
        written[Address(instance, lent.routers, name)]["priority"] = priority
    standing = ground.desired.snapshot
    return Adoption(
        name=name,
        priority=priority,
        resources={address: spec for address, spec in written.items() if standing.get(address) != spec},
        remove=tuple(_removable(lent, wish)),
        steps=tuple(_steps(lent, name, wish)),
    )


def _priority(lent: Lent) -> int:
    """Above the foreign one: equal ones would tie, and chance would decide at every reload. 0 where there is none."""
    if lent.protocol == "udp":
        return 0
    return lent.priority + 1 or 1  # a TCP router for every name has -1, and 0 would be that again


def _moved(lent: Lent, wish: Wish) -> Lent:
    """The same route with its service over the backends of the wish. Raises Refused."""
    service = lent.parts.get(lent.service, Part({}, (), (), {}))
    known = routes.backends(service.spec) or ()
    if routes.servers_differ(service.spec) and any(one not in known for one in wish.backends):
        raise Refused(
            "not-adoptable",
            f"The servers of {lent.service[1]} differ in more than their addresses (TLS, weight …), so nobody can tell "
            "how those of service_url are to be reached. Make them alike at their owner first, or write the service "
            "with add_dynamic_config and name it with `instead` in place of service_url.",
        )
    standing = _without_secrets(service)
    moved = replace(service, spec=routes.backed(lent.protocol, wish.backends, standing), secrets=())
    return replace(lent, parts={**lent.parts, lent.service: moved})


def _without_secrets(service: Part) -> dict[str, Any]:
    """A service without those of its options that hold a secret."""
    held, options = _options_with_secrets(service), service.spec.get("loadBalancer")
    if not held or not isinstance(options, dict):
        return service.spec
    return {**service.spec, "loadBalancer": {key: value for key, value in options.items() if key not in held}}


def _options_with_secrets(service: Part) -> list[str]:
    """Those beside its servers: `healthCheck` where a header of it is a secret."""
    paths = [path.split(".") for path in service.secrets if path.startswith("loadBalancer.")]
    return sorted({path[1] for path in paths} - {"servers"})


def proposed(desk: Desk, call: Call, instance: str, lent: Lent, wish: Wish, reason: str) -> Adopted:
    """Propose it. Raises Refused, and then nothing was committed."""
    chosen: list[Adoption] = []

    def edit(draft: Draft) -> None:
        found = adoption(lent, draft.ground, instance, wish)
        path = f"{draft.ground.instance(instance, 'traefik').directory}/{wanted.file_name(found.name)}.yaml"
        for address, spec in found.resources.items():
            draft.put(path, address, spec)
        chosen.append(found)

    planned = adoption(lent, desk.ground(), instance, wish)
    intent = Intent(
        slug=planned.name,
        title=f"Adopt route {lent.router}",
        reason="\n".join((reason, "", "Its owner removes once this is approved:", *planned.remove)),
    )
    made = desk.propose(call, intent, edit)
    return Adopted(
        **dict(made),
        adopted=lent.router,
        priority=chosen[-1].priority,
        remove=list(chosen[-1].remove),
        hand_over=list(chosen[-1].steps),
    )


def _refuse_unfit(lent: Lent) -> None:
    if lent.provider == "internal":
        raise Refused("not-adoptable", f"{lent.router} is Traefik's own; nobody can take it over.")
    if lent.provider == "file":
        raise Refused(
            "not-adoptable",
            f"{lent.router} stands in a file already. A person takes over a directory that somebody else keeps with "
            "waypost adopt-traefik; a route of the desired repo is changed with update_route.",
        )
    if lent.parents or not lent.spec.get("service"):
        raise Refused("not-adoptable", f"{lent.router} is a layer of several routers; adopting one alone breaks them.")
    if lent.missing:
        raise Refused(
            "not-adoptable",
            f"{lent.router} names what Traefik does not have: {', '.join(lent.missing)}. Mend that at its owner first.",
        )
    if lent.priority >= HIGHEST_PRIORITY:
        raise Refused("not-adoptable", f"{lent.router} has the highest priority there is; lower it at its owner first.")


def _needed(lent: Lent, wish: Wish) -> Iterator[Place]:
    """The router and what it refers to, save what is to be named or written otherwise."""
    ahead, seen = [(lent.routers, lent.router)], set[Place]()
    while ahead:
        place = ahead.pop(0)
        if place in seen:
            continue
        seen.add(place)
        yield place
        for reference in references(place[0], lent.parts[place].spec):
            other = lent.place(reference)
            if other in lent.parts and not _instead(lent, other, wish):
                ahead.append(other)


def _instead(lent: Lent, place: Place, wish: Wish) -> str:
    """What the wish names in place of that; "" for nothing. Its backends are the service of the router."""
    return "" if wish.backends and place == lent.service else wish.instead.get(place[1], "")


def _refuse_secrets(lent: Lent, needed: Iterable[Place]) -> None:
    found = tuple(
        Problem(message=f"{name}: {path} holds what must not go into Git")
        for kind, name in needed
        for path in lent.parts[kind, name].secrets
    )
    if not found:
        return
    raise Refused(
        "secret",
        f"{lent.router} uses what holds secrets, so nothing was proposed, and they are not shown here. For a "
        "middleware, name another one with `instead`: one of the desired repo that refers to a file (usersFile) and "
        'holds no secret ({"auth@docker": "auth"}), or itself ({"auth@docker": "auth@docker"}) to go on using it where '
        "it is; then its labels must stay. For a service, give service_url.",
        problems=found,
    )


def _refuse_moving(lent: Lent, needed: Iterable[Place], wish: Wish) -> None:
    """A container's address is no backend for a file: it is another one when the container is made anew."""
    if lent.provider not in _CONTAINERS or wish.backends:
        return
    backends = [
        one for place in needed if place[0] == lent.services for one in routes.backends(lent.parts[place].spec) or ()
    ]
    if moving := [one for one in backends if _is_address(one)]:
        example = "http://gitea:3000" if lent.protocol == "http" else "gitea:3000"
        raise Refused(
            "backend-moves",
            f"Traefik knows the backend of {lent.router} by the address of its container, {', '.join(moving[:5])}, "
            "which changes when that is made anew. Give service_url by a name that Traefik can look up (that of the "
            f"container on a network of both, {example}), or this very address where it is fixed.",
        )


def _is_address(backend: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(backend if "://" in backend else f"//{backend}").hostname or "")
    except ValueError:
        return False
    return True


def _names(
    lent: Lent, ground: Ground, instance: str, needed: Iterable[Place], chosen: Mapping[Place, str]
) -> dict[Place, str]:
    """A name for each in the desired repo. One that is taken by something else gives way; the router's must be free."""
    found: dict[Place, str] = {}
    for kind, qualified in needed:
        wanted = chosen.get((kind, qualified)) or qualified.rpartition("@")[0]
        if kind == lent.routers and (standing := ground.desired.resources.get(Address(instance, kind, wanted))):
            raise Refused(
                "already-exists",
                f"{standing.address} already stands in {standing.file}:{standing.line}. Give another name.",
            )
        spec = lent.parts[kind, qualified].spec
        found[kind, qualified] = _free(ground, Address(instance, kind, wanted), spec, lent.provider)
    return found


def _free(ground: Ground, address: Address, spec: Any, provider: str) -> str:
    """A name that nothing else has; the same content under the name may stay as it is."""
    snapshot, wanted, number = ground.desired.snapshot, address, 1
    while wanted in snapshot and snapshot[wanted] != spec:
        ending = f"-{provider}" if number == 1 else f"-{provider}-{number}"
        wanted, number = Address(address.instance, address.kind, f"{address.name}{ending}"), number + 1
    return wanted.name


def _rewritten(lent: Lent, place: Place, names: Mapping[Place, str], wish: Wish) -> dict[str, Any]:
    """A spec that finds everything from a file: own names bare, what stays elsewhere qualified."""
    spec = copy.deepcopy(lent.parts[place].spec)
    for reference in references(place[0], lent.parts[place].spec):
        other = lent.place(reference)
        if another := _instead(lent, other, wish):
            name = another
        elif other in names:
            name = names[other]
        else:
            name = reference.name if _is_everywhere(reference) else other[1]
        _put(spec, reference.path, name)
    return spec


def _is_everywhere(reference: Reference) -> bool:
    return reference.kind == "tls.options" and reference.name == "default"


def _put(spec: Any, path: Sequence[str | int], name: str) -> None:
    for step in path[:-1]:
        spec = spec[step]
    spec[path[-1]] = name


def _removable(lent: Lent, wish: Wish) -> Iterator[str]:
    """What the provider holds for this route alone."""
    kept = {name for name, other in wish.instead.items() if other == name}
    for place, part in lent.parts.items():
        if place[1] not in kept and not part.used_by:
            yield from labels.of(lent.provider, place[0], place[1].rpartition("@")[0], part.whole)


def _steps(lent: Lent, name: str, wish: Wish) -> Iterator[str]:
    yield f"A person approves the proposal and agrees to what its plan shows: requests go over from {lent.router}."
    yield _takes_over(lent, name)
    yield labels.how_to_remove(lent.provider)
    if shared := sorted(name for (_, name), part in lent.parts.items() if part.used_by):
        yield f"Leave what belongs to {', '.join(shared)}: other routers use that too."
    if kept := sorted(name for name, other in wish.instead.items() if other == name):
        yield f"Leave what belongs to {', '.join(kept)}: the file route uses it there, and stops serving without it."
    if wish.backends and lent.service in lent.parts and (held := _options_with_secrets(lent.parts[lent.service])):
        yield f"Give {name} anew what holds a secret and did not go over: {', '.join(held)} of {lent.service[1]}."
    if lent.protocol == "http":
        yield f"Then the priority is needed no more: update_route {name} with priority 0, or leave it."


def _takes_over(lent: Lent, name: str) -> str:
    if lent.protocol == "http":
        return (
            f"From then on {name} serves and {lent.router} waits behind it: its priority, {_priority(lent)}, is one "
            "above. See with explain_request that the request goes there."
        )
    if lent.protocol == "tcp":
        return (
            f"From then on new connections go to {name}, and {lent.router} waits behind it: its priority, "
            f"{_priority(lent)}, is above. Connections that are open stay where they are."
        )
    # Traefik serves one UDP router an entry point: the last by its qualified name, byte by byte.
    if f"{name}@file".encode() > lent.router.encode():
        return f"From then on {name} serves: of several UDP routers at an entry point the last by name does."
    return (
        f"{lent.router} serves until it is gone, then {name} does at once: of several UDP routers at an entry point "
        f"the last by name does, and {lent.router} comes after {name}@file."
    )
