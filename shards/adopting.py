"""A foreign route as a file of the desired repo: what is written, and what its owner takes away afterwards."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field

from reconciler.routing.routers import HIGHEST_PRIORITY
from reconciler.traefik.references import Reference, references
from shards import labels, routes, wanted
from shards.drafting import Draft, Ground
from shards.kit import Call, Refused
from shards.lent import Lent, Place
from shards.proposing import Desk, Intent, Proposed
from shards.routes import ROUTERS, SERVICES
from state.model import Address, Problem

_CONTAINERS: Final = frozenset({"docker", "swarm", "ecs", "nomad", "consulcatalog", "kubernetes", "kubernetescrd"})
"""Providers that know a backend by an address which it has until it is made anew."""


class Adopted(Proposed):
    """A proposal that writes a foreign route as a file, and what to do once it is approved."""

    adopted: str = Field(description="the foreign router, name@provider")
    priority: int = Field(description="priority of the file route: above the foreign one, so that nothing ties")
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
    needed = list(_needed(lent, wish))
    _refuse_secrets(lent, needed)
    _refuse_moving(lent, needed, wish)
    name = wish.name or lent.router.rpartition("@")[0]
    names = _names(lent, ground, instance, needed, name)
    written = {Address(instance, place[0], names[place]): _rewritten(lent, place, names, wish) for place in needed}
    if wish.backends:
        written[Address(instance, SERVICES, name)] = routes.balancer(wish.backends)
    router = written[Address(instance, ROUTERS, name)]
    router["priority"] = lent.priority + 1  # equal ones would tie, and chance would decide at every reload
    if wish.backends:
        router["service"] = name
    standing = ground.desired.snapshot
    return Adoption(
        name=name,
        priority=lent.priority + 1,
        resources={address: spec for address, spec in written.items() if standing.get(address) != spec},
        remove=tuple(_removable(lent, wish)),
        steps=tuple(_steps(lent, name, wish)),
    )


def proposed(desk: Desk, call: Call, instance: str, lent: Lent, wish: Wish, reason: str) -> Adopted:
    """Propose it. Raises Refused, and then nothing was committed."""
    chosen: list[Adoption] = []

    def edit(draft: Draft) -> None:
        found = adoption(lent, draft.ground, instance, wish)
        path = f"{draft.ground.instance(instance).directory}/{wanted.file_name(found.name)}.yaml"
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
    ahead, seen = [(ROUTERS, lent.router)], set[Place]()
    while ahead:
        place = ahead.pop(0)
        if place in seen:
            continue
        seen.add(place)
        yield place
        for reference in references(place[0], lent.parts[place].spec):
            other = lent.place(reference)
            replaced = wish.backends and place[0] == ROUTERS and reference.path == ("service",)
            if other in lent.parts and other[1] not in wish.instead and not replaced:
                ahead.append(other)


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
    urls = [url for place in needed if place[0] == SERVICES for url in routes.backends(lent.parts[place].spec) or ()]
    if moving := [url for url in urls if _is_address(url)]:
        raise Refused(
            "backend-moves",
            f"Traefik knows the backend of {lent.router} by the address of its container, {', '.join(moving[:5])}, "
            "which changes when that is made anew. Give service_url by a name that Traefik can look up (that of the "
            "container on a network of both, http://gitea:3000), or this very address where it is fixed.",
        )


def _is_address(url: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return True


def _names(lent: Lent, ground: Ground, instance: str, needed: Iterable[Place], router: str) -> dict[Place, str]:
    """A name for each in the desired repo. One that is taken by something else gives way; the router's must be free."""
    found: dict[Place, str] = {}
    for kind, qualified in needed:
        wanted = router if kind == ROUTERS else qualified.rpartition("@")[0]
        if kind == ROUTERS and (standing := ground.desired.resources.get(Address(instance, kind, wanted))):
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
        if other[1] in wish.instead:
            name = wish.instead[other[1]]
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
            yield from labels.of(lent.provider, place[0], place[1].rpartition("@")[0], part.spec)


def _steps(lent: Lent, name: str, wish: Wish) -> Iterator[str]:
    yield f"A person approves the proposal and agrees to what its plan shows: requests go over from {lent.router}."
    yield (
        f"From then on {name} serves and {lent.router} waits behind it: its priority, {lent.priority + 1}, is one "
        "above. See with explain_request that the request goes there."
    )
    yield labels.how_to_remove(lent.provider)
    if shared := sorted(name for (_, name), part in lent.parts.items() if part.used_by):
        yield f"Leave what belongs to {', '.join(shared)}: other routers use that too."
    if kept := sorted(name for name, other in wish.instead.items() if other == name):
        yield f"Leave what belongs to {', '.join(kept)}: the file route uses it there, and stops serving without it."
    yield f"Then the priority is needed no more: update_route {name} with priority 0, or leave it."
